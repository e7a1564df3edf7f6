"""What VASP found: energies with the Materials Project's corrections, and crystals, read back. Edge: pymatgen."""

import warnings
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import torch

from model.crystals import Crystals
from model.dft.inputs import RELAX, STAGES, HandOverError, handed_over, manifest
from model.relax.relaxer import Relaxed
from model.shapes import Float

if TYPE_CHECKING:
    from pymatgen.core import Structure
    from pymatgen.io.vasp.outputs import Vasprun

NAME = "PBE+U, Materials Project settings and 2020 corrections"
_SAME = {"PBE": "GGA", "PBE+U": "GGA+U"}  # PBE named in INCAR is the PBE that the potentials bring
_NAN = float("nan")


@dataclass(frozen=True, kw_only=True)
class Calculated:
    """One crystal as DFT left it; energies in eV, already corrected, `magnetisation` in Bohr magnetons a cell.

    `band_gap` (eV) and `magnetisation` are NaN where no file tells them.
    """

    relaxed: Relaxed
    correction: float
    band_gap: float
    magnetisation: float
    stage: str


@dataclass(frozen=True, kw_only=True)
class Results:
    """What was handed over and what came back: `missing` names those that did not, each with the reason."""

    crystals: Crystals
    names: tuple[str, ...]
    found: Mapping[str, Calculated] = field(default_factory=dict)
    missing: Mapping[str, str] = field(default_factory=dict)


class ResultError(ValueError):
    """A calculation that gives no energy to compare: its message says why."""


def read(folder: Path) -> Results:
    """Read the results of a hand-over of relaxations; what has not come back, or is damaged, is named in `missing`.

    Raises HandOverError where the folder holds no such hand-over.
    """
    told = manifest(folder)
    if told["calculation"] != RELAX:
        raise HandOverError(f"{folder} holds {told['calculation']} calculations, and relaxations were wanted.")
    crystals, names = handed_over(folder)
    found: dict[str, Calculated] = {}
    missing: dict[str, str] = {}
    for row, one in enumerate(told["crystals"]):
        try:
            found[one["id"]] = _calculated(folder / one["folder"], row, crystals[row])
        except ResultError as error:
            missing[one["id"]] = str(error)
    return Results(crystals=crystals, names=tuple(names), found=found, missing=missing)


def _calculated(folder: Path, row: int, before: Crystals) -> Calculated:
    """The furthest stage that has ended; a stage that is damaged is passed over for the one before it."""
    damaged = ""
    for stage in reversed(STAGES):
        place = folder / stage
        try:
            run = vasprun(place)
            if run is not None:
                return _from_vasprun(run, place, row, before)
            if _file(place, "OUTCAR") is not None:
                return _from_outcar(place, row, before)
        except ResultError as error:
            damaged = damaged or f"{stage}: {error}"
    raise ResultError(damaged or "It has not been calculated yet: no vasprun.xml and no OUTCAR.")


def vasprun(place: Path) -> "Vasprun | None":
    """The calculation's record, None where there is none. Raises ResultError where it is damaged or cut short."""
    from pymatgen.io.vasp.outputs import Vasprun

    path = _file(place, "vasprun.xml")
    if path is None:
        return None
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            run = Vasprun(str(path), parse_dos=False, parse_potcar_file=False)
    except Exception as error:  # a file cut short fails in many ways, and each means the same
        raise ResultError(f"{path.name} is not readable, perhaps not ended ({str(error).splitlines()[0][:120]}).") \
            from error
    if not run.ionic_steps or not np.isfinite(run.ionic_steps[-1].get("e_0_energy", _NAN)):
        raise ResultError(f"{path.name} ends before the first energy.")
    return run


def _from_vasprun(run: "Vasprun", place: Path, row: int, before: Crystals) -> Calculated:
    entry = run.get_computed_entry(inc_structure=True, entry_id=place.parent.name)
    correction = _correction(entry)
    last = run.ionic_steps[-1]
    forces = np.array(last.get("forces", np.full((1, 3), np.nan)), dtype=float)
    gap = _NAN
    if run.eigenvalues:
        gap = float(run.eigenvalue_band_properties[0])
    return Calculated(
        relaxed=_relaxed(row, run.final_structure, float(run.final_energy) + correction, forces, len(run.ionic_steps),
                         before, converged=bool(run.converged), stage=place.name),
        correction=correction, band_gap=gap, magnetisation=_magnetisation(place), stage=place.name,
    )  # fmt: skip


