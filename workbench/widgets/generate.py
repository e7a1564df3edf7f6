"""The generate panel: start, progress, cancel, resume, and the crystal that is just losing its noise."""

import shlex
import tempfile
from collections.abc import Callable
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Any

import ipywidgets as W

from model.constraints import Constraints
from workbench import own
from workbench.judging import MEASURED
from workbench.keeping import clear
from workbench.runs import Run
from workbench.state import DIFFUSION, OWN, Asked, RunStatus, State, folder_of
from workbench.views import code, structure
from workbench.widgets.base import Code
from workbench.widgets.model_picker import at_once
from workbench.widgets.panel import Panel, button, field, guarded
from workbench.widgets.progress import ProgressView

if TYPE_CHECKING:
    import threading

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

    def __init__(
        self, state: State | None = None, begin: Begin | None = None, judging: Begin | None = None
    ) -> None:
        super().__init__(state)
        self.begin, self.judging = begin or _by_the_chosen_way, judging or _judging_alone
        self.progress = ProgressView()
        self.start = button(
            "Generate", "Make crystals that meet the constraints; the table is cleared first", self._start, primary=True
        )
        self.cancel = button("Cancel", "Stop at the next step; finished crystals are kept", self._cancel)
        self.resume = button("Resume", "Make and judge what is still missing", self._resume)
        buttons = W.HBox([self.start, self.cancel, self.resume])
        buttons.add_class("mgb-row")
        self.source = W.Text(
            placeholder="CSV, CIF, zip or folder", continuous_update=False, layout=W.Layout(width="auto", flex="1 1 0")
        )
        self.source.tooltip = "Path to crystals of your own: a folder, CIFs, POSCARs, extended XYZ, a zip, or a table"
        self.upload = W.FileUpload(
            accept=".cif,.csv,.gz,.parquet,.zip,.xyz,.extxyz,.vasp,.poscar", multiple=True, description="Upload",
            tooltip="Crystals of your own from this computer, to be judged like generated ones",
        )
        self.judge = button("Judge mine", "Relax and judge crystals of your own; the table is cleared first", self._own)
        mine = W.HBox([self.source, self.upload, self.judge])
        mine.add_class("mgb-row")
        mine.add_class("mgb-mine")
        self._reading: threading.Thread | None = None
        self.reference = W.Text(placeholder="as shipped", continuous_update=False)
        field("Judged against", self.reference, "Folder of a reference of your own: workbench reference build")
        self.reference.observe(lambda change: self._compare_with(change["new"].strip()), "value")
        stack = W.VBox([buttons, self.progress, mine, self.reference])
        stack.add_class("mgb-stack")
        self.code = Code(label="Python and command line of this run")
        self.lay_out(
            [stack], [button("Code", "Show the Python and the command line of the run in the table", self._code)],
            [self.code],
        )
        self.upload.observe(lambda change: self._uploaded(change["new"]), "value")
        self.state.watch(self._show, "run", "complaint", "model", "constraints", "method")
        self.state.watch(self._show_preview, "preview")
        self.state.observe(lambda change: self._judged_against(change["new"]), "asked")

    @guarded
    def _start(self, _button: Any) -> None:
        self._refuse_twice()
        self._clear()
        state = self.state
        self._run(
            Asked(
                constraints=state.constraints,
                steps=state.steps,
                corrections=state.corrections,
                model_name=state.model_name,
                model_hash=_hash(state.model) if state.method == DIFFUSION else "",
                method=state.method,
                told=dict(state.told),
                reference=folder_of(state.reference),
            )
        )

    def _clear(self) -> None:
        clear(self.state)

    # --- crystals of one's own --------------------------------------------------------------------------------------

    @guarded
    def _own(self, _button: Any) -> None:
        if not self.source.value.strip():
            raise ValueError("Name a file or folder of crystals, or upload some; then they are judged.")
        self.bring(self.source.value.strip())

    @guarded
    def _uploaded(self, files: Any) -> None:
        """Judge the files that came from the browser; they are read out of a folder that lasts as long as that."""
        if not files:
            return
        with tempfile.TemporaryDirectory() as place:
            for file in files:
                (Path(place) / Path(file["name"]).name).write_bytes(bytes(file["content"]))
            tables = [file["name"] for file in files if file["name"].lower().endswith(own.TABLES)]
            alone = Path(place) / Path(files[0]["name"]).name
            source = alone if len(files) == 1 else place if not tables else _refuse_many(tables)
            self.bring(source, called=Path(files[0]["name"]).name if len(files) == 1 else "PATH")

    def bring(self, source: Any, *, called: str = "") -> None:
        """Judge crystals of one's own: a path, a table or structures, as `workbench.own.bring` takes them.

        `called` is what their files are called where they come from, if that is not the path they are read at.

        Raises SourceError where none can be read, RuntimeError while a run is under way.
        """
        self._refuse_twice()
        brought = own.bring(source)
        self._clear()
        with self.state.lock:
            self.state.candidates = brought.candidates
        self._run(
            Asked(
                constraints=brought.constraints, steps=0, method=OWN, told={"source": called or str(brought.source)},
                reference=folder_of(self.state.reference),
            )
        )  # fmt: skip
        self.say(brought.says(), "warning" if brought.skipped else "info")

    @guarded
    def _compare_with(self, folder: str) -> None:
        """Judge against another reference from now on: read it in the background."""
        from workbench.judging import reference

        def read() -> str:
            known = reference(folder)
            with self.state.lock:
                self.state.reference = known
            return f"From now on crystals are judged against {known.name}."

        self._reading = self.work("Reading the reference …", read)

    @guarded
    def _judged_against(self, asked: Asked | None) -> None:
        """What was opened was judged against its own reference: name and read it, where another is in use."""
        if asked is not None and asked.reference != folder_of(self.state.reference):
            if self.reference.value.strip() == asked.reference:  # named already, and not what is in use
                self._compare_with(asked.reference)
            self.reference.value = asked.reference

    @guarded
    def _code(self, _button: Any) -> None:
        if self.code.text:
            self.code.text = ""
            return
        asked = self.state.asked
        if asked is None:
            raise ValueError("There is no run yet; its code appears with it.")
        self.code.text = code_of(asked, self.state.model)

    # --- runs -------------------------------------------------------------------------------------------------------

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
        if asked.reference != folder_of(state.reference):
            raise RuntimeError(
                f"These crystals were judged against {asked.reference or 'the shipped reference'}; name it under "
                "Judged against (empty: as shipped) to go on with them."
            )
        if asked.method != OWN:
            state.steps, state.corrections = asked.steps, asked.corrections
            state.method, state.told = asked.method, dict(asked.told)
            state.constraints, state.complaint = asked.constraints, ""
        self._run(asked)

    def _refuse_twice(self) -> None:
        if self.state.run.busy:
            raise RuntimeError("A run is under way; cancel it before another begins.")
        if self._reading is not None and self._reading.is_alive():
            raise RuntimeError("The reference is still being read; press again when it is there.")

    def _run(self, asked: Asked) -> None:
        self.say("")
        self.state.asked = asked
        begin = self.judging if asked.method == OWN else self.begin
        begin(self.state, asked.constraints).start()

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
        self.reference.disabled = run.busy  # a run is judged against one reference
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


