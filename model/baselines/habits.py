"""What known crystals are like: how much room an element takes, how near two of them come. Edge: pymatgen, scipy.

Random search places atoms by it, substitution scales cells by it.
"""

import hashlib
import json
import os
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
import torch

from model.cell import volume
from model.crystals import Crystals
from model.elements import SYMBOLS
from model.shapes import Float

SHIPPED = Path(__file__).with_name("habits.json")
NEAREST, FARTHEST = 0.7, 3.0  # Å: between these lie the paper's minimum separations (D.4)
_REACH = 4.0  # Å; atoms further apart do not touch, and tell nothing of how near they may come
_QUANTILE, _FEW = 0.05, 5  # a pair seen rarely is known by its nearest, one seen often by its near ones


class HabitsError(ValueError):
    """Crystals from which nothing can be learned, or habits that cannot be read."""


@dataclass(frozen=True, kw_only=True)
class Habits:
    """What was learned of known crystals.

    `volumes` is the room an atom takes, in Å³, `spread` the standard deviation of the logarithm of volumes against
    what these add up to; `distances` how near two elements come, in Å, by pair as "Li-O" (lighter first), `radii` the
    same for pairs never seen, as a sum; `elements` and `sizes` how many crystals hold an element, and so many of them.
    """

    volumes: Mapping[str, float]
    spread: float
    distances: Mapping[str, float]
    radii: Mapping[str, float]
    elements: Mapping[str, int]
    sizes: Mapping[int, int]
    source: str

    @property
    def hash(self) -> str:
        """sha256 of all of it, shortened to 16 digits."""
        return hashlib.sha256(json.dumps(self.to_json(), sort_keys=True).encode()).hexdigest()[:16]

    def volume(self, composition: Mapping[str, float]) -> float:
        """Volume in Å³ that a composition usually takes. Elements never seen take the mean."""
        mean = float(np.mean(list(self.volumes.values())))
        return sum(n * self.volumes.get(symbol, mean) for symbol, n in composition.items())

    def distance(self, first: str, second: str) -> float:
        """How near two elements come, in Å, from 0.7 to 3."""
        found = self.distances.get(_pair(first, second))
        if found is None:
            mean = float(np.mean(list(self.radii.values())))
            found = self.radii.get(first, mean) + self.radii.get(second, mean)
        return min(max(found, NEAREST), FARTHEST)

    def retuned(self, crystals: Crystals, source: str) -> "Habits":
        """The same, corrected by crystals that were relaxed after a first round (D.4): their distances and volumes."""
        if not len(crystals):
            raise HabitsError("Habits are corrected by relaxed crystals; found none.")
        seen = {pair: _near(found) for pair, found in _minima(crystals).items()}
        shares = _shares(crystals)
        usual = np.array([self.volume(_composition(row)) for row in shares])
        per_atom = (volume(crystals.cell.double()) / crystals.n_atoms).numpy()
        change = float(np.median(per_atom / usual))
        held = {SYMBOLS[z] for z in np.flatnonzero(shares.sum(0))}
        return replace(
            self, distances={**self.distances, **seen}, source=f"{self.source}; corrected by {source}",
            volumes={symbol: room * (change if symbol in held else 1) for symbol, room in self.volumes.items()},
        )

    def to_json(self) -> dict[str, Any]:
        """Plain numbers, strings and dictionaries."""
        return asdict(self) | {"sizes": {str(size): n for size, n in self.sizes.items()}}

    @staticmethod
    def from_json(data: Mapping[str, Any]) -> "Habits":
        """Habits from what `to_json` gave."""
        return Habits(**{**data, "sizes": {int(size): n for size, n in data["sizes"].items()}})

    @staticmethod
    def shipped() -> "Habits":
        """What the package brings, learned from the Materials Project."""
        return _shipped()

    def save(self, path: str | os.PathLike) -> None:
        """Write them, whole or not at all."""
        from model.io import write_text

        write_text(path, json.dumps(self.to_json(), indent=0) + "\n")

    @staticmethod
    def load(path: str | os.PathLike) -> "Habits":
        """Habits from a file. Raises HabitsError where it holds none."""
        try:
            return Habits.from_json(json.loads(Path(path).read_text(encoding="utf-8")))
        except (OSError, ValueError, KeyError, TypeError) as error:
            raise HabitsError(f"{path} holds no habits of crystals ({error}); learn them anew.") from error


@cache
def _shipped() -> Habits:
    return Habits.load(SHIPPED)


