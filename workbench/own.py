"""Crystals of one's own as candidates to judge: files, tables, structures. Edge: pymatgen, pandas."""

import os
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from model.candidates import COLUMNS, Candidates
from model.constraints import Constraints
from model.crystals import Crystals

if TYPE_CHECKING:
    import pandas as pd
    from pymatgen.core import Structure

TABLES = (".csv", ".csv.gz", ".parquet")
NAMES, CIFS = ("id", "material_id", "name"), ("structure", "cif")
_OURS = frozenset({
    "id", "formula", "chemical_system", "n_atoms", "space_group", "space_group_number", "volume", "density", "seed",
    "index", "status", "reason",
})  # fmt: skip


class SourceError(ValueError):
    """A source of crystals that cannot be used."""


@dataclass(frozen=True, kw_only=True)
class Brought:
    """Crystals that were brought, as candidates not judged yet, and what was passed over with its reason."""

    candidates: Candidates
    skipped: tuple[tuple[str, str], ...] = ()
    source: str = ""

    @property
    def constraints(self) -> Constraints:
        """What a run that judges them is asked: nothing but their number."""
        return Constraints(count=len(self.candidates))

    def says(self) -> str:
        """What was read, and the first things that were not, in a sentence or two."""
        n = len(self.candidates)
        said = f"{n} crystal{'' if n == 1 else 's'} read."
        if self.skipped:
            some = "; ".join(f"{name}: {reason}" for name, reason in self.skipped[:3])
            said += f" {len(self.skipped)} passed over, as {some}"
        return said


def bring(source: Any) -> Brought:
    """Candidates out of a path, a table or structures.

    A path is a folder, a file or an archive of crystals (CIF, POSCAR, extended XYZ, zip), or a table (CSV, parquet). A
    table, also as a DataFrame, has a column `cif` or `structure`, names in `id` or `material_id`, and may have further
    columns that candidates know, as a band gap. Structures are pymatgen's or ASE's. Raises SourceError where no crystal
    can be read.
    """
    if isinstance(source, str | os.PathLike):
        found, name = _from_path(Path(source).expanduser()), str(source)
    elif hasattr(source, "columns"):
        found, name = _from_table(source), ""
    elif isinstance(source, Sequence):
        found, name = _from_structures(source), ""
    else:
        raise SourceError(f"Crystals come from a path, a table or a list of structures; found {type(source).__name__}.")
    structures, names, columns, skipped = found
    if not structures:
        why = f" ({skipped[0][0]}: {skipped[0][1]})" if skipped else ""
        raise SourceError(f"No crystal could be read from {name or 'this source'}{why}.")
    return Brought(candidates=_candidates(structures, names, columns), skipped=tuple(skipped), source=name)


_Found = tuple[list["Structure"], list[str], dict[str, list[Any]], list[tuple[str, str]]]


def _from_path(path: Path) -> _Found:
    import pandas as pd

    if path.name.lower().endswith(TABLES) and path.is_file():
        try:
            return _from_table(pd.read_parquet(path) if path.suffix == ".parquet" else pd.read_csv(path))
        except (ValueError, OSError, UnicodeDecodeError) as error:
            if isinstance(error, SourceError):
                raise
            raise SourceError(f"{path.name} cannot be read as a table: {_first_line(error)}") from error
    from model.io import read_crystals

    try:
        reading = read_crystals(path)
    except (OSError, ValueError) as error:
        raise SourceError(_first_line(error)) from error
    return reading.structures, reading.ids, {}, list(reading.skipped)


def _from_table(table: "pd.DataFrame") -> _Found:
    column = next((name for name in CIFS if name in table.columns), None)
    if column is None:
        raise SourceError(
            f"A table of crystals has a column cif or structure; found {', '.join(map(str, table.columns[:8]))}."
        )
    named = next((name for name in NAMES if name in table.columns), None)
    names = [str(name) for name in (table[named] if named else range(1, len(table) + 1))]
    structures, kept, skipped = [], [], []
    for row, (name, value) in enumerate(zip(names, table[column], strict=True)):
        try:
            structures.append(_structure(value))
            kept.append(row)
        except (ValueError, TypeError, KeyError, IndexError) as error:
            skipped.append((name, _first_line(error)))
    further = [name for name in table.columns if name in COLUMNS and name not in _OURS]
    columns = {name: table[name].iloc[kept].tolist() for name in further}
    return structures, [names[row] for row in kept], columns, skipped


def _from_structures(given: Sequence[Any]) -> _Found:
    structures = [_structure(one) for one in given]
    return structures, [f"own-{i:04d}" for i in range(1, len(structures) + 1)], {}, []


def _structure(value: Any) -> "Structure":
    """One ordered structure. Raises ValueError for anything else."""
    from pymatgen.core import Structure

    from model.io import from_atoms, parse_cif, to_structures

    if isinstance(value, str):
        value = parse_cif(value)[0]
    elif hasattr(value, "get_scaled_positions"):
        value = to_structures(from_atoms([value]))[0]
    if not isinstance(value, Structure):
        raise SourceError(f"A structure is pymatgen's, ASE's or the text of a CIF; found {type(value).__name__}.")
    if not value.is_ordered:
        raise SourceError("A site is shared by several elements, and only ordered crystals can be relaxed.")
    return value


def _candidates(structures: list["Structure"], names: list[str], columns: dict[str, list[Any]]) -> Candidates:
    from model.io import from_structures
    from model.record import candidates_of

    crystals: Crystals = from_structures(structures)
    described = candidates_of(crystals, Constraints(count=len(structures)))
    return described.learn(id=list(_distinct(names)), seed=None, **columns)


def _distinct(names: Sequence[str]) -> Iterator[str]:
    """Names as they are; those that come again get a number."""
    met: dict[str, int] = {}
    for name in names:
        met[name] = met.get(name, 0) + 1
        yield name if met[name] == 1 else f"{name}-{met[name]}"


def _first_line(error: Exception) -> str:
    said = str(error).strip().splitlines()
    return said[0] if said else type(error).__name__


def nothing(_constraints: Constraints, _indices: list[int], _watch: Callable[..., None]) -> Crystals:
    """Proposes no crystal: all that are judged were brought."""
    return Crystals.empty()
