"""Computed entries others bring: pymatgen's JSON and MatterGen's reference database, parsed and never executed.

Both keep the dictionary form of pymatgen's ComputedEntry or ComputedStructureEntry. Only the fields named here are
looked at; no class that a file names is ever made. Edge: pymatgen, lmdb.
"""

import gzip
import io
import json
import pickle
import shutil
import struct
from collections import OrderedDict
from collections.abc import Iterator, Mapping
from functools import lru_cache
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

if TYPE_CHECKING:
    from pymatgen.core import Structure

_MAGIC = struct.pack("<I", 0xBEEFC0DE)  # of a database file's first page, behind a header of 16 bytes
_HOLLOW = 2**43  # bytes of address space a database may take; a file never reaches it


class BadEntryError(ValueError):
    """An entry, or a file of entries, that lacks what is needed or would have to be executed."""


class Computed(NamedTuple):
    """One computed entry: name, amounts by element, corrected total energy in eV, and whether it has a structure."""

    id: str
    composition: Mapping[str, float]
    energy: float
    has_structure: bool


class Stored(NamedTuple):
    """A structure that stays in its file until it is wanted: the database and the key of its entry."""

    file: str
    key: str

    def read(self) -> "Structure":
        """The structure. Raises BadEntryError."""
        with _database(self.file).begin() as transaction:
            return structure_of(unpickle(transaction.get(self.key.encode())))


def computed(entry: Any, name: str) -> Computed:
    """One entry out of its dictionary; `name` where it has none of its own. Raises BadEntryError."""
    from pymatgen.core import Composition

    if not isinstance(entry, Mapping) or "energy" not in entry:
        raise BadEntryError("not a computed entry: it has no energy.")
    amounts = entry.get("composition")
    data = entry.get("data") if isinstance(entry.get("data"), Mapping) else {}
    label = data.get("material_id") or entry.get("entry_id") or name
    try:
        if amounts is None:
            amounts = structure_of(entry).composition.as_dict()
        plain = Composition(dict(amounts) if isinstance(amounts, Mapping) else amounts).element_composition
        energy = float(entry["energy"]) + _correction(entry)
    except BadEntryError:
        raise
    except Exception as error:
        raise BadEntryError(f"its composition or energy is not readable ({error}).") from error
    if not plain or not np.isfinite(energy):
        raise BadEntryError(f"no atoms, or no finite energy ({energy}).")
    return Computed(str(label), plain.get_el_amt_dict(), energy, isinstance(entry.get("structure"), Mapping))


def _correction(entry: Mapping[str, Any]) -> float:
    """What is added to the computed energy, in eV: kept as one number beside the adjustments it sums."""
    if entry.get("correction") is not None:
        return float(entry["correction"])
    total = 0.0
    for one in entry.get("energy_adjustments") or ():
        if "value" in one:
            total += float(one["value"])
        elif {"adj_per_atom", "n_atoms"} <= set(one):
            total += float(one["adj_per_atom"]) * float(one["n_atoms"])
        else:
            raise BadEntryError(f"its energy adjustment {one.get('name', '')} is of no known kind.")
    return total


def structure_of(entry: Mapping[str, Any]) -> "Structure":
    """The structure of an entry's dictionary, without charges. Raises BadEntryError where there is none."""
    from pymatgen.core import Composition, Structure

    kept = entry.get("structure")
    try:
        sites = kept["sites"]
        species = [Composition({s["element"]: s["occu"] for s in site["species"]}).element_composition
                   for site in sites]  # fmt: skip
        return Structure(np.array(kept["lattice"]["matrix"], dtype=float), species, [site["abc"] for site in sites])
    except Exception as error:
        raise BadEntryError(f"its structure is not readable ({type(error).__name__}: {error}).") from error


def formation_energies(entries: "list[Computed]") -> tuple[np.ndarray, list[str]]:
    """Formation energies in eV/atom by the entries' own elements, and the elements that no entry holds alone.

    An element's energy is that of its lowest entry; where an element lacks one, the energy is NaN.
    """
    lowest: dict[str, float] = {}
    for one in entries:
        if len(one.composition) == 1:
            symbol, n = next(iter(one.composition.items()))
            lowest[symbol] = min(lowest.get(symbol, np.inf), one.energy / n)
    nan = float("nan")
    found = [
        (one.energy - sum(n * lowest.get(symbol, nan) for symbol, n in one.composition.items()))
        / sum(one.composition.values())
        for one in entries
    ]
    lacking = sorted({symbol for one in entries for symbol in one.composition} - set(lowest))
    return np.array(found), lacking


def read_json(file: Path) -> list[Any]:
    """The entries of a JSON file (.json or .json.gz): a list, or a dictionary with a list named entries.

    Raises BadEntryError.
    """
    try:
        text = gzip.decompress(file.read_bytes()) if file.suffix == ".gz" else file.read_bytes()
        told = json.loads(text)
    except (OSError, ValueError, EOFError) as error:
        raise BadEntryError(f"{file.name} is not readable as JSON ({error}).") from error
    if isinstance(told, Mapping):
        told = told.get("entries")
    if not isinstance(told, list):
        raise BadEntryError(f"{file.name} holds no list of computed entries; write one with monty's dumpfn.")
    return told


# --- MatterGen's reference: a gzip-compressed LMDB file of pickled dictionaries ---------------------------------------


