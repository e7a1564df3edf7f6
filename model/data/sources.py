"""Tables of crystals (CSV, CSV.gz, parquet, in the column layout of MP-20) into a dataset. Edge: pymatgen, pyarrow."""

import csv
import gzip
import hashlib
import io
import json
import math
import warnings
import zlib
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from concurrent.futures import Executor
from dataclasses import asdict, dataclass, replace
from functools import cache, partial
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np
import torch

from model.cell import symmetric
from model.data.cache import FORMAT, Dataset
from model.data.symmetry import group_number
from model.elements import ALLOWED, NUMBERS, SYMBOLS
from model.execution import INLINE, Progress, Watch, silent, spread

if TYPE_CHECKING:
    from pymatgen.core import Structure

NEEDED = ("material_id", "cif")
PROPERTIES = (
    "space_group", "energy_above_hull", "formation_energy_per_atom", "dft_band_gap", "dft_mag_density",
    "dft_bulk_modulus", "dft_shear_modulus", "ml_bulk_modulus", "bulk_modulus", "hhi_score",
)  # fmt: skip
RENAMED = {"spacegroup.number": "space_group", "e_above_hull": "energy_above_hull", "band_gap": "dft_band_gap"}
ROWS_AT_ONCE = 64  # few enough for a lively bar, enough to make the way to another process worth it
LONGEST_FIELD = 2**24  # characters; Python's own limit of 131,072 is less than the CIF of a large cell
MINI = Path(__file__).parent / "mini" / "mini.csv"


class SourceError(ValueError):
    """A table that is not there, not readable, or lacks what it needs."""


@dataclass(frozen=True, kw_only=True)
class Selection:
    """Which crystals to take. Source of the defaults: MatterGen's data: up to 20 atoms, no noble gases, Tc, Pm, Z > 83.

    `elements` None is any up to Fm, `max_atoms` counts in the primitive cell, `max_energy_above_hull` (eV/atom) leaves
    out crystals known to lie higher, `keep` names further numeric columns to keep as labels.
    """

    max_atoms: int | None = 20
    elements: tuple[str, ...] | None = ALLOWED
    max_energy_above_hull: float | None = None
    keep: tuple[str, ...] = ()


class Row(NamedTuple):
    """One line of a table: where it stood, and what it said."""

    number: int
    material_id: str
    cif: Any
    labels: dict[str, Any]
    fault: str = ""


class Taken(NamedTuple):
    """A crystal as it goes into the dataset."""

    material_id: str
    frac: np.ndarray
    cell: np.ndarray
    numbers: list[int]
    labels: dict[str, float]


class Rejected(NamedTuple):
    """A row that does not, why in a few words, and in a sentence. `bad` rows are at fault; others were left out."""

    row: int
    material_id: str
    bad: bool
    kind: str
    reason: str


def fingerprint(paths: Sequence[Path], selection: Selection) -> str:
    """What the dataset of these files and options is known by: changes whenever one of them does."""
    digest = hashlib.sha256(json.dumps([FORMAT, asdict(selection)], sort_keys=True).encode())
    for path in paths:
        _check_there(path)
        with path.open("rb") as file:
            digest.update(hashlib.file_digest(file, "sha256").digest())
    return digest.hexdigest()


def collect(
    paths: Sequence[Path],
    selection: Selection | None = None,
    *,
    executor: Executor = INLINE,
    watch: Watch = silent,
) -> tuple[Dataset, str]:
    """Read tables into one dataset in memory, and list the rejected rows as CSV.

    Raises SourceError where a file or a needed column is missing, or no row can be used.
    """
    selection = selection or Selection()
    taken: list[Taken] = []
    rejected: list[tuple[str, Rejected]] = []
    rows = 0
    for path in paths:
        table = list(_rows(path, selection.keep))
        rows += len(table)
        for answer in _spread_rows(table, selection, path.name, executor, watch):
            if isinstance(answer, Taken):
                taken.append(answer)
            else:
                rejected.append((path.name, answer))
    counts = {
        "rows": rows,
        "refused": dict(Counter(r.kind for _, r in rejected if r.bad)),
        "left_out": dict(Counter(r.kind for _, r in rejected if not r.bad)),
    }
    if not taken:
        why = "; ".join(f"{n} × {kind}" for kind, n in Counter(r.kind for _, r in rejected).most_common(3))
        names = ", ".join(path.name for path in paths)
        raise SourceError(f"None of the {rows} rows of {names} can be used ({why or 'it is empty'}).")
    manifest = {"symmetric": True, "sources": [p.name for p in paths], "options": asdict(selection), **counts}
    return _dataset(taken, manifest), _listing(rejected)


