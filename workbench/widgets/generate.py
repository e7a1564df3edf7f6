"""The generate panel: start, progress, cancel, resume, and the crystal that is just losing its noise."""

from collections.abc import Callable
from dataclasses import asdict
from typing import Any

import ipywidgets as W

from model.constraints import Constraints
from workbench.runs import Run
from workbench.state import DIFFUSION, Asked, RunStatus, State, no_candidates
from workbench.views import structure
from workbench.widgets.panel import Panel, button, guarded
from workbench.widgets.progress import ProgressView

SAID = {
    "idle": "Ready",
    "loading": "Loading",
    "generating": "Generating",
    "judging": "All generated; judging",
    "cancelling": "Stopping at the next step",
    "cancelled": "Cancelled; what was finished is kept",
    "failed": "Stopped by an error; what was finished is kept",
    "done": "Done",
}
Begin = Callable[[State, Constraints], Run]


class GeneratePanel(Panel):
    """Starts and stops runs; `begin` makes a Run out of the constraints and may be any other way."""

    name, heading = "generate", "Generate"

    def __init__(self, state: State | None = None, begin: Begin | None = None) -> None:
        super().__init__(state)
        self.begin = begin or _by_the_chosen_way
        self.progress = ProgressView()
        self.start = button(
            "Generate", "Make crystals that meet the constraints; the table is cleared first", self._start, primary=True
        )
        self.cancel = button("Cancel", "Stop at the next step; finished crystals are kept", self._cancel)
        self.resume = button("Resume", "Make and judge what is still missing", self._resume)
        buttons = W.HBox([self.start, self.cancel, self.resume])
        buttons.add_class("mgb-row")
        stack = W.VBox([buttons, self.progress])
        stack.add_class("mgb-stack")
        self.lay_out([stack])
        self.state.watch(self._show, "run", "complaint", "model", "constraints", "method")
        self.state.watch(self._show_preview, "preview")

    @guarded
    def _start(self, _button: Any) -> None:
        self._refuse_twice()
        with self.state.lock:
            self.state.selection, self.state.chosen, self.state.narrowed = "", (), {}
            self.state.relaxed, self.state.paths, self.state.scorecard = {}, {}, None
            self.state.candidates = no_candidates()
        state = self.state
        self._run(
            Asked(
                constraints=state.constraints,
                steps=state.steps,
                model_name=state.model_name,
                model_hash=_hash(state.model) if state.method == DIFFUSION else "",
                method=state.method,
                told=dict(state.told),
            )
        )

    @guarded
    def _resume(self, _button: Any) -> None:
        self._refuse_twice()
        state, asked = self.state, self.state.asked
        if asked is None:
            raise RuntimeError("There is no run to go on with; press Generate.")
        if asked.model_hash and asked.model_hash != _hash(state.model):
            raise RuntimeError(
                f"These crystals were made by {asked.model_name}; choose that model again to go on with them."
            )
        state.steps, state.method, state.told = asked.steps, asked.method, dict(asked.told)
        state.constraints = asked.constraints
        self._run(asked)

    def _refuse_twice(self) -> None:
        if self.state.run.busy:
            raise RuntimeError("A run is under way; cancel it before another begins.")

    def _run(self, asked: Asked) -> None:
        self.say("")
        self.state.asked = asked
        self.begin(self.state, asked.constraints).start()

    @guarded
    def _cancel(self, _button: Any) -> None:
        if self.state.worker is not None:
            self.state.worker.cancel()
            self.state.run = RunStatus(**asdict(self.state.run) | {"phase": "cancelling", "left": None})

    @guarded
    def _show(self) -> None:
        run, state = self.state.run, self.state
        ready = (state.model is not None or state.method != DIFFUSION) and not state.complaint
        self.start.disabled = run.busy or not ready
        self.cancel.disabled = not run.busy or run.phase == "cancelling"
        self.resume.disabled = run.phase not in {"cancelled", "failed"} or run.judged >= run.wanted
        self.progress.run = {
            "phase": run.phase,
            "wanted": run.wanted,
            "made": run.made,
            "judged": run.judged,
            "step": run.step,
            "steps": run.steps,
            "under_way": run.under_way,
            "judging": run.judging,
            "left": run.left,
            "says": self._sentence(run),
        }
        self.set_aside(f"{run.under_way} at a time on {_device()}" if run.under_way else "")
        if run.failure and self.notice.details != run.traceback:
            self.say(run.failure, "error", run.traceback)

    def _sentence(self, run: RunStatus) -> str:
        if run.phase == "idle" and self.state.model is None and self.state.method == DIFFUSION:
            return "Waiting for a model"
        return SAID.get(run.phase, run.phase)

    @guarded
    def _show_preview(self) -> None:
        now = self.state.preview
        self.progress.scene = structure.preview(now.crystals) if now is not None and len(now.crystals) else {}


def _by_the_chosen_way(state: State, constraints: Constraints) -> Run:
    from workbench.methods import begin

    return begin(state, constraints, state.method, state.told)


def _hash(model: Any) -> str:
    return getattr(model, "hash", "") if model is not None else ""


def _device() -> str:
    from workbench.runs import device

    return "the GPU" if device().type == "cuda" else "the CPU"