def _from_outcar(place: Path, row: int, before: Crystals) -> Calculated:
    """OUTCAR, CONTCAR and INCAR, where the record itself was not kept."""
    from pymatgen.entries.computed_entries import ComputedStructureEntry
    from pymatgen.io.vasp import Incar, Outcar, Poscar

    where = _file(place, "CONTCAR") or (_file(place, "POSCAR") if place.name == STAGES[-1] else None)
    settings, spec = _file(place, "INCAR"), _file(place, "POTCAR.spec")
    if where is None or settings is None or spec is None:
        raise ResultError("OUTCAR alone is not enough; CONTCAR, INCAR and POTCAR.spec are needed beside it.")
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            out = Outcar(str(_file(place, "OUTCAR")))
            structure = Poscar.from_file(str(where)).structure
            incar = Incar.from_file(str(settings))
        energy = float(out.final_energy)
        potentials = [f"PAW_PBE {name}" for name in spec.read_text(encoding="utf-8").split()]
    except Exception as error:
        raise ResultError(f"OUTCAR is not readable, perhaps not ended ({error}).") from error
    hubbards = _hubbards(incar, potentials)
    entry = ComputedStructureEntry(structure, energy, entry_id=place.parent.name, parameters={
        "is_hubbard": bool(sum(hubbards.values())), "hubbards": hubbards, "potcar_symbols": potentials,
        "run_type": "GGA+U" if sum(hubbards.values()) else "GGA",
    })  # fmt: skip
    correction = _correction(entry)
    return Calculated(
        relaxed=_relaxed(row, structure, energy + correction, np.full((1, 3), np.nan), 0, before,
                         converged="Elapsed time (sec)" in out.run_stats, stage=place.name),
        correction=correction, band_gap=_NAN, magnetisation=_magnetisation(place), stage=place.name,
    )  # fmt: skip


def _hubbards(incar: Any, potentials: list[str]) -> dict[str, float]:
    if not incar.get("LDAU"):
        return {}
    symbols = [title.split()[1].split("_")[0] for title in potentials]
    values = list(incar.get("LDAUU") or [])
    return dict(zip(symbols, map(float, values), strict=True)) if len(values) == len(symbols) else {}


def _correction(entry: Any) -> float:
    """What the Materials Project adds, in eV. Raises ResultError where the settings are not its own."""
    from pymatgen.entries.compatibility import MaterialsProject2020Compatibility

    said = entry.parameters.get("run_type")
    entry.parameters["run_type"] = _SAME.get(said, said)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        processed = MaterialsProject2020Compatibility(check_potcar=False).process_entry(entry)
    if processed is None:
        raise ResultError(
            f"its settings ({said}, U values {entry.parameters.get('hubbards') or 'none'}) are not the Materials "
            "Project's, so its energy does not compare."
        )
    return float(processed.correction)


def _relaxed(
    row: int, structure: "Structure", energy: float, forces: Float[np.ndarray, "atoms 3"], steps: int, before: Crystals,
    *, converged: bool, stage: str,
) -> Relaxed:  # fmt: skip
    from model.io import from_structures

    after = from_structures([structure])
    if sorted(after.numbers.tolist()) != sorted(before.numbers.tolist()):
        raise ResultError(f"its atoms are {structure.composition.formula}, which is not what was handed over.")
    reasons = [] if converged else [f"DFT did not converge in {stage}."]
    if stage != STAGES[-1]:
        reasons.append(f"Its energy is that of {stage}; {STAGES[-1]} has not ended.")
    return Relaxed(
        row=row, crystal=after, energy=energy, force=float(np.linalg.norm(forces, axis=1).max()), converged=converged,
        steps=steps, reason=" ".join(reasons),
        moments=torch.full((len(structure),), torch.nan, dtype=torch.float64),
    )  # fmt: skip


def _magnetisation(place: Path) -> float:
    """Total moment of the cell, which only OUTCAR tells; NaN without it."""
    from pymatgen.io.vasp import Outcar

    path = _file(place, "OUTCAR")
    if path is None:
        return _NAN
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            moment = Outcar(str(path)).total_mag
    except Exception:  # noqa: BLE001 - what cannot be read is not known
        return _NAN
    return _NAN if moment is None else abs(float(moment))


def _file(place: Path, name: str) -> Path | None:
    return next(_files(place, name), None)


def _files(place: Path, name: str) -> Iterator[Path]:
    """A file, as it is or packed."""
    return (path for path in (place / name, place / f"{name}.gz") if path.is_file())
