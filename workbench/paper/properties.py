"""Properties of judged crystals that the judging itself does not need: bulk moduli, and what a readout predicts."""

from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from model.execution import Watch, silent
from workbench.paper.tables import structures

if TYPE_CHECKING:
    import pandas as pd

    from model.crystals import Crystals
    from model.relax.potential import Potential


def with_bulk_moduli(
    found: "pd.DataFrame", *, potential: "Potential | None" = None, watch: Watch = silent
) -> "pd.DataFrame":
    """The table with `ml_bulk_modulus` in GPa: seven isotropic strains of the relaxed crystal, energies only.

    The way the training labels were made. Crystals that do not rest within the strains have none.
    """
    from model.properties.bulk_modulus import bulk_moduli

    crystals, rows = _crystals(found)
    if potential is None:
        from model.relax.chgnet import CHGNetPotential

        potential = CHGNetPotential()
    values = np.full(len(found), np.nan)
    if len(rows):
        values[rows] = [state.modulus for state in bulk_moduli(crystals, potential, relax_atoms=False, watch=watch)]
    return found.assign(ml_bulk_modulus=values)


def with_readout(found: "pd.DataFrame", readout: Path) -> "pd.DataFrame":
    """The table with the property that a taught readout predicts, and the readout's held-out error beside it."""
    from model.properties.readouts import load, predict

    taught, report = load(readout)
    crystals, rows = _crystals(found)
    values = np.full(len(found), np.nan)
    if len(rows):
        values[rows] = predict(taught, crystals).numpy()
    return found.assign(**{report.label: values, f"{report.label}_error": report.mean_absolute_error})


def _crystals(found: "pd.DataFrame") -> tuple["Crystals", np.ndarray]:
    from model.io import from_structures

    rows = np.flatnonzero(found["cif"].notna().to_numpy())
    return from_structures(structures(found)), rows