def is_database(file: Path) -> bool:
    """Whether a file is an LMDB database, compressed or not."""
    try:
        with gzip.open(file, "rb") if file.suffix == ".gz" else file.open("rb") as stream:
            return stream.read(20)[16:20] == _MAGIC
    except (OSError, EOFError):
        return False


def unpacked(file: Path, scratch: Path) -> Path:
    """The database itself, unpacked into `scratch` where it was compressed."""
    if file.suffix != ".gz":
        return file
    target = scratch / file.stem
    with gzip.open(file, "rb") as packed, target.open("wb") as plain:
        shutil.copyfileobj(packed, plain, 2**24)
    return target


def stored_entries(file: Path) -> Iterator[tuple[Stored, Any]]:
    """Every entry of a database with where it is kept: its dictionary, or the BadEntryError it gave.

    Raises BadEntryError where the file is no whole database.
    """
    with _database(str(file)).begin() as transaction:
        for key, value in transaction.cursor():
            if key.rpartition(b".")[2].isdigit():  # the others hold names and counts
                try:
                    entry: Any = unpickle(bytes(value))
                except BadEntryError as error:
                    entry = error
                yield Stored(str(file), key.decode("ascii", errors="replace")), entry


def database_name(file: Path) -> str:
    """What a database calls itself, which tells how its energies are corrected; empty where it does not say."""
    with _database(str(file)).begin() as transaction:
        value = transaction.get(b"name")
    try:
        return str(unpickle(bytes(value)))[:80] if value is not None else ""
    except BadEntryError:
        return ""


@lru_cache(maxsize=4)
def _database(file: str) -> Any:
    try:
        import lmdb
    except ImportError as error:
        raise ImportError(
            "Reading MatterGen's reference needs lmdb: pip install 'mattergen-design-workbench[lmdb]'."
        ) from error
    _check_whole(Path(file))
    try:
        return lmdb.open(file, subdir=False, readonly=True, lock=False, map_size=_HOLLOW)
    except lmdb.Error as error:
        raise BadEntryError(f"{Path(file).name} is not readable as an LMDB database ({error}).") from error


def _check_whole(file: Path) -> None:
    """Refuse a database that was cut short: reading past its end would end the program.

    Its first two pages say how many pages it has, and the newer of the two holds.
    """
    size = file.stat().st_size
    with file.open("rb") as stream:
        head = stream.read(2 * 65536)
    try:
        page = struct.unpack_from("<I", head, 40)[0]
        pages = max(struct.unpack_from("<QQ", head, start + 136)[::-1] for start in (0, page))[1] + 1
    except struct.error:
        page, pages = 1, size + 1
    if not 0 < pages * page <= size:
        raise BadEntryError(f"{file.name} is cut short: {size} bytes of {pages * page}.")


def unpickle(data: bytes | None) -> Any:
    """Plain data out of a pickle: numbers, texts, lists, dictionaries, NumPy numbers; nothing else is ever made.

    Raises BadEntryError where the pickle names anything that would be executed.
    """
    if data is None:
        raise BadEntryError("there is no entry under this key.")
    try:
        return _Inert(io.BytesIO(data)).load()
    except BadEntryError:
        raise
    except Exception as error:  # a damaged pickle fails in many ways
        raise BadEntryError(f"its pickle is damaged ({type(error).__name__}).") from error


class _Dtype:
    """What stands for a NumPy dtype in a pickle: its short name, if it is of plain numbers."""

    def __init__(self, name: Any, *_: Any) -> None:
        if name not in ("f8", "f4", "i8", "i4", "b1"):
            raise BadEntryError(f"it holds NumPy values of kind {str(name)[:20]}, not plain numbers.")
        self.name = name

    def __setstate__(self, state: Any) -> None:
        """Byte order and the like: only the little-endian or native one is read."""
        if isinstance(state, tuple) and len(state) > 1 and state[1] == ">":
            raise BadEntryError("it holds big-endian numbers.")


def _scalar(kind: Any, data: Any) -> Any:
    """A NumPy number out of its bytes."""
    if not isinstance(kind, _Dtype) or not isinstance(data, bytes):
        raise BadEntryError("it holds NumPy values that are no plain numbers.")
    return np.frombuffer(data, dtype="<" + kind.name if kind.name != "b1" else "?")[0].item()


class _Inert(pickle.Unpickler):
    """Reads pickles of plain data. Whatever a pickle names is looked up here and nowhere else."""

    _KNOWN = {  # noqa: RUF012 - a table, never changed
        ("collections", "OrderedDict"): OrderedDict,
        ("numpy", "dtype"): _Dtype,
        ("numpy.core.multiarray", "scalar"): _scalar,
        ("numpy._core.multiarray", "scalar"): _scalar,
    }

    def find_class(self, module: str, name: str) -> Any:
        """One of the few harmless names. Raises BadEntryError for any other."""
        if (module, name) not in self._KNOWN:
            raise BadEntryError(
                f"its pickle asks for {module}.{name}, which would be executed; only plain data is read. "
                "Write the entries as JSON (monty's dumpfn) instead."
            )
        return self._KNOWN[module, name]

    def persistent_load(self, pid: Any) -> Any:
        """Nothing lies outside. Raises BadEntryError."""
        raise BadEntryError(f"its pickle points to something outside ({str(pid)[:20]}).")
