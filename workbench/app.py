"""The bench: the only file that knows all panels; lays them out over one State."""

import threading
from pathlib import Path
from typing import Any

import ipywidgets as W

from workbench.state import State
from workbench.widgets.candidates import CandidatesPanel
from workbench.widgets.compare import ComparePanel
from workbench.widgets.constraints import ConstraintsPanel
from workbench.widgets.distributions import DistributionsPanel
from workbench.widgets.generate import Begin, GeneratePanel
from workbench.widgets.hull import HullPanel
from workbench.widgets.sessions import SessionsPanel
from workbench.widgets.structures import StructurePanel


class Workbench(W.VBox):
    """The design bench: say what is wanted, watch crystals form, see which are stable and new, take them away.

    Parameters
    ----------
    state
        What the panels share; a new one where left out.
    begin
        Makes a run out of the constraints; the shipped way (generate, relax, judge) where left out.
    sessions
        The folder in which work is kept as it happens, and found again.

    """

    def __init__(
        self, state: State | None = None, begin: Begin | None = None, sessions: Path | str = "sessions"
    ) -> None:
        self.state = state if state is not None else State()
        self.constraints = ConstraintsPanel(self.state)
        self.generate = GeneratePanel(self.state, begin)
        self.sessions = SessionsPanel(self.state, sessions)
        self.structure = StructurePanel(self.state)
        self.candidates = CandidatesPanel(self.state)
        self.hull = HullPanel(self.state)
        self.distributions = DistributionsPanel(self.state)
        self.comparison = ComparePanel(self.state)
        head = W.HTML(
            '<span class="mgb-name">MatterGen design workbench</span> '
            '<span class="mgb-says">say what is wanted, watch crystals form, keep the stable and new</span>'
        )
        head.add_class("mgb-head")
        left = W.VBox([self.constraints, self.generate, self.sessions])
        left.add_class("mgb-left")
        grid = W.Box([head, left, self.structure, self.candidates, self.hull, self.distributions, self.comparison])
        grid.add_class("mgb-bench")
        super().__init__([grid])
        self.add_class("mgb")
        self.add_class("mgb-root")
        threading.Thread(target=self._warm_up, daemon=True, name="bench-warm-up").start()

    def bring(self, source: Any) -> None:
        """Judge crystals of one's own: a folder or file, a DataFrame with a column `cif`, or a list of structures.

        Raises SourceError where none can be read, RuntimeError while a run is under way.
        """
        self.generate.bring(source)

    def _warm_up(self) -> None:
        """Load what the first click will need, once the bench is on the screen."""
        try:
            from workbench.judging import reference

            if self.state.reference is None:
                known = reference()
                with self.state.lock:
                    self.state.reference = self.state.reference or known
            import pymatgen.analysis.phase_diagram  # noqa: F401 - the hull's first picture then takes milliseconds
        except Exception as error:  # noqa: BLE001 - without a reference the bench still generates, draws and exports
            self.hull.fail(error)

    def close(self, *args: Any) -> None:
        """Stop what runs, then close."""
        if self.state.worker is not None:
            self.state.worker.cancel()
        self.sessions.keeper.close()
        super().close(*args)
