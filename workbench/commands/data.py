"""`workbench data`: crystals in."""

import os
import time
from concurrent.futures import Executor, ProcessPoolExecutor
from contextlib import AbstractContextManager, nullcontext
from multiprocessing import get_context
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from model.execution import INLINE
from workbench.commands.talk import bar, fail

if TYPE_CHECKING:
    from model.data.cache import Dataset

app = typer.Typer(no_args_is_help=True)


@app.command()
def prepare(
    files: Annotated[list[Path], typer.Argument(help="CSV, CSV.gz or parquet files with columns material_id and cif.")],
    out: Annotated[Path, typer.Option(help="Folder that gets one folder a file: train.csv.gz becomes OUT/train.")],
    max_atoms: Annotated[int, typer.Option(min=1, help="Largest primitive cell to take.")] = 20,
    any_element: Annotated[bool, typer.Option(help="Also noble gases, Tc, Pm and the elements after Bi.")] = False,
    max_energy_above_hull: Annotated[
        float | None, typer.Option(help="Leave out crystals known to lie higher, in eV/atom.")
    ] = None,
    keep: Annotated[list[str] | None, typer.Option(help="A further numeric column to keep as a label.")] = None,
    workers: Annotated[int, typer.Option(min=0, help="Processes; 0 is one for each core.")] = 0,
    overwrite: Annotated[bool, typer.Option(help="Make datasets anew that came from other files or options.")] = False,
) -> None:
    """Make primitive, Niggli-reduced crystals with labels out of tables, ready for training."""
    from model.data.cache import DatasetError, prepare_splits
    from model.data.sources import Selection, SourceError

    selection = Selection(max_atoms=max_atoms, max_energy_above_hull=max_energy_above_hull, keep=tuple(keep or ()))
    if any_element:
        selection = Selection(**{**vars(selection), "elements": None})
    begun = time.perf_counter()
    try:
        with bar() as watch, _pool(workers) as executor:
            splits = prepare_splits(
                files, out, selection=selection, executor=executor, watch=watch, overwrite=overwrite
            )
    except (DatasetError, SourceError, OSError) as error:
        raise fail(str(error)) from error
    for name, dataset in splits.items():
        _report(name, dataset)
    typer.echo(f"{sum(map(len, splits.values()))} crystals in {out} after {time.perf_counter() - begun:.1f} s.")


@app.command()
def show(folder: Annotated[Path, typer.Argument(help="A dataset, or a folder of several splits.")]) -> None:
    """Show what a dataset holds: sizes, rejected rows, labels."""
    from model.data.cache import Dataset, DatasetError

    try:
        for at, place in enumerate(_splits(folder)):
            if at:
                typer.echo("")
            dataset = Dataset.load(place)
            _report(place.name, dataset)
            _describe(dataset)
    except DatasetError as error:
        raise fail(str(error)) from error


@app.command()
def label(
    folder: Annotated[Path, typer.Argument(help="A dataset, or a folder of several splits.")],
    names: Annotated[
        list[str] | None, typer.Option("--label", help="hhi_score, ml_mag_density, ml_bulk_modulus; all unless given.")
    ] = None,
    moduli: Annotated[
        Path | None,
        typer.Option(help="CSV with formula and bulk_modulus: DFT moduli, looked up where unambiguous, and joined with "
                     "ml_bulk_modulus as bulk_modulus."),
    ] = None,
    most: Annotated[int | None, typer.Option(min=1, help="Measure the first so many crystals of a split only.")] = None,
    workers: Annotated[int, typer.Option(min=0, help="Processes; 0 is one for each core.")] = 0,
) -> None:
    """Add labels: supply risk; magnetic density and bulk modulus with CHGNet. Goes on after a break."""
    from model.data.cache import Dataset, DatasetError
    from model.execution import processes
    from model.properties import labels

    try:
        splits = {place.name: Dataset.load(place) for place in _splits(folder)}
        with bar() as watch, processes(workers or os.cpu_count() or 1) as executor:
            for name, dataset in splits.items():
                splits[name] = labels.label(
                    dataset, names or list(labels.LABELS), most=most, executor=executor, watch=watch
                )
        if moduli is not None:
            splits = labels.look_up_moduli(splits, moduli)
            splits = {
                name: labels.joined_moduli(dataset) if "ml_bulk_modulus" in dataset.labels else dataset
                for name, dataset in splits.items()
            }
    except (DatasetError, labels.LabelError, OSError) as error:
        raise fail(str(error)) from error
    for name, dataset in splits.items():
        _report(name, dataset)
        _describe(dataset)
    if moduli is not None:
        _compare_moduli(list(splits.values()))


def _splits(folder: Path) -> list[Path]:
    from model.data.cache import MANIFEST

    return sorted(file.parent for file in folder.glob(f"*/{MANIFEST}")) or [folder]


def _compare_moduli(splits: "list[Dataset]") -> None:
    """How far the equation of state lies from DFT, where both are known."""
    import numpy as np

    if not all({"dft_bulk_modulus", "ml_bulk_modulus"} <= set(split.labels) for split in splits):
        return
    dft, ours = (np.concatenate([s.labels[f"{k}_bulk_modulus"] for s in splits]) for k in ("dft", "ml"))
    off = (ours - dft)[np.isfinite(ours) & np.isfinite(dft)]
    if len(off):
        typer.echo(
            f"Equation of state against DFT bulk modulus, n = {len(off)}: mean absolute error {np.abs(off).mean():.1f} "
            f"GPa, median {np.median(np.abs(off)):.1f} GPa, {off.mean():+.1f} GPa on average."
        )


def _pool(workers: int) -> AbstractContextManager[Executor]:
    """Processes that start fresh: forking a process that holds torch's threads may hang."""
    workers = workers or os.cpu_count() or 1
    if workers == 1:
        return nullcontext(INLINE)
    return ProcessPoolExecutor(workers, mp_context=get_context("spawn"))


def _report(name: str, dataset: "Dataset") -> None:
    manifest = dataset.manifest
    typer.echo(f"{name}: {len(dataset)} crystals of {manifest.get('rows', len(dataset))} rows")
    for verdict, key in (("refused", "refused"), ("left out", "left_out")):
        for kind, count in sorted(manifest.get(key, {}).items(), key=lambda item: -item[1]):
            typer.echo(f"  {verdict:9}{count:>8}  {kind}")
    if manifest.get("refused") or manifest.get("left_out"):
        typer.echo(f"  each with its reason in {dataset.folder / 'rejected.csv'}")


def _describe(dataset: "Dataset") -> None:
    statistics = dataset.statistics
    sizes = sorted(statistics.n_atoms)
    typer.echo(
        f"  {sizes[0]} to {sizes[-1]} atoms, {statistics.density:.4f} atoms/Å³, {len(statistics.elements)} elements, "
        f"{statistics.chemical_systems} chemical systems"
    )
    typer.echo(f"  {'label':28}{'known':>8}{'share':>8}{'mean':>11}{'std':>11}{'least':>11}{'most':>11}")
    for name, label in statistics.labels.items():
        share = label.n / max(len(dataset), 1)
        numbers = "".join(f"{x:11.4g}" for x in (label.mean, label.std, label.low, label.high)) if label.n else ""
        typer.echo(f"  {name:28}{label.n:>8}{share:>8.1%}{numbers}")
