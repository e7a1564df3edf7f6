"""The hull panel: hangs views.hull; a click selects."""

import threading
from typing import Any

import ipywidgets as W

from workbench.state import State, folder_of
from workbench.views import code, style
from workbench.views.hull import hull, known_phases
from workbench.widgets.base import Code, Plot
from workbench.widgets.panel import Panel, button, guarded, offer

NONE = [("no system", "")]
WELL_COVERED = 6  # known phases beside the elements, below which a system's hull says little


class HullPanel(Panel):
    """Phase diagram of the chosen system, from the reference, with the candidates on and above it."""

    name, heading = "hull", "Hull"

    def __init__(self, state: State | None = None) -> None:
        super().__init__(state)
        self.add_class("mgb-flush")
        self.plot = Plot(inks=style.INKS, label="Phase diagram with candidates")
        self._shown: tuple[Any, ...] = (None,) * 4
        self._reader: threading.Thread | None = None
        self.system = W.Dropdown(options=NONE, layout=W.Layout(width="130px"), tooltip="Chemical system of the diagram")
        self.code = Code(label="Python that draws this figure")
        tell = button("Code", "Show the Python that draws this figure", self._code)
        self.lay_out([self.plot], [self.system, tell], [self.code])
        self.remember("system", self.system)
        self.plot.observe(self._select, "clicked")
        self.system.observe(lambda _: self.draw(), "value")
        self.state.watch(self._systems, "constraints", "candidates", "reference")
        self.state.watch(self.draw, "candidates", "selection", "reference")

    @guarded
    def _systems(self) -> None:
        """Systems to choose from: what was asked for, then those the candidates belong to."""
        asked = [self.state.constraints.required] if len(self.state.constraints.required) > 1 else []
        table = self.state.candidates.table
        found = table["chemical_system"].dropna().astype(str).value_counts().index if "chemical_system" in table else []
        names = list(
            dict.fromkeys(["-".join(sorted(s)) for s in asked] + [s for s in found if 2 <= s.count("-") + 1 <= 4])
        )[:200]
        if [value for _, value in self.system.options] != names:
            offer(self.system, [(name, name) for name in names] or NONE)

    @guarded
    def draw(self) -> None:
        """Draw the diagram of the chosen system, if anything that it shows has changed."""
        state = self.state
        shown = (state.candidates, state.reference, state.selection, self.system.value)
        pairs = zip(shown, self._shown, strict=True)
        if all(one is other or (isinstance(one, str) and one == other) for one, other in pairs):
            return
        self._shown = shown
        if not self.system.value:
            self._hang(
                style.says("Choose two to four elements", "The hull of their chemical system is drawn here."), ""
            )
        elif self.state.reference is None:
            self._hang(style.says("No reference yet", "Known phases are being read."), "")
            self._read()
        else:
            elements = self.system.value.split("-")
            phases = known_phases(self.state.reference, elements)
            few = (
                f", only {len(phases)} known phases: stable is claimed easily"
                if len(phases) < WELL_COVERED
                else f", {len(phases)} known phases"
            )
            self._hang(hull(self.state.candidates, phases, elements, self.state.selection), self.system.value + few)

    def _read(self) -> None:
        """Read the shipped reference, where no other was given: the panel may stand alone."""
        if self._reader is None:
            self._reader = threading.Thread(target=self._load, daemon=True, name="bench-reference")
            self._reader.start()

    def _load(self) -> None:
        from workbench.judging import reference

        try:
            known = reference()
            with self.state.lock:
                self.state.reference = self.state.reference or known
        except Exception as error:  # noqa: BLE001 - said where the hull would be
            self.fail(error)

    @guarded
    def _code(self, _button: Any) -> None:
        elements = self.system.value.split("-") if self.system.value else []
        mine = folder_of(self.state.reference)
        known = f"Reference.load({mine!r})" if mine else "Reference.shipped()"
        view = "from model.evaluation.reference import Reference\nfrom workbench.views.hull import hull, known_phases"
        call = f"elements = {elements!r}\nphases = known_phases({known}, elements)\n"
        call += "hull(session.candidates, phases, elements)"
        self.show_code(self.code, code.picture(self.kept_in(), view, call))

    def _hang(self, figure: Any, aside: str) -> None:
        self.set_aside(aside)
        self.plot.figure = style.to_widget(figure)

    @guarded
    def _select(self, change: dict) -> None:
        name = str(change["new"].get("id", ""))
        if self.state.position(name) >= 0:
            self.state.selection = name
