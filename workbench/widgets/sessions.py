"""The sessions panel: what is kept is listed, opened, deleted; the bench keeps its work by itself."""

from pathlib import Path
from typing import Any

import ipywidgets as W

from workbench.keeping import Keeper
from workbench.sessions import store
from workbench.state import State
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
        self.sure = button("Delete for good", "There is no way back", self._delete)
        self.keep = button("Keep it", "Leave the session where it is", self._leave)
        self._doubt = W.HBox([self.sure, self.keep])
        self._buttons = W.HBox([self.open, self.remove])
        for row in (self._doubt, self._buttons):
            row.add_class("mgb-row")
        self._doubt.layout.display = "none"
        stack = W.VBox([self.which, self._buttons, self._doubt])
        stack.add_class("mgb-stack")
        self.lay_out([stack])
        self.state.watch(self._kept, "session")
        self.state.watch(self._enable, "run")

    @guarded
    def _kept(self) -> None:
        folder, trouble = self.state.session
        if trouble:
            self.say(trouble, "error")
        elif self.notice.kind == "error":
            self.say("")
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
    def _ask_to_delete(self, _button: Any) -> None:
        self.sure.description = f"Delete {Path(self.which.value).name} for good"
        self._doubt.layout.display, self._buttons.layout.display = "", "none"

    @guarded
    def _delete(self, _button: Any) -> None:
        folder = Path(self.which.value)
        store.delete(folder)
        if self.keeper.folder == folder:
            self.keeper.folder = None
        self._leave(None)
        self.refresh()
        self.say(f"Deleted {folder.name}.")

    def _leave(self, _button: Any) -> None:
        self._doubt.layout.display, self._buttons.layout.display = "none", ""


def _line(entry: store.Entry) -> str:
    """A session in the list."""
    if entry.damaged:
        return f"{entry.name} (damaged)"
    return f"{entry.name}  {entry.judged}/{entry.made} judged"
