"""The export kit: CIF, CSV, extxyz, POSCAR, ASE database; one order everywhere, a README that says what lies where."""

import io
import json
import os
import shutil
import tempfile
import zipfile
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from model.candidates import COLUMNS, Candidates
from model.constraints import Constraints
from model.crystals import Crystals

FORMATS = ("cif", "csv", "extxyz", "poscar", "ase")
VASP = "vasp"  # asked for beside them: it takes seconds for a few crystals, and suits only what is worth the DFT

MEASURED_TWICE = ("space_group", "space_group_number", "space_group_tight", "volume")  # and again after relaxing
OTHERWISE = {"id": "name", "formula": "reduced_formula", "energy": "energy_per_atom", "volume": "cell_volume"}

CITATION = """\
If these crystals serve you, please cite the method they were made with:

  C. Zeni, R. Pinsler, D. Zügner, A. Fowler, M. Horton et al.,
  "A generative model for inorganic materials design", Nature 639, 624-632 (2025).

Energies, where given, are those of the energy model named in the scorecard; the reference hull derives from the
Materials Project (A. Jain et al., APL Materials 1, 011002 (2013)), CC BY 4.0.
"""


class ExportError(ValueError):
    """An export that cannot be made as asked."""


@dataclass(frozen=True, kw_only=True)
class Selection:
    """Candidates to take away, in order, and the relaxed crystals of those that have one."""

    candidates: Candidates
    relaxed: Mapping[str, Crystals]


@dataclass(frozen=True, kw_only=True)
class Origin:
    """Where crystals come from: what was asked of which model or method, and the rates of the run they are of."""

    constraints: Constraints
    method: str = ""
    model: str = ""
    model_hash: str = ""
    steps: int = 0
    corrections: int = 0
    told: Mapping[str, str] = field(default_factory=dict)
    reference: str = ""
    scorecard: str = ""

    def to_json(self) -> dict[str, Any]:
        """All but the scorecard, which has a file of its own."""
        plain = ("method", "model", "model_hash", "steps", "corrections", "reference")
        told = {name: getattr(self, name) for name in plain}
        return {"constraints": self.constraints.to_json(), **told, "told": dict(self.told)}


def select(candidates: Candidates, chosen: Sequence[str], relaxed: Mapping[str, Crystals]) -> Selection:
    """The chosen candidates in the table's order; all of them where none is chosen."""
    if not len(candidates):
        raise ExportError("There is nothing to export yet; generate crystals first.")
    part = candidates
    if chosen:
        part = candidates.where(candidates.table["id"].isin(list(chosen)).to_numpy())
        if not len(part):
            raise ExportError("None of the chosen crystals is among the candidates any more; choose again.")
    return Selection(candidates=part, relaxed={name: relaxed[name] for name in part.table["id"] if name in relaxed})


def free_name(folder: Path) -> Path:
    """The folder itself, or its name with the first number at which nothing lies yet."""
    if not folder.exists():
        return folder
    n = 2
    while (other := folder.with_name(f"{folder.name}-{n}")).exists():
        n += 1
    return other


def write(
    selection: Selection,
    folder: str | os.PathLike,
    formats: Iterable[str] = FORMATS,
    origin: Origin | None = None,
) -> Path:
    """Write the kit to a new folder, whole or not at all. Raises ExportError where something lies there already."""
    folder = Path(folder).expanduser()
    if folder.exists():
        raise ExportError(f"{folder} exists already, and nothing is ever overwritten; name another folder.")
    try:
        folder.parent.mkdir(parents=True, exist_ok=True)
        draft = Path(tempfile.mkdtemp(prefix=f".{folder.name}.", dir=folder.parent))
    except OSError as error:
        raise ExportError(f"Nothing can be written to {folder}: {error.strerror or error}; name another.") from error
    try:
        _fill(selection, draft, tuple(formats), origin)
        draft.chmod(0o755)
        draft.rename(folder)
    except BaseException:
        shutil.rmtree(draft, ignore_errors=True)
        raise
    return folder


