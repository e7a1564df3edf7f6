"""`workbench reference`: known crystals to compare with."""

import os
from collections import Counter
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from workbench.commands.evaluate import ENERGY_MODELS, energy_model_of
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
    from model.evaluation.check import coverage

    try:
        found = _reference(folder)
        typer.echo(_summary(found))
        if system:
            elements = _elements(system, found)
            known, bare = coverage(found.hull, sorted(elements))
            typer.echo(f"{system}: {known} phases known in it and its subsystems; in {bare} of these none")
            typer.echo(found.hull.entries(elements).to_string(index=False))
    except ValueError as error:
        raise fail(str(error)) from error


def _elements(system: str, known: "Reference") -> frozenset[str]:
    """Elements of a system, any that the reference holds. Raises ValueError for others."""
    elements = frozenset(part.strip() for part in system.split("-"))
    if strange := sorted(elements - known.hull.elements):
        raise ValueError(f"The reference holds nothing of {', '.join(strange)}; a system is written Li-O.")
    return elements


@app.command("check")
def check(
    files: Annotated[list[Path], typer.Argument(metavar="FILES", help="Tables with cif and both energies, as MP-20.")],
    folder: Annotated[Path | None, typer.Option("--reference", help="A reference; default: the shipped.")] = None,
    energy_model: Annotated[str, typer.Option(help=f"{', '.join(ENERGY_MODELS)}, or none.")] = "chgnet",
    count: Annotated[int | None, typer.Option(min=1, help="So many crystals at random; default all.")] = None,
    seed: Annotated[int, typer.Option(help="Of the random choice.")] = 0,
) -> None:
    """Test a reference on known crystals: their formation energies and energies above hull, and what coverage costs."""
    from model.evaluation import check as checking

    try:
        potential = None if energy_model == "none" else energy_model_of(energy_model)
        with bar() as watch:
            found = checking.check(files, _reference(folder), potential, count=count, seed=seed, watch=watch)
    except (ValueError, OSError, ImportError) as error:
        raise fail(str(error)) from error
    for one in found:
        typer.echo(one.text)


@app.command("fit")
def fit(
    files: Annotated[list[Path], typer.Argument(metavar="FILES", help="Crystals with formation energies.")],
    out: Annotated[Path, typer.Option(help="Folder for the reference with these energies. Must not exist.")],
    energy_model: Annotated[str, typer.Option(help=f"One of: {', '.join(ENERGY_MODELS)}.")] = "chgnet",
    folder: Annotated[Path | None, typer.Option("--reference", help="A reference; default: the shipped.")] = None,
    count: Annotated[int | None, typer.Option(min=1, help="On so many crystals at random; default all.")] = None,
    seed: Annotated[int, typer.Option(help="Of the random choice.")] = 0,
) -> None:
    """Fit an energy model's elemental energies on known crystals, so that its totals compare with the hull."""
    from model.evaluation import check as checking

    if out.exists():
        raise fail(f"{out} exists already and is not overwritten; name another folder with --out.")
    try:
        known, potential = _reference(folder), energy_model_of(energy_model)
        with bar() as watch:
            found = checking.fit_elements(files, potential, count=count, seed=seed, watch=watch)
        checking.with_elements(known, potential.name, found).save(out)
    except (ValueError, OSError, ImportError) as error:
        raise fail(str(error)) from error
    typer.echo(
        f"{potential.name}: {len(found.energies)} elements fitted on {found.n} crystals, mean error "
        f"{found.mean_error:.3f} eV/atom, median {found.median_error:.3f}. Judge with: "
        f"workbench evaluate DIR --energy-model {energy_model} --reference {out}"
    )


def _reference(folder: Path | None) -> "Reference":
    from model.evaluation import reference

    return reference.Reference.shipped() if folder is None else reference.Reference.load(folder)


def _summary(reference: "Reference") -> str:
    kept = "structures and fingerprints" if reference.has_structures else "fingerprints, no structures"
    lines = [
        reference.name,
        f"  {len(reference.known):,} known crystals ({kept})",
        f"  {len(reference.hull):,} compositions on or above the hull, {len(reference.hull.elements)} elements",
        f"  elemental energies for {', '.join(reference.energies) or 'no energy model'}",
    ]
    systems = Counter(len(system) for system in reference.hull.systems)
    sizes = ", ".join(f"{systems[n]:,} of {n}" for n in sorted(systems) if n > 1)
    lines.append(f"  chemical systems with a known phase, by number of elements: {sizes or 'none'}")
    if lacking := reference.about.get("elements_without_energy"):
        lines.append(f"  no energy of the element itself, so none of its compounds: {', '.join(lacking)}")
    if computed := reference.about.get("computed_entries"):
        lines.append(f"  hull of computed entries: {', '.join(computed)}, formation energies by their own elements")
        lines.append(
            "  CHGNet's elemental energies were fitted on the Materials Project's corrected energies (MP2020); "
            "where these differ, fit them anew: workbench reference fit"
        )
    for model, fitted in reference.about.get("elements_fitted", {}).items():
        lines.append(f"  {model}: fitted on {fitted['n']:,} crystals, mean error {fitted['mean_error']:.3f} eV/atom")
    if source := reference.about.get("source"):
        lines.append(f"  {source}")
    return "\n".join(lines)
