"""Stand-ins for a model and a judge: the bench can be tried, and tested, in seconds and with known answers."""

import time
from collections.abc import Sequence
from dataclasses import dataclass

import torch

from model.candidates import Candidates
from model.constraints import Constraints
from model.crystals import MASK, Crystals
from model.execution import Progress, Watch
from workbench.runs import Run, Verdict
from workbench.state import State


@dataclass(frozen=True)
class FinishedBatch:
    """What a proposer hands over when a batch is finished."""

    crystals: Crystals
    indices: tuple[int, ...]
    problems: dict[int, str]


@dataclass(frozen=True)
class Freezing:
    """Proposes known crystals, one after another and from the start again, each seen losing its noise.

    `pause` is how long a step takes in seconds; batch number `breaks_at` fails, counted from 0.
    """

    crystals: Crystals
    steps: int = 6
    batch_size: int = 4
    pause: float = 0.0
    breaks_at: int | None = None

    def __call__(self, constraints: Constraints, indices: Sequence[int], watch: Watch) -> Crystals:
        """The crystals at the given places of an endless row of the known ones."""
        random = torch.Generator().manual_seed(constraints.seed)
        made = []
        for batch, first in enumerate(range(0, len(indices), self.batch_size)):
            if batch == self.breaks_at:
                raise RuntimeError(f"Batch {batch} broke, as it was told to.")
            part = tuple(indices[first : first + self.batch_size])
            goal = self.crystals[[i % len(self.crystals) for i in part]]
            for step in range(1, self.steps + 1):
                time.sleep(self.pause)
                noisy = self._noisy(goal, 1 - step / self.steps, random)
                watch(Progress(stage="denoise", unit="steps", done=step, total=self.steps, payload=noisy))
            made.append(goal)
            finished = FinishedBatch(goal, part, {})
            watch(Progress(stage="generate", done=first + len(part), total=len(indices), payload=finished))
        return Crystals.join(made)

    @staticmethod
    def _noisy(goal: Crystals, t: float, random: torch.Generator) -> Crystals:
        shaken = goal.frac + 0.3 * t * torch.randn(goal.frac.shape, generator=random)
        hidden = torch.rand(goal.numbers.shape, generator=random) < t
        return goal.replace(frac=shaken % 1.0, numbers=torch.where(hidden, torch.tensor(MASK), goal.numbers))


@dataclass(frozen=True)
class ByVolume:
    """Judges without physics: energy above hull in eV/atom is a thousandth of the cell's volume in Å³.

    It tells of each crystal, as a real judge does; relaxed crystals are one percent larger.
    """

    pause: float = 0.0
    breaks_at: int | None = None

    def __call__(self, new: Candidates, earlier: Verdict, watch: Watch) -> Verdict:
        """The new candidates with energies above hull, and uniqueness by formula."""
        if self.breaks_at is not None and len(earlier.candidates) >= self.breaks_at:
            raise RuntimeError("The potential answered nothing.")
        for done in range(1, len(new) + 1):
            time.sleep(self.pause)
            watch(Progress(stage="relaxing", done=done, total=len(new)))
        above = (new.table["volume"] / 1000).to_numpy()
        met = set(earlier.candidates.table.get("formula", []))
        unique = ~new.table["formula"].isin(met).to_numpy() & ~new.table["formula"].duplicated().to_numpy()
        known = new.learn(
            energy_above_hull=above, stable=above <= 0.1, unique=unique, novel=True, novelty="novel",
            sun=(above <= 0.1) & unique, status="judged", reason="",
        )  # fmt: skip
        larger = {
            name: crystal.replace(cell=crystal.cell * 1.01)
            for name, crystal in zip(new.table["id"], new.crystals, strict=True)
        }
        return Verdict(candidates=known, relaxed=larger)


def begin(state: State, constraints: Constraints, propose: Freezing, judge: ByVolume | None = None) -> Run:
    """A run of stand-ins over a state, not started yet."""
    from model.record import candidates_of

    return Run(state, propose, judge or ByVolume(), candidates_of, constraints)