def _spread_rows(
    table: list[Row], selection: Selection, name: str, executor: Executor, watch: Watch
) -> Iterator[Taken | Rejected]:
    chunks = [table[at : at + ROWS_AT_ONCE] for at in range(0, len(table), ROWS_AT_ONCE)]

    def in_rows(progress: Progress) -> None:
        done = min(progress.done * ROWS_AT_ONCE, len(table))
        watch(replace(progress, done=done, total=len(table), unit="rows"))

    work = partial(take, selection=selection)
    for answers in spread(work, chunks, stage=name, executor=executor, watch=in_rows):
        yield from answers


def _dataset(taken: Sequence[Taken], manifest: dict[str, Any]) -> Dataset:
    cells = torch.from_numpy(np.stack([one.cell for one in taken]))
    names = dict.fromkeys(name for one in taken for name in one.labels)
    return Dataset(
        pos=np.concatenate([one.frac for one in taken]) % 1.0,
        cell=symmetric(cells).numpy(),
        numbers=np.array([z for one in taken for z in one.numbers], dtype=np.int64),
        n_atoms=np.array([len(one.numbers) for one in taken], dtype=np.int64),
        ids=np.array([one.material_id for one in taken]),
        labels={k: np.array([one.labels.get(k, math.nan) for one in taken], dtype=np.float32) for k in names},
        manifest=manifest,
    )


def _listing(rejected: Sequence[tuple[str, Rejected]]) -> str:
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(["file", "row", "material_id", "verdict", "kind", "reason"])
    for name, one in rejected:
        writer.writerow([name, one.row, one.material_id, "refused" if one.bad else "left out", one.kind, one.reason])
    return text.getvalue()


# --- tables into rows -------------------------------------------------------------------------------------------------


def _check_there(path: Path) -> None:
    if not path.is_file():
        raise SourceError(f"There is no file {path}; name a .csv, .csv.gz or .parquet file.")


def _rows(path: Path, keep: Sequence[str] = ()) -> Iterator[Row]:
    """The rows of a table, numbered from 1 as people count them below the header."""
    _check_there(path)
    name = path.name.lower()
    if name.endswith((".csv", ".csv.gz")):
        columns, records = _read_csv(path)
    elif name.endswith((".parquet", ".pq")):
        columns, records = _read_parquet(path)
    else:
        raise SourceError(f"{path.name} is of no known kind; wanted .csv, .csv.gz or .parquet.")
    labels = _label_columns(path, columns, keep)
    for number, record in enumerate(records, start=1):
        faulty = "the row has more or fewer fields than the header." if record.get(None) else ""
        yield Row(
            number=number,
            material_id=str(record["material_id"] or ""),
            cif=record["cif"],
            labels={label: record[column] for label, column in labels.items()},
            fault=faulty,
        )


def _label_columns(path: Path, columns: Sequence[str], keep: Sequence[str]) -> dict[str, str]:
    """Label name to column name. Raises SourceError for a column that is not there."""
    if missing := [column for column in (*NEEDED, *keep) if column not in columns]:
        raise SourceError(
            f"{path.name} lacks the column{'s' * (len(missing) > 1)} {', '.join(missing)}; it has {', '.join(columns)}."
        )
    labels = {label: column for column, label in RENAMED.items() if column in columns}
    labels |= {name: name for name in (*PROPERTIES, *keep) if name in columns}
    return labels


def _read_csv(path: Path) -> tuple[list[str], Iterator[dict[str | None, Any]]]:
    """Header and records; a record with too many or too few fields has the key None."""
    csv.field_size_limit(LONGEST_FIELD)
    try:
        raw = path.read_bytes()
        text = (gzip.decompress(raw) if path.suffix == ".gz" else raw).decode("utf-8-sig", errors="replace")
    except (OSError, EOFError, zlib.error) as error:
        raise SourceError(f"{path.name} cannot be unpacked ({error}); it may be cut short.") from error
    reader = csv.reader(io.StringIO(text, newline=""))
    header = next(reader, [])

    def records() -> Iterator[dict[str | None, Any]]:
        try:
            for fields in reader:
                if not fields:
                    continue
                padded = fields + [""] * (len(header) - len(fields))
                yield dict(zip(header, padded, strict=False)) | {None: len(fields) != len(header)}
        except csv.Error as error:
            raise SourceError(f"{path.name} is no readable CSV after line {reader.line_num} ({error}).") from error

    return header, records()


def _read_parquet(path: Path) -> tuple[list[str], Iterator[dict[str | None, Any]]]:
    import pyarrow as pa
    import pyarrow.parquet as pq

    try:
        table = pq.read_table(path)
    except (OSError, pa.ArrowException) as error:
        raise SourceError(f"{path.name} is no readable parquet file ({str(error).splitlines()[0]}).") from error
    return table.column_names, (row for batch in table.to_batches(1024) for row in batch.to_pylist())


