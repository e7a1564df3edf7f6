"""Crystals from and to pymatgen, ASE, CIF, POSCAR and extended XYZ. Edge: pymatgen, ase."""

import json
import os
import re
import warnings
import zipfile
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from io import StringIO
from pathlib import Path
from typing import Any

import ase.io
import numpy as np
import torch
from ase import Atoms
from ase.io.extxyz import key_val_str_to_dict
from pymatgen.analysis.structure_matcher import StructureMatcher
from pymatgen.core import Composition, DummySpecies, Element, Structure
from pymatgen.io.cif import CifParser, CifWriter
from pymatgen.io.vasp import Poscar
from pymatgen.symmetry.analyzer import SpacegroupAnalyzer

from model.cell import wrapped
from model.crystals import MASK, Crystals
from model.elements import SYMBOLS

LAST_ELEMENT = MASK - 1
RECORD = "crystals.extxyz"  # what a generated folder keeps; where it lies, the CIFs beside it say the same again
LARGEST_MEMBER = 64 * 2**20  # bytes of one file in an archive; no crystal is near it, a hostile archive may be


class UnreadableError(ValueError):
    """A text that holds no crystal we can take: its `kind` in a few words, and one sentence."""

    def __init__(self, kind: str, sentence: str) -> None:
        super().__init__(sentence)
        self.kind = kind


@dataclass(frozen=True, kw_only=True)
class Reading:
    """What a folder or file held: crystals in natural order of their names, and what was passed over and why."""

    structures: list[Structure] = field(default_factory=list)
    ids: list[str] = field(default_factory=list)
    infos: list[dict[str, Any]] = field(default_factory=list)
    skipped: list[tuple[str, str]] = field(default_factory=list)

    def __len__(self) -> int:
        """Number of crystals read."""
        return len(self.structures)

    @property
    def crystals(self) -> Crystals:
        """The same as one batch."""
        return from_structures(self.structures)


# --- pymatgen and ASE ---------------------------------------------------------------------------------------------


def _number(structure: Structure, site: int) -> int:
    """Atomic number of a site; a dummy species is an undecided atom."""
    species = structure[site].species
    if not structure[site].is_ordered:
        raise UnreadableError("disorder", f"disordered: one site holds {species}; order it first.")
    specie = next(iter(species))
    if isinstance(specie, DummySpecies):
        if str(specie.symbol) == "X":
            return MASK
        raise UnreadableError("unknown element", f"{specie.symbol} is no element; use symbols from H to Fm.")
    if specie.Z > LAST_ELEMENT:
        raise UnreadableError("unknown element", f"{specie} lies beyond the elements H to Fm that crystals here hold.")
    return int(specie.Z)


def _numbers(structure: Structure) -> list[int]:
    return [_number(structure, site) for site in range(len(structure))]


def _pack(fracs: Sequence[np.ndarray], cells: Sequence[np.ndarray], numbers: Sequence[Sequence[int]]) -> Crystals:
    """One batch from float64 arrays of each crystal."""
    if not cells:
        return Crystals.empty()
    frac = torch.from_numpy(np.concatenate([np.asarray(f, dtype=float) % 1.0 for f in fracs])).float()
    return Crystals(
        frac=wrapped(frac),
        cell=torch.from_numpy(np.stack([np.asarray(c, dtype=float) for c in cells])).float(),
        numbers=torch.tensor([z for one in numbers for z in one], dtype=torch.long),
        n_atoms=torch.tensor([len(one) for one in numbers], dtype=torch.long),
    )


def _unpack(crystals: Crystals) -> Iterator[tuple[np.ndarray, np.ndarray, np.ndarray]]:
    """Coordinates, cell and numbers of each crystal, in double precision."""
    counts = crystals.n_atoms.tolist()
    fracs = crystals.frac.detach().cpu().double().split(counts)
    numbers = crystals.numbers.cpu().split(counts)
    for frac, cell, species in zip(fracs, crystals.cell.detach().cpu().double(), numbers, strict=True):
        yield frac.numpy(), cell.numpy(), species.numpy()