def learn(crystals: Crystals, source: str) -> Habits:
    """Habits of some crystals. Raises HabitsError where there are none."""
    if not len(crystals):
        raise HabitsError("Habits are learned from known crystals; found none.")
    shares = _shares(crystals)
    per_atom = (volume(crystals.cell.double()) / crystals.n_atoms).numpy()
    held = np.flatnonzero(shares.sum(0))
    rooms = _fit(shares[:, held], per_atom)
    minima = _minima(crystals)
    distances = {pair: round(_near(found), 3) for pair, found in sorted(minima.items())}
    kinds = (shares > 0).sum(1)
    return Habits(
        volumes={SYMBOLS[z]: round(float(room), 3) for z, room in zip(held, rooms, strict=True)},
        spread=round(float(np.log(per_atom / (shares[:, held] @ rooms)).std()), 4),
        distances=distances,
        radii=_radii(distances),
        elements={SYMBOLS[z]: int((shares[:, z] > 0).sum()) for z in held},
        sizes={int(size): int((kinds == size).sum()) for size in np.unique(kinds)},
        source=source,
    )


def _pair(first: str, second: str) -> str:
    return "-".join(sorted((first, second), key=SYMBOLS.index))


def _composition(shares: Float[np.ndarray, " elements"]) -> dict[str, float]:
    return {SYMBOLS[z]: float(shares[z]) for z in np.flatnonzero(shares)}


def _shares(crystals: Crystals) -> Float[np.ndarray, "batch elements"]:
    """What part of each crystal's atoms is of each element, by atomic number."""
    width = len(SYMBOLS)
    counts = torch.bincount(crystals.owner * width + crystals.numbers, minlength=len(crystals) * width)
    return (counts.reshape(len(crystals), width) / crystals.n_atoms[:, None]).double().numpy()


def _fit(
    shares: Float[np.ndarray, "batch held"], per_atom: Float[np.ndarray, " batch"]
) -> Float[np.ndarray, " held"]:
    """The room of each element whose sum meets volumes best: relative errors, the gross ones weighing less."""
    from scipy.optimize import nnls

    weights = np.ones(len(per_atom))
    for _ in range(10):
        scale = np.sqrt(weights) / per_atom
        rooms, _ = nnls(shares * scale[:, None], per_atom * scale)
        off = np.abs(shares @ rooms / per_atom - 1)
        weights = np.minimum(1.0, 0.1 / np.maximum(off, 1e-9))
    rooms = np.maximum(rooms, 1e-3)
    return np.where(rooms > 1.0, rooms, float(np.median(rooms)))  # one seen too rarely may come out as nothing


def _minima(crystals: Crystals) -> dict[str, list[float]]:
    """For each pair of elements, the shortest distance in every crystal where it is below 4 Å."""
    from model.io import to_structures

    found: dict[str, list[float]] = {}
    for structure in to_structures(crystals):
        numbers = np.array(structure.atomic_numbers)
        first, second, _, apart = structure.get_neighbor_list(_REACH)
        kind = np.sort(np.stack([numbers[first], numbers[second]]), axis=0)
        order = np.argsort(apart, kind="stable")
        for place in order[np.unique(kind[0][order] * 1000 + kind[1][order], return_index=True)[1]]:
            pair = f"{SYMBOLS[kind[0][place]]}-{SYMBOLS[kind[1][place]]}"
            found.setdefault(pair, []).append(float(apart[place]))
    return found


def _near(found: Sequence[float]) -> float:
    """A distance that is near and not a slip: the least of a few, a low quantile of many."""
    return float(min(found) if len(found) < _FEW else np.quantile(found, _QUANTILE))


def _radii(distances: Mapping[str, float]) -> dict[str, float]:
    """One number an element whose sums meet the pairs' distances."""
    from scipy.optimize import nnls

    symbols = sorted({symbol for pair in distances for symbol in pair.split("-")})
    if not symbols:  # no two atoms of any crystal touch
        return {"H": NEAREST / 2}
    place = {symbol: i for i, symbol in enumerate(symbols)}
    matrix = np.zeros((len(distances), len(symbols)))
    for row, pair in enumerate(distances):
        for symbol in pair.split("-"):
            matrix[row, place[symbol]] += 1
    found, _ = nnls(matrix, np.array(list(distances.values())))
    return {symbol: round(float(r), 3) for symbol, r in zip(symbols, found, strict=True)}
