"""What a potential says, whatever it does: a crystal that it fails on is declined by name, the others are read."""

from collections.abc import Mapping

import torch
from torch import Tensor

from model.crystals import MASK, Crystals
from model.execution import Cancelled
from model.relax.potential import Potential, Reading, join, silence
from model.shapes import Bool


def read(potential: Potential, crystals: Crystals) -> Reading:
    """What the potential says, whatever it does: those on which it raises or answers NaN are declined by name.

    It is not asked of crystals that are none: of undecided elements, or with a cell or position that is no number.
    """
    if odd := _odd(crystals):
        return _of_the_others(potential, crystals, odd)
    try:
        reading = potential(crystals)
        _check_shapes(reading, crystals, potential.name)
    except Cancelled:
        raise
    except Exception as error:  # noqa: BLE001 - a stranger's potential; halving the batch finds the culprits
        if len(crystals) == 1:
            return silence(crystals, f"{potential.name} raised {type(error).__name__}: {error}")
        half = len(crystals) // 2
        return join([read(potential, crystals[:half]), read(potential, crystals[half:])], [half, len(crystals) - half])
    broken = ~_finite(reading, crystals)
    declined = dict.fromkeys(torch.nonzero(broken)[:, 0].tolist(), f"{potential.name} answered with not-a-number")
    declined |= dict(reading.declined)
    energy = reading.energy.double().clone()
    energy[list(declined)] = torch.nan
    return Reading(
        energy=energy, forces=reading.forces.double(), stress=reading.stress.double(),
        moments=reading.moments.double(), declined=declined,
    )  # fmt: skip


def _odd(crystals: Crystals) -> dict[int, str]:
    """Crystals of which no energy can be told, by row, and why."""
    bad = torch.zeros(len(crystals)).index_add_(0, crystals.owner, (~crystals.frac.isfinite().all(1)).float())
    broken = (bad > 0) | ~crystals.cell.isfinite().all(2).all(1)
    masked = torch.zeros(len(crystals)).index_add_(0, crystals.owner, (crystals.numbers >= MASK).float()) > 0
    odd = dict.fromkeys(torch.nonzero(masked)[:, 0].tolist(), "an atom of it is of no decided element")
    return odd | dict.fromkeys(torch.nonzero(broken)[:, 0].tolist(), "its cell or a position is no finite number")


def _of_the_others(potential: Potential, crystals: Crystals, odd: Mapping[int, str]) -> Reading:
    """What the potential says of those that are not odd, in one reading with the silence on the others."""
    parts = [silence(crystals[row], reason) for row, reason in odd.items()]
    order = list(odd)
    if rest := [row for row in range(len(crystals)) if row not in odd]:
        found = read(potential, crystals[rest])
        parts += [_one(found, crystals[rest], place) for place in range(len(rest))]
        order += rest
    back = sorted(range(len(order)), key=order.__getitem__)
    return join([parts[place] for place in back], [1] * len(order))


def _one(reading: Reading, crystals: Crystals, place: int) -> Reading:
    atoms = crystals.owner == place
    declined = {0: reading.declined[place]} if place in reading.declined else {}
    return Reading(
        energy=reading.energy[[place]], forces=reading.forces[atoms], stress=reading.stress[[place]],
        moments=reading.moments[atoms], declined=declined,
    )  # fmt: skip


def _check_shapes(reading: object, crystals: Crystals, name: str) -> None:
    batch, atoms = len(crystals), len(crystals.numbers)
    wanted = {"energy": (batch,), "forces": (atoms, 3), "stress": (batch, 3, 3), "moments": (atoms,)}
    for part, shape in wanted.items():
        found = getattr(reading, part, None)
        if found is None or tuple(found.shape) != shape:
            said = None if found is None else tuple(found.shape)
            raise ValueError(f"{name} answered {part} of shape {said}, {shape} was wanted")


def _finite(reading: Reading, crystals: Crystals) -> Bool[Tensor, " batch"]:
    atoms = torch.zeros(len(crystals)).index_add_(0, crystals.owner, (~reading.forces.isfinite().all(1)).float())
    return (atoms == 0) & reading.energy.isfinite() & reading.stress.isfinite().all(2).all(1)