def from_structures(structures: Sequence[Structure]) -> Crystals:
    """Crystals out of pymatgen structures, cells as given. Raises UnreadableError on disorder or elements past Fm."""
    return _pack(
        [s.frac_coords for s in structures], [s.lattice.matrix for s in structures], [_numbers(s) for s in structures]
    )


def to_structures(crystals: Crystals) -> list[Structure]:
    """Pymatgen structures, atoms in the same order; undecided atoms become the dummy species X."""
    species = {z: Element(symbol) for z, symbol in enumerate(SYMBOLS) if 0 < z <= LAST_ELEMENT}
    species[MASK] = DummySpecies("X")
    return [
        Structure(cell, [species[int(z)] for z in numbers], frac) for frac, cell, numbers in _unpack(crystals)
    ]


def from_atoms(atoms: Sequence[Atoms]) -> Crystals:
    """Crystals out of ASE atoms, cells as given. Raises UnreadableError where a cell or an element is missing."""
    for one in atoms:
        if abs(one.cell.volume) < 1e-6:
            raise UnreadableError("no cell", "The atoms stand in no periodic cell; give three lattice vectors.")
        if one.numbers.max(initial=0) > LAST_ELEMENT:
            found = ", ".join(sorted({a.symbol for a in one if a.number > LAST_ELEMENT}))
            raise UnreadableError("unknown element", f"{found} lies beyond the elements H to Fm.")
    fracs = [np.linalg.solve(one.cell.array.T, one.positions.T).T for one in atoms]
    numbers = [[int(z) or MASK for z in one.numbers] for one in atoms]
    return _pack(fracs, [one.cell.array for one in atoms], numbers)


def to_atoms(crystals: Crystals) -> list[Atoms]:
    """ASE atoms, periodic in three directions; undecided atoms become X."""
    return [
        Atoms(np.where(numbers == MASK, 0, numbers), scaled_positions=frac, cell=cell, pbc=True)
        for frac, cell, numbers in _unpack(crystals)
    ]


# --- extended XYZ: the record ---------------------------------------------------------------------------------------


def write_extxyz(
    path: str | os.PathLike, crystals: Crystals, info: Sequence[Mapping[str, Any]] | None = None, append: bool = False
) -> None:
    """Keep crystals and what is known of each in one extended XYZ file; reading gives the same crystals.

    Cells and numbers come back to the bit, coordinates to within 1e-12.

    ASE's own writer rounds positions to eight decimals, from which the coordinates in a flat cell cannot be told
    again; here they are written in full, in the same format. With `append` the file grows, whole or not at all.
    """
    path = Path(path)
    info = [{}] * len(crystals) if info is None else info
    if len(info) != len(crystals):
        raise ValueError(f"{len(crystals)} crystals need as many infos; found {len(info)}.")
    frames = [_frame(atoms, known) for atoms, known in zip(to_atoms(crystals), info, strict=True)]
    before = path.read_text(encoding="utf-8") if append and path.exists() else ""
    write_text(path, before + "".join(frames))


def read_extxyz(path: str | os.PathLike) -> tuple[Crystals, list[dict[str, Any]]]:
    """Crystals and what was kept with each, in order. Raises UnreadableError naming the first frame that is damaged."""
    crystals, infos = [], []
    for index, frame in enumerate(_frames(Path(path).read_text(encoding="utf-8"))):
        try:
            one, known = _parse_frame(frame)
        except UnreadableError as error:
            raise UnreadableError(error.kind, f"Frame {index} of {path}: {error}") from error
        crystals.append(one)
        infos.append(known)
    return Crystals.join(crystals), infos


def write_text(path: str | os.PathLike, text: str) -> None:
    """Write a text file whole or not at all."""
    path = Path(path)
    draft = path.with_name(f".{path.name}.{os.getpid()}.part")
    draft.write_text(text, encoding="utf-8")
    draft.replace(path)


