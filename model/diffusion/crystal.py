"""CrystalDiffusion: the three noise processes together, on whole crystals."""

from dataclasses import dataclass, field, replace
from typing import NamedTuple

import torch
from torch import Tensor

from model.crystals import MASK, Crystals, Prediction
from model.diffusion.coordinates import WrappedNoise
from model.diffusion.lattice import LatticeNoise, symmetric_noise
from model.diffusion.schedule import level
from model.diffusion.species import MaskNoise
from model.randomness import Streams
from model.shapes import Float, Int

Time = Float[Tensor, " batch"]


class Noised(NamedTuple):
    """Clean crystals, what noise made of them, and when."""

    clean: Crystals
    noisy: Crystals
    t: Time


class Losses(NamedTuple):
    """Losses of each crystal: the weighted total, and the three fields unweighted."""

    total: Time
    frac: Time
    cell: Time
    numbers: Time


@dataclass(frozen=True)
class CrystalDiffusion:
    """Joint diffusion of coordinates, lattice and species, with the weights of their losses.

    `species` is None for crystal structure prediction, where elements are known all the time (section 7).
    """

    coordinates: WrappedNoise = field(default_factory=WrappedNoise)
    lattice: LatticeNoise = field(default_factory=LatticeNoise)
    species: MaskNoise | None = field(default_factory=MaskNoise)
    weights: tuple[float, float, float] = (0.1, 1.0, 1.0)  # coordinates, lattice, species
    snr: tuple[float, float] = (0.4, 0.2)  # of the corrector: coordinates, lattice

    def corrupt(self, clean: Crystals, t: Time, streams: Streams) -> Noised:
        """Noisy crystals at time t, one time a crystal."""
        n = clean.n_atoms
        shaken = streams.normal_atoms(n)
        uniform = streams.uniform_atoms(n)[:, 0]
        strained = streams.normal(9).reshape(-1, 3, 3)
        numbers = clean.numbers
        if self.species is not None:
            numbers = self.species.corrupt(numbers, uniform, level(t)[clean.owner])
        noisy = Crystals(
            frac=self.coordinates.corrupt(clean.frac, shaken, t, n),
            cell=self.lattice.corrupt(clean.cell, strained, t, n),
            numbers=numbers,
            n_atoms=n,
        )
        return Noised(clean, noisy, t)

    def prior(self, n_atoms: Int[Tensor, " batch"], streams: Streams) -> Crystals:
        """Crystals of pure noise: random places, a random cell near a cube, every species undecided."""
        shaken, strained = streams.normal_atoms(n_atoms), streams.normal(9).reshape(-1, 3, 3)
        return Crystals(
            frac=self.coordinates.prior(shaken, n_atoms),
            cell=self.lattice.prior(strained, n_atoms),
            numbers=torch.full_like(shaken[:, 0], MASK, dtype=torch.long),
            n_atoms=n_atoms,
        )

    def read(self, output: Prediction, noisy: Crystals, t: Time) -> Prediction:
        """The prediction out of a network's bare output."""
        return replace(output, cell=self.lattice.read(output.cell, noisy.cell, t, noisy.n_atoms))

    def loss(self, prediction: Prediction, noised: Noised) -> Losses:
        """How far a prediction is from what the noise was (section 4.2)."""
        clean, noisy, t = noised
        n = clean.n_atoms
        frac = self.coordinates.loss(prediction.frac, self.coordinates.target(clean.frac, noisy.frac, t, n), n)
        cell = self.lattice.loss(prediction.cell, self.lattice.target(clean.cell, noisy.cell, t, n), n)
        numbers = torch.zeros_like(frac)
        if self.species is not None:
            numbers = self.species.loss(prediction.logits, clean.numbers, noisy.numbers, level(t)[clean.owner], n)
        w = self.weights
        return Losses(w[0] * frac + w[1] * cell + w[2] * numbers, frac, cell, numbers)

    def step(
        self, noisy: Crystals, prediction: Prediction, t: Time, s: Time, streams: Streams, *, eta: float = 1.0,
        single_scalar: bool = False,
    ) -> Crystals:
        """Coordinates and cell a little less noisy; species are revealed by the sampler, which knows the constraints.

        `single_scalar` is the published lattice noise: one number on all elements, √2 times it off the diagonal
        (section 6.4).
        """
        n = noisy.n_atoms
        shaken, strained = streams.normal_atoms(n), streams.normal(9).reshape(-1, 3, 3)
        if single_scalar:
            strained = strained[:, :1, :1].expand(-1, 3, 3)
        return noisy.replace(
            frac=self.coordinates.step(noisy.frac, prediction.frac, t, s, shaken, n, eta),
            cell=self.lattice.step(noisy.cell, prediction.cell, t, s, symmetric_noise(strained), n, eta),
        )

    def correct(
        self, noisy: Crystals, prediction: Prediction, t: Time, s: Time, streams: Streams, *, averaged: bool = False
    ) -> Crystals:
        """One Langevin step of coordinates and cell at time t, simultaneously (section 6.5).

        `averaged` is the published step size, from norms averaged over the batch; otherwise it comes from their
        expectation, 2 α (snr σ)², so that no crystal depends on its companions.
        """
        n = noisy.n_atoms
        shaken = streams.normal_atoms(n)
        strained = symmetric_noise(streams.normal(9).reshape(-1, 3, 3))
        stds = self.coordinates.std(t, n), self.lattice.std(t, n)
        alphas = torch.ones_like(t), (self.lattice.alpha(t) / self.lattice.alpha(s)) ** 2
        if averaged:
            owner, batch = noisy.owner, len(noisy)
            frac_norms = _norms(prediction.frac, owner, batch) / stds[0], _norms(shaken, owner, batch)
            cell_norms = prediction.cell.flatten(1).norm(dim=-1) / stds[1], strained.flatten(1).norm(dim=-1)
            sizes = [
                averaged_size(a, snr, *norms)
                for a, snr, norms in zip(alphas, self.snr, (frac_norms, cell_norms), strict=True)
            ]
        else:
            sizes = [2 * a * (snr * std) ** 2 for a, snr, std in zip(alphas, self.snr, stds, strict=True)]
        return noisy.replace(
            frac=self.coordinates.correct(noisy.frac, prediction.frac, sizes[0], t, shaken, n),
            cell=self.lattice.correct(noisy.cell, prediction.cell, sizes[1], t, strained, n),
        )


def averaged_size(alpha: Time, snr: float, score_norm: Time, noise_norm: Time) -> Time:
    """The published step size: 2 α (snr Ē/Ḡ)², at most 1e6, norms averaged over the batch."""
    score, noise = score_norm.mean(), noise_norm.mean()
    size = 2 * alpha * (snr * noise / score) ** 2
    return torch.where(score > 0, size, torch.full_like(size, 1e6)).clamp(max=1e6)


def _norms(per_atom: Tensor, owner: Tensor, batch: int) -> Time:
    squares = per_atom.new_zeros(batch).index_add(0, owner, (per_atom**2).sum(-1))
    return squares.sqrt()
