"""Oxidation states that balance a crystal's charges, where there are such. Edge: pymatgen."""

from collections.abc import Mapping
from dataclasses import dataclass


@dataclass(frozen=True, slots=True, kw_only=True)
class Oxidation:
    """The likeliest oxidation states by element, and whether charges balance: None where there are none to balance.

    Metals among themselves and single elements hold no charges. States that are no whole numbers are means of a mixed
    valence.
    """

    states: Mapping[str, float]
    balanced: bool | None

    @property
    def text(self) -> str:
        """As `Sr +2, Ti +4, O -2`; empty where nothing balances."""
        return ", ".join(f"{symbol} {state:+.3g}" for symbol, state in self.states.items())


def oxidation(composition: Mapping[str, float]) -> Oxidation:
    """Oxidation states of a composition (element to number of atoms) that add up to zero, the likeliest of them.

    Likelihood by how often a state occurs in the ICSD, as pymatgen tells it; mixed valence is allowed.
    """
    from pymatgen.core import Composition, Element

    if len(composition) < 2 or all(Element(symbol).is_metal for symbol in composition):
        return Oxidation(states={}, balanced=None)
    reduced = Composition(dict(composition)).reduced_composition
    found = reduced.oxi_state_guesses()
    if not found:
        return Oxidation(states={}, balanced=False)
    order = sorted(found[0], key=lambda symbol: (-found[0][symbol], symbol))
    return Oxidation(states={symbol: float(found[0][symbol]) for symbol in order}, balanced=True)
