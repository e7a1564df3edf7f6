"""A run: propose, relax, evaluate, off the main thread; progress, cancel and failure go into State.

Three threads share the work: one proposes, one judges what has been finished, one publishes into State five times a
second. Only the publisher writes State, so panels see one writer beside the main thread and no flood of messages.
"""

import contextlib
import queue
import threading
import time
import traceback
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from typing import Any, Protocol, runtime_checkable

import torch

from model.candidates import Candidates
from model.constraints import Constraints
from model.crystals import Crystals
from model.execution import Cancelled, Progress, Watch
from workbench.paths import AnyPath, Path
from workbench.state import Preview, RunStatus, State

PERIOD = 0.2  # seconds between two writes into State; the eye asks for no more, the server allows not many more
KEPT_FRAMES = 60  # of each crystal's denoising, for playing it back


@dataclass(frozen=True, kw_only=True)
class Verdict:
    """What judging some candidates gave: the same candidates knowing more, their relaxed crystals, and the rates."""

    candidates: Candidates
    relaxed: Mapping[str, Crystals] = field(default_factory=dict)
    scorecard: Any = None


@runtime_checkable
class Propose(Protocol):
    """Makes the crystals of a run: those at `indices`, telling `watch` of steps and of each finished batch."""

    def __call__(self, constraints: Constraints, indices: list[int], watch: Watch) -> Crystals:
        """Crystals in the order of `indices`."""
        ...


@runtime_checkable
class Judge(Protocol):
    """Learns about new candidates, given those judged before; tells `watch` of every step, which may cancel."""

    def __call__(self, new: Candidates, earlier: Verdict, watch: Watch) -> Verdict:
        """The new candidates with more columns, and their relaxed crystals."""
        ...


Describe = Callable[
    [Crystals, Constraints, list[int], Mapping[int, str]], Candidates
]  # the last: what is wrong with bad ones


