"""Figures and sentences in a notebook: interactive, and with a still picture beside for pages without plotly."""

import base64
import io
import json
import re
import time
from importlib.util import find_spec
from typing import TYPE_CHECKING, Any

from model.execution import Progress, Watch, silent

if TYPE_CHECKING:
    from plotly.graph_objects import Figure

WIDTH, HEIGHT = 820, 420  # pixels
_NOTHING = re.compile(r"\bnan\b|none of none|\b0 crystals\b")


def show(figure: "Figure", *, width: int = WIDTH, height: int | None = None, still: bool = False) -> None:
    """Show a figure in the cell; where kaleido and a browser are, a picture is kept beside, for pages without plotly.

    A `still` figure, one of many small parts, is kept as a picture alone where one can be made.
    """
    from IPython.display import display

    figure.update_layout(width=width, height=height or figure.layout.height or HEIGHT)
    display(bundle(figure, picture=find_spec("kaleido") is not None, still=still), raw=True)


def bundle(figure: "Figure", *, picture: bool, still: bool = False) -> dict[str, Any]:
    """A figure as a notebook keeps it: plotly's own JSON, a picture where asked, and a word."""
    told: dict[str, Any] = {"text/plain": "A figure; plotly's JupyterLab extension draws it."}
    if picture:
        told["image/png"] = base64.b64encode(_small(figure.to_image(format="png", scale=1.5))).decode()
    if not (picture and still):
        told["application/vnd.plotly.v1+json"] = json.loads(figure.to_json())
    return told


def _small(png: bytes) -> bytes:
    """The same picture in 96 colours: a third of the bytes, for notebooks are kept in the repository."""
    from PIL import Image

    kept = io.BytesIO()
    Image.open(io.BytesIO(png)).convert("RGB").quantize(96).save(kept, format="png", optimize=True)
    return kept.getvalue()


def telling() -> Watch:
    """A watch that keeps one line under the cell: how far each stage is. Outside a notebook it is silent."""
    from IPython import get_ipython
    from IPython.display import Markdown, display

    if get_ipython() is None:
        return silent
    line = display(Markdown("…"), display_id=True)
    stages: dict[str, str] = {}
    last = 0.0

    def watch(progress: Progress) -> None:
        nonlocal last
        stages[progress.stage] = f"{progress.stage}: {progress.done:,} of {progress.total:,} {progress.unit}"
        if progress.done >= progress.total or time.monotonic() - last > 0.5:  # a page need not redraw at every step
            last = time.monotonic()
            line.update(Markdown("; ".join(stages.values()) + "."))

    return watch


def in_words() -> None:
    """From now on a mistake in data, names or targets ends a cell with its sentence alone, without a traceback."""
    from IPython import get_ipython

    shell = get_ipython()
    if shell is not None:
        shell.set_custom_exc((ValueError, OSError), _sentence)


def _sentence(*told: Any, **_: Any) -> list[str]:
    """IPython's handler: it is told the shell, the kind of error, the error and its traceback."""
    error = told[2]
    words = f"**Stopped.** {error}"
    say(words)
    return [words]


def say(*sentences: str) -> None:
    """Show sentences as a paragraph; whatever numbers they hold were computed in the cell.

    A sentence about nothing (a rate over no crystals, a number that is none) is left out.
    """
    from IPython.display import Markdown, display

    if told := [sentence for sentence in sentences if sentence and not _NOTHING.search(sentence)]:
        display(Markdown(" ".join(told)))
