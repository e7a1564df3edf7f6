"""Vectors for time and for conditions: scalars, chemical systems, space groups."""

import math
from collections.abc import Sequence

import torch
from torch import Tensor, nn

from model import elements
from model.shapes import Bool, Float

N_SPACE_GROUPS = 230


class NoiseLevelEncoding(nn.Module):
    """A number as interleaved sines and cosines; time is used as it is, in [0, 1] (section 3.2)."""

    def __init__(self, width: int) -> None:
        super().__init__()
        frequencies = torch.exp(torch.arange(0, width, 2).float() * (-math.log(10000.0) / width))
        self.register_buffer("div_term", frequencies)

    def forward(self, value: Float[Tensor, " batch"]) -> Float[Tensor, "batch width"]:
        """Sin at even places, cos at odd ones."""
        phase = value[:, None] * self.div_term
        return torch.stack([phase.sin(), phase.cos()], dim=-1).flatten(1)


class SpaceGroupEmbedding(nn.Module):
    """A learned row for each of the 230 space groups."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.embedding = nn.Embedding(N_SPACE_GROUPS, width)

    def forward(self, number: Float[Tensor, " batch"]) -> Float[Tensor, "batch width"]:
        """Rows are counted from space group 1."""
        return self.embedding(number.long().clamp(1, N_SPACE_GROUPS) - 1)


class ChemicalSystemEmbedding(nn.Module):
    """Which elements are present, as a multi-hot row through a matrix; column = atomic number (trap 2)."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.embedding = nn.Linear(101, width)

    def forward(self, present: Float[Tensor, "batch 101"]) -> Float[Tensor, "batch width"]:
        """One vector for each set of elements."""
        return self.embedding(present)


class Scaler(nn.Module):
    """Standardises a scalar by the mean and spread of its training labels, after log10 where asked."""

    def __init__(self, *, log10: bool = False) -> None:
        super().__init__()
        self.log10 = log10
        self.register_buffer("means", torch.zeros(1))
        self.register_buffer("stds", torch.ones(1))

    def fit(self, labels: Float[Tensor, " rows"]) -> None:
        """Take mean and population spread (plus 1e-5) of the labels that are known.

        Raises ValueError where none is, or where a logarithm meets a label that is not positive.
        """
        labels = labels[~labels.isnan()].double()
        if not len(labels):
            raise ValueError("No row has this label, so nothing can be learned from it.")
        if self.log10:
            if (labels <= 0).any():
                raise ValueError(f"Labels on a logarithmic scale are positive; the smallest is {labels.min():g}.")
            labels = labels.log10()
        self.means.fill_(labels.mean())
        self.stds.fill_(labels.std(correction=0) + 1e-5)

    def forward(self, value: Float[Tensor, " batch"]) -> Float[Tensor, " batch"]:
        """In units of the labels' spread."""
        return ((value.log10() if self.log10 else value) - self.means) / self.stds


class PropertyEmbedding(nn.Module):
    """The vector of one condition; where it is not known the adapter is silent, so no vector is needed then."""

    def __init__(self, name: str, width: int, *, log10: bool = False) -> None:
        super().__init__()
        self.name = name
        self.scaler: nn.Module = nn.Identity()
        if name == "chemical_system":
            self.conditional_embedding_module: nn.Module = ChemicalSystemEmbedding(width)
        elif name == "space_group":
            self.conditional_embedding_module = SpaceGroupEmbedding(width)
        else:
            self.scaler = Scaler(log10=log10)
            self.conditional_embedding_module = NoiseLevelEncoding(width)

    def forward(self, value: Tensor, known: Bool[Tensor, " batch"]) -> Float[Tensor, "batch width"]:
        """Unknown rows are embedded as some harmless value; the adapter's gate drops them."""
        harmless = torch.ones((), dtype=value.dtype, device=value.device)
        rows = known.view(-1, *[1] * (value.dim() - 1))
        return self.conditional_embedding_module(self.scaler(torch.where(rows, value, harmless)))


def multi_hot(systems: Sequence[frozenset[str]]) -> Float[Tensor, "batch 101"]:
    """One row for each set of elements, 1 in the columns of their atomic numbers."""
    rows = torch.zeros(len(systems), 101)
    for row, system in zip(rows, systems, strict=True):
        row[[elements.NUMBERS[symbol] for symbol in system]] = 1
    return rows
