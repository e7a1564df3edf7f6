"""The periodic table as columns: symbols, the elements a model may use, masses, radii, supply figures."""

import csv
from collections.abc import Iterable
from functools import cache
from pathlib import Path
from types import MappingProxyType

_TABLE = Path(__file__).with_name("elements.csv")
_COLUMNS = ("mass", "electronegativity", "atomic_radius", "hhi_production", "hhi_reserve")


class UnknownElementError(ValueError):
    """A symbol that is no element, or no element that models are taught."""


def _rows() -> list[dict[str, str]]:
    with _TABLE.open(encoding="utf-8") as file:
        return list(csv.DictReader(line for line in file if not line.startswith("#")))


SYMBOLS: tuple[str, ...] = ("", *(row["symbol"] for row in _rows()))  # SYMBOLS[26] == "Fe"
NUMBERS = MappingProxyType({symbol: z for z, symbol in enumerate(SYMBOLS) if symbol})

# Z = 1 to 83 without noble gases, Tc and Pm: what the training data holds. Source: MatterGen, section 1.5 of its facts
ALLOWED: tuple[str, ...] = tuple(SYMBOLS[z] for z in range(1, 84) if z not in {2, 10, 18, 36, 43, 54, 61})


def check_known(symbols: Iterable[str]) -> None:
    """Raise UnknownElementError unless every symbol is an element that models are taught."""
    wrong = sorted(set(symbols) - set(ALLOWED))
    if wrong:
        strange = [s for s in wrong if s not in NUMBERS]
        found = f"{', '.join(strange)} is no element symbol" if strange else (
            f"{', '.join(wrong)} is outside the elements this model family is taught"
        )
        raise UnknownElementError(f"{found}; use H to Bi without noble gases, Tc and Pm, written like Fe.")


@cache
def column(name: str) -> MappingProxyType[str, float]:
    """One column of the table by symbol; elements without a value are left out.

    Columns: mass (u), electronegativity (Pauling), atomic_radius (Å), hhi_production and hhi_reserve (no unit).
    """
    if name not in _COLUMNS:
        raise KeyError(f"No column {name!r}; there are {', '.join(_COLUMNS)}.")
    return MappingProxyType({row["symbol"]: float(row[name]) for row in _rows() if row[name]})
