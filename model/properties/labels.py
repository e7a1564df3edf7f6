"""Labels of prepared crystals that their tables lack: computed with an energy model, or looked up by formula."""

import csv
import gzip
import json
import math
import os
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import Executor
from dataclasses import dataclass, replace
from functools import cache, partial
from pathlib import Path
from types import MappingProxyType

import numpy as np

from model import elements
from model.crystals import Crystals
from model.data.cache import Dataset
from model.execution import INLINE, Progress, Watch, silent, spread
from model.properties.bulk_modulus import bulk_moduli
from model.properties.magnetism import magnetic_density
from model.properties.supply_risk import hhi
from model.relax.potential import Potential

AT_ONCE = 32  # crystals between two lines of the record
REJECTED = "rejected.csv"
Measure = Callable[[Crystals, Potential | None], Sequence[float]]


class LabelError(ValueError):
    """A label that nobody here knows how to make, or a table that does not hold it."""


@dataclass(frozen=True, kw_only=True)
class Label:
    """How a label is made: what it is, in a sentence with its unit, and by which measurement of crystals."""

    says: str
    measure: Measure
    needs_potential: bool = False


def _supply_risk(crystals: Crystals, _: Potential | None) -> list[float]:
    found = [hhi(dict(Counter(elements.SYMBOLS[z] for z in crystal.numbers.tolist()))) for crystal in crystals]
    return [math.nan if value is None else value for value in found]


def _magnetic_density(crystals: Crystals, potential: Potential) -> list[float]:
    return magnetic_density(crystals, potential(crystals).moments).tolist()


def _bulk_modulus(crystals: Crystals, potential: Potential) -> list[float]:
    return [state.modulus for state in bulk_moduli(crystals, potential, relax_atoms=False)]


LABELS: Mapping[str, Label] = MappingProxyType({
    "hhi_score": Label(says="supply risk: mass-weighted HHI of the reserves", measure=_supply_risk),
    "ml_mag_density": Label(
        says="magnetic density in 1/Å³: CHGNet's moments over the volume", measure=_magnetic_density,
        needs_potential=True,
    ),
    "ml_bulk_modulus": Label(
        says="bulk modulus in GPa: equation of state, CHGNet's energies at 7 isotropic strains, atoms not relaxed",
        measure=_bulk_modulus, needs_potential=True,
    ),
})


def label(
    dataset: Dataset,
    names: Sequence[str],
    *,
    most: int | None = None,
    potential: Callable[[], Potential] | None = None,
    executor: Executor = INLINE,
    watch: Watch = silent,
) -> Dataset:
    """The dataset in its folder with more labels; crystals measured before a break are not measured again.

    Parameters
    ----------
    dataset
        A dataset that lies in a folder; the folder is written anew once all values are there.
    names
        Which of `LABELS`.
    most
        Measure the first so many crystals only; the others' labels stay unknown.
    potential
        Makes the energy model in each process; CHGNet unless given.

    Raises LabelError for a label that is not in `LABELS`.

    """
    if unknown := [name for name in names if name not in LABELS]:
        raise LabelError(f"Nothing here makes the label {', '.join(unknown)}; there are {', '.join(LABELS)}.")
    record = _Record(dataset)
    made = {}
    for name in names:
        values = record.read(name)
        left = np.array([row for row in range(len(dataset))[:most] if row not in values], dtype=np.int64)
        chunks = [left[at : at + AT_ONCE] for at in range(0, len(left), AT_ONCE)]
        work = partial(_measure, dataset=dataset, name=name, potential=potential or chgnet)

        answers = spread(work, chunks, stage=name, executor=executor)
        for rows, found in zip(chunks, answers, strict=True):
            record.add(name, rows, found)
            values |= dict(zip(rows.tolist(), found, strict=True))
            watch(Progress(stage=name, done=len(values), total=len(dataset) if most is None else most))
        made[name] = np.array([values.get(row, math.nan) for row in range(len(dataset))], dtype=np.float32)
    labelled = with_labels(dataset, made, {name: LABELS[name].says for name in names})
    record.end(names)
    return labelled


def look_up_moduli(splits: Mapping[str, Dataset], table: Path) -> dict[str, Dataset]:
    """DFT bulk moduli (`dft_bulk_modulus`, GPa) for crystals that are the only one of their formula in all splits.

    `table` is a CSV with the columns `formula` (reduced) and `bulk_modulus`. Raises LabelError where it is not.
    """
    known = _moduli(table)
    formulas = {split: [_reduced(crystal) for crystal in dataset.crystals()] for split, dataset in splits.items()}
    often = Counter(formula for one in formulas.values() for formula in one)
    says = f"DFT (Voigt-Reuss-Hill) in GPa, from {table.name}, where one crystal alone has the formula"
    return {
        split: with_labels(
            dataset,
            {"dft_bulk_modulus": np.array(
                [known.get(f, math.nan) if often[f] == 1 else math.nan for f in formulas[split]], dtype=np.float32
            )},
            {"dft_bulk_modulus": says},
        )
        for split, dataset in splits.items()
    }  # fmt: skip