def archive(selection: Selection, formats: Iterable[str] = FORMATS, origin: Origin | None = None) -> bytes:
    """The same kit as the bytes of a zip."""
    with tempfile.TemporaryDirectory() as place:
        folder = write(selection, Path(place) / "crystals", formats, origin)
        packed = io.BytesIO()
        with zipfile.ZipFile(packed, "w", zipfile.ZIP_DEFLATED) as zipped:
            for file in sorted(folder.rglob("*")):
                if file.is_file():
                    zipped.write(file, file.relative_to(folder.parent))
        return packed.getvalue()


def _fill(selection: Selection, folder: Path, formats: tuple[str, ...], origin: Origin | None) -> None:
    writers = {"cif": _cif, "csv": _csv, "extxyz": _extxyz, "poscar": _poscar, "ase": _ase, VASP: _vasp}
    if wrong := [name for name in formats if name not in writers]:
        raise ExportError(f"No export is called {', '.join(wrong)}; there are {', '.join(writers)}.")
    lines = [line for name in formats for line in writers[name](selection, folder)]
    if origin is not None:
        (folder / "run.json").write_text(json.dumps(origin.to_json(), indent=1) + "\n", encoding="utf-8")
        lines.append("- `run.json`: what was asked for, of which model, and what it was judged against")
        if origin.scorecard:
            (folder / "scorecard.txt").write_text(origin.scorecard + "\n", encoding="utf-8")
            lines.append("- `scorecard.txt`: rates of the whole run, with their definitions, n and 95 % intervals")
    (folder / "CITATION.txt").write_text(CITATION, encoding="utf-8")
    (folder / "README.md").write_text(_readme(selection, lines), encoding="utf-8")


def _readme(selection: Selection, lines: list[str]) -> str:
    table = selection.candidates.table
    columns = "\n".join(
        f"- `{name}`: {COLUMNS[name].title}{'. ' + COLUMNS[name].about if COLUMNS[name].about else ''}"
        for name in table.columns
    )
    return (
        f"# {len(table)} crystals from the MatterGen design workbench\n\n"
        "Every file lists the crystals in one order, that of `candidates.csv`.\n\n"
        + "\n".join(lines)
        + "\n- `CITATION.txt`: what to cite\n\n## Columns\n\n"
        + columns
        + "\n"
    )


def _names(selection: Selection) -> list[str]:
    """File stems: the ids, with what a file system dislikes replaced."""
    return [
        "".join(c if c.isalnum() or c in "-_." else "_" for c in str(name)).lstrip(".") or "crystal"
        for name in selection.candidates.table["id"]
    ]


def _relaxed(selection: Selection) -> tuple[list[str], Crystals]:
    names = [name for name in selection.candidates.table["id"] if name in selection.relaxed]
    return names, Crystals.join([selection.relaxed[name] for name in names])


def _cif(selection: Selection, folder: Path) -> list[str]:
    from model.io import to_structures, write_cif

    lines = ["- `cif/`: one file a crystal as generated, idealised to its space group within 0.1 Å"]
    parts = [("cif", _names(selection), selection.candidates.crystals)]
    names, relaxed = _relaxed(selection)
    if names:
        parts.append(("cif-relaxed", names, relaxed))
        lines.append("- `cif-relaxed/`: the same after relaxation, for those relaxed so far")
    for place, stems, crystals in parts:
        (folder / place).mkdir()
        for stem, structure in zip(stems, to_structures(crystals), strict=True):
            write_cif(folder / place / f"{stem}.cif", structure)
    return lines


def _csv(selection: Selection, folder: Path) -> list[str]:
    selection.candidates.table.to_csv(folder / "candidates.csv", index=False)
    return ["- `candidates.csv`: what is known of each, a row a crystal; units below"]


def _extxyz(selection: Selection, folder: Path) -> list[str]:
    from model.io import write_extxyz

    rows = [_plain(row) for row in selection.candidates.table.to_dict("records")]
    write_extxyz(folder / "crystals.extxyz", selection.candidates.crystals, rows)
    lines = ["- `crystals.extxyz`: as generated, to the bit, with the columns in each comment line"]
    names, relaxed = _relaxed(selection)
    if names:
        write_extxyz(folder / "relaxed.extxyz", relaxed, [{"id": name} for name in names])
        lines.append("- `relaxed.extxyz`: after relaxation")
    return lines