def _judging_alone(state: State, constraints: Constraints) -> Run:
    from model.record import candidates_of
    from workbench.judging import Judging

    return Run(state, own.nothing, Judging(state), candidates_of, constraints)


def _refuse_many(tables: list[str]) -> Any:
    raise own.SourceError(f"A table is uploaded alone; found {', '.join(tables)} among other files.")


def code_of(asked: Asked, model: Any) -> str:
    """The Python cell and the commands that make and judge the crystals of a run."""
    if asked.method == OWN:
        source = asked.told.get("source") or "PATH"
        return f"# in a terminal\n{_evaluate(shlex.quote(source), asked)}"
    how = {"corrections": asked.corrections, "at_once": at_once(model), "way": asked.method, "told": asked.told}
    said = (asked.constraints, asked.model_name or "base", asked.steps)
    judging = code.judging(moduli=_measured(asked), reference=asked.reference)
    return (
        f"{code.python(*said, **how)}\n\n{judging}\n\n# in a terminal\n"
        f"{code.command(*said, **how)}\n{_evaluate('crystals', asked)}"
    )


def _evaluate(what: str, asked: Asked) -> str:
    """The command that judges as the bench did."""
    words = [f"workbench evaluate {what}"]
    words += [f"--reference {shlex.quote(asked.reference)}"] if asked.reference else []
    words += ["--bulk-modulus curve"] if _measured(asked) else []
    return " ".join(words)


def _measured(asked: Asked) -> bool:
    return bool(MEASURED & set(asked.constraints.targets))


def _hash(model: Any) -> str:
    return getattr(model, "hash", "") if model is not None else ""


def _device() -> str:
    from workbench.runs import device

    return "the GPU" if device().type == "cuda" else "the CPU"
