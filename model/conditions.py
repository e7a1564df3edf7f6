"""Conditions: the constraints as tensors, with what is known and what is not; and which properties models can hear."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from types import MappingProxyType

import torch
from torch import Tensor

from model.shapes import Bool


@dataclass(frozen=True)
class Property:
    """How a model hears a property: as a scalar (after log10 where its range asks for it), a group or a set."""

    kind: str = "scalar"
    log10: bool = False


# the published models' ids, and our joined moduli; any other label is heard as a plain scalar. Source: section 1.6
PROPERTIES: Mapping[str, Property] = MappingProxyType({
    "dft_mag_density": Property(),
    "dft_band_gap": Property(),
    "dft_bulk_modulus": Property(log10=True),
    "ml_bulk_modulus": Property(log10=True),
    "bulk_modulus": Property(log10=True),
    "energy_above_hull": Property(),
    "hhi_score": Property(),
    "space_group": Property(kind="space_group"),
    "chemical_system": Property(kind="chemical_system"),
})


@dataclass(frozen=True, slots=True)
class Conditions:
    """Values of properties, one row a crystal, and for which crystals each is known.

    A scalar or a space group has shape (batch,), a chemical system is a multi-hot row of 101 (column = atomic number).
    """

    values: Mapping[str, Tensor] = field(default_factory=dict)
    known: Mapping[str, Bool[Tensor, " batch"]] = field(default_factory=dict)

    @staticmethod
    def of(**values: Tensor) -> "Conditions":
        """Everything given is known, except where it is NaN."""
        known = {k: ~(v.isnan().reshape(len(v), -1).any(-1)) if v.is_floating_point() else
                 torch.ones(len(v), dtype=torch.bool, device=v.device) for k, v in values.items()}
        return Conditions(dict(values), known)

    def forget(self, where: Mapping[str, Tensor] | None = None) -> "Conditions":
        """The same with some properties unknown: everywhere, or where a mask of that property holds.

        Label dropout in training and the free half of guidance are this same verb.
        """
        if where is None:
            return Conditions(self.values, {k: torch.zeros_like(v) for k, v in self.known.items()})
        return Conditions(self.values, {k: v & ~where[k] if k in where else v for k, v in self.known.items()})

    def only(self, *names: str) -> "Conditions":
        """The same with every other property unknown."""
        return Conditions(
            self.values, {k: v if k in names else torch.zeros_like(v) for k, v in self.known.items()}
        )

    def to(self, device: torch.device | str) -> "Conditions":
        """The same on another device."""
        return Conditions(
            {k: v.to(device) for k, v in self.values.items()}, {k: v.to(device) for k, v in self.known.items()}
        )

    def __getitem__(self, rows: Tensor | slice) -> "Conditions":
        """The conditions of some crystals."""
        return Conditions({k: v[rows] for k, v in self.values.items()}, {k: v[rows] for k, v in self.known.items()})

    @staticmethod
    def join(parts: "list[Conditions]") -> "Conditions":
        """One set of rows after another; all parts name the same properties."""
        names = parts[0].values if parts else {}
        return Conditions(
            {k: torch.cat([p.values[k] for p in parts]) for k in names},
            {k: torch.cat([p.known[k] for p in parts]) for k in names},
        )
