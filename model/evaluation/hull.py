"""Energy above the hull of known phases. Edge: scipy, pandas.

The hull at a composition is the cheapest mixture of known phases with that composition: a small linear programme. It
leaves the candidate itself out, so a crystal below all known mixtures has a negative energy above hull.
"""

import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from itertools import combinations
from typing import TYPE_CHECKING

import numpy as np

from model.shapes import Float, Int

if TYPE_CHECKING:
    import pandas as pd

STABLE = 0.1  # eV/atom above the hull: the paper's convention, shared with MatterGen's
_TINY = 1e-6


@dataclass(frozen=True, kw_only=True)
class Footing:
    """The hull below a composition: its energy in eV/atom, and the phases it is made of with their atomic shares.

    `known` counts the reference's phases in the chemical system and its subsystems, elements apart; `exact` says that
    the reference gives the hull at this very composition. The energy is NaN where an element lies outside.
    """

    energy: float
    phases: tuple[tuple[str, float], ...]
    known: int
    exact: bool = False
    outside: tuple[str, ...] = ()


@dataclass(frozen=True)
class HullTable:
    """Known compositions with formation energies in eV/atom; the elements lie at zero.

    `kind` is `hull` where the energy is the hull's own, `phase` where it is that of the best phase known there.
    """

    formula: "np.ndarray"
    energy: Float[np.ndarray, " phases"]
    kind: "np.ndarray"
    _systems: dict[frozenset[str], "_System"] = field(default_factory=dict, repr=False, compare=False)
    _footings: dict[tuple, Footing] = field(default_factory=dict, repr=False, compare=False)

    @staticmethod
    def of(table: "pd.DataFrame") -> "HullTable":
        """A table with columns `formula`, `formation_energy` and `kind`. Repeated formulas keep the lowest energy."""
        table = table.sort_values(["formula", "formation_energy"], kind="stable")
        exact = table[table["kind"] == "hull"].drop_duplicates("formula")
        rest = table[~table["formula"].isin(set(exact["formula"]))].drop_duplicates("formula")

        def column(name: str, kind: type) -> np.ndarray:
            return np.concatenate([exact[name].to_numpy(), rest[name].to_numpy()]).astype(kind)

        return HullTable(column("formula", object), column("formation_energy", np.float64), column("kind", object))

    def __len__(self) -> int:
        """Number of compositions."""
        return len(self.formula)

    @cached_property
    def _rows(self) -> Mapping[frozenset[str], Int[np.ndarray, " phases"]]:
        """Rows of each chemical system."""
        rows: dict[frozenset[str], list[int]] = {}
        for row, formula in enumerate(self.formula):
            rows.setdefault(frozenset(_SYMBOL.findall(formula)), []).append(row)
        return {system: np.array(found) for system, found in rows.items()}

    @property
    def systems(self) -> Iterable[frozenset[str]]:
        """Every chemical system in which a phase is known."""
        return self._rows.keys()

    @cached_property
    def elements(self) -> frozenset[str]:
        """Every element that appears in the table."""
        return frozenset(symbol for system in self._rows for symbol in system)

    @cached_property
    def formulas(self) -> Mapping[str, int]:
        """Row of each reduced formula."""
        return {formula: row for row, formula in enumerate(self.formula)}

    def without(self, formulas: Iterable[str]) -> "HullTable":
        """The same table lacking some compositions."""
        gone = set(formulas)
        keep = np.array([formula not in gone for formula in self.formula], dtype=bool)
        return HullTable(self.formula[keep], self.energy[keep], self.kind[keep])

    def entries(self, elements: Iterable[str]) -> "pd.DataFrame":
        """Phases of a chemical system and its subsystems, elements at zero: formula, formation_energy, kind."""
        import pandas as pd

        system = self._system(frozenset(elements))
        kinds = ["element"] * len(system.elements) + [str(self.kind[row]) for row in system.rows]
        return pd.DataFrame({"formula": system.formulas, "formation_energy": system.energy, "kind": kinds})

    def below(self, composition: Mapping[str, float]) -> Footing:
        """The hull at a composition (element to number of atoms)."""
        total = sum(composition.values())
        key = tuple(sorted((symbol, round(n / total, 9)) for symbol, n in composition.items()))
        if key not in self._footings:
            self._footings[key] = self._below(dict(key))
        return self._footings[key]

    def knows_system(self, elements: Iterable[str]) -> bool:
        """Whether any phase of exactly these elements is known."""
        system = frozenset(elements)
        return system in self._rows or (len(system) == 1 and system <= self.elements)

    def own(
        self, compositions: Sequence[Mapping[str, float]], energies: Float[np.ndarray, " crystals"]
    ) -> Float[np.ndarray, " crystals"]:
        """Energy above the hull that crystals make themselves, each in its chemical system, in eV/atom.

        The known phases of that very system are left out, those of its subsystems stay; `energies` are formation
        energies in eV/atom. NaN where one is, or where an element lies outside. Never negative.
        """
        energies = np.asarray(energies, dtype=float)
        found = np.full(len(energies), np.nan)
        systems: dict[frozenset[str], list[int]] = {}
        for row, composition in enumerate(compositions):
            if np.isfinite(energies[row]) and set(composition) <= self.elements:
                systems.setdefault(frozenset(composition), []).append(row)
        for elements, rows in systems.items():
            system = self._system(elements)
            old = (system.shares > 0).sum(axis=1) < len(elements)
            own = np.array([_amounts(compositions[row], system.elements) for row in rows])
            shares = np.concatenate([system.shares[old], own])
            energy = np.concatenate([system.energy[old], energies[rows]])
            for row, wanted in zip(rows, own, strict=True):
                found[row] = energies[row] - _cheapest(shares, energy, wanted)[0]
        return found

    def _below(self, shares: Mapping[str, float]) -> Footing:
        if outside := sorted(set(shares) - self.elements):
            return Footing(energy=float("nan"), phases=(), known=0, outside=tuple(outside))
        system = self._system(frozenset(shares))
        wanted = np.array([shares[symbol] for symbol in system.elements])
        known = len(system.rows)
        if len(wanted) == 1:
            return Footing(energy=0.0, phases=((system.elements[0], 1.0),), known=known, exact=True)
        here = np.flatnonzero(np.abs(system.shares - wanted).max(axis=1) < _TINY)
        for place in here:
            row = system.rows[place - len(system.elements)]
            if self.kind[row] == "hull":
                return Footing(energy=float(self.energy[row]), phases=((system.formulas[place], 1.0),), known=known,
                               exact=True)
        energy, mixture = _cheapest(system.shares, system.energy, wanted)
        phases = tuple((system.formulas[i], float(mixture[i])) for i in np.argsort(-mixture) if mixture[i] > 1e-4)
        return Footing(energy=energy, phases=phases, known=known)

    def _system(self, elements: frozenset[str]) -> "_System":
        if elements not in self._systems:
            self._systems[elements] = self._gather(elements)
        return self._systems[elements]

    def _gather(self, elements: frozenset[str]) -> "_System":
        symbols = tuple(sorted(elements))
        parts = [
            self._rows[frozenset(some)]
            for size in range(2, len(symbols) + 1)
            for some in combinations(symbols, size)
            if frozenset(some) in self._rows
        ]
        rows = np.concatenate(parts) if parts else np.zeros(0, dtype=int)
        shares = [_shares(self.formula[row], symbols) for row in rows]
        return _System(
            elements=symbols,
            rows=rows,
            formulas=[*symbols, *(str(self.formula[row]) for row in rows)],
            shares=np.array([*np.eye(len(symbols)), *shares]),
            energy=np.concatenate([np.zeros(len(symbols)), self.energy[rows]]),
        )


