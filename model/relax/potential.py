"""What a potential is: energy, forces, stress and moments of a batch of crystals in one call."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Protocol, runtime_checkable

import torch
from torch import Tensor

from model.crystals import Crystals
from model.shapes import Float

GPA = 160.21766208  # one eV/Å³ in GPa


class PotentialError(ValueError):
    """A potential that answers in the wrong shape, or cannot answer at all."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Reading:
    """What a potential says of a batch: energies in eV, forces in eV/Å, stresses in eV/Å³, moments in Bohr magnetons.

    A stress is positive when the cell wants to shrink (ASE's sign). Moments are NaN where the potential knows none.
    `declined` names crystals it will not judge, by position, with the reason; their numbers are NaN.
    """

    energy: Float[Tensor, " batch"]
    forces: Float[Tensor, "atoms 3"]
    stress: Float[Tensor, "batch 3 3"]
    moments: Float[Tensor, " atoms"]
    declined: Mapping[int, str] = field(default_factory=dict)


@runtime_checkable
class Potential(Protocol):
    """Anything that reads a batch of crystals. `name` says on a scorecard what gave the energies."""

    name: str

    def __call__(self, crystals: Crystals) -> Reading:
        """Energy, forces, stress and moments of every crystal of the batch."""
        ...


def join(readings: "list[Reading]", sizes: "list[int]") -> Reading:
    """One reading out of several, made for `sizes` crystals each, in order."""
    declined, start = {}, 0
    for reading, size in zip(readings, sizes, strict=True):
        declined.update({start + row: reason for row, reason in reading.declined.items()})
        start += size
    return Reading(
        **{name: torch.cat([getattr(r, name) for r in readings]) for name in ("energy", "forces", "stress", "moments")},
        declined=declined,
    )


def silence(crystals: Crystals, reason: str) -> Reading:
    """A reading that declines every crystal of the batch for one reason."""
    n, atoms = len(crystals), crystals.frac.shape[0]
    return Reading(
        energy=torch.full((n,), torch.nan, dtype=torch.float64),
        forces=torch.full((atoms, 3), torch.nan, dtype=torch.float64),
        stress=torch.full((n, 3, 3), torch.nan, dtype=torch.float64),
        moments=torch.full((atoms,), torch.nan, dtype=torch.float64),
        declined=dict.fromkeys(range(n), reason),
    )
