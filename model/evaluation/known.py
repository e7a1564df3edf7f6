"""Known crystals in one Arrow table: sorted by formula, memory-mapped, a million of them at hand. Edge: pyarrow."""

import hashlib
import json
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

import numpy as np
import torch

from model.crystals import Crystals
from model.evaluation.fingerprint import distance
from model.shapes import Bool, Float, Int, UInt8

if TYPE_CHECKING:
    import pyarrow as pa

MAPPED, PACKED = "known.arrow", "known.parquet"
_STRUCTURE = ("frac", "cell", "numbers")


class KnownCrystal(NamedTuple):
    """What is kept of one known crystal; `frac`, `cell` and `numbers` are empty where structures are not kept.

    Of a disordered one, `disorder` says what shares each site (JSON: an element-to-occupancy dictionary a site), and
    `numbers` holds the element with the most of it.
    """

    id: str
    formula: str
    space_group: int
    n_primitive: int  # atoms in the primitive cell as the matcher finds it; crystals that differ here never match
    fingerprint: UInt8[np.ndarray, " pairs_shell"]
    frac: Float[np.ndarray, "atoms 3"] | None = None
    cell: Float[np.ndarray, "3 3"] | None = None
    numbers: Int[np.ndarray, " atoms"] | None = None
    disorder: str = ""


class Lists(NamedTuple):
    """A column of rows of unequal length, as flat values and where each row begins."""

    values: np.ndarray
    start: np.ndarray

    def __getitem__(self, row: int) -> np.ndarray:
        """One row."""
        return self.values[self.start[row] : self.start[row + 1]]


@dataclass(frozen=True)
class KnownCrystals:
    """The crystals of a reference, found by their formula."""

    table: "pa.Table"

    def __len__(self) -> int:
        """Number of crystals."""
        return self.table.num_rows

    @property
    def has_structures(self) -> bool:
        """Whether the crystals themselves are kept, and not their fingerprints alone."""
        return "frac" in self.table.column_names

    @cached_property
    def keys(self) -> np.ndarray:
        """Hashes of the formulas, rising."""
        return self._flat("key").to_numpy(zero_copy_only=False)

    @cached_property
    def n_primitive(self) -> Int[np.ndarray, " known"]:
        """Atoms in the primitive cell of each."""
        return self._flat("n_primitive").to_numpy(zero_copy_only=False)

    @cached_property
    def _prints(self) -> Lists:
        return self._lists("fingerprint")

    @cached_property
    def _places(self) -> dict[str, int]:
        return {name: row for row, name in enumerate(self.table.column("id").to_pylist())}

    @cached_property
    def _structures(self) -> dict[str, Lists]:
        return {name: self._lists(name) for name in _STRUCTURE}

    def rows(self, formula: str) -> Int[np.ndarray, " found"]:
        """Rows of the known crystals of a reduced formula."""
        wanted = key(formula)
        first, last = np.searchsorted(self.keys, [wanted, wanted], side="left")[0], np.searchsorted(
            self.keys, wanted, side="right"
        )
        names = self.table.column("formula")
        return np.array([r for r in range(first, last) if names[r].as_py() == formula], dtype=np.int64)

    @cached_property
    def _mixed(self) -> dict[frozenset[str], list[int]]:
        """Rows of disordered crystals by their chemical system."""
        found: dict[frozenset[str], list[int]] = {}
        if "disorder" in self.table.column_names:
            for row, sites in enumerate(self.table.column("disorder").to_pylist()):
                if sites:
                    found.setdefault(frozenset().union(*json.loads(sites)), []).append(row)
        return found

    def disordered(self, elements: Iterable[str]) -> list[int]:
        """Rows of the disordered crystals of a chemical system."""
        return self._mixed.get(frozenset(elements), [])

    def is_disordered(self, rows: Int[np.ndarray, " found"]) -> Bool[np.ndarray, " found"]:
        """Which of some rows are of disordered crystals."""
        if "disorder" not in self.table.column_names:
            return np.zeros(len(rows), dtype=bool)
        sites = self.table.column("disorder")
        return np.array([bool(sites[int(row)].as_py()) for row in rows], dtype=bool)

    def sites(self, row: int) -> list[dict[str, float]]:
        """What shares each site of a disordered crystal: occupancies by element."""
        return json.loads(self.table.column("disorder")[int(row)].as_py())

    def id(self, row: int) -> str:
        """Name of a crystal."""
        return self.table.column("id")[int(row)].as_py()

    def distances(
        self, fingerprint: UInt8[np.ndarray, " pairs_shell"], rows: Int[np.ndarray, " found"]
    ) -> Float[np.ndarray, " found"]:
        """Fingerprint distances to rows of the same formula; infinite where one of the two has no fingerprint."""
        away = np.full(len(rows), np.inf)
        fits = np.array([len(self._prints[row]) == len(fingerprint) > 0 for row in rows.tolist()], dtype=bool)
        if fits.any():
            away[fits] = distance(fingerprint, np.stack([self._prints[row] for row in rows[fits].tolist()]))
        return away

    def fingerprint(self, row: int) -> UInt8[np.ndarray, " pairs_shell"]:
        """The fingerprint of a row."""
        return self._prints[row]

    def structure(self, row: int) -> Crystals:
        """The crystal of a row. Raises LookupError where structures are not kept."""
        if not self.has_structures:
            raise LookupError(
                "This reference keeps fingerprints and no structures; build one with structures: "
                "workbench reference build FILES --out REF."
            )
        frac, cell, numbers = (self._structures[name][int(row)] for name in _STRUCTURE)
        return Crystals(
            frac=torch.from_numpy(frac.reshape(-1, 3).copy()),
            cell=torch.from_numpy(cell.reshape(1, 3, 3).copy()),
            numbers=torch.from_numpy(numbers.astype(np.int64)),
            n_atoms=torch.tensor([len(numbers)]),
        )

    def row_of(self, name: str) -> int:
        """Row of the crystal called `name`. Raises LookupError where there is none."""
        if name not in self._places:
            raise LookupError(f"The reference knows no crystal {name}.")
        return self._places[name]

    def _flat(self, name: str) -> "pa.Array":
        import pyarrow as pa

        column = self.table.column(name)
        if column.num_chunks == 1:
            return column.chunk(0)
        return pa.concat_arrays(column.chunks) if column.num_chunks else pa.array([], column.type)

    def _lists(self, name: str) -> Lists:
        column = self._flat(name)
        return Lists(column.values.to_numpy(), column.offsets.to_numpy())