@dataclass(frozen=True, kw_only=True)
class _System:
    """Phases of one chemical system: the elements first, then the table's rows."""

    elements: tuple[str, ...]
    rows: Int[np.ndarray, " phases"]
    formulas: list[str]
    shares: Float[np.ndarray, "all elements"]
    energy: Float[np.ndarray, " all"]


_SYMBOL = re.compile(r"[A-Z][a-z]?")


def _shares(formula: str, symbols: Sequence[str]) -> list[float]:
    """Atomic shares of each element; the formula may hold brackets."""
    from pymatgen.core import Composition

    return _amounts(Composition(formula).get_el_amt_dict(), symbols)


def _amounts(counts: Mapping[str, float], symbols: Sequence[str]) -> list[float]:
    total = sum(counts.values())
    return [counts.get(symbol, 0.0) / total for symbol in symbols]


def _cheapest(
    shares: Float[np.ndarray, "phases elements"],
    energy: Float[np.ndarray, " phases"],
    wanted: Float[np.ndarray, " elements"],
) -> tuple[float, Float[np.ndarray, " phases"]]:
    """The cheapest mixture with the wanted shares: energy in eV/atom and how much of each phase."""
    from scipy.optimize import linprog

    answer = linprog(energy, A_eq=shares.T, b_eq=wanted, bounds=(0, None), method="highs")
    if answer.x is None:  # elements or the crystal itself always mix to the composition, so only rounding can forbid it
        return float(wanted @ energy[: len(wanted)]), np.eye(len(energy))[: len(wanted)].T @ wanted
    return float(answer.fun), answer.x