def _frame(atoms: Atoms, known: Mapping[str, Any]) -> str:
    if wrong := {"Lattice", "Properties", "pbc"} & set(known):
        raise ValueError(f"{', '.join(sorted(wrong))} describe the crystal itself; call the information otherwise.")
    lattice = " ".join(repr(float(x)) for x in atoms.cell.array.ravel())
    words = [f'Lattice="{lattice}"', "Properties=species:S:1:pos:R:3"]
    words += [_word(str(name), value) for name, value in known.items()]
    rows = [
        f"{symbol} {x!r} {y!r} {z!r}" for symbol, (x, y, z) in zip(atoms.symbols, atoms.positions.tolist(), strict=True)
    ]
    return "\n".join([str(len(atoms)), " ".join([*words, 'pbc="T T T"']), *rows]) + "\n"


def _word(name: str, value: Any) -> str:
    """`name=value` in such a form that the reader finds the same value again: "007" stays a text."""
    if isinstance(value, np.generic | np.ndarray):
        value = value.tolist()
    name = name if re.fullmatch(r"\w+", name) else _quoted(name)
    if isinstance(value, bool):
        return f"{name}={'T' if value else 'F'}"
    if isinstance(value, float) or (isinstance(value, int) and abs(value) < 2**63):
        return f"{name}={value!r}"
    plain = isinstance(value, str) and re.fullmatch(r"[\w.:/+-]+", value, re.ASCII)
    if plain and key_val_str_to_dict(f"a={value}")["a"] == value:  # no number, no T or F
        return f"{name}={value}"
    return f"{name}={_quoted('_JSON ' + json.dumps(value))}"


def _quoted(text: str) -> str:
    escaped = text.replace("\\", "\\\\").replace('"', '\\"')
    return f'"{escaped}"'


def _frames(text: str) -> Iterator[str]:
    """The text of one frame after another; a last one that is cut short is handed on as it is."""
    lines = text.splitlines()
    at = 0
    while at < len(lines):
        if not lines[at].strip():
            at += 1
            continue
        count = lines[at].strip()
        size = int(count) + 2 if count.isdecimal() else len(lines) - at
        yield "\n".join(lines[at : at + size]) + "\n"
        at += size


def _parse_frame(frame: str) -> tuple[Crystals, dict[str, Any]]:
    try:
        atoms = ase.io.read(StringIO(frame), format="extxyz", index=0)
    except Exception as error:  # whatever a damaged text makes ASE raise, the text is the reason
        raise UnreadableError("unreadable", f"not readable as extended XYZ, perhaps truncated ({_first(error)}).") \
            from error
    known = dict(atoms.info)
    if atoms.calc is not None:  # ASE files names like `energy` under a calculator
        known |= {name: value for name, value in atoms.calc.results.items() if np.ndim(value) == 0}
    known = {k: v.tolist() if isinstance(v, np.generic | np.ndarray) else v for k, v in known.items()}
    return from_atoms([atoms]), known


# --- CIF and POSCAR: for people --------------------------------------------------------------------------------------


def space_group(structure: Structure, symprec: float = 0.1) -> tuple[str, int]:
    """International symbol and number of the space group within `symprec` Å; ("P1", 1) where none can be found."""
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            found = SpacegroupAnalyzer(structure, symprec=symprec)
            return found.get_space_group_symbol(), int(found.get_space_group_number())
    except Exception:  # noqa: BLE001 - spglib refuses collapsed crystals in many ways; they have no symmetry to name
        return "P1", 1


def write_cif(path: str | os.PathLike, structure: Structure, symprec: float = 0.1) -> None:
    """Write a crystal as CIF, idealised to its space group within `symprec` Å, which the file then carries.

    Where the search fails, or idealising would give another crystal, the crystal is written as it is, in P1.
    """
    write_text(path, cif_text(structure, symprec))


