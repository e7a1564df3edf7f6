"""`workbench dft`: chosen candidates to VASP, and what it found back into verdicts."""

import csv
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from workbench.commands.talk import bar, fail

if TYPE_CHECKING:
    from model.crystals import Crystals

app = typer.Typer(no_args_is_help=True)


@app.command()
def write(
    run: Annotated[Path, typer.Argument(metavar="RUN", help="A generated or evaluated folder, or any crystals.")],
    out: Annotated[Path, typer.Option(help="Folder for the inputs. Must not exist.")],
    only: Annotated[str | None, typer.Option(help="Ids, with commas between; default: all.")] = None,
    best: Annotated[int | None, typer.Option(min=1, help="So many of lowest energy above hull, each once.")] = None,
    elastic: Annotated[bool, typer.Option(help="Strained cells for the elastic tensor, of crystals at rest.")] = False,
    flow: Annotated[bool, typer.Option(help="Also flow.json for jobflow, where atomate2 is installed.")] = False,
) -> None:
    """Write VASP inputs with the Materials Project's settings: two relaxations and a static calculation of each."""
    from model.dft import inputs

    try:
        crystals, names = _chosen(run, only, best)
        work = _flow(crystals, names, elastic=elastic) if flow else None
        inputs.write(crystals, names, out, calculation=inputs.ELASTIC if elastic else inputs.RELAX)
        left_out = inputs.manifest(out).get("left_out", {})
        if work is not None:
            (out / "flow.json").write_text(work, encoding="utf-8")
    except (ValueError, OSError, ImportError) as error:
        raise fail(str(error)) from error
    for reason in left_out.values():
        typer.echo(f"Warning: left out: {reason}", err=True)
    many = len(names) - len(left_out)
    typer.echo(f"{many} crystals are in {out}, each in a folder; README.txt says how to run VASP (run.sh).")
    typer.echo("POTCAR files are licensed and not written: POTCAR.spec names them.")
    typer.echo(f"Read the results back with: workbench dft read {out}")


@app.command()
def read(
    folder: Annotated[Path, typer.Argument(metavar="DIR", help="A folder of workbench dft write, after VASP.")],
    out: Annotated[Path | None, typer.Option(help="Where verdicts go; default DIR-evaluated. Must not exist.")] = None,
    reference: Annotated[Path | None, typer.Option(help="A reference of your own instead of the shipped one.")] = None,
    elements: Annotated[
        Path | None, typer.Option(help='Energies of the elements with the same settings, JSON like {"Li": -1.9}.')
    ] = None,
) -> None:
    """Judge what DFT found: energy above hull, stable, unique, novel, RMSD to what was handed over; or moduli."""
    from model.dft import inputs, results
    from model.dft.judge import judge, read_elements
    from model.evaluation.report import write as keep
    from workbench.commands.evaluate import _reference

    out = out or folder.resolve().with_name(f"{folder.resolve().name}-evaluated")
    try:
        if inputs.manifest(folder)["calculation"] == inputs.ELASTIC:
            _read_elastic(folder, out, judged=bool(reference or elements))
            return
        if out.exists():
            raise FileExistsError(f"{out} exists already and is not overwritten; name another folder with --out.")
        found = results.read(folder)
        energies = read_elements(elements) if elements else None
        with bar() as watch:
            judged = judge(found, _reference(reference), energies, watch)
        keep(judged, out, skipped=list(found.missing.items()))
    except (ValueError, OSError) as error:
        raise fail(str(error)) from error
    for name, reason in found.missing.items():
        typer.echo(f"Warning: {name} is not judged: {reason}", err=True)
    typer.echo(str(judged.scorecard))
    if energies is None:
        typer.echo("elements      CHGNet's elemental energies stand in for DFT's: about 0.02 eV/atom off (--elements)")
    typer.echo(f"\nVerdicts are in {out}: candidates.csv, scorecard.json, relaxed.extxyz, cif/.")


def _read_elastic(folder: Path, out: Path, *, judged: bool) -> None:
    from model.dft import elastic

    if judged:
        raise ValueError("Elastic calculations give moduli and no energy; leave --reference and --elements out.")

    found = elastic.read(folder)
    if all(one.reason.endswith(elastic.NOT_YET) for one in found.values()):
        raise ValueError(f"No calculation in {folder} has ended yet; run VASP with run.sh first.")
    elastic.write(folder, found, out)
    typer.echo(f"{'id':24}{'bulk':>8}{'shear':>8}{'anisotropy':>12}  GPa, ions relaxed")
    for name, one in found.items():
        numbers = one.reason or f"{one.bulk:8.1f}{one.shear:8.1f}{one.anisotropy:12.2f}"
        typer.echo(f"{name:24}{numbers}")
    typer.echo(f"\nModuli are in {out}: candidates.csv, elastic_tensors.json, crystals.extxyz.")


def _chosen(run: Path, only: str | None, best: int | None) -> "tuple[Crystals, list[str]]":
    """Crystals and ids of those chosen. Raises ValueError where the choice cannot be made."""
    from model.dft.inputs import pick
    from model.io import read_crystals

    if only and best:
        raise ValueError("Give --only or --best, not both.")
    reading = read_crystals(run)
    if not len(reading):
        raise ValueError(f"Nothing in {run} is a readable crystal.")
    if not only and not best:
        return reading.crystals, list(reading.ids)
    chosen = [name.strip() for name in only.split(",")] if only else _best(run, best or 1)
    return pick(reading.crystals, reading.ids, chosen)


def _best(run: Path, count: int) -> list[str]:
    """Ids of lowest energy above hull, unique ones only. Raises ValueError where the folder was not evaluated."""
    table = run / "candidates.csv"
    if not table.is_file():
        raise ValueError(f"{run} has no candidates.csv; evaluate it first, or name crystals with --only.")
    with table.open(encoding="utf-8", newline="") as file:
        rows = [row for row in csv.DictReader(file) if row.get("energy_above_hull") and row.get("unique") != "False"]
    if not rows:
        raise ValueError(f"Nothing in {run} has an energy above hull; evaluate it first: workbench evaluate {run}.")
    rows.sort(key=lambda row: float(row["energy_above_hull"]))
    return [row["id"] for row in rows[:count]]


def _flow(crystals: "Crystals", names: list[str], *, elastic: bool) -> str:
    import json

    from model.dft.flow import flow

    made = flow(crystals, names, elastic=elastic)
    return json.dumps(made.as_dict(), default=str)
