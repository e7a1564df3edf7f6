"""`workbench evaluate`: relax crystals, measure them against the hull, and tell which are unique and novel."""

from concurrent.futures import BrokenExecutor
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from workbench.commands.talk import bar, fail

if TYPE_CHECKING:
    from model.evaluation.reference import Reference
    from model.relax.potential import Potential

ENERGY_MODELS = ("chgnet", "mattersim")
MATCHERS = ("ordered", "disordered")


def evaluate(
    folder: Annotated[Path, typer.Argument(metavar="DIR", help="Crystals: crystals.extxyz, or else CIFs and more.")],
    out: Annotated[Path | None, typer.Option(help="Where verdicts go; default DIR-evaluated. Must not exist.")] = None,
    reference: Annotated[Path | None, typer.Option(help="A reference of your own instead of the shipped one.")] = None,
    also: Annotated[list[Path] | None, typer.Option(help="A further reference to tell the hull of; repeat it.")] = None,
    matcher: Annotated[str, typer.Option(help=f"Same crystal or not: {' or '.join(MATCHERS)}.")] = "ordered",
    made: Annotated[int | None, typer.Option(min=0, help="How many were generated, where no run.json says it.")] = None,
    missing: Annotated[
        list[str] | None, typer.Option(metavar="NAME=REASON", help="One that was made and is not here; repeat it.")
    ] = None,
    unfinished: Annotated[
        bool, typer.Option("--unfinished", help="Count those that run.json promises and that are not there as missing.")
    ] = False,
    relax: Annotated[bool, typer.Option(help="Relax atoms and cell, or judge the geometries as they are.")] = True,
    energy_model: Annotated[str, typer.Option(help=f"One of: {', '.join(ENERGY_MODELS)}.")] = "chgnet",
    fmax: Annotated[float, typer.Option(min=1e-6, help="Largest force left when relaxed, eV/Å.")] = 0.05,
    steps: Annotated[int, typer.Option(min=0, help="Most relaxation steps.")] = 500,
    workers: Annotated[int, typer.Option(min=1, help="Processes that relax side by side.")] = 1,
    dask: Annotated[
        str | None, typer.Option(help="A Dask scheduler, tcp://host:port, whose workers relax instead.")
    ] = None,
    story: Annotated[
        bool, typer.Option("--story", help="Also prototype, dimensionality and oxidation states of each.")
    ] = False,
    bulk_modulus: Annotated[
        str, typer.Option(help="Also bulk moduli: by curve (equation of state) or tensor (elastic tensor, shear too).")
    ] = "",
    readout: Annotated[
        list[Path] | None, typer.Option(help="Also what a readout predicts: a folder of workbench model teach.")
    ] = None,
) -> None:
    """Judge the crystals of a folder: energy above hull, stable, unique, novel, RMSD, with a reason for each no."""
    from model.evaluation.account import account
    from model.evaluation.matching import Matcher
    from model.evaluation.report import judge_folder
    from model.evaluation.stages import Stages
    from model.io import read_crystals
    from workbench.commands.measures import measures

    if matcher not in MATCHERS:
        raise fail(f"There is no matcher {matcher}; choose {' or '.join(MATCHERS)}.")
    whole = folder.resolve()
    out = out or (Path(f"{whole.stem}-evaluated") if whole.is_file() else whole.with_name(f"{whole.name}-evaluated"))
    if out.exists():
        raise fail(f"{out} exists already and is not overwritten; name another folder with --out.")
    try:
        reading = read_crystals(folder)
    except OSError as error:
        raise fail(str(error)) from error
    for name, reason in reading.skipped:
        typer.echo(f"Warning: {name} is left out: {reason}", err=True)
    if not len(reading):
        raise fail(f"Nothing in {folder} can be judged: {len(reading.skipped)} files, none a readable crystal.")
    try:
        accounted = account(reading, folder, made=made, missing=_named(missing or []), unfinished=unfinished)
        for name, reason in list(accounted.missing.items())[:20]:
            typer.echo(f"Missing: {name}: {reason}", err=True)
        stages = Stages()
        known, potential = _reference(reference), energy_model_of(energy_model)
        more = measures(potential, story=story, bulk_modulus=bulk_modulus, readouts=readout or [])
        with bar() as watch:
            card = judge_folder(
                reading, out, potential=potential, reference=known, accounted=accounted, relax=relax, fmax=fmax,
                steps=steps, matcher=Matcher(disordered=matcher == "disordered"),
                others=[_reference(one) for one in also or []], workers=workers, dask=dask, stages=stages,
                measures=more, watch=watch,
            )  # fmt: skip
    except KeyboardInterrupt:
        raise fail("Stopped. What has come to rest is kept: the same command goes on from there.", code=130) from None
    except BrokenExecutor as error:
        raise fail("A worker process ended unexpectedly, perhaps for want of memory. What has come to rest is kept: "
                   "the same command goes on from there, with --workers 1 in this process.") from error
    except (ValueError, OSError, ImportError) as error:
        raise fail(str(error)) from error
    typer.echo(str(card))
    typer.echo(f"Judging took {stages}", err=True)
    typer.echo(f"\nVerdicts are in {out}: candidates.csv, scorecard.json, relaxed.extxyz, cif/.")


def _named(missing: list[str]) -> dict[str, str]:
    """Names of missing crystals with their reasons."""
    parted = [one.partition("=") for one in missing]
    if bare := [name for name, _, reason in parted if not (name and reason)]:
        raise ValueError(f"A missing crystal is written NAME=REASON; found {bare[0]!r} without a reason.")
    return {name: reason for name, _, reason in parted}


def _reference(folder: Path | None) -> "Reference":
    from model.evaluation.reference import Reference

    return Reference.shipped() if folder is None else Reference.load(folder)


def energy_model_of(name: str) -> "Potential":
    """The energy model called `name`; the command ends in a sentence where there is none."""
    if name == "chgnet":
        from model.relax.chgnet import CHGNetPotential

        return CHGNetPotential()
    kind, _, weights = name.partition(":")
    if kind == "mattersim":
        from model.relax.mattersim import DEFAULT, mattersim

        return mattersim(weights or DEFAULT)
    raise fail(f"There is no energy model {name}; choose one of {', '.join(ENERGY_MODELS)}, or mattersim:FILE.")