def cif_text(structure: Structure, symprec: float = 0.1) -> str:
    """The text that `write_cif` writes."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        with suppress(Exception):  # whatever the symmetry search trips over, P1 is the answer
            text = str(CifWriter(structure, symprec=symprec))
            if StructureMatcher(scale=False).fit(parse_cif(text)[0], structure):
                return text
        return str(CifWriter(structure))


def parse_cif(text: str) -> list[Structure]:
    """The ordered crystals of a CIF text, one a data block, cells as given, without charges.

    Raises UnreadableError for what is empty, truncated, disordered or made of no known elements.
    """
    if not text.strip():
        raise UnreadableError("empty", "the file is empty.")
    if not re.search(r"^\s*data_", text, re.MULTILINE):
        raise UnreadableError("unreadable CIF", "not a CIF: it has no data_ block.")
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        try:
            parser = CifParser(StringIO(text), check_cif=False)
            structures = parser.parse_structures(primitive=False, on_error="ignore")
            blocks = [block for block in parser.as_dict().values() if "_atom_site_fract_x" in block]
        except Exception as error:  # pymatgen lets many kinds through on damaged text
            raise UnreadableError("unreadable CIF", f"not readable as CIF, perhaps truncated ({_first(error)}).") \
                from error
    if not structures:
        cause = parser.warnings[-1].splitlines()[-1] if parser.warnings else "no atoms"
        raise UnreadableError("unreadable CIF", f"not readable as CIF, perhaps truncated ({cause}).")
    plain = [_plain(one) for one in structures]
    if len(blocks) != len(plain):
        raise UnreadableError("unreadable CIF", f"only {len(plain)} of {len(blocks)} crystals in it are readable.")
    for one, block in zip(plain, blocks, strict=True):
        _check_formula(one, str(block.get("_chemical_formula_sum", "")))
    return plain


def _plain(structure: Structure) -> Structure:
    """The same crystal of neutral elements: charges and isotopes would keep equal crystals from matching."""
    return Structure(structure.lattice, _numbers(structure), structure.frac_coords)


def _check_formula(structure: Structure, formula: str) -> None:
    """A CIF whose last atoms were cut off still parses; its own formula tells."""
    try:
        said = Composition(formula.replace("D", "H") if re.search(r"D\d*(?:\s|$)", formula) else formula)
    except Exception:  # noqa: BLE001 - no formula, or one in no known form, accuses nobody
        return
    said = said.remove_charges().as_dict()
    found = structure.composition.as_dict()
    if not said or any(abs(n - round(n)) > 1e-3 for n in said.values()):
        return
    times = {found.get(symbol, 0) / n for symbol, n in said.items()}
    if set(found) != set(said) or max(times) - min(times) > 1e-6 or abs(min(times) - round(min(times))) > 1e-6:
        atoms = structure.composition.formula
        raise UnreadableError(
            "unreadable CIF", f"truncated or inconsistent: its formula says {formula.strip()}, its atoms are {atoms}."
        )


def _parse_poscar(text: str) -> list[Structure]:
    if not text.strip():
        raise UnreadableError("empty", "the file is empty.")
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("error")  # an element guessed from nothing comes with a warning
            return [_plain(Poscar.from_str(text).structure)]
    except UnreadableError:
        raise
    except Exception as error:
        raise UnreadableError("unreadable POSCAR", f"not readable as POSCAR, perhaps truncated ({_first(error)}).") \
            from error


def _first(error: Exception) -> str:
    """The first line of what went wrong, without the full stop."""
    text = str(error).strip().splitlines()
    return (text[0] if text else type(error).__name__).rstrip(".")[:200]


# --- folders ---------------------------------------------------------------------------------------------------------


def read_crystals(path: str | os.PathLike) -> Reading:
    """Read a folder or a file of crystals: extended XYZ, CIF, POSCAR, or an archive (.zip) of these.

    A folder's `crystals.extxyz` is its record: where there is one, it alone is read. Otherwise every file directly in
    the folder is, in natural order (2 before 10). A file that cannot be read is named in `skipped` with the reason,
    and stops nothing. Raises FileNotFoundError where there is nothing at `path`.
    """
    path = Path(path)
    if not path.exists():
        raise FileNotFoundError(f"There is no folder or file {path}; name one that holds crystals.")
    reading = Reading()
    if path.is_file():
        _read_file(path, path.name, reading)
    elif (path / RECORD).is_file():
        _read_file(path / RECORD, RECORD, reading)
    else:
        for file in sorted(path.iterdir(), key=lambda f: natural(f.name)):
            if file.is_dir():
                reading.skipped.append((file.name, "a folder; only files directly inside are read."))
            elif not file.name.startswith("."):
                _read_file(file, file.name, reading)
    _make_unique(reading.ids)
    return reading


def natural(name: str) -> list[tuple[int, int, str]]:
    """Sorting key by which "2.cif" comes before "10.cif"."""
    return [(0, int(part), "") if part.isdecimal() else (1, 0, part) for part in re.split(r"(\d+)", name) if part]


def _read_file(file: Path, name: str, reading: Reading) -> None:
    try:
        if file.suffix.lower() == ".zip":
            _read_archive(file, name, reading)
        else:
            _read_bytes(file.read_bytes, name, Path(name).name, reading)
    except (OSError, zipfile.BadZipFile) as error:
        reading.skipped.append((name, f"cannot be opened ({_first(error)})."))


def _read_archive(file: Path, name: str, reading: Reading) -> None:
    with zipfile.ZipFile(file) as archive:
        members = [m for m in archive.infolist() if not m.is_dir() and "__MACOSX" not in m.filename]
        for member in sorted(members, key=lambda m: natural(m.filename)):
            label = f"{name}/{member.filename}"
            if member.file_size > LARGEST_MEMBER:
                reading.skipped.append((label, f"larger than {LARGEST_MEMBER // 2**20} MiB unpacked."))
                continue
            try:
                _read_bytes(lambda member=member: archive.read(member), label, Path(member.filename).name, reading)
            except (RuntimeError, zipfile.BadZipFile, NotImplementedError) as error:  # encrypted, damaged, exotic
                reading.skipped.append((label, f"cannot be unpacked ({_first(error)})."))


def _read_bytes(load: Callable[[], bytes], label: str, name: str, reading: Reading) -> None:
    """Take the crystals of one file; `label` names it for people, `name` tells its kind."""
    kind = _kind(name)
    if kind is None:
        reading.skipped.append((label, "not a crystal: wanted .cif, .vasp or POSCAR, .extxyz or .xyz, or .zip."))
        return
    text = load().decode("utf-8", errors="replace")
    stem = name if kind == "poscar" and "." not in name else Path(name).stem
    if kind == "extxyz":
        _read_frames(text, label, stem, reading)
        return
    try:
        structures = parse_cif(text) if kind == "cif" else _parse_poscar(text)
    except UnreadableError as error:
        reading.skipped.append((label, str(error)))
        return
    for index, structure in enumerate(structures):
        reading.structures.append(structure)
        reading.ids.append(stem if len(structures) == 1 else f"{stem}-{index}")
        reading.infos.append({})


def _read_frames(text: str, label: str, stem: str, reading: Reading) -> None:
    frames = list(_frames(text))
    if not frames:
        reading.skipped.append((label, "the file is empty."))
    for index, frame in enumerate(frames):
        try:
            crystals, known = _parse_frame(frame)
        except UnreadableError as error:
            where = label if len(frames) == 1 else f"{label}, frame {index}"
            reading.skipped.append((where, str(error)))
            continue
        reading.structures.extend(to_structures(crystals))
        reading.ids.append(str(known.get("id", stem if len(frames) == 1 else f"{stem}-{index}")))
        reading.infos.append(known)


def _kind(name: str) -> str | None:
    suffix = Path(name).suffix.lower()
    if suffix in {".vasp", ".poscar"} or name.upper().startswith(("POSCAR", "CONTCAR")):
        return "poscar"
    return {".cif": "cif", ".mcif": "cif", ".xyz": "extxyz", ".extxyz": "extxyz"}.get(suffix)


def _make_unique(ids: list[str]) -> None:
    """Two files of one stem would be one row; the later one is numbered."""
    seen: set[str] = set()
    for at, name in enumerate(ids):
        new, n = name, 1
        while new in seen:
            n += 1
            new = f"{name}-{n}"
        ids[at] = new
        seen.add(new)
