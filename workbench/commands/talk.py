"""How commands talk: one sentence for an error, a bar for progress."""

import sys
from collections.abc import Iterator
from contextlib import contextmanager

import typer
from tqdm import tqdm

from model.execution import Progress, Watch


def fail(sentence: str, code: int = 2) -> typer.Exit:
    """Print one sentence on the error stream; raise what this returns to end the command."""
    typer.echo(sentence, err=True)
    return typer.Exit(code)


@contextmanager
def bar() -> Iterator[Watch]:
    """A watch that draws one progress bar for each stage."""
    bars: dict[str, tqdm] = {}

    def watch(progress: Progress) -> None:
        line = bars.get(progress.stage)
        if line is None or line.total != progress.total:
            line = bars[progress.stage] = tqdm(
                total=progress.total, desc=progress.stage, unit=f" {progress.unit}", file=sys.stderr, leave=True
            )
        line.update(progress.done - line.n)

    try:
        yield watch
    finally:
        for line in bars.values():
            line.close()
