"""The ways of making a run: the model or another proposer makes crystals, CHGNet relaxes, the reference judges."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from functools import cache
from types import MappingProxyType
from typing import TYPE_CHECKING, Any

import numpy as np

from model.candidates import Candidates
from model.constraints import Constraints
from model.crystals import Crystals
from model.execution import Progress, Watch
from workbench.runs import Propose, Run, Verdict
from workbench.state import State

if TYPE_CHECKING:
    from model.baselines.proposer import Proposer
    from model.evaluation.evaluate import Judge
    from model.evaluation.reference import Reference
    from model.relax.potential import Potential, Reading

AT_ONCE = {"cpu": 8, "cuda": 64, "mps": 32}  # crystals denoised together: small batches show the first ones soon
ATOMS_AT_ONCE = (
    160  # relaxed together: few enough that one step of CHGNet stays well below the two seconds a cancel may take
)


DIFFUSION = "diffusion"


@dataclass(frozen=True, kw_only=True)
class Setting:
    """Something a way of proposing is told by a person: a path. Without it, where it is `needed`, it cannot begin."""

    name: str
    label: str
    about: str
    needed: bool = False


@dataclass(frozen=True, kw_only=True)
class Way:
    """A way of proposing crystals that the bench offers: for people its `label` and what it is `about`.

    `targets` and `space_group` say whether it follows these. `make` gives the proposer for the settings told, by name;
    it may read files for seconds, so it is called in the run's own thread. Only the model's way has none.
    """

    name: str
    label: str
    about: str
    targets: bool = False
    space_group: bool = False
    settings: tuple[Setting, ...] = ()
    make: "Callable[[Mapping[str, str]], Proposer] | None" = None

    def proposer(self, told: Mapping[str, str]) -> "Proposer":
        """The proposer for these settings. Raises ValueError where one is missing or unknown."""
        known = {setting.name: setting for setting in self.settings}
        if strange := sorted(set(told) - set(known)):
            raise ValueError(f"{self.label} has {', '.join(known) or 'no settings'}; found {', '.join(strange)}.")
        told = {name: value.strip() for name, value in told.items() if value.strip()}
        if missing := [setting.label for name, setting in known.items() if setting.needed and name not in told]:
            raise ValueError(f"{self.label} needs {' and '.join(missing)}; name it.")
        if self.make is None:
            raise ValueError(f"{self.label} is no proposer of its own; load a model and generate.")
        return self.make(told)


def _random_search(told: Mapping[str, str]) -> "Proposer":
    from model.baselines.habits import Habits
    from model.baselines.random_search import RandomSearch

    if "relaxed" not in told:
        return RandomSearch()
    from model.io import read_crystals

    first = read_crystals(told["relaxed"])
    return RandomSearch(habits=Habits.shipped().retuned(first.crystals, f"{len(first)} relaxed crystals"))


def _substitution(told: Mapping[str, str]) -> "Proposer":
    from model.baselines.substitution import Substitution, of_reference

    if "reference" not in told:
        return Substitution()
    from model.evaluation.reference import Reference

    known = Reference.load(told["reference"])
    return Substitution(prototypes=of_reference(known), source=known.name)


def _screening(told: Mapping[str, str]) -> "Proposer":
    from model.baselines.screening import Screening

    return Screening.of(told["data"], [folder.strip() for folder in told["readouts"].split(",")])


WAYS: Mapping[str, Way] = MappingProxyType({
    way.name: way
    for way in (
        Way(
            name=DIFFUSION, label="Diffusion model", about="The chosen model denoises crystals.", targets=True,
            space_group=True,
        ),
        Way(
            name="random-search", label="Random search", space_group=True, make=_random_search,
            about="Random crystals of few symmetry operations, at volumes and distances known from others.",
            settings=(
                Setting(
                    name="relaxed", label="relaxed crystals of a first round",
                    about="A folder or file; volumes and distances are tuned by it.",
                ),
            ),
        ),
        Way(
            name="substitution", label="Substitution", make=_substitution,
            about="Known prototypes with their elements exchanged, each once.",
            settings=(
                Setting(
                    name="reference", label="a reference with structures",
                    about="A folder; its crystals are the prototypes instead of AFLOW's.",
                ),
            ),
        ),
        Way(
            name="screening", label="Screening", targets=True, space_group=True, make=_screening,
            about="Known crystals without a label, ranked by what a readout predicts of them.",
            settings=(
                Setting(
                    name="data", label="prepared crystals", needed=True, about="A folder of workbench data prepare."
                ),
                Setting(
                    name="readouts", label="a taught readout", needed=True,
                    about="A folder of workbench model teach; several with commas between.",
                ),
            ),
        ),
    )
})  # fmt: skip


def begin(
    state: State, constraints: Constraints, way: str = "", told: Mapping[str, str] = MappingProxyType({})
) -> Run:
    """A run over the shared state, not started yet, by one of the WAYS with its settings told by name.

    Without a name it is the way that the state says.

    Raises ValueError for a way that is not there, and while no model is loaded where the model is to propose.
    """
    from model.record import candidates_of

    way = way or state.method
    if way not in WAYS:
        raise ValueError(f"There is no way of proposing {way!r}; choose among {', '.join(WAYS)}.")
    propose = _by_model(state) if way == DIFFUSION else _by_proposer(WAYS[way], told)
    return Run(state, propose, Judging(state, constraints), candidates_of, constraints)


def _by_model(state: State) -> Propose:
    """Crystals of the model that is loaded now, with as many steps as are set now."""
    if state.model is None:
        raise ValueError("No model is loaded yet; choose one in the constraints panel.")
    from model.sampling.generate import generate

    model, steps = state.model, state.steps
    at_once = AT_ONCE[next(model.denoiser.parameters()).device.type]

    def propose(constraints: Constraints, indices: list[int], watch: Watch) -> Crystals:
        return generate(
            model, constraints, steps=steps, done=_others(constraints, indices), batch_size=at_once, watch=watch
        )

    return propose


def _by_proposer(way: Way, told: Mapping[str, str]) -> Propose:
    """Crystals of another way, few at a time, so that the first are seen soon."""

    def propose(constraints: Constraints, indices: list[int], watch: Watch) -> Crystals:
        proposer = way.proposer(told)
        proposer.check(constraints)
        return proposer(constraints, done=_others(constraints, indices), batch_size=AT_ONCE["cpu"], watch=watch)

    return propose


def _others(constraints: Constraints, indices: list[int]) -> set[int]:
    return set(range(constraints.count)) - set(indices)


@cache
def reference() -> "Reference":
    """The reference that the package ships."""
    from model.evaluation.reference import Reference

    return Reference.shipped()


@cache
def potential() -> "Potential":
    """CHGNet, loaded once."""
    from model.relax.chgnet import CHGNetPotential

    return CHGNetPotential()


@dataclass
class _Watched:
    """A potential that tells a watch of every reading, which may cancel the work there."""

    inner: "Potential"
    tell: Any

    @property
    def name(self) -> str:
        """Name of the energy model."""
        return self.inner.name

    def __call__(self, crystals: Crystals) -> "Reading":
        """Read the crystals, unless cancelled."""
        self.tell()
        return self.inner(crystals)


@dataclass
class Judging:
    """Relaxes candidates many at once and tells of each as soon as it has come to rest; uniqueness once all have."""

    state: State
    constraints: Constraints | None = None  # what was asked, where a run asked it
    _readings: int = field(default=0, init=False)

    def __call__(self, new: Candidates, earlier: Verdict, watch: Watch) -> Verdict:
        """The new candidates with all that was learned, their relaxed crystals, and the rates of all judged so far."""
        from model.evaluation.evaluate import make_judge, settle, tabulate
        from model.evaluation.matching import Earlier, probe
        from model.evaluation.obedience import learn_obedience
        from model.relax.relaxer import relaxing

        at_rest: list[Any] = []

        self._readings = 0

        def tell() -> None:
            self._readings += 1
            watch(Progress(stage=f"force reading {self._readings}; relaxed", done=len(at_rest), total=len(new)))

        watched = _Watched(potential(), tell)
        judge = make_judge(watched, self.state.reference or reference())
        names = new.table["id"].astype(str).tolist()
        for one in relaxing(new.crystals, watched, atoms_at_once=ATOMS_AT_ONCE):
            at_rest.append(judge.verdict(new.crystals[one.row], one, names[one.row]))
            row = new.where(np.arange(len(new)) == one.row)
            watch(
                Progress(
                    stage="relaxing",
                    done=len(at_rest),
                    total=len(new),
                    payload=self._verdict(tabulate(at_rest[-1:], row), row, at_rest[-1:]),
                )
            )
        memory = Earlier(judge.matcher)
        for row, name in enumerate(earlier.candidates.table["id"]):
            memory.first_like(probe(earlier.relaxed.get(name, earlier.candidates.crystals[row]), name))
        settled = settle(sorted(at_rest, key=lambda verdict: verdict.row), memory)
        table = tabulate(settled, new)
        table = table if self.constraints is None else learn_obedience(table, self.constraints)
        found = self._verdict(table, new, settled)
        return Verdict(
            candidates=found.candidates,
            relaxed=found.relaxed,
            scorecard=_score(judge, found.candidates, earlier.candidates, self.constraints),
        )

    @staticmethod
    def _verdict(table: Any, part: Candidates, verdicts: list[Any]) -> Verdict:
        relaxed = {
            verdict.columns["id"]: verdict.relaxed.crystal
            for verdict in verdicts
            if verdict.columns["status"] == "judged"
        }
        return Verdict(candidates=Candidates(crystals=part.crystals, table=table), relaxed=relaxed)


def _score(judge: "Judge", new: Candidates, earlier: Candidates, constraints: Constraints | None) -> Any:
    """Rates over everything judged so far."""
    from model.evaluation.evaluate import matcher_name
    from model.evaluation.scorecard import score

    table = (Candidates.join([earlier, new]) if len(earlier) else new).table
    bad = table[table["status"] == "bad"]  # walks that ended in no crystal: made, but with nothing to judge
    return score(
        table[table["status"] != "bad"],
        made=len(table),
        missing=dict(zip(bad["id"], bad["reason"], strict=True)),
        reference=judge.reference.name,
        energy_model=judge.potential.name,
        matcher=matcher_name(judge),
        constraints=constraints,
        known=len(judge.reference.known),
    )
