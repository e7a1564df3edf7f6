"""`workbench model`: what models there are, what one listens to, and conversion into this project's files."""

import json
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Any

import typer

from workbench.commands import talk

app = typer.Typer(no_args_is_help=True)

NOTHING = "no property (a base model)"


@app.command("list")
def list_models() -> None:
    """Models by name: shipped, one's own, published; what each listens to, and whether its files are here."""
    from model import checkpoints, published

    for name in checkpoints.available():
        folder = _folder(name)
        where = "shipped" if folder.parent == checkpoints.SHIPPED else "your own"
        try:
            told = json.loads((folder / "model.json").read_text(encoding="utf-8"))
            what = ", ".join(_listens(heard, told) for heard in told["properties"])
            on = f"; adapters on {_base_name(told['base'])}" if told.get("base") else ""
            taught = f"taught on {told['statistics']['count']:,} crystals"
        except (OSError, ValueError, KeyError, TypeError) as error:
            typer.echo(f"{name}  ({where}): its model.json cannot be read ({error})")
            continue
        typer.echo(f"{name}  ({where}, {_megabytes(folder)}{on}): listens to {what or NOTHING}; {taught}")
    for name, heard in published.LISTENS.items():
        here = (published.cache_folder() / name / "config.yaml").exists()
        there = "on this machine" if here else "not on this machine"
        typer.echo(f"{name}  (published, {there}): listens to {', '.join(heard) or NOTHING}")


@app.command("show")
def show(name: Annotated[str, typer.Argument(help="Shipped or published name, or a folder.")]) -> None:
    """What a model listens to, its label ranges, its size and where it comes from."""
    from model import checkpoints
    from model.sampling.model import ADAPTERS

    try:
        loaded = checkpoints.load(name)
    except (ValueError, OSError) as error:
        raise talk.fail(str(error)) from error
    adapters = sum(p.numel() for n, p in loaded.denoiser.named_parameters() if n.startswith(ADAPTERS))
    lines = [f"{loaded.name}: {loaded.size:,} parameters, hash {loaded.hash}"]
    if loaded.base:
        lines.append(f"{adapters:,} of them are adapters on {_base_name(loaded.base)}, whose own weights are untouched")
    told = {"statistics": loaded.statistics.to_json()}
    facts = dict(loaded.facts)
    lines += [f"listens to {_listens(p, told, facts.pop(f'labels of {p}', None))}" for p in loaded.properties]
    if not loaded.properties:
        lines.append(f"listens to {NOTHING}; elements, formula and sizes can be asked of any model")
    lines.append(facts.pop("sizes", None) or f"taught on {loaded.statistics.count:,} crystals")
    lines += _facts(facts)
    folder = _folder(name)
    if (folder / "model.json").exists():
        where = "shipped with this package" if folder.parent == checkpoints.SHIPPED else str(folder)
        lines.append(f"files: {_megabytes(folder)}, {where}")
        lines += _card(folder)
    typer.echo("\n".join(lines))


def _folder(name: str) -> Path:
    """Where the model of a name lies: shipped, among one's own, or at a path."""
    from model import checkpoints

    places = [place / name for place in (checkpoints.SHIPPED, checkpoints.own_folder())]
    return next((place for place in places if (place / "model.json").exists()), Path(name))


def _listens(name: str, told: Mapping[str, Any], scaler: str | None = None) -> str:
    """A property with its unit, and what is known of the labels it was taught."""
    from model.candidates import COLUMNS
    from model.conditions import PROPERTIES, Property

    label, kind = told["statistics"]["labels"].get(name), PROPERTIES.get(name, Property()).kind
    unit = f" {COLUMNS[name].unit}" if name in COLUMNS and COLUMNS[name].unit else ""
    if kind == "chemical_system":
        return f"{name} (which elements)"
    if label and label["n"]:
        if kind == "space_group":
            return f"{name} ({label['low']:.0f} to {label['high']:.0f}, n = {label['n']:,})"
        spread = f"mean {label['mean']:.3g}, spread {label['std']:.3g}, n = {label['n']:,}"
        return f"{name} ({label['low']:.4g} to {label['high']:.4g}{unit}, {spread})"
    if scaler:
        return f"{name} ({scaler}{unit and ' in' + unit}; the range is not told)"
    return f"{name} (1 to 230)" if kind == "space_group" else f"{name} (labels not told)"


def _base_name(wanted: str) -> str:
    from workbench import wearing

    name = wearing.base_named(wanted)
    return f"{name} ({wanted})" if name else f"a base that is not here ({wanted})"


def _facts(facts: Mapping[str, Any]) -> list[str]:
    """What a model's folder says of its making: sentences as they are, numbers by their names."""
    lines = []
    for key, value in facts.items():
        if isinstance(value, list | tuple):
            lines += [str(sentence) for sentence in value]
        elif not isinstance(value, Mapping):
            lines.append(f"{key.replace('_', ' ')}: {value[:16] if _is_digest(value) else value}")
    return lines


def _is_digest(value: Any) -> bool:
    return isinstance(value, str) and len(value) == 64 and set(value) <= set("0123456789abcdef")


def _card(folder: Path) -> list[str]:
    """Where the card lies and what licence it states."""
    card = folder / "card.md"
    if not card.exists():
        return []
    licence = [line for line in card.read_text(encoding="utf-8").splitlines() if line.startswith("Licence")]
    return [*licence, f"card: {card}"]


def _megabytes(folder: Path) -> str:
    return f"{sum(file.stat().st_size for file in folder.glob('*.safetensors')) / 1e6:.1f} MB"


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
    table: Annotated[Path | None, typer.Option(help="A CSV of the first run's crystals with what was asked.")] = None,
) -> None:
    """Write the card of a model: what it was taught and how, and what its crystals were judged to be."""
    from model.training.cards import write_card

    try:
        told = words.read_text(encoding="utf-8") if words else ""
        typer.echo(f"The card is {write_card(folder, judged, told, table)}.")
    except (ValueError, OSError) as error:
        raise talk.fail(str(error)) from error