def joined_moduli(dataset: Dataset) -> Dataset:
    """The dataset with one bulk modulus for each crystal (`bulk_modulus`, GPa): DFT's, else the equation of state's.

    Raises LabelError where one of the two labels, `dft_bulk_modulus` and `ml_bulk_modulus`, is not there yet.
    """
    if missing := {"dft_bulk_modulus", "ml_bulk_modulus"} - set(dataset.labels):
        raise LabelError(f"The dataset lacks {', '.join(sorted(missing))}; both are joined into bulk_modulus.")
    dft, ours = dataset.labels["dft_bulk_modulus"], dataset.labels["ml_bulk_modulus"]
    known = np.isfinite(dft)
    says = f"in GPa: DFT for {known.sum()} crystals, the equation of state for {(~known & np.isfinite(ours)).sum()}"
    return with_labels(dataset, {"bulk_modulus": np.where(known, dft, ours)}, {"bulk_modulus": says})


def with_labels(dataset: Dataset, labels: Mapping[str, np.ndarray], says: Mapping[str, str]) -> Dataset:
    """The dataset in its folder with these labels beside (or instead of) its own, and where they come from."""
    if dataset.folder is None:
        raise LabelError("Only a dataset in a folder can be labelled; save it first.")
    manifest = {k: v for k, v in dataset.manifest.items() if k != "files"}
    manifest["label_sources"] = {**manifest.get("label_sources", {}), **says}
    more = replace(dataset, labels={**dataset.labels, **labels}, manifest=manifest, known_statistics=None)
    rejected = dataset.folder / REJECTED
    extra = {REJECTED: rejected.read_text(encoding="utf-8")} if rejected.exists() else {}
    return more.save(dataset.folder, extra, overwrite=True)


@cache
def chgnet() -> Potential:
    """CHGNet, loaded once in each process."""
    from model.relax.chgnet import CHGNetPotential

    return CHGNetPotential()


def _measure(
    rows: np.ndarray, *, dataset: Dataset, name: str, potential: Callable[[], Potential]
) -> list[float]:
    """Values of some crystals; where the measurement fails for one, the others are measured alone."""
    one = LABELS[name]
    judge = potential() if one.needs_potential else None
    crystals = dataset.crystals(rows)
    try:
        return list(one.measure(crystals, judge))
    except (ValueError, RuntimeError, ArithmeticError):
        if len(rows) == 1:
            return [math.nan]
        return [value for row in rows for value in _measure(np.array([row]), dataset=dataset, name=name,
                                                            potential=potential)]


class _Record:
    """Values as they come, line by line beside the dataset, so that a labelling that was killed goes on."""

    def __init__(self, dataset: Dataset) -> None:
        if dataset.folder is None:
            raise LabelError("Only a dataset in a folder can be labelled; save it first.")
        self.path = dataset.folder.with_name(f".{dataset.folder.name}.labels.jsonl")
        self.of = dataset.manifest.get("fingerprint") or dataset.manifest.get("files", {}).get("pos.npy")

    def read(self, name: str) -> dict[int, float]:
        """Values of a label by row; a last line cut short is passed over."""
        found: dict[int, float] = {}
        for line in self._lines():
            if line.get("name") == name and line.get("of") == self.of:
                values = (math.nan if value is None else value for value in line["values"])
                found |= dict(zip(line["rows"], values, strict=True))
        return found

    def add(self, name: str, rows: np.ndarray, values: Sequence[float]) -> None:
        """Keep a chunk."""
        plain = [value if math.isfinite(value) else None for value in values]
        line = json.dumps({"of": self.of, "name": name, "rows": rows.tolist(), "values": plain})
        with self.path.open("a", encoding="utf-8") as file:
            file.write("\n" + line)  # a line cut short before it stays a line of its own
            file.flush()
            os.fsync(file.fileno())

    def end(self, names: Sequence[str]) -> None:
        """These labels are in the dataset now; what was begun of others is kept."""
        left = [json.dumps(line) for line in self._lines() if line.get("name") not in names]
        if not left:
            self.path.unlink(missing_ok=True)
            return
        draft = self.path.with_suffix(".part")
        draft.write_text("\n".join(left), encoding="utf-8")
        draft.replace(self.path)

    def _lines(self) -> Iterator[dict]:
        if not self.path.exists():
            return
        for line in self.path.read_text(encoding="utf-8").split("\n"):
            try:
                yield json.loads(line)
            except json.JSONDecodeError:
                continue


def _moduli(table: Path) -> dict[str, float]:
    if not table.is_file():
        raise LabelError(f"There is no file {table}; name a CSV with the columns formula and bulk_modulus.")
    with (gzip.open if table.suffix == ".gz" else open)(table, "rt", encoding="utf-8") as file:
        reader = csv.DictReader(file)
        if missing := {"formula", "bulk_modulus"} - set(reader.fieldnames or ()):
            raise LabelError(f"{table.name} lacks the column {', '.join(sorted(missing))}.")
        try:
            return {_canonical(row["formula"]): float(row["bulk_modulus"]) for row in reader if row["bulk_modulus"]}
        except ValueError as error:
            raise LabelError(f"{table.name}: {error}.") from error


def _canonical(formula: str) -> str:
    from pymatgen.core import Composition

    return Composition(formula).reduced_formula


def _reduced(crystal: Crystals) -> str:
    from pymatgen.core import Composition

    return Composition(dict(Counter(elements.SYMBOLS[z] for z in crystal.numbers.tolist()))).reduced_formula
