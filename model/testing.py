"""For our tests and for other people's: famous crystals, and one gate that every crystal must pass."""

from functools import cache

import torch

from model.cell import cartesian, volume
from model.crystals import MASK, Crystals


class UnsoundError(AssertionError):
    """Crystals that break a law every crystal keeps."""


@cache
def famous(name: str) -> Crystals:
    """A well-known crystal by prototype and formula, as `famous("rocksalt-NaCl")`: a batch of one, primitive cell.

    Raises KeyError, listing all names, for one that is not there.
    """
    from model.data.sources import mini

    dataset = mini()
    names = dataset.ids.tolist()
    if name not in names:
        raise KeyError(f"No famous crystal {name!r}; there are {', '.join(names)}.")
    return dataset.crystals([names.index(name)])


def famous_names() -> tuple[str, ...]:
    """Names that `famous` knows."""
    from model.data.sources import mini

    return tuple(mini().ids.tolist())


def sound(
    crystals: Crystals, *, closest: float | None = None, masked: bool = False, smallest_volume: float = 1e-3
) -> Crystals:
    """The same crystals, if they are sound: the gate for whatever is sampled, relaxed or loaded.

    Coordinates lie in [0, 1); cells are finite, right-handed and no smaller than `smallest_volume` Å³ an atom; atoms
    are real elements (undecided ones only with `masked`); the counts add up; no two atoms, nor an atom and its own
    image, are closer than `closest` Å where that is given. Raises UnsoundError with what was found.
    """
    _counts(crystals)
    _fields(crystals, masked)
    per_atom = volume(crystals.cell) / crystals.n_atoms
    _demand(bool((torch.linalg.det(crystals.cell) > 0).all()), "a cell is left-handed or flat")
    _demand(bool((per_atom >= smallest_volume).all()), f"{float(per_atom.min()) if len(per_atom) else 0} Å³ an atom")
    if closest is not None:
        for index, one in enumerate(crystals):
            found = shortest_distance(one)
            _demand(found >= closest, f"atoms of crystal {index} come within {found:.3f} Å, allowed is {closest} Å")
    return crystals


def _demand(holds: bool, found: str) -> None:
    if not holds:
        raise UnsoundError(f"Unsound crystals: {found}.")


def _counts(crystals: Crystals) -> None:
    atoms = {crystals.frac.shape[0], crystals.numbers.shape[0], int(crystals.n_atoms.sum())}
    _demand(len(atoms) == 1, f"coordinates, numbers and counts speak of {sorted(atoms)} atoms")
    _demand(crystals.cell.shape[0] == len(crystals), f"{crystals.cell.shape[0]} cells for {len(crystals)} crystals")
    _demand(bool((crystals.n_atoms > 0).all()), "a crystal has no atoms")


def _fields(crystals: Crystals, masked: bool) -> None:
    _demand(crystals.frac.dtype.is_floating_point and crystals.cell.dtype.is_floating_point, "lengths are no floats")
    _demand(crystals.numbers.dtype == crystals.n_atoms.dtype == torch.long, "numbers or counts are not int64")
    _demand(bool(torch.isfinite(crystals.frac).all() and torch.isfinite(crystals.cell).all()), "a number is not finite")
    _demand(bool(((crystals.frac >= 0) & (crystals.frac < 1)).all()), "a coordinate lies outside [0, 1)")
    last = MASK if masked else MASK - 1
    _demand(
        bool(((crystals.numbers >= 1) & (crystals.numbers <= last)).all()), f"an atomic number lies outside 1 to {last}"
    )


def shortest_distance(crystal: Crystals) -> float:
    """Shortest distance in Å between two atoms of one crystal, images included.

    Images up to three cells away in each direction are looked at, which is enough for any Niggli-reduced cell.
    """
    cart = cartesian(crystal)
    steps = torch.arange(-3, 4, dtype=crystal.cell.dtype)
    shifts = torch.cartesian_prod(steps, steps, steps) @ crystal.cell[0]
    apart = (cart[:, None, None] - cart[None, :, None] + shifts).norm(dim=-1)
    itself = torch.eye(len(cart), dtype=torch.bool)[:, :, None] & (shifts.norm(dim=-1) == 0)
    return float(apart.masked_fill(itself, torch.inf).min())
