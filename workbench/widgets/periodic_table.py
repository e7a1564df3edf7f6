"""Pick elements: exactly these, allow, forbid; used by the constraints panel."""

from collections.abc import Mapping

import traitlets

from model.elements import ALLOWED
from workbench.views.periodic import cells
from workbench.widgets.base import Widget, module

STATES = ("exactly", "allow", "forbid")


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
