"""For our tests and for other people's: famous crystals, a gate for every crystal, an oracle that denoises
exactly, an examiner for every potential.
"""

from functools import cache

import torch

from model.cell import shortest_distance, volume
from model.conditions import Conditions
from model.crystals import MASK, N_CLASSES, Crystals, Prediction
from model.diffusion.crystal import CrystalDiffusion
from model.relax.potential import Potential, Reading


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


class Oracle:
    """A denoiser that knows the truth: its scores are exact for noise around given crystals, atom by atom.

    Any right sampler that follows it ends at those crystals, whatever the noise it began with: within σ_min of the
    coordinates, except with the chance that a normal number strays further (below 1e-6 at five σ).
    """

    def __init__(self, truth: Crystals, diffusion: CrystalDiffusion | None = None) -> None:
        self.truth, self.diffusion = truth, diffusion or CrystalDiffusion()

    def __call__(self, noisy: Crystals, t: torch.Tensor, conditions: Conditions | None = None) -> Prediction:  # noqa: ARG002 - the denoiser's signature
        """σ · score of the truth, and logits that are sure of its elements."""
        n = noisy.n_atoms
        return Prediction(
            frac=self.diffusion.coordinates.target(self.truth.frac, noisy.frac, t, n),
            cell=self.diffusion.lattice.target(self.truth.cell, noisy.cell, t, n),
            logits=20.0 * torch.nn.functional.one_hot(self.truth.numbers - 1, N_CLASSES),
        )


class UnfitError(AssertionError):
    """A potential that breaks a law of physics, or the shape of its answers."""


def examine(
    potential: Potential, crystals: Crystals | None = None, *, tolerance: float = 0.02, h: float = 0.01
) -> None:
    """Examine a potential: shapes, forces and stress as slopes of the energy, images, batches.

    The forces of every crystal are compared with central differences of `h` Å on three ways, one mostly downhill, and
    each component of its stress with strains of `h`; forces must agree within `tolerance` of its largest one (or of
    1 eV/Å), the energy of a strain within as much on a path as long as the cell. A shift by a lattice vector, the order
    of the crystals, and company in a batch must change nothing. Raises UnfitError naming the first law that is broken.
    `crystals` are famous ones, shaken a little, unless given.
    """
    crystals = _shaken() if crystals is None else crystals
    reading = potential(crystals)
    _examine_shapes(crystals, reading)
    scale = max(1.0, float(reading.forces.abs().max()))
    _examine_slopes(potential, crystals, reading, tolerance, h)
    _examine_images(potential, crystals, reading, tolerance * scale)
    _examine_company(potential, crystals, reading, tolerance * scale)


def _shaken() -> Crystals:
    """Some famous crystals with every atom moved a little, so that no force vanishes by symmetry."""
    names = [name for name in famous_names() if name.split("-")[-1] in {"NaCl", "CsCl", "Si", "TiO2"}][:4]
    crystals = Crystals.join([famous(name) for name in names or famous_names()[:4]])
    generator = torch.Generator().manual_seed(0)
    shift = 0.02 * torch.randn(crystals.frac.shape, generator=generator)
    return crystals.replace(frac=torch.remainder(crystals.frac + shift, 1.0).double(), cell=crystals.cell.double())


def _lawful(holds: bool, found: str) -> None:
    if not holds:
        raise UnfitError(f"Unfit potential: {found}.")


def _examine_shapes(crystals: Crystals, reading: Reading) -> None:
    batch, atoms = len(crystals), crystals.frac.shape[0]
    wanted = {"energy": (batch,), "forces": (atoms, 3), "stress": (batch, 3, 3), "moments": (atoms,)}
    for name, shape in wanted.items():
        found = tuple(getattr(reading, name).shape)
        _lawful(found == shape, f"{name} has shape {found}, {shape} was wanted")
    _lawful(not reading.declined, f"it declines crystals: {dict(reading.declined)}")
    for name in ("energy", "forces", "stress"):
        _lawful(bool(getattr(reading, name).isfinite().all()), f"{name} holds not-a-number")
    _lawful(bool((reading.stress - reading.stress.mT).abs().max() < 1e-4), "its stress is not symmetric")


