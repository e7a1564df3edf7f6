"""Keeping: the state is written into its session's folder as it happens, and a session is laid back into a state."""

import threading
from dataclasses import replace
from pathlib import Path
from typing import Any

from model.candidates import Candidates
from workbench.runs import unsettled
from workbench.sessions import store
from workbench.sessions.session import Session, name_for, now
from workbench.state import OWN, Asked, RunStatus, State, folder_of, no_candidates

PERIOD = 1.5  # seconds between two writes of one session
WATCHED = ("candidates", "relaxed", "selection", "chosen", "narrowed", "figures", "run")


def session_of(state: State, name: str) -> Session:
    """What is kept of a state, at this moment."""
    with state.lock:
        fresh = Asked(
            constraints=state.constraints, steps=state.steps, corrections=state.corrections,
            model_name=state.model_name, method=state.method, told=dict(state.told),
            reference=folder_of(state.reference),
        )
        asked = state.asked or fresh
        return Session(
            name=name,
            created=state.begun or now(),
            constraints=asked.constraints,
            candidates=state.candidates,
            steps=asked.steps,
            corrections=asked.corrections,
            model_name=asked.model_name,
            model_hash=asked.model_hash,
            method=asked.method,
            told=dict(asked.told),
            reference=str(getattr(state.reference, "name", "")) if folder_of(state.reference) == asked.reference
            else asked.reference,
            reference_folder=asked.reference,
            scorecard=str(state.scorecard or ""),
            relaxed=dict(state.relaxed),
            selection=state.selection,
            chosen=tuple(state.chosen),
            narrowed=dict(state.narrowed),
            figures=dict(state.figures),
            paths=dict(state.paths),
        )


def clear(state: State) -> None:
    """Take all crystals off the bench, and what was asked of them; the constraints stay."""
    with state.lock:
        state.candidates = no_candidates()  # first: who keeps them still finds beside them what belongs to them
        state.selection, state.chosen, state.narrowed = "", (), {}
        state.relaxed, state.paths, state.scorecard, state.asked = {}, {}, None, None
        state.begun, state.run = "", RunStatus()


def lay_out(session: Session, state: State) -> None:
    """Put a session back on the bench. Raises RuntimeError while a run is under way."""
    if state.run.busy:
        raise RuntimeError("A run is under way; cancel it before another session is opened.")
    made, wanted = len(session.candidates), session.constraints.count
    settled = made - len(unsettled(session.candidates))
    whole = made >= wanted and settled == made
    with state.lock:
        state.selection, state.chosen, state.narrowed = "", (), {}
        state.paths = dict(session.paths)
        state.scorecard = session.scorecard or None
        state.asked = Asked(constraints=session.constraints, steps=session.steps or state.steps,
                            corrections=session.corrections, model_name=session.model_name,
                            model_hash=session.model_hash, method=session.method, told=dict(session.told),
                            reference=session.reference_folder)  # fmt: skip
        if session.method != OWN:
            state.method, state.told = session.method, dict(session.told)
        state.constraints, state.complaint = session.constraints, ""  # the form is filled anew
        state.begun = session.created
        if session.steps:
            state.steps, state.corrections = session.steps, session.corrections
        state.relaxed = dict(session.relaxed)
        state.candidates = session.candidates
        state.chosen, state.narrowed = session.chosen, dict(session.narrowed)
        state.figures = dict(session.figures)  # after the candidates: what can be chosen depends on them
        state.selection = session.selection if state.position(session.selection) >= 0 else ""
        state.run = RunStatus(phase="done" if whole else "cancelled", wanted=wanted, made=made, judged=settled)


class _Same:
    """Holds a value and is equal to a holder of the very same one."""

    __slots__ = ("value",)
    __hash__ = None

    def __init__(self, value: Any) -> None:
        self.value = value

    def __eq__(self, other: object) -> bool:
        return isinstance(other, _Same) and other.value is self.value


