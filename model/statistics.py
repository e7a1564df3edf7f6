"""What a model must remember of its data: sizes, density, label spread, elements. Needs NumPy only."""

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np

from model.elements import SYMBOLS

BINS = 50


@dataclass(frozen=True)
class LabelStatistics:
    """How one property is spread over the crystals that have it; `std` is that of the population.

    `counts` are those of 50 equal bins from `low` to `high`, the smallest and largest value, in the property's unit.
    """

    n: int
    mean: float
    std: float
    low: float
    high: float
    counts: tuple[int, ...]

    @staticmethod
    def of(values: np.ndarray) -> "LabelStatistics":
        """Statistics of the values that are known (not NaN)."""
        known = np.asarray(values, dtype=np.float64)
        known = known[np.isfinite(known)]
        if not len(known):
            nan = float("nan")
            return LabelStatistics(n=0, mean=nan, std=nan, low=nan, high=nan, counts=(0,) * BINS)
        low, high = float(known.min()), float(known.max())
        counts, _ = np.histogram(known, bins=BINS, range=(low, high if high > low else low + 1.0))
        return LabelStatistics(
            n=len(known), mean=float(known.mean()), std=float(known.std()), low=low, high=high,
            counts=tuple(counts.tolist()),
        )

    @property
    def edges(self) -> np.ndarray:
        """The 51 borders of the bins."""
        return np.linspace(self.low, self.high if self.high > self.low else self.low + 1.0, BINS + 1)


@dataclass(frozen=True, kw_only=True)
class Statistics:
    """What a set of crystals looks like.

    `n_atoms` tells how many crystals have so many atoms in the cell, `n_atoms_by_space_group` the same for each group
    number (empty where groups are unknown), `density` the mean over the crystals of atoms per Å³, `elements` how many
    crystals hold the element, `chemical_systems` how many different sets of elements there are.
    """

    count: int
    n_atoms: Mapping[int, int]
    n_atoms_by_space_group: Mapping[int, Mapping[int, int]]
    density: float
    elements: Mapping[str, int]
    chemical_systems: int
    labels: Mapping[str, LabelStatistics]

    def sizes(self, space_group: int | None = None) -> Mapping[int, int]:
        """How often each number of atoms occurs, in one space group where it is known, else in all crystals."""
        return self.n_atoms_by_space_group.get(space_group, self.n_atoms) if space_group else self.n_atoms

    def to_json(self) -> dict[str, Any]:
        """Plain numbers, strings and dictionaries."""
        return asdict(self)

    @staticmethod
    def from_json(data: Mapping[str, Any]) -> "Statistics":
        """Statistics from what `to_json` gave, also after JSON has turned the integer keys to text."""
        groups = data["n_atoms_by_space_group"]
        labels = {k: LabelStatistics(**(dict(v) | {"counts": tuple(v["counts"])})) for k, v in data["labels"].items()}
        return Statistics(
            count=data["count"],
            n_atoms=_whole(data["n_atoms"]),
            n_atoms_by_space_group={int(group): _whole(sizes) for group, sizes in groups.items()},
            density=data["density"],
            elements=dict(data["elements"]),
            chemical_systems=data["chemical_systems"],
            labels=labels,
        )

    @staticmethod
    def of(
        cell: np.ndarray, numbers: np.ndarray, n_atoms: np.ndarray, labels: Mapping[str, np.ndarray]
    ) -> "Statistics":
        """Statistics of crystals given as flat arrays: cells (Å), atomic numbers, atom counts, labels."""
        present = np.zeros((len(n_atoms), len(SYMBOLS)), dtype=bool)
        present[np.repeat(np.arange(len(n_atoms)), n_atoms), numbers] = True
        volume = np.abs(np.linalg.det(cell)) if len(n_atoms) else np.ones(0)
        return Statistics(
            count=len(n_atoms),
            n_atoms=_histogram(n_atoms),
            n_atoms_by_space_group=_by_group(n_atoms, labels.get("space_group")),
            density=float(np.mean(n_atoms / volume)) if len(n_atoms) else float("nan"),
            elements={SYMBOLS[z]: int(n) for z, n in enumerate(present.sum(0)) if n},
            chemical_systems=len(np.unique(np.packbits(present, axis=1), axis=0)),
            labels={name: LabelStatistics.of(values) for name, values in labels.items()},
        )


def _whole(counts: Mapping[Any, int]) -> dict[int, int]:
    return {int(key): n for key, n in counts.items()}


def _histogram(values: np.ndarray) -> dict[int, int]:
    found, counts = np.unique(values, return_counts=True)
    return {int(value): int(n) for value, n in zip(found, counts, strict=True)}


def _by_group(n_atoms: np.ndarray, groups: np.ndarray | None) -> dict[int, dict[int, int]]:
    if groups is None:
        return {}
    return {int(g): _histogram(n_atoms[groups == g]) for g in np.unique(groups[np.isfinite(groups)])}
