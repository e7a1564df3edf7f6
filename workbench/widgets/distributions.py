"""The distributions panel: hangs views.distributions; a brush narrows the table, a click selects."""

from functools import partial
from typing import TYPE_CHECKING

import ipywidgets as W

from workbench.state import State
from workbench.views import code, distributions, style
from workbench.views.periodic import cells
from workbench.widgets.base import Code, Plot
from workbench.widgets.panel import Panel, button, guarded, offer

if TYPE_CHECKING:
    from plotly.graph_objects import Figure

ELEMENTS, GROUPS = "elements", "space_groups"


class DistributionsPanel(Panel):
    """Density of each quantity: candidates against the taught data, the target as a dashed line."""

    name, heading = "distributions", "Distributions"

    def __init__(self, state: State | None = None) -> None:
        super().__init__(state)
        self.add_class("mgb-flush")
        self.plot = Plot(inks=style.INKS, label="Distribution")
        self.quantity = W.Dropdown(
            options=[("Energy above hull", "energy_above_hull")],
            layout=W.Layout(width="134px"),
            tooltip="Quantity along the x axis",
        )
        self.against = W.Dropdown(
            options=[("as density", "")],
            layout=W.Layout(width="104px"),
            tooltip="What it is drawn against: its density, or a second quantity with the Pareto front",
        )
        self.code = Code(label="Python that draws this figure")
        tell = button("Code", "Show the Python that draws this figure", self._code)
        self.lay_out([self.plot], [self.quantity, self.against, tell], [self.code])
        self.remember("quantity", self.quantity)
        self.remember("against", self.against)
        self.plot.observe(self._brush, "brushed")
        self.plot.observe(self._select, "clicked")
        for choice in (self.quantity, self.against):
            choice.observe(lambda _: self.draw(), "value")
        self.state.watch(self._quantities, "candidates", "constraints")
        self.state.watch(self.draw, "candidates", "selection", "model", "constraints", "narrowed")

    @guarded
    def _quantities(self) -> None:
        names = distributions.quantities(self.state.candidates, self.state.constraints.targets)
        plain = [(style.title(name).split(" (")[0], name) for name in names]
        offer(self.quantity, [*plain, ("Elements", ELEMENTS), ("Space groups", GROUPS)])
        offer(
            self.against,
            [("as density", ""), *((f"against {name[:1].lower()}{name[1:]}", value) for name, value in plain)],
        )

    @guarded
    def draw(self) -> None:
        """Draw the chosen picture."""
        self.against.disabled = self.quantity.value in {ELEMENTS, GROUPS}
        self.plot.label = f"Distribution of {self.quantity.label}"
        if self.quantity.value not in self.state.narrowed and self.plot.brushed:
            self.plot.brushed = []
        self.plot.figure = style.to_widget(self.figure())

    def figure(self) -> "Figure":
        """The chosen picture, as notebooks show it."""
        state, column = self.state, self.quantity.value
        special = {
            ELEMENTS: partial(distributions.elements, state.candidates, cells()),
            GROUPS: partial(distributions.space_groups, state.candidates),
        }
        if column in special:
            return special[column]()
        if self.against.value and self.against.value != column:
            return distributions.pair(state.candidates, column, self.against.value, selected=state.selection)
        taught = state.model.statistics.labels.get(column) if state.model is not None else None
        return distributions.distribution(
            state.candidates,
            column,
            taught=taught,
            target=state.constraints.targets.get(column),
            selected=state.selection,
            brush=state.narrowed.get(column),
        )

    @guarded
    def _code(self, _button: object) -> None:
        """What the figure shows, as calls of the views on the kept session."""
        x, y = self.quantity.value, self.against.value
        taught = f"load({self.state.model_name!r}).statistics.labels.get({x!r})"
        imports, call = "", f"distributions.distribution(session.candidates, {x!r}, taught={taught}, "
        call += f"target=session.constraints.targets.get({x!r}), brush=session.narrowed.get({x!r}))"
        if x == ELEMENTS:
            imports = "\nfrom workbench.views.periodic import cells"
            call = "distributions.elements(session.candidates, cells())"
        elif x == GROUPS:
            call = "distributions.space_groups(session.candidates)"
        elif y and y != x:
            call = f"distributions.pair(session.candidates, {x!r}, {y!r})"
        else:
            imports = "\nfrom workbench.wearing import load"
        view = f"from workbench.views import distributions{imports}"
        self.show_code(self.code, code.picture(self.kept_in(), view, call))

    @guarded
    def _brush(self, change: dict) -> None:
        column, pair = self.quantity.value, change["new"]
        if column in {ELEMENTS, GROUPS} or (self.against.value and self.against.value != column):
            return
        others = {name: between for name, between in self.state.narrowed.items() if name != column}
        self.state.narrowed = others | ({column: (float(pair[0]), float(pair[1]))} if len(pair) == 2 else {})

    @guarded
    def _select(self, change: dict) -> None:
        name = str(change["new"].get("id", ""))
        if self.state.position(name) >= 0:
            self.state.selection = name
