"""Order and disorder: like elements mixed over their sites, and crystals matched as one disordered parent.

As MatterGen's default matcher: two elements can stand for one another where their atomic radii differ by at most 30 %
of the mean and their electronegativities by at most 1.0; elements so joined share their sites in the crystal's own
proportions. Edge: pymatgen.
"""

import warnings
from functools import cache
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from pymatgen.core import Composition, Structure

RADIUS, ELECTRONEGATIVITY = 0.3, 1.0  # relative and absolute: how far like elements may differ
ATOL, RTOL = 1e-2, 1e-1  # of an element's share, where a crystal is disordered from the start


@cache
def alike(one: str, other: str) -> bool:
    """Whether two elements can stand for one another; not where a radius or an electronegativity is unknown."""
    from pymatgen.core import Element

    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # pymatgen tells of elements without an electronegativity; they mix with none
        radii = [Element(symbol).atomic_radius for symbol in (one, other)]
        pull = [float(Element(symbol).X) for symbol in (one, other)]
    if any(radius is None for radius in radii) or not abs(pull[0] - pull[1]) <= ELECTRONEGATIVITY:
        return False
    first, second = map(float, radii)
    return abs(first - second) <= RADIUS * (first + second) / 2


def like_groups(symbols: "list[str] | set[str]") -> list[set[str]]:
    """Elements in groups that mix: joined where a chain of like elements leads from one to the other."""
    groups: list[set[str]] = []
    for symbol in sorted(symbols):
        near = [group for group in groups if any(alike(symbol, member) for member in group)]
        groups = [group for group in groups if group not in near] + [{symbol}.union(*near)]
    return groups


def parent(structure: "Structure") -> "Structure | None":
    """The disordered parent of an ordered crystal; None where none of its elements mix."""
    from pymatgen.core import Composition, Structure

    amounts = structure.composition.element_composition.get_el_amt_dict()
    site: dict[str, Composition] = {}
    for group in like_groups(set(amounts)):
        if len(group) > 1:
            total = sum(amounts[symbol] for symbol in group)
            site |= dict.fromkeys(group, Composition({symbol: amounts[symbol] / total for symbol in sorted(group)}))
    if not site:
        return None
    species = [site.get(one.specie.symbol, one.species) for one in structure]
    return Structure(structure.lattice, species, structure.frac_coords)


def levelled(structure: "Structure") -> "Structure":
    """The same crystal with every element replaced by the first that it mixes with: alike for all of one parent."""
    from pymatgen.core import Structure

    groups = like_groups({site.specie.symbol for site in structure})
    stands_for = {symbol: min(group) for group in groups for symbol in group}
    return Structure(structure.lattice, [stands_for[one.specie.symbol] for one in structure], structure.frac_coords)


def same_shares(one: "Composition", other: "Composition") -> bool:
    """Whether two compositions agree in every element's share, within the tolerances."""
    import numpy as np

    first, second = one.element_composition, other.element_composition
    symbols = sorted({e.symbol for e in first} | {e.symbol for e in second})
    shares = [[c.get_atomic_fraction(s) for s in symbols] for c in (first, second)]
    return bool(np.allclose(*shares, atol=ATOL, rtol=RTOL))
