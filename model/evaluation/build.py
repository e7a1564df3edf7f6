"""References made from tables and folders of crystals. Edge: pandas, pymatgen."""

import os
import warnings
from collections.abc import Mapping, Sequence
from concurrent.futures import Executor
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

import numpy as np

from model.evaluation import known
from model.evaluation.fingerprint import fingerprint
from model.evaluation.hull import HullTable
from model.evaluation.known import KnownCrystal
from model.evaluation.matching import reduce
from model.evaluation.reference import BadReferenceError, Reference
from model.execution import INLINE, Progress, Watch, silent

if TYPE_CHECKING:
    import pandas as pd
    from pymatgen.core import Structure

_ROWS_AT_ONCE = 64
_NAMES = {
    "material_id": "id", "e_above_hull": "energy_above_hull", "formation_energy_per_atom": "formation_energy",
    "pretty_formula": "formula",
}  # fmt: skip


class Entry(NamedTuple):
    """One crystal on its way in: a name, CIF text or a structure, formation energy and energy above hull in eV/atom."""

    id: str
    source: "str | Structure"
    formation_energy: float = float("nan")
    energy_above_hull: float = float("nan")


class Skipped(NamedTuple):
    """A crystal that was passed over, and why."""

    id: str
    reason: str


class Source(NamedTuple):
    """What files held: crystals, hull rows, and what was passed over."""

    entries: list[Entry]
    hull: "list[pd.DataFrame]"
    skipped: list[Skipped]


def build(
    files: Sequence[str | os.PathLike],
    out: str | os.PathLike | None,
    *,
    name: str | None = None,
    structures: bool = True,
    hull: HullTable | None = None,
    energies: Mapping[str, Mapping[str, float]] | None = None,
    executor: Executor = INLINE,
    watch: Watch = silent,
) -> Reference:
    """A reference with structures, kept in `out`, which must not exist yet.

    Files are tables (CSV, CSV.gz, parquet) with columns `material_id` and `cif`, or folders and files of crystals. A
    table with `formula` and `formation_energy_per_atom` but no `cif` is a hull table and takes the shipped one's place;
    without one the shipped hull is used, with the hull points that the crystals' own energies tell.
    Raises BadReferenceError where nothing in the files is a crystal, FileExistsError where `out` exists.
    """
    if out is not None and Path(out).exists():
        raise FileExistsError(f"{out} exists already; name a folder that does not.")
    source = gather(files)
    crystals, points, skipped = _work(source, executor, watch)
    if not crystals:
        reason = f" The first: {skipped[0].id}: {skipped[0].reason}" if skipped else ""
        raise BadReferenceError(f"No crystal could be read from {len(files)} files.{reason}")
    if hull is None:
        hull = _hull(source.hull or [_table(Reference.shipped().hull)], points)
    made = Reference(
        name=name or (Path(out).name if out is not None else "reference"),
        hull=hull,
        known=known.tabulate(crystals, structures=structures),
        energies=energies if energies is not None else Reference.shipped().energies,
        about={
            "crystals": len(crystals),
            "compositions": len(hull),
            "files": [Path(file).name for file in files],
            "skipped": [list(one) for one in skipped],
        },
    )
    if out is None:
        return made
    made.save(out)
    return Reference.load(out)


def gather(files: Sequence[str | os.PathLike]) -> Source:
    """What the files hold, unread yet. Raises BadReferenceError on a table that is neither crystals nor hull."""
    source = Source([], [], [])
    for file in map(Path, files):
        if not file.exists():
            raise BadReferenceError(f"There is no file or folder {file}; name tables or folders of crystals.")
        if _is_table(file):
            _take_table(file, source)
        else:
            _take_folder(file, source)
    return source


def _is_table(file: Path) -> bool:
    return file.name.lower().endswith((".csv", ".csv.gz", ".parquet"))