# --- rows into crystals -----------------------------------------------------------------------------------------------


def take(rows: Sequence[Row], selection: Selection) -> list[Taken | Rejected]:
    """Make crystals of some rows; one that cannot be used is answered with the reason."""
    from model.io import UnreadableError

    answers: list[Taken | Rejected] = []
    for row in rows:
        refuse = partial(Rejected, row.number, row.material_id)
        try:
            answers.append(_take_one(row, selection))
        except UnreadableError as error:
            answers.append(refuse(True, error.kind, str(error)))
        except LeftOutError as error:
            answers.append(refuse(False, error.kind, str(error)))
        except Exception as error:  # noqa: BLE001 - no row, whatever is wrong with it, may stop the others
            answers.append(refuse(True, "unreadable CIF", f"{type(error).__name__}: {str(error)[:200]}"))
    return answers


class LeftOutError(ValueError):
    """A sound crystal that was not asked for."""

    def __init__(self, kind: str, sentence: str) -> None:
        super().__init__(sentence)
        self.kind = kind


def _take_one(row: Row, selection: Selection) -> Taken:
    from model.io import UnreadableError, parse_cif

    if row.fault:
        raise UnreadableError("missing value", row.fault)
    for name, value in (("material_id", row.material_id), ("cif", row.cif)):
        if value is None or value == "" or value != value:  # noqa: PLR0124 - NaN alone differs from itself
            raise UnreadableError("missing value", f"{name} is empty.")
    if not isinstance(row.cif, str):
        raise UnreadableError("wrong type", f"cif is a {type(row.cif).__name__}, wanted the text of a CIF.")
    labels = {name: _label(name, value) for name, value in row.labels.items()}
    as_given = parse_cif(row.cif)[0]
    _check_wanted(as_given, labels, selection)
    structure = canonical(as_given)
    numbers = [site.specie.Z for site in structure]
    if selection.max_atoms is not None and len(numbers) > selection.max_atoms:
        raise LeftOutError("too many atoms", f"{len(numbers)} atoms in the primitive cell; at most "
                           f"{selection.max_atoms} are taken.")
    return Taken(row.material_id, structure.frac_coords, np.array(structure.lattice.matrix), numbers, labels)


def _check_wanted(structure: "Structure", labels: Mapping[str, float], selection: Selection) -> None:
    """What can be told before the costly reduction. Raises LeftOutError."""
    counts = Counter(site.specie.Z for site in structure)
    allowed = {NUMBERS[symbol] for symbol in selection.elements} if selection.elements is not None else set(counts)
    if strange := sorted(set(counts) - allowed):
        names = ", ".join(SYMBOLS[z] for z in strange)
        raise LeftOutError("element left out", f"holds {names}, outside the elements taken.")
    # a primitive cell holds at least one formula unit, and reducing a cell of hundreds of atoms takes seconds
    least = len(structure) // math.gcd(*counts.values())
    if selection.max_atoms is not None and least > selection.max_atoms:
        raise LeftOutError("too many atoms", f"at least {least} atoms in the primitive cell; at most "
                           f"{selection.max_atoms} are taken.")
    height, limit = labels.get("energy_above_hull", math.nan), selection.max_energy_above_hull
    if limit is not None and height > limit:
        raise LeftOutError("too far above the hull", f"{height:.3f} eV/atom above the hull; at most {limit} is taken.")


def _label(name: str, value: Any) -> float:
    """A label as a number, NaN where there is none. Raises UnreadableError for what is no number."""
    from model.io import UnreadableError

    if value is None or (isinstance(value, str) and value.strip().lower() in {"", "nan", "none", "null", "n/a", "na"}):
        return math.nan
    try:
        number = float(group_number(str(value))) if name == "space_group" and value == value else float(value)  # noqa: PLR0124
    except (TypeError, ValueError) as error:
        wanted = "a space group from 1 to 230" if name == "space_group" else "a number"
        raise UnreadableError("wrong type", f"{name} is {str(value)[:40]!r}, wanted {wanted}.") from error
    if math.isinf(number):
        raise UnreadableError("wrong type", f"{name} is infinite, wanted a number.")
    return number


def canonical(structure: "Structure") -> "Structure":
    """The primitive, Niggli-reduced cell of a crystal; the same crystal.

    Twice, as the published data was made: the first reduction may open the way to a still smaller cell.
    """
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        for _ in range(2):
            structure = structure.get_primitive_structure().get_reduced_structure()
    return structure


@cache
def mini() -> Dataset:
    """A few dozen well-known prototypes that the package ships, for tests and first steps."""
    return collect([MINI])[0]
