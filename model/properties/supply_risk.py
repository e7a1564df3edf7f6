"""How concentrated the supply of a material's elements is: the Herfindahl-Hirschman index."""

from collections.abc import Mapping
from numbers import Real
from typing import Any, Literal

from model import elements


def hhi(composition: "str | Mapping[Any, Real]", of: Literal["reserve", "production"] = "reserve") -> float | None:
    """Herfindahl-Hirschman index of a composition, from 0 (many suppliers) to 10,000 (one); None where not known.

    Elements are weighted by their share of the mass. `composition` is a formula, brackets allowed, or amounts by
    element (a pymatgen Composition too); `of` says whether known reserves or yearly production are meant. Below 1,500 a
    market counts as open, above 2,500 as concentrated. Source: Gaultois et al., Chem. Mater. 25 (2013) 2911.

    Raises ValueError for a formula that cannot be read, or no atoms at all.
    """
    amounts = {str(element): amount for element, amount in _amounts(composition).items()}
    masses, indices = elements.column("mass"), elements.column(f"hhi_{of}")
    if not amounts or not all(symbol in masses for symbol in amounts):
        raise ValueError(f"A composition names elements and how many of each; found {composition!r}.")
    if not all(symbol in indices for symbol in amounts):
        return None
    mass = {symbol: amount * masses[symbol] for symbol, amount in amounts.items()}
    return sum(m * indices[symbol] for symbol, m in mass.items()) / sum(mass.values())


def _amounts(composition: "str | Mapping[Any, Real]") -> Mapping[Any, Real]:
    if not isinstance(composition, str):
        return composition
    from pymatgen.core import Composition

    return Composition(composition).get_el_amt_dict()
