"""Pick elements: exactly these, allow, forbid; used by the constraints panel."""

from collections.abc import Mapping

import traitlets

from model.elements import ALLOWED, SYMBOLS
from workbench.widgets.base import Widget, module

STATES = ("exactly", "allow", "forbid")
_NOBLE = (0, 2, 10, 18, 36, 54, 86)
LAST = 96  # Cm; nothing heavier is in any crystal data here


def place(z: int) -> tuple[int, int]:
    """Row and column of an element in the long form; lanthanides and actinides stand in rows 9 and 10."""
    period = next(i for i, noble in enumerate(_NOBLE[1:], start=1) if z <= noble) if z <= _NOBLE[-1] else 7
    n = z - _NOBLE[period - 1]
    length = _NOBLE[period] - _NOBLE[period - 1] if period < 7 else 32
    if length == 32 and 3 <= n <= 17:
        return period + 3, n
    if n <= 2 and z != 2:
        return period, n
    return period, 18 - (length - n)


def cells() -> list[tuple[str, int, int, bool]]:
    """Symbol, row, column and whether models are taught the element, for each element shown."""
    return [(SYMBOLS[z], *place(z), SYMBOLS[z] in ALLOWED) for z in range(1, LAST + 1)]


class PeriodicTable(Widget):
    """The periodic table to click; `choices` maps symbols to exactly, allow or forbid, and leaves out the rest."""

    _esm = module("periodic_table.js")
    told = ("choices",)
    cells = traitlets.List().tag(sync=True)
    choices = traitlets.Dict().tag(sync=True)
    brush = traitlets.Unicode("exactly").tag(sync=True)
    disabled = traitlets.Bool(default_value=False).tag(sync=True)

    def __init__(self, choices: Mapping[str, str] | None = None) -> None:
        super().__init__(cells=[list(cell) for cell in cells()], choices=dict(choices or {}))

    @traitlets.validate("choices")
    def _known(self, proposal: dict) -> dict[str, str]:
        wrong = {k: v for k, v in proposal["value"].items() if k not in ALLOWED or v not in STATES}
        if wrong:
            raise traitlets.TraitError(f"Elements are exactly, allow or forbid; found {wrong}.")
        return proposal["value"]

    def of(self, state: str) -> frozenset[str]:
        """The elements in one state."""
        return frozenset(symbol for symbol, found in self.choices.items() if found == state)
