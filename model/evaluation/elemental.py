"""Elemental reference energies: what turns an energy model's totals into formation energies.

One energy for each element, fitted on known crystals so that total energy minus the elements' share meets the known
formation energy. Crystals on which the energy model errs grossly (a wrong oxidation state, say) weigh less: Huber's
loss.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from model.shapes import Float

_KNEE = 0.03  # eV/atom: residuals beyond count linearly; about twice the median error of CHGNet


@dataclass(frozen=True, kw_only=True)
class Fit:
    """Elemental energies in eV/atom, with how well they meet the crystals they were fitted on (eV/atom)."""

    energies: Mapping[str, float]
    n: int
    mean_error: float
    median_error: float


def fit(
    compositions: Sequence[Mapping[str, float]],
    energy: Float[np.ndarray, " crystals"],
    formation_energy: Float[np.ndarray, " crystals"],
) -> Fit:
    """Fit elemental energies on crystals with known formation energies; both energies in eV/atom.

    Elements that no crystal holds get no energy. Raises ValueError without crystals.
    """
    if not len(compositions):
        raise ValueError("Elemental energies are fitted on known crystals; found none.")
    symbols = sorted({symbol for composition in compositions for symbol in composition})
    column = {symbol: i for i, symbol in enumerate(symbols)}
    shares = np.zeros((len(compositions), len(symbols)))
    for row, composition in enumerate(compositions):
        total = sum(composition.values())
        for symbol, n in composition.items():
            shares[row, column[symbol]] = n / total
    wanted = np.asarray(energy, dtype=float) - np.asarray(formation_energy, dtype=float)
    weights = np.ones(len(wanted))
    for _ in range(30):
        root = np.sqrt(weights)
        found = np.linalg.lstsq(shares * root[:, None], wanted * root, rcond=None)[0]
        off = np.abs(wanted - shares @ found)
        weights = np.minimum(1.0, _KNEE / np.maximum(off, 1e-9))
    return Fit(
        energies={symbol: float(round(e, 5)) for symbol, e in zip(symbols, found, strict=True)},
        n=len(wanted), mean_error=float(off.mean()), median_error=float(np.median(off)),
    )  # fmt: skip