def _take_table(file: Path, source: Source) -> None:
    table = _read_table(file).rename(columns=_NAMES)
    if "cif" in table.columns:
        ids = table["id"] if "id" in table.columns else [f"{file.name}:{row}" for row in range(len(table))]
        energies = [_numbers(table, column) for column in ("formation_energy", "energy_above_hull")]
        rows = zip(ids, table["cif"], *energies, strict=True)
        source.entries.extend(Entry(str(name), str(cif), *known_energies) for name, cif, *known_energies in rows)
    elif {"formula", "formation_energy"} <= set(table.columns):
        table["kind"] = table["kind"] if "kind" in table.columns else "phase"
        source.hull.append(table[["formula", "formation_energy", "kind"]].dropna())
    else:
        raise BadReferenceError(
            f"{file.name} has neither a column cif (crystals) nor formula and formation_energy_per_atom (a hull); "
            f"its columns are {', '.join(map(str, table.columns[:8]))}."
        )


def _read_table(file: Path) -> "pd.DataFrame":
    import pandas as pd

    try:
        if file.suffix == ".parquet":
            return pd.read_parquet(file)
        return pd.read_csv(file, keep_default_na=False, na_values=[""])  # one formula is NaN: sodium nitride
    except (OSError, ValueError, UnicodeDecodeError) as error:
        raise BadReferenceError(f"{file.name} is not readable as a table ({error}).") from error


def _numbers(table: "pd.DataFrame", column: str) -> np.ndarray:
    import pandas as pd

    if column not in table.columns:
        return np.full(len(table), np.nan)
    return pd.to_numeric(table[column], errors="coerce").to_numpy(dtype=float)


def _take_folder(file: Path, source: Source) -> None:
    from model.io import read_crystals

    reading = read_crystals(file)
    source.entries.extend(Entry(name, one) for name, one in zip(reading.ids, reading.structures, strict=True))
    source.skipped.extend(Skipped(*one) for one in reading.skipped)


def _work(
    source: Source, executor: Executor, watch: Watch
) -> "tuple[list[KnownCrystal], list[tuple[str, float]], list[Skipped]]":
    """Known crystals, the hull points they tell, and what was passed over."""
    portions = [source.entries[i : i + _ROWS_AT_ONCE] for i in range(0, len(source.entries), _ROWS_AT_ONCE)]
    crystals, points, skipped, done = [], [], list(source.skipped), 0
    seen: set[str] = set()
    for portion, results in zip(portions, executor.map(admit_all, portions), strict=True):
        done += len(portion)
        for entry, one in zip(portion, results, strict=True):
            if isinstance(one, Skipped):
                skipped.append(one)
            elif one.id in seen:
                skipped.append(Skipped(one.id, "its name appeared before."))
            else:
                seen.add(one.id)
                crystals.append(one)
                if np.isfinite(entry.formation_energy - entry.energy_above_hull):
                    points.append((one.formula, entry.formation_energy - entry.energy_above_hull))
        watch(Progress(stage="reference", done=done, total=len(source.entries)))
    return crystals, points, skipped


def admit_all(portion: Sequence[Entry]) -> list[KnownCrystal | Skipped]:
    """A portion of `admit`, the work of one process."""
    return [admit(entry) for entry in portion]


def admit(entry: Entry) -> KnownCrystal | Skipped:
    """One crystal as the reference keeps it: reduced, with its fingerprint; or why it is not kept."""
    from model.io import from_structures, parse_cif, space_group

    try:
        structure = parse_cif(entry.source)[0] if isinstance(entry.source, str) else entry.source
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            reduced = reduce(structure)
        crystal = from_structures([reduced])
        return KnownCrystal(
            id=entry.id, formula=structure.composition.reduced_formula, space_group=space_group(reduced)[1],
            n_primitive=len(reduced), fingerprint=fingerprint(crystal), frac=crystal.frac.numpy(),
            cell=crystal.cell[0].numpy(), numbers=crystal.numbers.numpy(),
        )  # fmt: skip
    except Exception as error:  # noqa: BLE001 - strangers' files fail in many ways, and each is named
        return Skipped(entry.id, str(error) or type(error).__name__)


def _hull(tables: "list[pd.DataFrame]", points: list[tuple[str, float]]) -> HullTable:
    import pandas as pd

    own = pd.DataFrame(points, columns=["formula", "formation_energy"]).assign(kind="hull")
    return HullTable.of(pd.concat([*tables, own] if points else tables, ignore_index=True))


def _table(hull: HullTable) -> "pd.DataFrame":
    import pandas as pd

    return pd.DataFrame({"formula": hull.formula, "formation_energy": hull.energy, "kind": hull.kind})

