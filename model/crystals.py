"""The two values that flow through the house: a batch of crystals, and what a denoiser answers about one.

Conventions, said here and nowhere else: rows of a cell are its lattice vectors; lengths are in Å, energies in eV,
pressures in GPa; fractional coordinates lie in [0, 1); time runs from 0 (data) to 1 (noise).
"""

import dataclasses
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from model.shapes import Float, Int

MASK = 101  # elements stop at 100 in the network's alphabet, so the next number is free to mean "not yet decided"
N_CLASSES = 101  # class k is atomic number k + 1; the last class is MASK

PER_ATOM = ("frac", "numbers")
PER_CRYSTAL = ("cell", "n_atoms")


@dataclass(frozen=True, slots=True, kw_only=True)
class Crystals:
    """A batch of periodic crystals, ragged over atoms: the atoms run crystal after crystal."""

    frac: Float[Tensor, "atoms 3"]
    cell: Float[Tensor, "batch 3 3"]
    numbers: Int[Tensor, " atoms"]
    n_atoms: Int[Tensor, " batch"]

    def __len__(self) -> int:
        """Number of crystals."""
        return self.n_atoms.shape[0]

    @property
    def owner(self) -> Int[Tensor, " atoms"]:
        """Which crystal each atom belongs to."""
        index = torch.arange(len(self), device=self.n_atoms.device)
        return torch.repeat_interleave(index, self.n_atoms, output_size=self.frac.shape[0])

    @property
    def device(self) -> torch.device:
        """Where the tensors live."""
        return self.frac.device

    def replace(self, **fields: Tensor) -> "Crystals":
        """The same crystals with some fields exchanged."""
        return dataclasses.replace(self, **fields)

    def to(self, *args: object, **kwargs: object) -> "Crystals":
        """The same crystals on another device (dtypes are left alone)."""
        return Crystals(**{name: getattr(self, name).to(*args, **kwargs) for name in (*PER_ATOM, *PER_CRYSTAL)})

    def pin_memory(self) -> "Crystals":
        """The same crystals in page-locked memory, for fast transfers to a GPU."""
        return Crystals(**{name: getattr(self, name).pin_memory() for name in (*PER_ATOM, *PER_CRYSTAL)})

    def __getitem__(self, rows: "int | slice | Sequence[int] | Tensor") -> "Crystals":
        """Pick crystals by position, slice, list of positions or boolean mask; one position gives a batch of one."""
        picked = torch.arange(len(self), device=self.device)
        if isinstance(rows, int):
            rows = [range(len(self))[rows]]
        picked = picked[rows if isinstance(rows, slice | Tensor) else torch.as_tensor(list(rows), dtype=torch.long)]
        counts = self.n_atoms[picked]
        starts = (torch.cumsum(self.n_atoms, 0) - self.n_atoms)[picked]
        within = torch.arange(int(counts.sum()), device=self.device)
        within = within - torch.repeat_interleave(torch.cumsum(counts, 0) - counts, counts)
        atoms = torch.repeat_interleave(starts, counts) + within
        return Crystals(
            **{name: getattr(self, name)[atoms] for name in PER_ATOM},
            **{name: getattr(self, name)[picked] for name in PER_CRYSTAL},
        )

    def __iter__(self) -> Iterator["Crystals"]:
        """One batch of one after another."""
        return (self[i] for i in range(len(self)))

    @staticmethod
    def join(parts: "Sequence[Crystals]") -> "Crystals":
        """One batch out of several, in order; no parts give an empty batch."""
        if not parts:
            return Crystals.empty()
        return Crystals(
            **{name: torch.cat([getattr(p, name) for p in parts]) for name in (*PER_ATOM, *PER_CRYSTAL)},
        )

    @staticmethod
    def empty() -> "Crystals":
        """A batch without crystals."""
        return Crystals(
            frac=torch.zeros(0, 3),
            cell=torch.zeros(0, 3, 3),
            numbers=torch.zeros(0, dtype=torch.long),
            n_atoms=torch.zeros(0, dtype=torch.long),
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class Prediction:
    """What a denoiser answers about noisy crystals. Scores are times the noise's standard deviation."""

    frac: Float[Tensor, "atoms 3"]
    cell: Float[Tensor, "batch 3 3"]
    logits: Float[Tensor, "atoms 101"]
