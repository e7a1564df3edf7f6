"""Inputs for VASP with the settings of the Materials Project, so that energies compare with the hull. Edge: pymatgen.

Two relaxations and a static calculation for each crystal, or the strained cells of its elastic tensor. Source: Zeni et
al. 2025, C.2. POTCAR files are licensed and not written; POTCAR.spec names them.
"""

import json
import re
import shutil
import warnings
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch

from model.crystals import Crystals

if TYPE_CHECKING:
    from pymatgen.core import Structure

MANIFEST, RECORD, SCRIPT = "dft.json", "crystals.extxyz", "run.sh"
FORMAT = 1
RELAX, ELASTIC = "relax", "elastic"
CALCULATIONS = (RELAX, ELASTIC)
STAGES = ("1-relax", "2-relax", "3-static")
STRAINS = (-0.005, 0.005)
# for stresses finer than energies need: those of atomate2's elastic workflow
_FINE = {
    "IBRION": 2, "ISIF": 2, "ENCUT": 700, "EDIFF": 1e-7, "EDIFFG": -0.001, "LREAL": False, "ALGO": "Normal", "NSW": 99,
    "LCHARG": False, "LAECHG": False, "ISMEAR": 0, "SIGMA": 0.05,
}  # fmt: skip
_DENSITY = 7000  # k-points times atoms, for stresses

_HEAD = """\
#!/bin/bash
# Runs VASP in every folder: VASP="mpirun -n 32 vasp_std" ./run.sh
# A stage that has ended is passed over, so the script can be started again.
set -euo pipefail
cd "$(dirname "$0")"
: "${VASP:?set VASP to the command that starts VASP}"
ended() { [ -f "$1/vasprun.xml" ] && tail -n 1 "$1/vasprun.xml" | grep -q "</modeling>"; }
stage() {
  ended "$1" && return 0
  [ -f "$1/POTCAR" ] || { echo "$1 has no POTCAR; join the ones that POTCAR.spec names, in its order." >&2; exit 2; }
  ( cd "$1" && $VASP > vasp.out 2>&1 )
  ended "$1" || { echo "$1 did not end; see vasp.out." >&2; return 1; }
}
"""
_README = """\
Inputs for VASP with the settings of the Materials Project, made by the MatterGen design workbench.

Each folder is one crystal; dft.json says which. {what}

POTCAR files are licensed and not here: join those that each POTCAR.spec names, in its order, into POTCAR. Then

  VASP="mpirun -n 32 vasp_std" ./run.sh

runs what has not ended yet; results are read back with

  workbench dft read {name}
"""
_WHAT = {
    RELAX: "Each is relaxed twice (1-relax, 2-relax) and calculated once where it rests\n(3-static); run.sh hands each "
           "stage the crystal of the one before it.",
    ELASTIC: "In its strained cells (strain-01 and on) the atoms are relaxed; the stresses\ngive the elastic tensor. "
             "The crystal must have been relaxed by DFT before.",
}  # fmt: skip


class HandOverError(ValueError):
    """Crystals that cannot be handed over, or a folder that holds no hand-over."""


def write(crystals: Crystals, names: Sequence[str], out: Path, *, calculation: str = RELAX) -> Path:
    """Write the inputs for some crystals to a new folder, whole or not at all.

    Crystals of elements without settings are left out; the folder's dft.json names them under `left_out`.
    Raises HandOverError for a calculation that is not known, and where no crystal is left; FileExistsError where the
    folder exists.
    """
    from model.io import to_structures, write_extxyz

    if calculation not in CALCULATIONS:
        raise HandOverError(f"There is no calculation {calculation!r}; choose among {', '.join(CALCULATIONS)}.")
    if not len(crystals):
        raise HandOverError("There is nothing to hand over: no crystal was chosen.")
    if out.exists():
        raise FileExistsError(f"{out} exists already and is not overwritten; name another folder.")
    folders = _folders(names)
    draft = out.with_name(f".{out.name}.part")
    shutil.rmtree(draft, ignore_errors=True)
    draft.mkdir(parents=True)
    try:
        left_out: dict[str, str] = {}
        for folder, name, structure in zip(folders, names, to_structures(crystals), strict=True):
            try:
                _one(draft / folder, str(name), structure, calculation)
            except HandOverError as error:
                left_out[str(name)] = str(error)
                shutil.rmtree(draft / folder, ignore_errors=True)
        kept = [row for row, name in enumerate(names) if str(name) not in left_out]
        if not kept:
            raise HandOverError(next(iter(left_out.values())))
        crystals, names, folders = crystals[kept], [names[row] for row in kept], [folders[row] for row in kept]
        write_extxyz(draft / RECORD, crystals, [{"id": str(name)} for name in names])
        told = _manifest(names, folders, crystals, calculation) | {"left_out": left_out}
        (draft / MANIFEST).write_text(json.dumps(told, indent=1) + "\n", encoding="utf-8")
        what = _README.format(what=_WHAT[calculation], name=out.name)
        (draft / "README.txt").write_text(what, encoding="utf-8")
        script = draft / SCRIPT
        script.write_text(_script(folders, calculation), encoding="utf-8")
        script.chmod(0o755)
        draft.rename(out)
    finally:
        shutil.rmtree(draft, ignore_errors=True)
    return out


