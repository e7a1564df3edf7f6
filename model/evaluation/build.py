"""References made from tables, folders of crystals, computed entries and databases. Edge: pandas, pymatgen."""

import json
import os
import warnings
from collections.abc import Mapping, Sequence
from concurrent.futures import Executor
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING, NamedTuple

import numpy as np

from model.elements import NUMBERS
from model.evaluation import entries as computed_entries
from model.evaluation import known
from model.evaluation.entries import BadEntryError, Computed, Stored
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

KINDS = ("hull", "phase")  # of a hull table


class Entry(NamedTuple):
    """One crystal on its way in: a name, CIF text or a structure, formation energy and energy above hull in eV/atom."""

    id: str
    source: "str | Stored | Structure"
    formation_energy: float = float("nan")
    energy_above_hull: float = float("nan")


class Skipped(NamedTuple):
    """A crystal that was passed over, and why."""

    id: str
    reason: str


class Source(NamedTuple):
    """What files held: crystals, hull rows, what was passed over; of computed entries, what energies they call theirs
    and elements they leave out.
    """

    entries: list[Entry]
    hull: "list[pd.DataFrame]"
    skipped: list[Skipped]
    lacking: list[str]
    computed: list[str]


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

    Files are tables (CSV, CSV.gz, parquet) with columns `material_id` and `cif`, or folders and files of crystals,
    disordered ones too. A table with `formula` and `formation_energy_per_atom` but no `cif` is a hull table and takes
    the shipped one's place, and so do computed entries: pymatgen's (JSON) or MatterGen's reference (LMDB, compressed or
    not), whose formation energies are told by their own elements. Without these the shipped hull is used, with the hull
    points that the crystals' own energies tell.
    Raises BadReferenceError where nothing in the files is a crystal, FileExistsError where `out` exists.
    """
    if out is not None and Path(out).exists():
        raise FileExistsError(f"{out} exists already; name a folder that does not.")
    with TemporaryDirectory(dir=None if out is None else _begun(Path(out).parent), prefix=".unpacked-") as scratch:
        source = gather(files, Path(scratch))
        crystals, points, skipped = _work(source, executor, watch)
    if not crystals and not source.hull:
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
            "elements_without_energy": source.lacking,
            "computed_entries": source.computed,
            "files": [Path(file).name for file in files],
            "skipped": [list(one) for one in skipped],
        },
    )
    if out is None:
        return made
    made.save(out)
    return Reference.load(out)


def _begun(folder: Path) -> Path:
    folder.mkdir(parents=True, exist_ok=True)
    return folder


def gather(files: Sequence[str | os.PathLike], scratch: Path | None = None) -> Source:
    """What the files hold, structures unread yet; compressed databases are unpacked into `scratch`.

    Raises BadReferenceError on a table that is neither crystals nor hull, and on what is not readable at all.
    """
    source = Source([], [], [], [], [])
    for file in map(Path, files):
        if not file.exists():
            raise BadReferenceError(f"There is no file or folder {file}; name tables or folders of crystals.")
        if _is_table(file):
            _take_table(file, source)
        elif file.is_file() and file.name.lower().endswith((".json", ".json.gz")):
            _take_json(file, source)
        elif file.is_file() and computed_entries.is_database(file):
            _take_database(file, scratch, source)
        else:
            _take_folder(file, source)
    return source


def _is_table(file: Path) -> bool:
    return file.name.lower().endswith((".csv", ".csv.gz", ".parquet"))


def _take_table(file: Path, source: Source) -> None:
    import pandas as pd

    table = _read_table(file).rename(columns=_NAMES)
    if "cif" in table.columns:
        numbered = [f"{file.name}:{row}" for row in range(len(table))]
        ids = table["id"].fillna(pd.Series(numbered)) if "id" in table.columns else numbered
        energies = [_numbers(table, column) for column in ("formation_energy", "energy_above_hull")]
        rows = zip(ids, table["cif"], *energies, strict=True)
        source.entries.extend(Entry(str(name), str(cif), *known_energies) for name, cif, *known_energies in rows)
    elif {"formula", "formation_energy"} <= set(table.columns):
        table["kind"] = table["kind"] if "kind" in table.columns else "phase"
        source.hull.append(_hull_rows(file, table[["formula", "formation_energy", "kind"]], source))
    else:
        raise BadReferenceError(
            f"{file.name} has neither a column cif (crystals) nor formula and formation_energy_per_atom (a hull); "
            f"its columns are {', '.join(map(str, table.columns[:8]))}."
        )


def _hull_rows(file: Path, table: "pd.DataFrame", source: Source) -> "pd.DataFrame":
    """Phases with their formulas as the house writes them; rows that say no phase are passed over by name."""
    import pandas as pd

    rows = []
    for row, (formula, energy, kind) in enumerate(table.itertuples(index=False)):
        try:
            rows.append((_reduced(str(formula)), _energy(energy), _kind(kind)))
        except ValueError as error:
            source.skipped.append(Skipped(f"{file.name}, row {row}", f"{formula}: {error}."))
    return pd.DataFrame(rows, columns=["formula", "formation_energy", "kind"])


def _energy(told: object) -> float:
    try:
        energy = float(told)
    except (TypeError, ValueError):
        energy = float("nan")
    if not np.isfinite(energy):
        raise ValueError(f"a formation energy is a number, found {told!r}")
    return energy


def _reduced(formula: str) -> str:
    from pymatgen.core import Composition

    try:
        composition = Composition(formula)
    except Exception as error:  # pymatgen refuses in many ways
        raise ValueError("no formula") from error
    if not composition or not {str(element) for element in composition} <= set(NUMBERS):
        raise ValueError("no formula of known elements")
    return composition.reduced_formula


def _kind(told: object) -> str:
    if told is None or told == "" or (isinstance(told, float) and np.isnan(told)):  # not said
        return "phase"
    if told not in KINDS:
        raise ValueError(f"its kind is {' or '.join(KINDS)}, found {told!r}")
    return str(told)


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


def _take_json(file: Path, source: Source) -> None:
    """Pymatgen's computed entries: a hull, and crystals where they have structures."""
    try:
        told = computed_entries.read_json(file)
    except BadEntryError as error:
        raise BadReferenceError(str(error)) from error
    found: list[tuple[Computed, Structure | Stored | None]] = []
    for row, entry in enumerate(told):
        try:
            one = computed_entries.computed(entry, f"{file.stem}:{row}")
            found.append((one, computed_entries.structure_of(entry) if one.has_structure else None))
        except BadEntryError as error:
            source.skipped.append(Skipped(f"{file.name}, entry {row}", str(error)))
    _take_computed(file, file.name, found, source)


