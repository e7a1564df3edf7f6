"""`workbench reference`: known crystals to compare with."""

import os
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from workbench.commands.talk import bar, fail

if TYPE_CHECKING:
    from model.evaluation.reference import Reference

app = typer.Typer(no_args_is_help=True)


@app.command("build")
def build(
    files: Annotated[list[Path], typer.Argument(metavar="FILES", help="Tables (CSV, parquet) or folders of crystals.")],
    out: Annotated[Path, typer.Option(help="Folder for the reference. Must not exist.")],
    name: Annotated[str | None, typer.Option(help="What scorecards call it; default the folder's name.")] = None,
    workers: Annotated[int, typer.Option(help="Processes that read side by side.")] = os.cpu_count() or 1,
) -> None:
    """Make a reference with structures: then the matcher has the last word, and nearest known crystals can be drawn."""
    from model.evaluation import reference
    from model.execution import processes

    try:
        with bar() as watch, processes(workers) as executor:
            made = reference.Reference.build(files, out, name=name, executor=executor, watch=watch)
    except (ValueError, OSError) as error:
        raise fail(str(error)) from error
    skipped = made.about["skipped"]
    for crystal, reason in skipped[:20]:
        typer.echo(f"Warning: {crystal} is left out: {reason}", err=True)
    if len(skipped) > 20:
        typer.echo(f"Warning: and {len(skipped) - 20} more, all listed in {out / 'reference.json'}", err=True)
    typer.echo(_summary(made))


@app.command("show")
def show(
    folder: Annotated[Path | None, typer.Argument(metavar="[REF]", help="A reference; default: the shipped.")] = None,
    system: Annotated[str | None, typer.Option(help="Also how well a chemical system is known, as Li-O.")] = None,
) -> None:
    """Tell what a reference holds."""
    from model.constraints import parse_system
    from model.evaluation import reference

    try:
        found = reference.Reference.shipped() if folder is None else reference.Reference.load(folder)
        typer.echo(_summary(found))
        if system:
            elements = parse_system(system)
            typer.echo(f"{system}: {found.covering(elements)} phases known in it and its subsystems")
            typer.echo(found.hull.entries(elements).to_string(index=False))
    except ValueError as error:
        raise fail(str(error)) from error


def _summary(reference: "Reference") -> str:
    kept = "structures and fingerprints" if reference.has_structures else "fingerprints, no structures"
    lines = [
        reference.name,
        f"  {len(reference.known):,} known crystals ({kept})",
        f"  {len(reference.hull):,} compositions on or above the hull, {len(reference.hull.elements)} elements",
        f"  elemental energies for {', '.join(reference.energies) or 'no energy model'}",
    ]
    if source := reference.about.get("source"):
        lines.append(f"  {source}")
    return "\n".join(lines)
