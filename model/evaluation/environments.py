"""Reasonable surroundings: how each atom is coordinated and bonded, beside how known crystals do it.

Coordination is Hoppe's effective number: neighbours weighed by how much further off they are than the nearest
(R. Hoppe, Z. Kristallogr. 150, 23, 1979); a bond is a neighbour of weight 0.3 or more. A table of known crystals says
how many of them hold an element so coordinated, and between which lengths they bond each pair of elements.
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from functools import cache, cached_property
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

import numpy as np

from model.crystals import Crystals
from model.elements import SYMBOLS
from model.shapes import Float, Int

if TYPE_CHECKING:
    import pandas as pd

SHIPPED = Path(__file__).resolve().parents[1] / "reference" / "environments.parquet"
BONDED = 0.3  # least weight of a bond: up to 1.14 times the weighted mean distance
SEEN = 3  # known crystals that make a surrounding known, or a pair of elements judged
# of a bond length, beyond the shortest and the longest known: strain, what relaxing leaves, and how little n crystals
# tell of a range (n / (n + 1) of it is covered by n)
SLACK, SPARSE = 0.03, 0.5
_REACH, _FURTHEST = 1.7, 20.0  # times the nearest distance, beyond which a weight is below 1e-9; Å


class Bonds(NamedTuple):
    """Every atom's bonds, atom after atom: whose, to which atom, and how long in Å."""

    atom: Int[np.ndarray, " bonds"]
    other: Int[np.ndarray, " bonds"]
    length: Float[np.ndarray, " bonds"]


class Surroundings(NamedTuple):
    """How the atoms of one crystal stand: effective coordination number of each, and their bonds."""

    coordination: Float[np.ndarray, " atoms"]
    bonds: Bonds


def surroundings(crystal: Crystals) -> Surroundings:
    """The surroundings of every atom of one crystal. Raises ValueError where the cell is no cell."""
    atom, other, length = _neighbours(crystal)
    n = len(crystal.numbers)
    nearest = np.full(n, np.inf)
    np.minimum.at(nearest, atom, length)
    mean = nearest
    for _ in range(30):
        weight = np.exp(1 - (length / mean[atom]) ** 6)
        new = np.bincount(atom, weight * length, n) / np.bincount(atom, weight, n)
        if np.abs(new - mean).max() < 1e-5:
            break
        mean = new
    bonded = weight >= BONDED
    return Surroundings(
        coordination=np.bincount(atom, weight, n), bonds=Bonds(atom[bonded], other[bonded], length[bonded])
    )


def _neighbours(crystal: Crystals) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Pairs of atoms as far as any weight reaches: atom, neighbour, length in Å."""
    from pymatgen.optimization.neighbors import find_points_in_spheres

    cell = np.ascontiguousarray(crystal.cell[0].double().numpy())
    frac = crystal.frac.double().numpy()
    if not (np.isfinite(frac).all() and np.isfinite(cell).all()):
        raise ValueError("A cell or position that is no finite number has no surroundings to tell of.")
    cart, volume = np.ascontiguousarray((frac % 1.0) @ cell), abs(np.linalg.det(cell))
    if not 1e-3 < volume / len(cart) < 1e6:
        raise ValueError(f"A cell of {volume:.3g} Å³ with {len(cart)} atoms has no surroundings to tell of.")
    radius = 5.0
    while True:
        atom, other, _, length = find_points_in_spheres(
            cart, cart, r=radius, pbc=np.ones(3, dtype=np.int64), lattice=cell, tol=1e-8
        )
        apart = length > 1e-8
        atom, other, length = atom[apart], other[apart], length[apart]
        nearest = np.full(len(cart), np.inf)
        np.minimum.at(nearest, atom, length)
        if (reach := _REACH * nearest.max()) <= radius:
            return atom, other, length
        if radius >= _FURTHEST:
            raise ValueError(f"An atom has no neighbour within {_FURTHEST / _REACH:.0f} Å.")
        radius = min(_FURTHEST, reach if np.isfinite(reach) else 1.6 * radius)


class Judgement(NamedTuple):
    """Share of a crystal's atoms that stand as in known crystals, and what is odd about the others, in words."""

    known: float
    odd: tuple[str, ...]


