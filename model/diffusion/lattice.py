"""LatticeNoise: the cell drifts to a cube of typical density, symmetrically."""

from dataclasses import dataclass
from typing import NamedTuple, final

import torch
from torch import Tensor

from model import cell
from model.diffusion.noise import Counts, Noise, Time, ancestral_split
from model.shapes import Float

Cells = Float[Tensor, "batch 3 3"]


class At(NamedTuple):
    """Coefficient of the clean cell (√ᾱ) and standard deviation of every element in Å."""

    alpha: Time
    std: Time


def symmetric_noise(z: Cells) -> Cells:
    """Symmetric noise of unit variance in every element out of independent normal numbers.

    The diagonal is left alone, off it (z_ij + z_ji)/√2 (section 2.2).
    """
    mixed = (z + z.mT) / 2**0.5
    return torch.where(torch.eye(3, dtype=torch.bool, device=z.device), z, mixed)


@final
@dataclass(frozen=True)
class LatticeNoise(Noise):
    """β(t) from 0.1 to 20; limit mean (n/ρ)^⅓ on the diagonal, limit variance 0.25 n^⅔; variance preserving.

    `beforehand` is what is known of clean cells before any is looked at: mean of the diagonal and standard deviation
    of the elements, both in Å over n^⅓. Where it is given, a network is asked only for what this does not tell
    already (see `read`); the published models go without.
    """

    beta_min: float = 0.1
    beta_max: float = 20.0
    density: float = 0.05771451654022283
    variance: float = 0.25
    beforehand: tuple[float, float] | None = None

    def at(self, t: Time, n_atoms: Counts) -> At:
        """How much of the clean cell is left at time t, and how much noise there is."""
        alpha = self.alpha(t)
        limit = torch.sqrt(self.variance * n_atoms.to(t) ** (2 / 3))
        return At(alpha, (1 - alpha**2).clamp(min=0).sqrt() * limit)

    def alpha(self, t: Time) -> Time:
        """m(t) = exp(−¼ t² (β_max − β_min) − ½ t β_min), the paper's √ᾱ."""
        return torch.exp(-0.25 * t**2 * (self.beta_max - self.beta_min) - 0.5 * t * self.beta_min)

    def std(self, t: Time, n_atoms: Counts) -> Time:
        """In Å, the same for all nine elements."""
        return self.at(t, n_atoms).std

    def mean(self, n_atoms: Counts) -> Cells:
        """Limit of the cell at time 1: a cube of typical density."""
        edge = (n_atoms.float() / self.density) ** (1 / 3)
        return torch.diag_embed(edge[:, None].expand(-1, 3))

    def corrupt(self, clean: Tensor, z: Tensor, t: Time, n_atoms: Counts) -> Tensor:
        """Symmetric when the clean cell is."""
        alpha, std = (v[:, None, None] for v in self.at(t, n_atoms))
        return alpha * clean + (1 - alpha) * self.mean(n_atoms) + std * symmetric_noise(z)

    def prior(self, z: Tensor, n_atoms: Counts) -> Tensor:
        """The exact limit; what is left of the clean cell at time 1 (0.7 %) is taken as nothing (section 2.2)."""
        limit = torch.sqrt(self.variance * n_atoms.to(z) ** (2 / 3))
        return self.mean(n_atoms) + limit[:, None, None] * symmetric_noise(z)

    def target(self, clean: Tensor, noisy: Tensor, t: Time, n_atoms: Counts) -> Tensor:
        """Minus the noise that was added, read back from the cells."""
        alpha, std = (v[:, None, None] for v in self.at(t, n_atoms))
        return -(noisy - alpha * clean - (1 - alpha) * self.mean(n_atoms)) / std

    def read(self, output: Tensor, noisy: Tensor, t: Time, n_atoms: Counts) -> Tensor:
        """The answer out of a network's output: the best guess for normally spread cells, plus the output in the share
        of the noise that is left open by it. Without knowledge beforehand, the output itself.

        Source: Karras et al., Elucidating the design space of diffusion models (2022), section 5.
        """
        if self.beforehand is None:
            return output
        alpha, std = (v[:, None, None] for v in self.at(t, n_atoms))
        size = n_atoms.to(t)[:, None, None] ** (1 / 3)
        mean, spread = (v * size for v in self.beforehand)
        expected = alpha * mean * torch.eye(3, device=t.device) + (1 - alpha) * self.mean(n_atoms)
        total = (alpha * spread) ** 2 + std**2
        return -std / total * (noisy - expected) + alpha * spread / total.sqrt() * output

    def loss(self, answer: Tensor, target: Tensor, n_atoms: Counts) -> Time:  # noqa: ARG002 - the common signature
        """Mean over the nine elements (section 4.2)."""
        return ((answer - target) ** 2).mean((-1, -2))

    def step(self, noisy: Tensor, answer: Tensor, t: Time, s: Time, z: Tensor, n_atoms: Counts, eta: float) -> Tensor:
        """With y = (L − M)/α and κ = std/α: y_s = y_t + (κ_t − kept κ_s) answer + fresh κ_s z (section 6.3).

        `z` is used as it is given: pass symmetric noise.
        """
        now, then, limit = self.at(t, n_atoms), self.at(s, n_atoms), self.mean(n_atoms)
        ratio = (then.std / then.alpha) / (now.std / now.alpha)
        kept, fresh = ancestral_split(ratio, eta)
        grow = then.alpha / now.alpha
        towards = grow * now.std - kept * then.std
        grow, towards, shake = (v[:, None, None] for v in (grow, towards, fresh * then.std))
        return limit + grow * (noisy - limit) + towards * answer + shake * z

    def correct(self, noisy: Tensor, answer: Tensor, size: Time, t: Time, z: Tensor, n_atoms: Counts) -> Tensor:
        """Langevin, then the polar form, which also turns an indefinite matrix into a cell (section 6.5)."""
        pull, shake = (v[:, None, None] for v in (size / self.std(t, n_atoms), (2 * size).sqrt()))
        return cell.symmetric(noisy + pull * answer + shake * z)