def _plain(row: Mapping[str, Any]) -> dict[str, Any]:
    """What an extended XYZ comment can hold: known numbers, texts and truths."""
    import pandas as pd

    plain = {
        name: value.item() if isinstance(value, np.generic) else value
        for name, value in row.items()
        if not pd.isna(value)
    }
    return {name: value for name, value in plain.items() if isinstance(value, str | int | float | bool)}


def _poscar(selection: Selection, folder: Path) -> list[str]:
    from pymatgen.io.vasp import Poscar

    from model.io import to_structures

    lines = ["- `poscar/`: VASP POSCAR files as generated, atoms sorted by element"]
    parts = [("poscar", _names(selection), selection.candidates.crystals)]
    names, relaxed = _relaxed(selection)
    if names:
        parts.append(("poscar-relaxed", names, relaxed))
        lines.append("- `poscar-relaxed/`: the same after relaxation")
    for place, stems, crystals in parts:
        (folder / place).mkdir()
        for stem, structure in zip(stems, to_structures(crystals), strict=True):
            text = Poscar(structure.get_sorted_structure(), comment=stem).get_str()
            (folder / place / f"{stem}.vasp").write_text(text, encoding="utf-8")
    return lines


def _ase(selection: Selection, folder: Path) -> list[str]:
    from model.io import to_atoms

    rows = [_keys(_plain(row)) for row in selection.candidates.table.to_dict("records")]
    _database(folder / "crystals.db", to_atoms(selection.candidates.crystals), rows)
    lines = ["- `crystals.db`: ASE database (SQLite) of the generated crystals: `ase.db.connect('crystals.db')`"]
    names, relaxed = _relaxed(selection)
    if names:
        told = {str(row["id"]): row for row in map(_after, selection.candidates.table.to_dict("records"))}
        _database(folder / "relaxed.db", to_atoms(relaxed), [_keys(_plain(told[name])) for name in names])
        lines.append("- `relaxed.db`: the same after relaxation")
    return lines


def _after(row: Mapping[str, Any]) -> dict[str, Any]:
    """A row that speaks of the relaxed crystal: what was measured after relaxing takes the place of what was before."""
    later = {name: row[f"relaxed_{name}"] for name in MEASURED_TWICE if f"relaxed_{name}" in row}
    gone = {*MEASURED_TWICE, *(f"relaxed_{name}" for name in MEASURED_TWICE), "density"}
    return {name: value for name, value in row.items() if name not in gone} | later


def _database(file: Path, atoms: Sequence[Any], rows: Sequence[Mapping[str, Any]]) -> None:
    from ase.db import connect

    with connect(file, append=False) as database:
        for one, row in zip(atoms, rows, strict=True):
            database.write(one, key_value_pairs=dict(row))


def _keys(row: Mapping[str, Any]) -> dict[str, Any]:
    """What ASE's database takes as keys: it keeps some names for itself, and a text may not look like a number."""
    from ase.db.core import reserved_keys

    named = {OTHERWISE.get(name, name): value for name, value in row.items() if value != ""}
    return {
        name: f"_{value}" if isinstance(value, str) and _numeric(value) else value
        for name, value in named.items()
        if name not in reserved_keys
    }


def _numeric(text: str) -> bool:
    try:
        float(text)
    except ValueError:
        return False
    return True


def _vasp(selection: Selection, folder: Path) -> list[str]:
    from model.dft import inputs

    table = selection.candidates.table
    crystals = Crystals.join([
        selection.relaxed.get(name, selection.candidates.crystals[row]) for row, name in enumerate(table["id"])
    ])  # fmt: skip
    inputs.write(crystals, table["id"].astype(str).tolist(), folder / VASP)
    return ["- `vasp/`: inputs for VASP with the Materials Project's settings, of the relaxed crystals where known"]
