"""Folders, files and archives of crystals, with reasons for what is passed over. Edge: pymatgen."""

import os
import re
import zipfile
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from pymatgen.core import Structure

from model.crystals import Crystals
from model.io.cif import parse_cif, parse_poscar
from model.io.convert import from_structures, to_structures
from model.io.extxyz import frames_of, parse_frame
from model.io.text import UnreadableError, first_line

RECORD = "crystals.extxyz"  # what a generated folder keeps; where it lies, the CIFs beside it say the same again
LARGEST_MEMBER = 64 * 2**20  # bytes of one file in an archive; no crystal is near it, a hostile archive may be


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
        reading.skipped.append((name, f"cannot be opened ({first_line(error)})."))


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
                reading.skipped.append((label, f"cannot be unpacked ({first_line(error)})."))


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
        structures = parse_cif(text) if kind == "cif" else parse_poscar(text)
    except UnreadableError as error:
        reading.skipped.append((label, str(error)))
        return
    for index, structure in enumerate(structures):
        reading.structures.append(structure)
        reading.ids.append(stem if len(structures) == 1 else f"{stem}-{index}")
        reading.infos.append({})


def _read_frames(text: str, label: str, stem: str, reading: Reading) -> None:
    frames = list(frames_of(text))
    if not frames:
        reading.skipped.append((label, "the file is empty."))
    for index, frame in enumerate(frames):
        try:
            crystals, known = parse_frame(frame)
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
