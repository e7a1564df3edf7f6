"""Any ASE calculator as a potential, one crystal after another. Edge: ase."""

from typing import Any

import numpy as np
import torch

from model.crystals import Crystals
from model.relax.potential import Reading, join, silence


class AsePotential:
    """An ASE calculator that knows energy, forces and stress; moments too where it offers them."""

    def __init__(self, calculator: Any, name: str | None = None) -> None:
        self.calculator = calculator
        self.name = name or type(calculator).__name__

    def __call__(self, crystals: Crystals) -> Reading:
        """Energy, forces, stress and moments; a crystal on which the calculator raises is declined by name."""
        readings = [self._read(crystal) for crystal in crystals]
        return join(readings, [1] * len(readings)) if readings else silence(crystals, "")

    def _read(self, crystal: Crystals) -> Reading:
        from model.io import to_atoms

        atoms = to_atoms(crystal)[0]
        atoms.calc = self.calculator
        try:
            energy, forces = atoms.get_potential_energy(), atoms.get_forces()
            stress = atoms.get_stress(voigt=False)
        except Exception as error:  # noqa: BLE001 - a stranger's calculator may raise anything
            return silence(crystal, f"{self.name} raised {type(error).__name__}: {error}")
        return Reading(
            energy=torch.tensor([float(energy)], dtype=torch.float64),
            forces=torch.from_numpy(np.asarray(forces, dtype=np.float64)),
            stress=torch.from_numpy(np.asarray(stress, dtype=np.float64)).reshape(1, 3, 3),
            moments=_moments(self.calculator, len(atoms)),
        )


def _moments(calculator: Any, n: int) -> torch.Tensor:
    """Moments the calculator left among its results, else NaN."""
    found = getattr(calculator, "results", {}).get("magmoms")
    if found is None or np.shape(found) != (n,):
        return torch.full((n,), torch.nan, dtype=torch.float64)
    return torch.from_numpy(np.asarray(found, dtype=np.float64))
