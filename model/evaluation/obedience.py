"""Whether crystals are what was asked: composition, number of atoms, space group, and how far from each target."""

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

import numpy as np

from model.constraints import Constraints, Target, parse_formula, reduced
from model.shapes import Float

if TYPE_CHECKING:
    import pandas as pd

# where what a model was asked for is found again: the label itself, or what the energy model or a readout tells of it
OBTAINED: Mapping[str, tuple[str, ...]] = {
    "dft_mag_density": ("dft_mag_density", "ml_mag_density"),
    "dft_band_gap": ("dft_band_gap", "ml_band_gap"),
    "dft_bulk_modulus": ("dft_bulk_modulus", "ml_bulk_modulus"),
    "ml_bulk_modulus": ("ml_bulk_modulus", "dft_bulk_modulus"),
    "bulk_modulus": ("dft_bulk_modulus", "ml_bulk_modulus"),
}


def learn_obedience(table: "pd.DataFrame", constraints: Constraints) -> "pd.DataFrame":
    """The table with `composition_obeyed`, and `space_group_obeyed` where a space group was asked."""
    import pandas as pd

    table = table.assign(composition_obeyed=pd.array(
        [composition_obeyed(row, constraints) for row in table.to_dict("records")], dtype="boolean"
    ))  # fmt: skip
    if constraints.space_group is None:
        return table
    found = table["space_group_number"].astype("Float64")
    if "relaxed_space_group_number" in table:
        found = table["relaxed_space_group_number"].astype("Float64").fillna(found)
    return table.assign(space_group_obeyed=(found == constraints.space_group).astype("boolean"))


def composition_obeyed(row: Mapping[str, Any], constraints: Constraints) -> bool:
    """Whether a judged row keeps every hard constraint: elements, formula, number of atoms."""
    system = frozenset(str(row["chemical_system"]).split("-"))
    if constraints.chemical_system is not None and system != constraints.chemical_system:
        return False
    if not system <= constraints.palette:
        return False
    if constraints.n_atoms is not None:
        low, high = constraints.atom_range
        if not low <= row["n_atoms"] <= high:
            return False
    return constraints.formula is None or _same_formula(str(row["formula"]), constraints.formula)


def _same_formula(found: str, asked: str) -> bool:
    from pymatgen.core import Composition

    return Composition(found).reduced_formula == Composition(reduced(parse_formula(asked))).reduced_formula


def told_by(table: "pd.DataFrame", name: str) -> str:
    """The column in which an asked property is found again; the property's own where no column tells."""
    columns = OBTAINED.get(name, (name,))
    return next((column for column in columns if column in table and table[column].notna().any()), name)


def obtained(table: "pd.DataFrame", name: str) -> tuple[str, Float[np.ndarray, " batch"]] | None:
    """The column in which an asked property is found again, and its values; None where no column tells."""
    column = told_by(table, name)
    if column not in table or not table[column].notna().any():
        return None
    return column, table[column].to_numpy(dtype=float, na_value=np.nan)


def off_target(values: Float[np.ndarray, " batch"], target: Target) -> Float[np.ndarray, " batch"]:
    """How far values lie from a target: 0 within a range, else the distance to its nearer end."""
    return np.maximum(np.maximum(target.low - values, values - target.high), 0.0) + 0.0 * values
