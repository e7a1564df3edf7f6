"""Extended XYZ: the record of crystals and of what is known of each. Edge: ase."""

import json
import os
import re
from collections.abc import Iterator, Mapping, Sequence
from io import StringIO
from pathlib import Path
from typing import Any

import ase.io
import numpy as np
from ase import Atoms
from ase.io.extxyz import key_val_str_to_dict

from model.crystals import Crystals
from model.io.convert import from_atoms, to_atoms
from model.io.text import UnreadableError, first_line, write_text


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
    for index, frame in enumerate(frames_of(Path(path).read_text(encoding="utf-8"))):
        try:
            one, known = parse_frame(frame)
        except UnreadableError as error:
            raise UnreadableError(error.kind, f"Frame {index} of {path}: {error}") from error
        crystals.append(one)
        infos.append(known)
    return Crystals.join(crystals), infos


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


def frames_of(text: str) -> Iterator[str]:
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


def parse_frame(frame: str) -> tuple[Crystals, dict[str, Any]]:
    """The crystal of one frame, and what was kept with it. Raises UnreadableError."""
    try:
        atoms = ase.io.read(StringIO(frame), format="extxyz", index=0)
    except Exception as error:  # whatever a damaged text makes ASE raise, the text is the reason
        raise UnreadableError("unreadable", f"not readable as extended XYZ, perhaps truncated ({first_line(error)}).") \
            from error
    if not np.isfinite(atoms.cell.array).all() or not np.isfinite(atoms.positions).all():
        raise UnreadableError("not a number", "its cell or a coordinate is not a finite number.")
    known = dict(atoms.info)
    if atoms.calc is not None:  # ASE files names like `energy` under a calculator
        known |= {name: value for name, value in atoms.calc.results.items() if np.ndim(value) == 0}
    known = {k: v.tolist() if isinstance(v, np.generic | np.ndarray) else v for k, v in known.items()}
    return from_atoms([atoms]), known