@dataclass(frozen=True)
class KnownEnvironments:
    """What known crystals do, counted crystal by crystal.

    `table` has a row for each coordination of an element (`kind` "coordination": `one` the symbol, `low` the rounded
    number) and for each bonded pair ("bond": symbols in alphabetical order, `low` and `high` the shortest and longest
    bond in Å, of the central 99 % where more than 200 crystals have one), `crystals` counting who shows it.
    """

    table: "pd.DataFrame"

    @staticmethod
    def of(crystals: Iterable[Crystals]) -> "KnownEnvironments":
        """Count the surroundings in known crystals; those without any are passed over."""
        seen: dict[tuple[str, int], int] = {}
        lengths: dict[tuple[str, str], list[tuple[float, float]]] = {}
        for crystal in crystals:
            try:
                here = surroundings(crystal)
            except ValueError:
                continue
            symbols = _symbols(crystal)
            for kind in set(zip(symbols, np.rint(here.coordination).astype(int).tolist(), strict=True)):
                seen[kind] = seen.get(kind, 0) + 1
            for pair, found in _by_pair(symbols, here.bonds).items():
                lengths.setdefault(pair, []).append((float(found.min()), float(found.max())))
        return KnownEnvironments(_tabulate(seen, lengths))

    @staticmethod
    def shipped() -> "KnownEnvironments":
        """The table that the package brings, made from known crystals of the Materials Project."""
        return _shipped()

    @cached_property
    def _seen(self) -> Mapping[tuple[str, int], int]:
        rows = self.table[self.table["kind"] == "coordination"]
        return {(one, round(low)): n for one, low, n in zip(rows["one"], rows["low"], rows["crystals"], strict=True)}

    @cached_property
    def _lengths(self) -> Mapping[tuple[str, str], tuple[float, float, int]]:
        rows = self.table[self.table["kind"] == "bond"]
        columns = (rows[name] for name in ("one", "other", "low", "high", "crystals"))
        return {(one, other): (low, high, n) for one, other, low, high, n in zip(*columns, strict=True)}

    def judge(self, crystal: Crystals) -> Judgement:
        """Compare a crystal's surroundings: neighbours counted, no bond too short, and the shortest of none too long.

        An element or a pair that too few known crystals show is not held odd.

        Raises ValueError where the cell is no cell.
        """
        here, symbols = surroundings(crystal), _symbols(crystal)
        odd_atoms: set[int] = set()
        words: dict[str, None] = {}
        for atom, (symbol, number) in enumerate(zip(symbols, np.rint(here.coordination).astype(int), strict=True)):
            alike = sum(self._seen.get((symbol, int(number) + off), 0) for off in (-1, 0, 1))
            if alike < SEEN and self._is_met(symbol):
                odd_atoms.add(atom)
                words[f"{symbol} with {number} neighbours"] = None
        nearest = np.full(len(symbols), np.inf)
        np.minimum.at(nearest, here.bonds.atom, here.bonds.length)
        for atom, other, length in zip(*here.bonds, strict=True):
            pair = tuple(sorted((symbols[atom], symbols[other])))
            low, high, n = self._lengths.get(pair, (0.0, np.inf, 0))
            slack = SLACK + SPARSE / max(n, 1)
            loose = length > high * (1 + slack) and length < nearest[atom] + 1e-3  # no nearer one holds the atom
            if n >= SEEN and (length < low * (1 - slack) or loose):
                odd_atoms |= {int(atom), int(other)}
                words[f"{pair[0]}–{pair[1]} of {length:.2f} Å (known: {low:.2f} to {high:.2f})"] = None
        return Judgement(known=1 - len(odd_atoms) / len(symbols), odd=tuple(words))

    def _is_met(self, symbol: str) -> bool:
        """Whether enough known crystals hold an element to speak of what is usual for it."""
        return self._met.get(symbol, 0) >= 10 * SEEN

    @cached_property
    def _met(self) -> Mapping[str, int]:
        met: dict[str, int] = {}
        for (symbol, _), n in self._seen.items():
            met[symbol] = met.get(symbol, 0) + n
        return met


@cache
def _shipped() -> KnownEnvironments:
    import pandas as pd

    return KnownEnvironments(pd.read_parquet(SHIPPED))


def _symbols(crystal: Crystals) -> list[str]:
    return [SYMBOLS[z] if z < len(SYMBOLS) else "X" for z in crystal.numbers.tolist()]


def _by_pair(symbols: list[str], bonds: Bonds) -> dict[tuple[str, str], np.ndarray]:
    """Bond lengths of each pair of elements."""
    found: dict[tuple[str, str], list[float]] = {}
    for atom, other, length in zip(*bonds, strict=True):
        one, two = sorted((symbols[atom], symbols[other]))
        found.setdefault((one, two), []).append(float(length))
    return {pair: np.array(lengths) for pair, lengths in found.items()}


def _tabulate(
    seen: Mapping[tuple[str, int], int], lengths: Mapping[tuple[str, str], list[tuple[float, float]]]
) -> "pd.DataFrame":
    import pandas as pd

    rows = [("coordination", symbol, "", float(number), float(number), n) for (symbol, number), n in seen.items()]
    for (one, other), found in lengths.items():
        short, long = np.array(found).T
        if len(found) > 200:
            low, high = np.quantile(short, 0.005), np.quantile(long, 0.995)
        else:
            low, high = short.min(), long.max()
        rows.append(("bond", one, other, float(low), float(high), len(found)))
    columns = ["kind", "one", "other", "low", "high", "crystals"]
    table = pd.DataFrame(sorted(rows), columns=columns)
    return table.astype({"low": "float32", "high": "float32", "crystals": "int32"})