def _examine_slopes(potential: Potential, crystals: Crystals, reading: Reading, tolerance: float, h: float) -> None:
    """Forces along three ways of every crystal, one mostly downhill, and all six components of its stress."""
    generator, n = torch.Generator().manual_seed(1), len(crystals)
    strongest = reading.forces.abs().amax(1).double()
    largest = torch.zeros(n, dtype=torch.float64).scatter_reduce_(0, crystals.owner, strongest, "amax")
    within = tolerance * largest.clamp_min(1.0)
    back = torch.linalg.inv(crystals.cell.double())[crystals.owner]

    def of_each(values: torch.Tensor) -> torch.Tensor:
        return torch.zeros(n, dtype=torch.float64).index_add(0, crystals.owner, values.sum(1))

    for downhill in (1.0, 0.0, 0.0):
        chance = torch.randn(crystals.frac.shape, generator=generator).double()
        ways = downhill * reading.forces / _norms(reading.forces, crystals)
        ways = ways + (0.3 if downhill else 1.0) * chance / _norms(chance, crystals)
        ways = ways / _norms(ways, crystals)
        frac = torch.einsum("ni,nij->nj", h * ways, back)
        ahead, behind = (potential(crystals.replace(frac=crystals.frac + sign * frac)).energy for sign in (1, -1))
        slopes, said = -(ahead - behind) / (2 * h), of_each(reading.forces * ways)
        worst = int(((slopes - said).abs() / within).argmax())
        _lawful(
            bool(((slopes - said).abs() < within).all()),
            f"a force of {said[worst]:.4f} eV/Å stands where the energy of crystal {worst} falls by "
            f"{slopes[worst]:.4f}",
        )
    for i, j in ((0, 0), (1, 1), (2, 2), (0, 1), (0, 2), (1, 2)):
        strain, other = (torch.eye(3, dtype=torch.float64) for _ in range(2))
        strain[i, j] += h
        other[i, j] -= h
        ahead, behind = (potential(crystals.replace(cell=crystals.cell.double() @ s)).energy for s in (strain, other))
        room = volume(crystals.cell.double())
        gap = ((ahead - behind) / (2 * h) - reading.stress[:, i, j] * room).abs()  # eV a unit of strain
        allowed = within * room ** (1 / 3)
        worst = int((gap - allowed).argmax())
        _lawful(
            bool((gap < allowed).all()),
            f"its stress differs from the slope of the energy by {float(gap[worst] / room[worst]):.4f} eV/Å³",
        )


def _norms(vectors: torch.Tensor, crystals: Crystals) -> torch.Tensor:
    """The length of all the vectors of each crystal together, for each of its atoms."""
    squares = torch.zeros(len(crystals), dtype=torch.float64).index_add(0, crystals.owner, (vectors**2).sum(1))
    return squares.sqrt().clamp_min(1e-12)[crystals.owner][:, None]


def _examine_images(potential: Potential, crystals: Crystals, reading: Reading, within: float) -> None:
    frac = crystals.frac.clone()
    frac[::2] += torch.tensor([1.0, -1.0, 2.0], dtype=frac.dtype)
    moved = potential(crystals.replace(frac=frac))
    gap = float((moved.energy - reading.energy).abs().max())
    _lawful(gap < within / 10, f"a shift by a lattice vector changes the energy by {gap:.4f} eV")
    off = float((moved.forces - reading.forces).abs().max())
    _lawful(off < within, f"a shift by a lattice vector changes a force by {off:.4f} eV/Å")
    gap = float((moved.stress - reading.stress).abs().max())
    _lawful(gap < within / 10, f"a shift by a lattice vector changes the stress by {gap:.4f} eV/Å³")


def _examine_company(potential: Potential, crystals: Crystals, reading: Reading, within: float) -> None:
    for row in range(len(crystals)):
        alone = potential(crystals[row])
        gap = float((alone.energy[0] - reading.energy[row]).abs())
        _lawful(gap < within / 10, f"crystal {row} alone differs from itself in the batch by {gap:.4f} eV")
        off = float((alone.forces - reading.forces[crystals.owner == row]).abs().max())
        _lawful(off < within, f"forces of crystal {row} alone differ from those in the batch by {off:.4f} eV/Å")
    back = potential(crystals[list(range(len(crystals)))[::-1]]).energy.flip(0)
    gap = float((back - reading.energy).abs().max())
    _lawful(gap < within / 10, f"the order of the batch changes an energy by {gap:.4f} eV")
