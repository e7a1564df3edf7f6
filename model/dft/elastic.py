"""Elastic moduli that VASP found: stresses of strained cells, read back and kept as a table. Edge: pandas, pymatgen."""

import json
import shutil
from collections.abc import Mapping
from pathlib import Path

import numpy as np

from model.dft.inputs import ELASTIC, STRAINS, HandOverError, handed_over, manifest
from model.dft.results import ResultError, vasprun
from model.properties.elastic import Elasticity, deformations, moduli, nothing
from model.shapes import Float

TABLE, TENSORS, CRYSTALS = "candidates.csv", "elastic_tensors.json", "crystals.extxyz"
NOT_YET = " has no vasprun.xml yet."
_KILOBAR = -0.1  # VASP's stress in kB, positive where the cell wants to grow, in GPa with the other sign


def read(folder: Path) -> dict[str, Elasticity]:
    """Elastic moduli by name from a hand-over of strained cells; NaN and a reason where stresses are missing.

    Raises HandOverError where the folder holds no such hand-over.
    """
    told = manifest(folder)
    if told["calculation"] != ELASTIC:
        raise HandOverError(f"{folder} holds {told['calculation']} calculations, and elastic ones were wanted.")
    each = deformations(told.get("strains") or STRAINS)
    found = {}
    for one in told["crystals"]:
        try:
            stresses = [_stress(folder / one["folder"] / f"strain-{at:02d}") for at in range(1, len(each) + 1)]
        except ResultError as error:
            found[one["id"]] = nothing(str(error), ions=True)
            continue
        at_rest = np.mean(stresses, axis=0)  # strains come in pairs of both signs, whose linear parts cancel
        found[one["id"]] = moduli(each, np.array(stresses), at_rest, ions=True)
    return found


def write(folder: Path, found: Mapping[str, Elasticity], out: Path) -> None:
    """Keep what `read` found of a hand-over in a folder that does not exist yet, whole or not at all.

    That is a table of the moduli in GPa, the tensors in Voigt's form, and the crystals that were handed over.
    """
    import pandas as pd

    from model.io import to_structures, write_extxyz

    if out.exists():
        raise FileExistsError(f"{out} exists already and is not overwritten; name another folder with --out.")
    crystals, names = handed_over(folder)
    compositions = [structure.composition for structure in to_structures(crystals)]
    each = [found[name] for name in names]
    table = pd.DataFrame({
        "id": names,
        "formula": [one.reduced_formula for one in compositions],
        "chemical_system": [one.chemical_system for one in compositions],
        "n_atoms": crystals.n_atoms.tolist(),
        "dft_bulk_modulus": [one.bulk for one in each],
        "dft_shear_modulus": [one.shear for one in each],
        "elastic_anisotropy": [one.anisotropy for one in each],
        "reason": [one.reason for one in each],
    })
    tensors = {
        name: one.tensor.round(3).tolist() for name, one in zip(names, each, strict=True)
        if np.isfinite(one.tensor).all()
    }  # fmt: skip
    draft = out.with_name(f".{out.name}.part")
    shutil.rmtree(draft, ignore_errors=True)
    draft.mkdir(parents=True)
    table.to_csv(draft / TABLE, index=False)
    (draft / TENSORS).write_text(json.dumps({"unit": "GPa", "tensors": tensors}, indent=1) + "\n", encoding="utf-8")
    write_extxyz(draft / CRYSTALS, crystals, [{"id": name} for name in names])
    draft.rename(out)


def _stress(place: Path) -> Float[np.ndarray, "3 3"]:
    run = vasprun(place)
    if run is None:
        raise ResultError(f"{place.name}{NOT_YET}")
    if not run.converged:
        raise ResultError(f"{place.name} did not converge.")
    return np.array(run.ionic_steps[-1]["stress"], dtype=float) * _KILOBAR
