"""State: what panels share, and all they share. A panel reads it, writes it, and knows no other panel."""

import threading
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

from traitlets import Any as AnyTrait
from traitlets import Dict, HasTraits, Instance, Int, Tuple, Unicode

from model.candidates import Candidates
from model.constraints import Constraints
from model.crystals import Crystals

DIFFUSION = "diffusion"  # the way of making crystals that the bench begins with
OWN = "own"  # in its place for crystals that were brought, not generated
BUSY = frozenset({"loading", "generating", "judging", "cancelling"})


def no_candidates() -> Candidates:
    """An empty set of candidates."""
    import pandas as pd

    return Candidates(crystals=Crystals.empty(), table=pd.DataFrame({"id": pd.Series(dtype=str)}))


def folder_of(reference: Any) -> str:
    """Where a reference of one's own was loaded from; empty for the shipped one, and for none."""
    return str(getattr(reference, "folder", ""))


@dataclass(frozen=True, kw_only=True)
class RunStatus:
    """Where a run is. `left` is the estimated time to its end in seconds, None while it cannot be told.

    `phase` is one of idle, loading, generating, judging, cancelling, cancelled, failed, done; `step` of `steps` counts
    the denoising of the `under_way` crystals of the running batch.
    """

    phase: str = "idle"
    wanted: int = 0
    made: int = 0
    judged: int = 0
    step: int = 0
    steps: int = 0
    under_way: int = 0
    judging: str = ""
    left: float | None = None
    failure: str = ""
    traceback: str = ""

    @property
    def busy(self) -> bool:
        """Work is going on."""
        return self.phase in BUSY


@dataclass(frozen=True, kw_only=True)
class Asked:
    """What a run was asked, and of which model: all it takes to go on with it."""

    constraints: Constraints
    steps: int
    corrections: int = 0
    model_name: str = ""
    model_hash: str = ""
    method: str = DIFFUSION
    told: Mapping[str, str] = field(default_factory=dict)
    reference: str = ""  # folder of the reference that judges; empty: as shipped


@dataclass(frozen=True, kw_only=True)
class Preview:
    """The batch that is just losing its noise: its crystals so far, and how far they are."""

    crystals: Crystals
    step: int
    steps: int


class State(HasTraits):
    """Constraints, candidates, selection and run; every panel watches the parts it shows.

    Traits are written from the main thread and from one publishing thread of a run; `lock` keeps the two apart where
    several traits must agree.
    """

    constraints = Instance(Constraints, help="what is asked for")
    complaint = Unicode("", help="why the inputs make no constraints; empty where they do")
    method = Unicode(DIFFUSION, help="how crystals are made: a name out of the registered ways")
    told = Dict(help="what that way is told beside the constraints, by the name of its setting")
    steps = Int(32, help="denoising steps; the default is measured (dial.usual)")
    corrections = Int(0, help="corrector evaluations before each step")
    model_name = Unicode("", help="shipped model's name, or a folder")
    model = AnyTrait(None, allow_none=True, help="the loaded CrystalModel, None while loading or missing")
    reference = AnyTrait(None, allow_none=True, help="known crystals and hull, None until loaded")

    candidates = Instance(Candidates, help="crystals of the run and what is known of each")
    relaxed = Dict(help="id -> the relaxed crystal, a batch of one")
    paths = Dict(help="id -> Path of its denoising, or one that is read from disk when it is looked at")
    scorecard = AnyTrait(None, allow_none=True, help="rates with definition, n and interval, once judged")

    selection = Unicode("", help="id of the crystal looked at")
    chosen = Tuple(help="ids chosen for export")
    narrowed = Dict(help="column -> (low, high): what brushes let through")
    figures = Dict(help="panel.input -> what it is set to: which quantity is drawn, how the table is sorted")

    run = Instance(RunStatus, help="where the run is")
    preview = Instance(Preview, allow_none=True, help="the running batch")
    asked = Instance(Asked, allow_none=True, help="what the run was asked that made the candidates")
    other = AnyTrait(None, allow_none=True, help="the Session that what is on the bench is compared with")
    begun = Unicode("", help="when what is on the bench was begun, in UTC; empty before it is kept")
    session = Tuple(
        default_value=("", "", 0),
        help="the folder that keeps this work, why it could not be kept, and how often it was",
    )

    def __init__(self, **traits: Any) -> None:
        start = {"constraints": Constraints(count=8), "candidates": no_candidates(), "run": RunStatus()}
        super().__init__(**(start | traits))
        self.lock = threading.RLock()
        self.worker: Any = None  # the Run at work, if any: not a trait, panels need only its status

    def position(self, name: str) -> int:
        """Row of a candidate by id; -1 where there is none such."""
        ids = self.candidates.table["id"]
        found = (ids == name).to_numpy().nonzero()[0]
        return int(found[0]) if len(found) else -1

    def crystal(self, name: str) -> Crystals | None:
        """The generated crystal of an id, a batch of one."""
        at = self.position(name)
        return None if at < 0 else self.candidates.crystals[at]

    def row(self, name: str) -> dict[str, Any]:
        """What is known of a candidate; empty where there is none such."""
        at = self.position(name)
        return {} if at < 0 else self.candidates.table.iloc[at].to_dict()

    def watch(self, callback: Callable[[], None], *names: str) -> None:
        """Call back without arguments whenever one of the named traits changes, and once now."""
        self.observe(lambda _change: callback(), names=list(names))
        callback()