def _manifest(names: Sequence[str], folders: Sequence[str], crystals: Crystals, calculation: str) -> dict[str, Any]:
    sets = {RELAX: ["MPRelaxSet", "MPRelaxSet", "MPStaticSet"], ELASTIC: ["MPStaticSet, finer"]}
    return {
        "format": FORMAT,
        "calculation": calculation,
        "sets": sets[calculation],
        "strains": list(STRAINS) if calculation == ELASTIC else [],
        "crystals": [
            {"id": str(name), "folder": folder, "atoms": int(n)}
            for name, folder, n in zip(names, folders, crystals.n_atoms, strict=True)
        ],
    }


def _one(folder: Path, name: str, structure: "Structure", calculation: str) -> None:
    from pymatgen.io.vasp.sets import MPRelaxSet, MPStaticSet

    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # of magnetic moments begun with, which are MP's own
        try:
            if calculation == RELAX:
                for stage, settings in zip(STAGES, (MPRelaxSet, MPRelaxSet, MPStaticSet), strict=True):
                    settings(structure).write_input(folder / stage, potcar_spec=True)
                return
            for at, strained in enumerate(strained_cells(structure), start=1):
                fine = MPStaticSet(
                    strained, user_incar_settings=_FINE, user_kpoints_settings={"grid_density": _DENSITY}
                )
                fine.write_input(folder / f"strain-{at:02d}", potcar_spec=True)
        except (KeyError, ValueError) as error:
            formula = structure.composition.reduced_formula
            raise HandOverError(f"{name} ({formula}) has no settings of the Materials Project: {error}.") from error


def strained_cells(structure: "Structure") -> "list[Structure]":
    """The crystal under each strain of its elastic tensor, in the order of `properties.elastic.deformations`."""
    from pymatgen.core import Lattice, Structure

    from model.properties.elastic import deformations

    return [
        Structure(Lattice(structure.lattice.matrix @ one.T), structure.species, structure.frac_coords)
        for one in deformations(STRAINS)
    ]


def _folders(names: Sequence[str]) -> list[str]:
    """Names as folders: no way out of the one above, no two alike."""
    plain = [re.sub(r"[^\w.+()-]", "_", str(name)).lstrip(".") or "crystal" for name in names]
    folders: list[str] = []
    for name in plain:
        n, free = 1, name
        while free in folders:
            n += 1
            free = f"{name}-{n}"
        folders.append(free)
    return folders


def _script(folders: Sequence[str], calculation: str) -> str:
    quoted = " ".join(f"'{folder}'" for folder in folders)
    if calculation == ELASTIC:
        body = 'for crystal in CRYSTALS; do for strain in "$crystal"/strain-*; do stage "$strain"; done; done\n'
    else:
        body = (
            "for crystal in CRYSTALS; do\n"
            '  stage "$crystal/1-relax"\n'
            '  ended "$crystal/2-relax" || cp "$crystal/1-relax/CONTCAR" "$crystal/2-relax/POSCAR"\n'
            '  stage "$crystal/2-relax"\n'
            '  ended "$crystal/3-static" || cp "$crystal/2-relax/CONTCAR" "$crystal/3-static/POSCAR"\n'
            '  stage "$crystal/3-static"\n'
            "done\n"
        )
    return _HEAD + body.replace("CRYSTALS", quoted)


def manifest(folder: Path) -> dict[str, Any]:
    """What was handed over in a folder. Raises HandOverError where nothing was."""
    try:
        told = json.loads((folder / MANIFEST).read_text(encoding="utf-8"))
    except OSError as error:
        raise HandOverError(
            f"{folder} holds no calculations: it has no {MANIFEST}. Make them with: workbench dft write."
        ) from error
    except ValueError as error:
        raise HandOverError(f"{folder / MANIFEST} is damaged ({error}); write the hand-over again.") from error
    if told.get("format") != FORMAT or not isinstance(told.get("crystals"), list):
        raise HandOverError(f"{folder} was written by another version (format {told.get('format')}, wanted {FORMAT}).")
    named = [str(one.get("folder")) for one in told["crystals"]]
    if wrong := [name for name in named if _folders([name]) != [name]]:
        raise HandOverError(f"{folder / MANIFEST} names a folder {wrong[0]!r} that is none of its own.")
    return told


def handed_over(folder: Path) -> tuple[Crystals, list[str]]:
    """The crystals that were handed over in a folder, with their names."""
    from model.io import read_extxyz

    crystals, infos = read_extxyz(folder / RECORD)
    return crystals, [str(info["id"]) for info in infos]


def pick(crystals: Crystals, names: Sequence[str], chosen: Sequence[str]) -> tuple[Crystals, list[str]]:
    """The chosen ones, in the order in which they were chosen. Raises HandOverError for a name that is not there."""
    places, chosen = {str(name): row for row, name in enumerate(names)}, list(dict.fromkeys(chosen))
    if strange := [name for name in chosen if name not in places]:
        raise HandOverError(
            f"There is no crystal {', '.join(strange)} here; names are {', '.join(list(places)[:5])} and so on."
        )
    return crystals[torch.tensor([places[name] for name in chosen])], chosen
