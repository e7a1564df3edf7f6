"""`workbench model`: what models there are, what one listens to, and conversion into this project's files."""

import subprocess
import sys
from pathlib import Path
from typing import Annotated

import typer

from workbench.commands import talk

app = typer.Typer(no_args_is_help=True)


@app.command("list")
def list_models() -> None:
    """Shipped models, and the published ones with whether their files are here."""
    from model import published
    from model.checkpoints import available

    for name in available():
        typer.echo(f"{name}  (shipped)")
    for name in published.NAMES:
        here = (published.cache_folder() / name / "config.yaml").exists()
        typer.echo(f"{name}  (published; {'on this machine' if here else 'not on this machine'})")


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


@app.command("teach")
def teach(
    data: Annotated[Path, typer.Option(help="Prepared crystals: workbench data prepare.")],
    label: Annotated[str, typer.Option(help="A label of the data, as `workbench data show` lists them.")],
    out: Annotated[Path, typer.Option(help="New folder.")],
    epochs: int = 1000,
    log10: Annotated[bool, typer.Option(help="Learn its logarithm.")] = False,
) -> None:
    """Teach a readout: a property predicted from a crystal, with its error on held-out crystals."""
    command = [sys.executable, "-m", "model", "teach", "--data", str(data), "--label", label, "--out", str(out),
               "--epochs", str(epochs), *(["--log10"] if log10 else [])]
    code = subprocess.run(command, check=False).returncode
    if code:
        raise talk.fail(f"Teaching ended with code {code}; its own words are above.", code)


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


@app.command("card")
def card(
    folder: Annotated[Path, typer.Argument(help="A model of ours: model.json and weights.")],
    judged: Annotated[list[Path], typer.Argument(help="Judged runs of this model: workbench evaluate.")],
    words: Annotated[Path | None, typer.Option(help="A file with what people should know besides.")] = None,
) -> None:
    """Write the card of a model: what it was taught and how, and what its crystals were judged to be."""
    from model.training.cards import write_card

    try:
        told = words.read_text(encoding="utf-8") if words else ""
        typer.echo(f"The card is {write_card(folder, judged, told)}.")
    except (ValueError, OSError) as error:
        raise talk.fail(str(error)) from error
