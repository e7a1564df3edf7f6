"""From a table of one's own to a model by name: preparing crystals with labels, fine-tuning, keeping the result."""

import os
import shutil
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from model import checkpoints
from model.data.cache import Dataset, prepare
from model.data.sources import Selection
from model.execution import Watch, silent
from model.sampling.model import CrystalModel
from model.training.finetune import ADAPTER, FEWEST, Coverage, Listening, coverage, finetune, listening
from model.training.presets import Recipe

HELD_OUT = 10  # every tenth crystal
_LISTS = ("chemical_system", "space_group")  # what crystals say of themselves


class LessonError(ValueError):
    """A table, a column or a name that cannot be taught or kept; the sentence says why."""


def finetune_on(
    table: Any,
    column: str | Sequence[str],
    *,
    name: str,
    run: Path | str,
    base: str | CrystalModel = "base",
    recipe: Recipe = ADAPTER,
    full: bool = False,
    accelerator: str = "auto",
    progress: bool = True,
    watch: Watch = silent,
    say: Callable[[str], Any] = print,
) -> tuple[CrystalModel, Coverage, Listening]:
    """One call from a table to a named model: says what the labels are worth, teaches, and tests on held-out crystals.

    Parameters
    ----------
    table
        A DataFrame, or a CSV or parquet file, with the columns `material_id`, `cif` and the column(s) to learn.
    column
        The scalar(s) to listen to.
    name
        What `model.load` and the bench will know the model by.
    run
        Folder of the run; the same call goes on with it after a break.
    say
        Is told each sentence as it becomes true.

    Raises LessonError, SourceError or RunError with one sentence; rows that cannot be used are listed in the run's
    `data/whole/rejected.csv`.

    """
    run, columns = Path(run), [column] if isinstance(column, str) else list(column)
    check_name(name, run)
    if not isinstance(table, str | os.PathLike):
        run.mkdir(parents=True, exist_ok=True)
        table.to_csv(run / "table.csv", index=False)
        table = run / "table.csv"
    data = prepare_table(Path(table), columns, run / "data", watch=watch, say=say)
    known = coverage(data, columns)
    say(known.verdict)
    made = finetune(data, run, checkpoints.load(base) if isinstance(base, str) else base, columns, recipe, name=name,
                    full=full, accelerator=accelerator, progress=progress)
    heard = listening(made, data)
    say(heard.sentence)
    say(f"It is kept as {name!r} in {keep(run / 'model', name)}.")
    return made, known, heard


def prepare_table(
    table: Path, properties: Sequence[str], out: Path, *, watch: Watch = silent, say: Callable[[str], Any] = print
) -> Path:
    """Prepared crystals of a table with these columns as labels: a folder with the splits `train` and `val`.

    Every tenth crystal with all labels is held out. Raises SourceError for a column that is not there, or where no row
    can be used.
    """
    keep = tuple(p for p in properties if p not in _LISTS)
    whole = prepare(table, out / "whole", selection=Selection(keep=keep), watch=watch)
    bad = whole.manifest.get("refused", {})
    if bad:
        reasons = ", ".join(f"{n} × {kind}" for kind, n in bad.items())
        listed = out / "whole" / "rejected.csv"
        say(f"{sum(bad.values())} rows could not be used ({reasons}); each is listed in {listed}.")
    known = np.ones(len(whole), dtype=bool)
    for name in properties:
        if name in whole.labels:
            known &= np.isfinite(whole.labels[name])
    order = np.cumsum(known) - 1
    held_out = known & (order % HELD_OUT == HELD_OUT - 1)
    for split, chosen in (("train", known & ~held_out), ("val", held_out)):
        if not (out / split).exists():
            if not chosen.any():
                raise LessonError(
                    f"{table.name} has {int(known.sum())} usable crystals with {' and '.join(properties)}; "
                    f"at least {FEWEST} are wanted."
                )
            part(whole, np.flatnonzero(chosen)).save(out / split)
    return out


def part(dataset: Dataset, rows: np.ndarray) -> Dataset:
    """Some crystals of a dataset as one of its own."""
    starts = np.cumsum(dataset.n_atoms) - dataset.n_atoms
    atoms = np.concatenate([np.arange(starts[r], starts[r] + dataset.n_atoms[r]) for r in rows])
    manifest = {k: v for k, v in dataset.manifest.items() if k not in ("files", "count")}
    return Dataset(
        pos=np.asarray(dataset.pos[atoms]), cell=np.asarray(dataset.cell[rows]),
        numbers=np.asarray(dataset.numbers[atoms]), n_atoms=dataset.n_atoms[rows], ids=dataset.ids[rows],
        labels={k: v[rows] for k, v in dataset.labels.items()}, manifest=manifest,
    )


def keep(folder: Path, name: str) -> Path:
    """Put a finished model where it is found by its name, and say where. Raises LessonError where the name is taken."""
    target = checkpoints.own_folder() / name
    if target.exists() and checkpoints.load(target).hash == checkpoints.load(folder).hash:
        return target
    check_name(name)
    partial = target.with_name(f".{name}.partial")
    shutil.rmtree(partial, ignore_errors=True)
    partial.parent.mkdir(parents=True, exist_ok=True)
    shutil.copytree(folder, partial)
    partial.replace(target)
    return target


def check_name(name: str, run: Path | None = None) -> None:
    """Refuse, before anything is taught, what cannot be kept; the finished run of that very model may have its name.

    Raises LessonError for what is no name, or one that another model has.
    """
    if not name or not all(c.isalnum() or c in "-_+." for c in name) or name.startswith("."):
        raise LessonError(f"{name!r} is no name for a model: letters, digits, '-', '_' and '.' make one.")
    from model import published

    if (checkpoints.SHIPPED / name).exists() or name in published.NAMES:
        raise LessonError(f"{name!r} is the name of a model that is there already; choose another.")
    target = checkpoints.own_folder() / name
    if target.exists() and (run is None or not (run / "model").exists()):
        raise LessonError(f"There is another model {name!r} in {target}; choose another name, or remove it.")