def _take_database(file: Path, scratch: Path | None, source: Source) -> None:
    """MatterGen's reference: energies are read now, structures when they are wanted."""
    if scratch is None and file.suffix == ".gz":
        raise ValueError(f"{file.name} is compressed, and no folder was given to unpack it in.")
    found: list[tuple[Computed, Structure | Stored | None]] = []
    try:
        plain = computed_entries.unpacked(file, scratch or file.parent)
        label = computed_entries.database_name(plain)
        for place, entry in computed_entries.stored_entries(plain):
            try:
                if isinstance(entry, BadEntryError):
                    raise entry
                found.append((computed_entries.computed(entry, place.key), place))
            except BadEntryError as error:
                source.skipped.append(Skipped(place.key, str(error)))
    except (BadEntryError, OSError, EOFError) as error:
        raise BadReferenceError(f"{file.name} is damaged ({error}).") from error
    _take_computed(file, f"{file.name} ({label})" if label else file.name, found, source)


def _take_computed(
    file: Path, label: str, found: "list[tuple[Computed, Structure | Stored | None]]", source: Source
) -> None:
    import pandas as pd
    from pymatgen.core import Composition

    if not found:
        first = f" The first: {source.skipped[0].reason}" if source.skipped else ""
        raise BadReferenceError(f"{file.name} holds no readable computed entry.{first}")
    source.computed.append(label)
    energies, lacking = computed_entries.formation_energies([one for one, _ in found])
    source.lacking.extend(lacking)
    rows = [
        (Composition(one.composition).reduced_formula, energy, "phase")
        for (one, _), energy in zip(found, energies, strict=True)
        if np.isfinite(energy) and len(one.composition) > 1
    ]
    source.hull.append(pd.DataFrame(rows, columns=["formula", "formation_energy", "kind"]))
    source.entries.extend(
        Entry(one.id, place, float(energy))
        for (one, place), energy in zip(found, energies, strict=True)
        if place is not None
    )


def _take_folder(file: Path, source: Source) -> None:
    from model.io import read_crystals

    reading = read_crystals(file)
    source.entries.extend(Entry(name, one) for name, one in zip(reading.ids, reading.structures, strict=True))
    for name, reason in reading.skipped:
        path = file / name if file.is_dir() else file
        if reason.startswith("disordered") and path.suffix.lower() == ".cif":  # a reference takes these too
            source.entries.append(Entry(path.stem, path.read_text(encoding="utf-8", errors="replace")))
        else:
            source.skipped.append(Skipped(name, reason))


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
    from model.io import from_structures, space_group

    try:
        structure = read_structure(entry.source)
        if not structure.is_ordered:
            return _admit_disordered(entry.id, structure)
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


def read_structure(source: "str | Stored | Structure") -> "Structure":
    """A crystal from CIF text, disordered ones too, or from where it is kept."""
    if isinstance(source, Stored):
        return source.read()
    if not isinstance(source, str):
        return source
    from model.io import UnreadableError, parse_cif, parse_disordered

    try:
        return parse_cif(source)[0]
    except UnreadableError as error:
        if error.kind != "disorder":
            raise
        return parse_disordered(source)


def _admit_disordered(name: str, structure: "Structure") -> KnownCrystal:
    """A disordered crystal: each site's shares, and the element with the most of it for pictures."""
    from pymatgen.core import Composition

    from model.io import space_group

    whole = Composition(structure.composition.get_integer_formula_and_factor(max_denominator=100)[0])
    sites = [site.species.get_el_amt_dict() for site in structure]
    most = [max(site.species.elements, key=lambda element, s=site: s.species[element]).Z for site in structure]
    return KnownCrystal(
        id=name, formula=whole.reduced_formula, space_group=space_group(structure)[1], n_primitive=0,
        fingerprint=np.zeros(0, dtype=np.uint8), frac=structure.frac_coords % 1.0, cell=structure.lattice.matrix,
        numbers=np.array(most), disorder=json.dumps(sites),
    )  # fmt: skip


def _hull(tables: "list[pd.DataFrame]", points: list[tuple[str, float]]) -> HullTable:
    import pandas as pd

    own = pd.DataFrame(points, columns=["formula", "formation_energy"]).assign(kind="hull")
    return HullTable.of(pd.concat([*tables, own] if points else tables, ignore_index=True))


def _table(hull: HullTable) -> "pd.DataFrame":
    import pandas as pd

    return pd.DataFrame({"formula": hull.formula, "formation_energy": hull.energy, "kind": hull.kind})

