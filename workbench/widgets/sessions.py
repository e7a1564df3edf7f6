"""The sessions panel: what is kept is listed, opened, deleted; the bench keeps its work by itself."""

from pathlib import Path
from typing import Any

import ipywidgets as W

from workbench.keeping import Keeper, clear, session_of
from workbench.report import report
from workbench.sessions import store
from workbench.state import State
from workbench.views.hull import known_phases
from workbench.widgets.base import Code
from workbench.widgets.panel import Panel, button, guarded, offer

NONE = [("none kept yet", "")]


class SessionsPanel(Panel):
    """Sessions of a folder. Deleting asks once more."""

    name, heading = "sessions", "Sessions"

    def __init__(self, state: State | None = None, root: Path | str = "sessions") -> None:
        super().__init__(state)
        self.root = Path(root)
        self.keeper = Keeper(self.state, self.root)
        self.which = W.Dropdown(options=NONE, tooltip="Sessions kept here, the newest first")
        self.which.add_class("mgb-wide")
        self.open = button("Open", "Lay this session out on the bench", self._open)
        self.remove = button("Delete", "Delete this session from the disk", self._ask_to_delete)
        self.beside = button("Compare", "Compare what is on the bench with this session", self._set_beside)
        self.page = button("Report", "Save what is on the bench as one HTML page to hand on", self._report)
        self.files = Code(label="Files")
        self._doomed: Path | None = None
        self._trouble = ""
        self.sure = button("Delete for good", "There is no way back", self._delete)
        self.keep = button("Keep it", "Leave the session where it is", self._leave)
        self._doubt = W.HBox([self.sure, self.keep])
        self._buttons = W.HBox([self.open, self.beside, self.page, self.remove])
        for row in (self._doubt, self._buttons):
            row.add_class("mgb-row")
        self._doubt.layout.display = "none"
        stack = W.VBox([self.which, self._buttons, self._doubt])
        stack.add_class("mgb-stack")
        self.lay_out([stack], below=[self.files])
        self.state.watch(self._kept, "session")
        self.state.watch(self._enable, "run", "candidates")
        self.which.observe(lambda _: self._enable(), "value")

    @guarded
    def _kept(self) -> None:
        folder, trouble, _ = self.state.session
        if trouble:
            self.say(trouble, "error")
        elif self._trouble and self.notice.sentence == self._trouble:  # it could not be kept, and now it is
            self.say("")
        self._trouble = trouble
        self.set_aside(f"kept in {folder}" if folder and not trouble else "")
        self.refresh()

    @guarded
    def refresh(self) -> None:
        """List the sessions again."""
        entries = store.listed(self.root)
        offer(self.which, [(_line(entry), str(entry.folder)) for entry in entries] or NONE)
        self._enable()

    @guarded
    def _enable(self) -> None:
        here = self.keeper.folder is not None and self.which.value == str(self.keeper.folder)
        self.open.disabled = not self.which.value or self.state.run.busy
        self.beside.disabled = not self.which.value or here or not len(self.state.candidates)
        self.remove.disabled = not self.which.value or (here and self.state.run.busy)

    @guarded
    def _open(self, _button: Any) -> None:
        folder = Path(self.which.value)
        opened = store.load(folder)
        self.keeper.open(folder, opened)
        n = len(opened.session.candidates)
        said = f"Opened {opened.session.name} with {n} crystal{'' if n == 1 else 's'}."
        self.say(" ".join([said, *opened.missing]), "warning" if opened.missing else "info")

    @guarded
    def _set_beside(self, _button: Any) -> None:
        opened = store.load(Path(self.which.value))
        self.state.other = opened.session
        said = f"{opened.session.name} stands beside what is on the bench."
        self.say(" ".join([said, *opened.missing]), "warning" if opened.missing else "info")

    @guarded
    def _report(self, _button: Any) -> None:
        state = self.state
        if not len(state.candidates):
            raise ValueError("There is nothing to report yet; generate crystals or open a session first.")
        name = self.keeper.folder.name if self.keeper.folder else "report"
        phases = known_phases(state.reference, state.asked.constraints.required) if state.asked else []
        session, card = session_of(state, name), state.scorecard

        def draw() -> str:
            self.files.download(f"{name}.html", report(session, phases, card).encode(), "text/html")
            return f"Handed the report to the browser as {name}.html."

        self.work("Drawing the report …", draw)

    @guarded
    def _ask_to_delete(self, _button: Any) -> None:
        self._doomed = Path(self.which.value)
        self.sure.description = f"Delete {self._doomed.name} for good"
        self.which.disabled = True  # while it is asked: what is deleted is what the button names
        self._doubt.layout.display, self._buttons.layout.display = "", "none"

    @guarded
    def _delete(self, _button: Any) -> None:
        folder = self._doomed
        self._leave(None)
        if folder is None:
            return
        here = self.keeper.folder == folder
        if here and self.state.run.busy:
            raise RuntimeError("Its run is under way; cancel it before the session is deleted.")
        self.keeper.forget(folder)
        store.delete(folder)
        if here:
            clear(self.state)  # else the next click would keep it again
        self.refresh()
        self.say(f"Deleted {folder.name}.")

    def _leave(self, _button: Any) -> None:
        self._doomed, self.which.disabled = None, False
        self._doubt.layout.display, self._buttons.layout.display = "none", ""


def _line(entry: store.Entry) -> str:
    """A session in the list."""
    if entry.damaged:
        return f"{entry.name} (damaged)"
    return f"{entry.name}  {entry.judged}/{entry.made} judged"