class Run:
    """One run at work. `start` returns at once; `cancel` asks it to stop; `wait` waits for its end."""

    def __init__(
        self, state: State, propose: Propose, judge: Judge | None, describe: Describe, constraints: Constraints
    ) -> None:
        self.state, self.propose, self.judge, self.describe, self.constraints = (
            state,
            propose,
            judge,
            describe,
            constraints,
        )
        self.stop = threading.Event()
        self.finished = threading.Event()
        self._lock = threading.Lock()
        self._to_judge: queue.Queue[Candidates | None] = queue.Queue()
        self._proposed = threading.Event()
        self._changed = True
        self._candidates = state.candidates
        self._relaxed: dict[str, Crystals] = dict(state.relaxed)
        self._paths: dict[str, AnyPath] = dict(state.paths)
        self._scorecard: Any = state.scorecard
        self._preview: Preview | None = None
        self._frames: list[tuple[int, Crystals]] = []
        self._status = RunStatus(phase="generating", wanted=constraints.count, made=len(state.candidates))
        self._since = 0.0
        self._before = len(state.candidates)
        self._threads: list[threading.Thread] = []

    # --- from outside ---------------------------------------------------------------------------------------------

    def start(self) -> "Run":
        """Begin; candidates already in the state are kept, and only what is missing is made and judged."""
        waiting = unsettled(self._candidates)
        self._status = replace(self._status, judged=len(self._candidates) - len(waiting))
        if len(waiting):
            self._to_judge.put(waiting)
        self._since = time.monotonic()
        self.state.worker = self
        self._publish()
        works = {"propose": self._proposing, "judge": self._judging, "publish": self._publishing}
        self._threads = [
            threading.Thread(target=work, name=f"bench-{name}", daemon=True) for name, work in works.items()
        ]
        for thread in self._threads:
            thread.start()
        return self

    def cancel(self) -> None:
        """Ask the run to stop at its next step; finished crystals stay."""
        self.stop.set()
        with self._lock:
            if self._status.busy:
                self._status = replace(self._status, phase="cancelling", left=None)
                self._changed = True

    def wait(self, timeout: float | None = None) -> bool:
        """Wait for the end; whether it came in time."""
        return self.finished.wait(timeout)

    # --- proposing ------------------------------------------------------------------------------------------------

    def _proposing(self) -> None:
        try:
            have = {int(i) for i in self._candidates.table.get("index", [])}
            missing = [i for i in range(self.constraints.count) if i not in have]
            if missing:
                self.propose(self.constraints, missing, self._watch_proposing)
        except Cancelled:
            pass
        except Exception as error:  # noqa: BLE001 - whatever a model raises is said in the panel that started it
            self._fail(error, "Generating stopped")
        finally:
            self._proposed.set()
            self._to_judge.put(None)

    def _watch_proposing(self, progress: Progress) -> None:
        if self.stop.is_set():
            raise Cancelled
        if progress.unit == "steps":
            self._step(progress)
        elif progress.payload is not None:
            self._batch(
                progress.payload.crystals, [int(i) for i in progress.payload.indices], progress.payload.problems
            )

    def _step(self, progress: Progress) -> None:
        every = max(1, progress.total // KEPT_FRAMES)
        crystals = progress.payload
        if crystals is not None and (progress.done % every == 0 or progress.done in {1, progress.total}):
            last = self._frames[-1][0] if self._frames else 0
            if progress.done < last:  # bad crystals are begun anew
                self._frames, last = [], 0
            if progress.done > last:  # a step's corrections are told under the number of the step before
                self._frames.append((progress.done, crystals.to("cpu")))
        with self._lock:
            self._status = replace(
                self._status,
                step=progress.done,
                steps=progress.total,
                under_way=0 if crystals is None else len(crystals),
            )
            if crystals is not None:
                self._preview = Preview(crystals=crystals, step=progress.done, steps=progress.total)
            self._changed = True

    def _batch(self, crystals: Crystals, indices: list[int], problems: Mapping[int, str]) -> None:
        new = self.describe(crystals.to("cpu"), self.constraints, indices, problems)
        frames, self._frames = self._frames, []
        whole = [f for f in frames if len(f[1]) == len(new)]
        with self._lock:
            for row, name in enumerate(new.table["id"]):
                if whole:
                    steps, batches = zip(*whole, strict=True)
                    self._paths[name] = Path.of(steps, [batch[row] for batch in batches])
            self._candidates = Candidates.join([self._candidates, new]) if len(self._candidates) else new
            judged = len(self._candidates) - len(unjudged(self._candidates))  # bad ones need no judging
            self._status = replace(self._status, made=len(self._candidates), judged=judged, step=0, under_way=0)
            self._preview = None
            self._changed = True
        if len(waiting := unjudged(new)):
            self._to_judge.put(waiting)

    # --- judging --------------------------------------------------------------------------------------------------

    def _judging(self) -> None:
        while (new := self._to_judge.get()) is not None:
            if self.judge is None or self.stop.is_set():
                continue
            try:
                self._learn(self.judge(new, self._judged(), self._watch_judging))
            except Cancelled:
                continue
            except Exception as error:  # noqa: BLE001 - a judge that fails must not take the crystals with it
                self._fail(error, "Judging stopped")
                return

    def _judged(self) -> Verdict:
        """What was judged before."""
        with self._lock:
            waiting = set(unjudged(self._candidates).table["id"])
            known = self._candidates.where(~self._candidates.table["id"].isin(waiting).to_numpy())
            return Verdict(candidates=known, relaxed=dict(self._relaxed))

    def _watch_judging(self, progress: Progress) -> None:
        if self.stop.is_set():
            raise Cancelled
        if progress.payload is not None:
            self._learn(progress.payload, done=False)
        with self._lock:
            self._status = replace(self._status, judging=f"{progress.stage} {progress.done} of {progress.total}")
            self._changed = True

    def _learn(self, verdict: Verdict, *, done: bool = True) -> None:
        with self._lock:
            self._candidates = with_rows(self._candidates, verdict.candidates)
            self._relaxed |= verdict.relaxed
            self._scorecard = verdict.scorecard or self._scorecard
            judged = len(self._candidates) - len(unjudged(self._candidates))
            self._status = replace(self._status, judged=judged, judging="" if done else self._status.judging)
            self._changed = True

    # --- publishing -----------------------------------------------------------------------------------------------

    def _publishing(self) -> None:
        others = self._threads[:2]
        while any(thread.is_alive() for thread in others):
            self._publish()
            others[1].join(PERIOD)
        with self._lock:
            phase = self._status.phase
            if phase != "failed":
                phase = "cancelled" if self.stop.is_set() else "done"
            judged = len(self._candidates) - len(unsettled(self._candidates))
            self._status = replace(
                self._status, phase=phase, judged=judged, left=None, step=0, under_way=0, judging=""
            )
            self._preview, self._changed = None, True
        self._account()
        self._publish()
        self.finished.set()

    def _publish(self) -> None:
        with self._lock:
            if not self._changed:
                return
            self._changed = False
            if self._status.phase == "generating" and self._proposed.is_set():
                self._status = replace(self._status, phase="judging")
            status = replace(self._status, left=self._left())
            news: dict[str, Any] = {
                "candidates": self._candidates,
                "preview": self._preview,
                "run": status,
                "relaxed": dict(self._relaxed),
                "paths": dict(self._paths),
                "scorecard": self._scorecard,
            }
        with self.state.lock:
            for name, value in news.items():
                with contextlib.suppress(ValueError):  # traitlets compares tables; where it cannot, it is a change
                    if getattr(self.state, name) is value:
                        continue
                self.state.set_trait(name, value)

    def _account(self) -> None:
        """Rates of all that was judged, with those named that the run left unjudged, where the judge can tell them."""
        account = getattr(self.judge, "account", None)
        try:
            self._scorecard = (account(self._candidates) if account else None) or self._scorecard
        except Exception as error:  # noqa: BLE001 - the crystals and their verdicts stay
            self._fail(error, "The rates cannot be told")

    def _left(self) -> float | None:
        """Seconds until the last crystal is made, from the pace so far."""
        s = self._status
        done = s.made - self._before + (s.under_way * s.step / s.steps if s.steps else 0)
        if s.phase != "generating" or done <= 0:
            return None
        return (time.monotonic() - self._since) / done * (s.wanted - self._before - done)

    def _fail(self, error: Exception, what: str) -> None:
        self.stop.set()
        said = str(error).strip().splitlines()
        sentence = f"{what}: {said[0] if said else type(error).__name__}"
        with self._lock:
            self._status = replace(
                self._status,
                phase="failed",
                failure=sentence,
                left=None,
                traceback="".join(traceback.format_exception(error)),
            )
            self._changed = True


def unjudged(candidates: Candidates) -> Candidates:
    """Those whose judging has not come to an end."""
    if "status" not in candidates.table:
        return candidates
    status = candidates.table["status"]
    return candidates.where((status.isna() | status.eq("generated")).to_numpy())


def unsettled(candidates: Candidates) -> Candidates:
    """Those whose judging was broken off: not begun, or relaxed and never compared with the others."""
    table = candidates.table
    if "status" not in table:
        return candidates
    begun = table["status"].eq("judged") & (table["unique"].isna() if "unique" in table else True)
    return candidates.where((table["status"].isna() | table["status"].eq("generated") | begun).to_numpy())


def with_rows(candidates: Candidates, known: Candidates) -> Candidates:
    """The candidates with the rows of `known`, matched by id, taking the place of theirs."""
    import pandas as pd

    table = candidates.table.copy()
    for name in known.table.columns:
        if name not in table:
            table[name] = pd.Series([None] * len(table), dtype=object)
    rows = pd.Series(range(len(table)), index=table["id"])
    at = rows.reindex(known.table["id"]).to_numpy()
    for name in known.table.columns:
        column = table[name].astype(object).to_numpy(copy=True)
        column[at] = known.table[name].astype(object).to_numpy()
        table[name] = pd.Series(column, index=table.index).infer_objects()
    return Candidates(crystals=candidates.crystals, table=table)


def device() -> torch.device:
    """Where the model runs: a GPU where there is one."""
    return torch.device("cuda" if torch.cuda.is_available() else "cpu")