def key(formula: str) -> np.uint64:
    """A number for a formula, the same on every machine."""
    return np.uint64(int.from_bytes(hashlib.blake2b(formula.encode(), digest_size=8).digest(), "little"))


def tabulate(crystals: Sequence[KnownCrystal], *, structures: bool) -> KnownCrystals:
    """Known crystals as a table, sorted for lookup."""
    import pyarrow as pa

    keys = np.array([key(c.formula) for c in crystals], dtype=np.uint64)
    order = np.lexsort(([c.id for c in crystals], keys)) if len(crystals) else np.zeros(0, dtype=int)
    ranked = [crystals[i] for i in order]
    columns = {
        "key": pa.array(keys[order]),
        "id": pa.array([c.id for c in ranked], pa.string()),
        "formula": pa.array([c.formula for c in ranked], pa.string()),
        "space_group": pa.array([c.space_group for c in ranked], pa.int16()),
        "n_primitive": pa.array([c.n_primitive for c in ranked], pa.int32()),
        "fingerprint": _pack([c.fingerprint for c in ranked], np.uint8),
    }
    if any(c.disorder for c in ranked):
        columns["disorder"] = pa.array([c.disorder for c in ranked], pa.string())
    if structures:
        columns["numbers"] = _pack([c.numbers for c in ranked], np.uint8)
        columns["frac"] = _pack([c.frac for c in ranked], np.float32)
        columns["cell"] = _pack([c.cell for c in ranked], np.float32)
    return KnownCrystals(pa.table(columns))


def _pack(rows: "Sequence[np.ndarray]", kind: type) -> "pa.LargeListArray":
    import pyarrow as pa

    start = np.cumsum([0, *(np.size(row) for row in rows)]).astype(np.int64)
    values = np.concatenate([np.asarray(row, dtype=kind).reshape(-1) for row in rows]) if rows else np.zeros(0, kind)
    return pa.LargeListArray.from_arrays(pa.array(start), pa.array(values))


def load(folder: Path) -> KnownCrystals:
    """Known crystals from a folder, memory-mapped where they were kept for that."""
    import pyarrow as pa
    import pyarrow.parquet as pq

    if (folder / MAPPED).exists():
        return KnownCrystals(pa.ipc.open_file(pa.memory_map(str(folder / MAPPED))).read_all())
    return KnownCrystals(pq.read_table(folder / PACKED))


def save(known: KnownCrystals, folder: Path, *, packed: bool = False) -> None:
    """Keep known crystals: memory-mapped, or packed small for shipping."""
    import pyarrow as pa
    import pyarrow.parquet as pq

    path = folder / (PACKED if packed else MAPPED)
    draft = path.with_name(f".{path.name}.part")
    if packed:
        pq.write_table(known.table, draft, compression="zstd", compression_level=15)
    else:
        with pa.ipc.new_file(str(draft), known.table.schema) as file:
            file.write_table(known.table.combine_chunks())
    draft.replace(path)
