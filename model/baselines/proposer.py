"""What the other ways of proposing crystals share: one crystal after another, each from chance of its own."""

from collections.abc import Callable, Collection, Mapping
from concurrent.futures import Executor
from typing import Any, Protocol, runtime_checkable

import numpy as np
import torch

from model.constraints import ConstraintError, Constraints
from model.crystals import Crystals
from model.execution import INLINE, Progress, Watch, silent
from model.sampling.generate import Batch, diagnose
from model.sampling.palette import Palette
from model.shapes import Int

Make = Callable[[int], tuple[Crystals, str]]  # the crystal of an index, and what is wrong with it ("" for nothing)
MOST_ATOMS = 20  # in a cell, where nothing is asked: as many as models are taught
PROPOSE = "propose"


@runtime_checkable
class Proposer(Protocol):
    """A way from constraints to crystals, used as `model.generate` is: the same watch, the same batches.

    `name` and `hash` say in a run's record what made the crystals: with constraints and settings they make them again.
    """

    name: str

    @property
    def hash(self) -> str:
        """Digest of all that the crystals depend on beside the constraints."""
        ...

    @property
    def settings(self) -> Mapping[str, Any]:
        """In plain words, for a run's record."""
        ...

    def check(self, constraints: Constraints) -> None:
        """Raise ConstraintError where these constraints cannot be followed."""
        ...

    def origins(self, constraints: Constraints) -> list[str]:
        """What each crystal of a run was made from, in a few words; empty where there is nothing to say."""
        ...

    def __call__(
        self, constraints: Constraints, *, done: Collection[int] = (), batch_size: int = 16, watch: Watch = silent
    ) -> Crystals:
        """The crystals of a run that are not done yet; batches are told to `watch` as `generate` tells them."""
        ...


def chance(constraints: Constraints, index: int, attempt: int = 0) -> np.random.Generator:
    """Random numbers that belong to one crystal of a run, whatever the batch it is made in."""
    return np.random.default_rng([constraints.seed & 0xFFFFFFFFFFFFFFFF, index, attempt])


def in_batches(
    make: Make, constraints: Constraints, *, done: Collection[int], batch_size: int, watch: Watch,
    executor: Executor = INLINE,
) -> Crystals:  # fmt: skip
    """Make every crystal that is not done; finished batches are told, and hard constraints are seen to be kept.

    Crystals of a batch are made side by side where an executor is given; `make` travels to its processes.

    `watch` hears of each crystal (`stage="propose"`) and may raise Cancelled there, and of each finished batch
    (`stage="generate"`, a `Batch` as payload).
    """
    if batch_size < 1:
        raise ValueError(f"Batches hold at least 1 crystal; found {batch_size}.")
    missing = [index for index in range(constraints.count) if index not in set(done)]
    finished: list[Crystals] = []
    before = constraints.count - len(missing)
    for start in range(0, len(missing), batch_size):
        indices = missing[start : start + batch_size]
        made = []
        stream = map(make, indices) if executor is INLINE else executor.map(make, indices)
        for place in range(before + start, before + start + len(indices)):
            watch(Progress(stage=PROPOSE, done=place, total=constraints.count))
            made.append(next(stream))
        batch = _batch(made, indices, constraints)
        finished.append(batch.crystals)
        done_now = before + start + len(indices)
        watch(Progress(stage=PROPOSE, done=done_now, total=constraints.count))
        watch(Progress(stage="generate", done=done_now, total=constraints.count, payload=batch))
    return Crystals.join(finished)


def _batch(made: list[tuple[Crystals, str]], indices: list[int], constraints: Constraints) -> Batch:
    crystals = Crystals.join([crystal for crystal, _ in made])
    if not (Palette.of(constraints, crystals.n_atoms).kept(crystals) & fits(constraints, crystals.n_atoms)).all():
        raise RuntimeError("A hard constraint was broken, which it cannot be by construction: a defect.")
    wrong = diagnose(crystals, torch.ones(len(crystals), dtype=torch.bool))
    problems = {index: wrong.get(row, "") or made[row][1] for row, index in enumerate(indices)}
    return Batch(crystals, tuple(indices), {index: said for index, said in problems.items() if said})


def fits(constraints: Constraints, n_atoms: Int[torch.Tensor, " batch"]) -> torch.Tensor:
    """Which numbers of atoms were asked for; any, where none was."""
    if constraints.n_atoms is None:
        return torch.ones_like(n_atoms, dtype=torch.bool)
    low, high = constraints.atom_range
    return (n_atoms >= low) & (n_atoms <= high)


def without_targets(constraints: Constraints, who: str) -> None:
    """Raise ConstraintError where targets are asked of a way that follows none."""
    if constraints.targets:
        raise ConstraintError(
            f"{who} follows no target and was asked for {', '.join(sorted(constraints.targets))}; drop it, or choose "
            "screening or a model taught on it."
        )


def without_space_group(constraints: Constraints, who: str) -> None:
    """Raise ConstraintError where a space group is asked of a way that cannot choose one."""
    if constraints.space_group is not None:
        raise ConstraintError(
            f"{who} follows no space group; drop it, or choose random search or a model taught on it."
        )
