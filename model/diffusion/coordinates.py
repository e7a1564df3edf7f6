"""WrappedNoise: coordinates diffuse on the torus, narrower in larger cells."""

from dataclasses import dataclass
from typing import final

import torch
from torch import Tensor

from model.cell import wrapped
from model.diffusion.noise import Counts, Noise, Time, ancestral_split
from model.shapes import Float


def wrapped_score(delta: Float[Tensor, "atoms 3"], std: Float[Tensor, " atoms"]) -> Float[Tensor, "atoms 3"]:
    """Gradient of the log-density of a normal wrapped onto the unit torus, from seven images an axis.

    The displacement is not folded to the nearest image and the sum is cut at three images: the published weights
    were trained on just these numbers (section 2.1; equation A23 with its missing minus sign).
    The three axes factorise, so seven weights an axis serve instead of 343.
    """
    images = torch.arange(-3, 4, dtype=delta.dtype, device=delta.device)
    shifted = delta.unsqueeze(-1) + images
    variance = (std**2)[:, None]
    weights = torch.softmax(-(shifted**2) / (2 * variance.unsqueeze(-1)), dim=-1)
    return -(weights * shifted).sum(-1) / variance


@final
@dataclass(frozen=True)
class WrappedNoise(Noise):
    """σ(t) = σ_min (σ_max/σ_min)^t, divided by the cube root of the number of atoms; variance exploding."""

    sigma_min: float = 0.01
    sigma_max: float = 5.0

    def alpha(self, t: Time) -> Time:
        """Coordinates are not shrunk."""
        return torch.ones_like(t)

    def std(self, t: Time, n_atoms: Counts) -> Time:
        """Fractional. The schedule ends at σ_min; a walk's last step, to time 0, goes on to no noise at all."""
        return self.sigma_min * (self.sigma_max / self.sigma_min) ** t * n_atoms.to(t) ** (-1 / 3)

    def left(self, t: Time, n_atoms: Counts) -> Time:
        """Noise that is left at time t: none at 0 (section 6.3)."""
        return torch.where(t > 0, self.std(t, n_atoms), torch.zeros_like(t))

    def corrupt(self, clean: Tensor, z: Tensor, t: Time, n_atoms: Counts) -> Tensor:
        """Moved by noise and wrapped."""
        return wrapped(clean + self._atoms(self.left(t, n_atoms), n_atoms) * z)

    def prior(self, z: Tensor, n_atoms: Counts) -> Tensor:
        """A wrapped normal around the origin, so wide that it is uniform (section 2.1)."""
        return wrapped(self._atoms(self.std(torch.ones_like(n_atoms, dtype=z.dtype), n_atoms), n_atoms) * z)

    def target(self, clean: Tensor, noisy: Tensor, t: Time, n_atoms: Counts) -> Tensor:
        """σ times the wrapped score."""
        std = self._atoms(self.std(t, n_atoms), n_atoms)
        return std * wrapped_score(noisy - clean, std[:, 0])

    def loss(self, answer: Tensor, target: Tensor, n_atoms: Counts) -> Time:
        """Mean over the three components, sum over the atoms (section 4.2)."""
        each = ((answer - target) ** 2).mean(-1)
        owner = torch.repeat_interleave(torch.arange(len(n_atoms), device=each.device), n_atoms)
        return each.new_zeros(len(n_atoms)).index_add(0, owner, each)

    def step(self, noisy: Tensor, answer: Tensor, t: Time, s: Time, z: Tensor, n_atoms: Counts, eta: float) -> Tensor:
        """x_s = x_t + (σ_t − kept σ_s) answer + fresh σ_s z, wrapped (section 6.3)."""
        now, then = self.std(t, n_atoms), self.left(s, n_atoms)
        kept, fresh = ancestral_split(then / now, eta)
        towards, shake = (self._atoms(v, n_atoms) for v in (now - kept * then, fresh * then))
        return wrapped(noisy + towards * answer + shake * z)

    def correct(self, noisy: Tensor, answer: Tensor, size: Time, t: Time, z: Tensor, n_atoms: Counts) -> Tensor:
        """Langevin: x + size · score + √(2 size) z, wrapped (section 6.5)."""
        pull, shake = (self._atoms(v, n_atoms) for v in (size / self.std(t, n_atoms), (2 * size).sqrt()))
        return wrapped(noisy + pull * answer + shake * z)

    @staticmethod
    def _atoms(per_crystal: Tensor, n_atoms: Counts) -> Float[Tensor, "atoms 1"]:
        return torch.repeat_interleave(per_crystal, n_atoms).unsqueeze(-1)
