"""The ways of making a run: the model or another proposer makes crystals, CHGNet relaxes, the reference judges."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from types import MappingProxyType
from typing import TYPE_CHECKING

from model.constraints import Constraints
from model.crystals import Crystals
from model.execution import Watch
from workbench.judging import Judging
from workbench.runs import Propose, Run
from workbench.state import State

if TYPE_CHECKING:
    from model.baselines.proposer import Proposer

AT_ONCE = {"cpu": 8, "cuda": 64, "mps": 32}  # crystals denoised together: small batches show the first ones soon
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
    """Crystals of the model that is loaded now, with the steps and the corrector that are set now."""
    if state.model is None:
        raise ValueError("No model is loaded yet; choose one in the constraints panel.")
    from model.sampling.generate import generate

    model, steps, corrections = state.model, state.steps, state.corrections
    at_once = AT_ONCE[next(model.denoiser.parameters()).device.type]

    def propose(constraints: Constraints, indices: list[int], watch: Watch) -> Crystals:
        return generate(
            model, constraints, steps=steps, corrections=corrections, done=_others(constraints, indices),
            batch_size=at_once, watch=watch,
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
