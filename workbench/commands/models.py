"""`workbench model`: what models there are, what one listens to, and conversion into this project's files."""

from pathlib import Path
from typing import Annotated

import typer

from workbench.commands import talk

app = typer.Typer(no_args_is_help=True)


@app.command("list")
def list_models() -> None:
    """Names of the models that ship with the package."""
    from model.checkpoints import available

    for name in available():
        typer.echo(name)


@app.command("show")
def show(name: Annotated[str, typer.Argument(help="Shipped or published name, or a folder.")]) -> None:
    """What a model listens to, its label ranges, its size and where it comes from."""
    from model import checkpoints

    try:
        loaded = checkpoints.load(name)
    except (ValueError, OSError) as error:
        raise talk.fail(str(error)) from error
    lines = [f"{loaded.name}: {loaded.size:,} parameters, hash {loaded.hash}"]
    if loaded.base:
        lines.append(f"adapters on the base {loaded.base}")
    for heard in loaded.properties:
        label = loaded.statistics.labels.get(heard)
        known = label is not None and label.n
        taught = f"taught from {label.low:g} to {label.high:g}, n = {label.n}" if known else "labels unknown"
        lines.append(f"listens to {heard}: {taught}")
    if not loaded.properties:
        lines.append("listens to no property (a base model); elements, formula and sizes can be asked of any model")
    lines.append(f"taught on {loaded.statistics.count:,} crystals")
    lines += [f"{key}: {value}" for key, value in loaded.facts.items() if not isinstance(value, dict)]
    typer.echo("\n".join(lines))


@app.command("convert")
def convert(
    source: Annotated[str, typer.Argument(help="Published name or folder, or one of ours.")],
    out: Annotated[Path, typer.Option(help="New folder.")],
    half: Annotated[bool, typer.Option(help="Keep 16-bit numbers: half the size.")] = False,
) -> None:
    """Write a model as safetensors and JSON."""
    import torch

    from model import checkpoints

    try:
        checkpoints.save(checkpoints.load(source), out, dtype=torch.bfloat16 if half else torch.float32)
    except (ValueError, OSError) as error:
        raise talk.fail(str(error)) from error
    typer.echo(f"{out} holds the model as model.json and model.safetensors.")