class Keeper:
    """Writes a state into a session's folder, in a thread of its own, at most every second or so.

    The folder is made with the first crystals, so that an idle bench leaves nothing behind; a new run begins a new
    one. `trouble` is the sentence of the last write that failed, empty when all is kept.
    """

    def __init__(self, state: State, root: Path) -> None:
        self.state, self.root = state, root
        self.folder: Path | None = None
        self.trouble = ""
        self._at_rest: Any = None  # candidates of a damaged session: kept again once there are others
        self._left: list[tuple[Path, Session]] = []  # what has left the bench since the last write
        self._there: dict[str, Any] = {}
        self._dirty = threading.Event()
        self._writing = threading.Lock()
        self._closing = threading.Event()
        state.observe(self._note, list(WATCHED))
        self._thread = threading.Thread(target=self._keeping, daemon=True, name="bench-keeper")
        self._thread.start()

    def open(self, folder: Path, opened: store.Opened) -> None:
        """Lay a session out and go on in its folder; a damaged one is left as it is, and a new one begun.

        Raises RuntimeError while a run is under way.
        """
        with self.state.lock:  # at once: else the one might be written into the folder of the other
            if not self.state.run.busy:
                self._remember(self.state.candidates)
                self._at_rest = self.state.candidates  # remembered: not once more, amid what is laid out
            lay_out(opened.session, self.state)
            if not opened.asked:  # nobody knows of what, so it cannot be gone on with
                self.state.asked, self.state.run = None, replace(self.state.run, phase="done")
            self.folder = None if opened.missing else folder
            self._at_rest = self.state.candidates if opened.missing else None
            self.state.session = (str(self.folder or ""), "", self.state.session[2] + 1)

    def forget(self, folder: Path) -> None:
        """A folder is not to be written again; what is on the bench out of it only once it changes."""
        with self.state.lock:
            self._left = [one for one in self._left if one[0] != folder]
            if self.folder == folder:
                self.folder, self._at_rest = None, self.state.candidates

    def keep(self) -> None:
        """Write now, if there is anything to keep. Raises SessionError where it cannot be written."""
        with self._writing:
            self._keep()

    def _keep(self) -> None:
        state = self.state
        for one in list(self._left):
            self._there = {}
            store.save(one[1], one[0])
            with state.lock:  # only now: what could not be written is tried again
                self._left = [other for other in self._left if other is not one]
        with state.lock:  # a new run empties the state under this lock: never write that into the folder of the old one
            if not len(state.candidates) or state.candidates is self._at_rest:
                return
            if self.folder is None:
                state.begun = now()
                self.folder = self._free(name_for(state.asked.constraints if state.asked else state.constraints))
            folder, session = self.folder, session_of(state, self.folder.name)
        now_there = self._parts(folder, session)
        store.save(session, folder, [name for name, value in now_there.items() if self._there.get(name) != value])
        self._there = now_there

    def close(self) -> None:
        """Stop keeping, after a last write."""
        self._closing.set()
        self._dirty.set()
        self._thread.join(10)

    @staticmethod
    def _parts(folder: Path, session: Session) -> dict[str, Any]:
        """What tells whether a file must be written again: values are never changed in place, so identity is enough."""
        crystals, table = session.candidates.crystals, session.candidates.table
        return {
            store.CRYSTALS: (folder, _Same(crystals)),
            store.RELAXED: (folder, tuple(session.relaxed)),
            store.TABLE: (folder, _Same(table)),
        }

    def _remember(self, candidates: Candidates) -> None:
        """What leaves the bench is kept as it is now, though it is written a moment later."""
        if len(candidates) and candidates is not self._at_rest:
            asked = self.state.asked
            folder = self.folder or self._free(name_for(asked.constraints if asked else self.state.constraints))
            self._left.append((folder, replace(session_of(self.state, folder.name), candidates=candidates)))

    def _free(self, name: str) -> Path:
        folder, n = self.root / name, 2
        while folder.exists():
            folder, n = self.root / f"{name}-{n}", n + 1
        return folder

    def _note(self, change: dict) -> None:
        if change["name"] == "candidates" and not len(change["new"]):
            self._remember(change["old"])
            self.folder = None  # a new run began; it gets a folder of its own
        self._dirty.set()

    def _keeping(self) -> None:
        while True:
            self._dirty.wait()
            self._dirty.clear()
            last = self._closing.is_set()
            try:
                self.keep()
                self.trouble = ""
            except store.SessionError as error:
                self.trouble = str(error)
            self.state.session = (str(self.folder or ""), self.trouble, self.state.session[2] + 1)
            if last:
                return
            self._closing.wait(PERIOD)
