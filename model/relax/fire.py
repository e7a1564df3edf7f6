"""FIRE on many crystals at once: each falls with its own time step, atoms and cell together.

The same steps as ASE's FIRE over its FrechetCellFilter, crystal by crystal. Source: Bitzek et al., PRL 97, 170201
(2006); cell coordinates: the logarithm of the deformation, after Tadmor et al., PRB 59, 235 (1999).
"""

import dataclasses
from dataclasses import dataclass

import torch
from torch import Tensor

from model.cell import wrapped
from model.crystals import Crystals
from model.relax.potential import Reading
from model.shapes import Float, Int

_DT, _DT_MAX, _MAX_STEP = 0.1, 1.0, 0.2  # ASE's defaults; the longest step is in Å over all degrees of freedom
_MIXING, _PATIENCE = 0.1, 5

_PER_ATOM = ("frac", "velocity", "numbers")
_PER_CRYSTAL = ("origin", "log_strain", "log_velocity", "dt", "mixing", "downhill", "n_atoms")


@dataclass(frozen=True, slots=True, kw_only=True)
class Falling:
    """Crystals on their way down, in double precision.

    Coordinates are the atoms' places in the undeformed cell and the logarithm of the deformation times the number of
    atoms, so that both carry comparable forces.
    """

    frac: Float[Tensor, "atoms 3"]
    velocity: Float[Tensor, "atoms 3"]
    numbers: Int[Tensor, " atoms"]
    origin: Float[Tensor, "batch 3 3"]
    log_strain: Float[Tensor, "batch 3 3"]
    log_velocity: Float[Tensor, "batch 3 3"]
    dt: Float[Tensor, " batch"]
    mixing: Float[Tensor, " batch"]
    downhill: Int[Tensor, " batch"]
    n_atoms: Int[Tensor, " batch"]

    def __len__(self) -> int:
        """Number of crystals."""
        return len(self.n_atoms)

    @property
    def owner(self) -> Int[Tensor, " atoms"]:
        """Which crystal each atom belongs to."""
        return torch.repeat_interleave(torch.arange(len(self)), self.n_atoms)

    @property
    def deformation(self) -> Float[Tensor, "batch 3 3"]:
        """How each cell has been deformed since the start; 1 at the start."""
        return torch.linalg.matrix_exp(self.log_strain)

    @property
    def crystals(self) -> Crystals:
        """Where they are now."""
        cell = self.origin @ self.deformation.mT
        return Crystals(frac=wrapped(self.frac), cell=cell, numbers=self.numbers, n_atoms=self.n_atoms)

    def pick(self, keep: Tensor) -> "Falling":
        """Those for which `keep` holds."""
        atoms = keep[self.owner]
        return Falling(
            **{name: getattr(self, name)[atoms] for name in _PER_ATOM},
            **{name: getattr(self, name)[keep] for name in _PER_CRYSTAL},
        )

    @staticmethod
    def join(parts: "list[Falling]") -> "Falling":
        """One batch out of several."""
        return Falling(**{name: torch.cat([getattr(p, name) for p in parts]) for name in (*_PER_ATOM, *_PER_CRYSTAL)})


def start(crystals: Crystals) -> Falling:
    """Crystals at rest, about to fall."""
    n, zeros = len(crystals), torch.zeros(len(crystals), 3, 3, dtype=torch.float64)
    frac = crystals.frac.double()
    return Falling(
        frac=frac, velocity=torch.zeros_like(frac), numbers=crystals.numbers, n_atoms=crystals.n_atoms,
        origin=crystals.cell.double(), log_strain=zeros, log_velocity=zeros.clone(),
        dt=torch.full((n,), _DT, dtype=torch.float64), mixing=torch.full((n,), _MIXING, dtype=torch.float64),
        downhill=torch.full((n,), -1),
    )  # fmt: skip


@dataclass(frozen=True, slots=True, kw_only=True)
class Pull:
    """Forces on the coordinates of `Falling`, in eV/Å."""

    atoms: Float[Tensor, "atoms 3"]
    cell: Float[Tensor, "batch 3 3"]


def pull(falling: Falling, reading: Reading) -> Pull:
    """What forces and stress mean for the atoms' places in the undeformed cell and for the logarithm of the strain."""
    volume = torch.linalg.det(falling.crystals.cell).abs()
    virial = -volume[:, None, None] * reading.stress
    log_strain = falling.log_strain.detach().requires_grad_()
    deformation = torch.linalg.matrix_exp(log_strain)
    push = (virial @ torch.linalg.inv(deformation.mT)).detach()
    (cell,) = torch.autograd.grad((deformation * push).sum(), log_strain)
    atoms = torch.einsum("ni,nij->nj", reading.forces, deformation.detach()[falling.owner])
    return Pull(atoms=atoms, cell=cell / falling.n_atoms[:, None, None])


def largest(falling: Falling, force: Pull) -> Float[Tensor, " batch"]:
    """Length of the largest force on an atom or on a row of the cell, the measure of convergence, in eV/Å."""
    atoms = torch.zeros(len(falling), dtype=torch.float64).scatter_reduce_(
        0, falling.owner, force.atoms.norm(dim=1), "amax"
    )
    return torch.maximum(atoms, force.cell.norm(dim=2).amax(1))


def step(falling: Falling, force: Pull) -> Falling:
    """One step of FIRE for every crystal."""
    owner, n = falling.owner, len(falling)

    def dot(a: Pull, b: Pull) -> Tensor:
        atoms = torch.zeros(n, dtype=torch.float64).index_add_(0, owner, (a.atoms * b.atoms).sum(1))
        return atoms + (a.cell * b.cell).sum((1, 2))

    before = Pull(atoms=falling.velocity, cell=falling.log_velocity)
    down = dot(force, before) > 0
    fresh = falling.downhill < 0  # the very first step neither mixes nor brakes
    patient = down & (falling.downhill > _PATIENCE)
    mixed = falling.mixing * (dot(before, before) / dot(force, force).clamp_min(1e-300)).sqrt()
    keep = torch.where(down, 1 - falling.mixing, 0.0)
    steer = torch.where(down, mixed, 0.0)
    dt = torch.where(patient, (falling.dt * 1.1).clamp_max(_DT_MAX), falling.dt)
    dt = torch.where(down | fresh, dt, falling.dt * 0.5)
    mixing = torch.where(patient, falling.mixing * 0.99, falling.mixing)
    velocity = Pull(
        atoms=keep[owner, None] * before.atoms + (steer + dt)[owner, None] * force.atoms,
        cell=keep[:, None, None] * before.cell + (steer + dt)[:, None, None] * force.cell,
    )
    length = dt * dot(velocity, velocity).sqrt()
    stride = dt * (_MAX_STEP / length.clamp_min(1e-300)).clamp_max(1.0)
    return dataclasses.replace(
        falling,
        frac=falling.frac + _fractional(falling, stride[owner, None] * velocity.atoms),
        log_strain=falling.log_strain + (stride / falling.n_atoms)[:, None, None] * velocity.cell,
        velocity=velocity.atoms,
        log_velocity=velocity.cell,
        dt=dt,
        mixing=torch.where(down | fresh, mixing, torch.full_like(mixing, _MIXING)),
        downhill=torch.where(down, falling.downhill.clamp_min(0) + 1, torch.zeros_like(falling.downhill)),
    )


def _fractional(falling: Falling, shift: Float[Tensor, "atoms 3"]) -> Float[Tensor, "atoms 3"]:
    """A shift in Å within the undeformed cell, in fractions of that cell."""
    return torch.einsum("ni,nij->nj", shift, torch.linalg.inv(falling.origin)[falling.owner])
