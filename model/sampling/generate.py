"""generate(model, constraints): batches, seeds, watching; bad states are drawn again, and nothing finished is lost."""

from collections.abc import Collection, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

import torch
from torch import Tensor

from model import cell
from model.conditions import Conditions
from model.constraints import Constraints
from model.crystals import Crystals, Prediction
from model.diffusion.schedule import grid
from model.execution import Progress, Watch, silent
from model.randomness import Streams
from model.sampling import requests
from model.sampling.guidance import Denoiser, guided
from model.sampling.model import CrystalModel
from model.sampling.palette import Palette
from model.sampling.requests import Start
from model.sampling.schemes import ANCESTRAL, Scheme
from model.sampling.walk import Walk, walk
from model.shapes import Float

SMALLEST_VOLUME, BIGGEST_VOLUME = 2.0, 300.0  # Å³ an atom; known crystals lie between about 4 and 120
PRECISIONS = ("highest", "high", "medium", "bf16")
CLOSEST = 0.5  # Å; nearer atoms make a structure invalid (section 8.6)


@dataclass(frozen=True)
class Batch:
    """Crystals that were finished together: their numbers in the run, and for bad ones what is wrong.

    `attempts` tells how often each was begun anew, `machine` what the batch was computed on.
    """

    crystals: Crystals
    indices: tuple[int, ...]
    problems: dict[int, str] = field(default_factory=dict)
    attempts: tuple[int, ...] = ()
    machine: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True)
class Report:
    """What became of a run's crystals, batch after batch as they were really made."""

    batches: tuple[Batch, ...]

    @property
    def indices(self) -> tuple[int, ...]:
        """Each crystal's number in the run, in the order of the crystals."""
        return tuple(index for batch in self.batches for index in batch.indices)

    @property
    def problems(self) -> dict[int, str]:
        """By number in the run, what is wrong with those that stayed bad after all redraws."""
        return {index: said for batch in self.batches for index, said in batch.problems.items()}

    @property
    def redrawn(self) -> dict[int, int]:
        """By number in the run, how often those that turned out bad were begun anew."""
        pairs = (pair for batch in self.batches for pair in zip(batch.indices, batch.attempts, strict=True))
        return {index: attempts for index, attempts in pairs if attempts}

    @property
    def batch_sizes(self) -> tuple[int, ...]:
        """Crystals denoised together: less than asked for at the end, and after memory ran out."""
        return tuple(len(batch.indices) for batch in self.batches)


@dataclass(frozen=True)
class Method:
    """How to walk: number of steps, scheme, corrector steps, and whether in the published (reference) way.

    The reference way draws one number for the whole lattice noise and takes corrector steps averaged over the batch;
    the other, independent way gives each crystal noise and steps of its own. `precision` is as `generate` takes it.
    """

    steps: int = 100
    scheme: Scheme = ANCESTRAL
    corrections: int = 0
    published: bool = False
    precision: str = "highest"

    def arguments(self) -> dict[str, Any]:
        """As keyword arguments of `generate`."""
        return {name: getattr(self, name) for name in self.__dataclass_fields__}

    def to_json(self) -> dict[str, Any]:
        """In plain words, for a run's record."""
        return self.arguments() | {"scheme": self.scheme.name}


DEFAULT = Method()
PUBLISHED = Method(steps=1000, corrections=1, published=True)


def generate(
    model: CrystalModel,
    constraints: Constraints,
    *,
    steps: int = 100,
    scheme: Scheme = ANCESTRAL,
    corrections: int = 0,
    published: bool = False,
    precision: str = "highest",
    batch_size: int = 64,
    redraws: int = 3,
    start: Start | None = None,
    done: Collection[int] = (),
    watch: Watch = silent,
) -> Crystals:
    """Crystals that keep the hard constraints and lean towards the asked targets.

    Each crystal has random numbers of its own, named by seed and index: it comes out the same whatever the batch,
    and a run can go on by leaving out the indices that are `done`.

    Parameters
    ----------
    steps, scheme, corrections, published
        See `Method`; `model.sampling.generate.PUBLISHED` is the released sampler.
    precision
        Of matrix products: "highest" is float32; "high" and "medium" let the device use its faster units (TF32, bf16);
        "bf16" computes the network in bf16, geometry and the walk in float32. It leads to other crystals of the same
        kind: with `base` and the same seeds, n = 64, relaxed, the mean energy above the hull differed by 0.015 ± 0.014
        eV/atom and the way they moved by 0.03 ± 0.03 Å. One evaluation of the published width took 0.58 of the time on
        a CPU core.
    redraws
        How often a crystal that collapsed, exploded or turned infinite is begun anew; then it is kept and said to be.
    start
        A crystal to begin from instead of noise.
    watch
        Told of every step (`stage="denoise"`, the running batch as payload) and of every finished batch
        (`stage="generate"`, a `Batch` as payload). May raise Cancelled.

    Raises ConstraintError where the model cannot follow the constraints.

    """
    method = Method(steps, scheme, corrections, published, precision)
    return generate_with_report(
        model, constraints, method, batch_size=batch_size, redraws=redraws, start=start, done=done, watch=watch
    )[0]


def generate_with_report(
    model: CrystalModel,
    constraints: Constraints,
    method: Method = DEFAULT,
    *,
    batch_size: int = 64,
    redraws: int = 3,
    start: Start | None = None,
    done: Collection[int] = (),
    watch: Watch = silent,
) -> tuple[Crystals, Report]:
    """The same as `generate`, with what became of each crystal: bad ones and why, redraws, the batches as made."""
    requests.check(constraints, model, start)
    if batch_size < 1 or redraws < 0 or method.corrections < 0:
        raise ValueError(
            f"Batches hold at least 1 crystal, redraws and corrections are at least 0; found {batch_size}, {redraws} "
            f"and {method.corrections}."
        )
    if method.precision not in PRECISIONS:
        raise ValueError(f"The precision is one of {', '.join(PRECISIONS)}; found {method.precision!r}.")
    todo = [i for i in range(constraints.count) if i not in set(done)]
    finished: list[Batch] = []
    while todo:
        now, todo = todo[:batch_size], todo[batch_size:]
        try:
            batch = _batch(model, constraints, method, now, redraws, start, watch)
        except (RuntimeError, MemoryError) as error:
            if len(now) == 1 or not _out_of_memory(error):
                raise
            batch_size, todo = (len(now) + 1) // 2, now + todo
            continue
        finished.append(batch)
        made = constraints.count - len(todo)
        watch(Progress(stage="generate", done=made, total=constraints.count, payload=batch))
    return Crystals.join([b.crystals for b in finished]), Report(tuple(finished))


def _out_of_memory(error: Exception) -> bool:
    """Whether memory ran out: a GPU has an error of its own for that, a processor's allocator only a sentence."""
    if isinstance(error, torch.OutOfMemoryError | MemoryError):
        return True
    return any(said in str(error) for said in ("DefaultCPUAllocator", "can't allocate memory", "not enough memory"))


def _batch(
    model: CrystalModel, constraints: Constraints, method: Method, indices: Sequence[int], redraws: int,
    start: Start | None, watch: Watch,
) -> Batch:
    """One batch; bad crystals are drawn again on their own until they are good or the redraws are used up."""
    attempts = torch.zeros(len(indices), dtype=torch.long)
    index = torch.tensor(list(indices))
    rows = torch.arange(len(index))
    crystals: list[Crystals | None] = [None] * len(index)
    problems: dict[int, str] = {}
    while len(rows):
        made, finite = _attempt(model, constraints, method, index[rows], attempts[rows], start, watch)
        wrong = diagnose(made, finite)
        for place, row in enumerate(rows.tolist()):
            crystals[row] = made[place]
            problems.pop(indices[row], None)
            if place in wrong:
                problems[indices[row]] = wrong[place]
        again = [row for place, row in enumerate(rows.tolist()) if place in wrong and attempts[row] < redraws]
        rows = torch.tensor(again, dtype=torch.long)
        attempts[rows] += 1
    return Batch(Crystals.join([c for c in crystals if c is not None]), tuple(indices), problems,
                 tuple(attempts.tolist()), machine(model))


def machine(model: CrystalModel) -> dict[str, Any]:
    """What a model computes on: device, threads of the processor, PyTorch's version."""
    device = next(model.denoiser.parameters()).device
    name = torch.cuda.get_device_name(device) if device.type == "cuda" else torch.backends.cpu.get_cpu_capability()
    return {
        "device": str(device), "kind": name, "threads": torch.get_num_threads(), "torch": torch.__version__,
    }


def _attempt(
    model: CrystalModel, constraints: Constraints, method: Method, index: Tensor, attempt: Tensor,
    start: Start | None, watch: Watch,
) -> tuple[Crystals, Tensor]:
    """One walk of some crystals. Sizes and targets belong to the crystal, whatever the attempt."""
    device = next(model.denoiser.parameters()).device
    asked = Streams(constraints.seed, index)
    n_atoms = requests.sizes(constraints, model, asked, start)
    conditions = requests.conditions(constraints, model, asked).to(device)
    palette = Palette.of(constraints, n_atoms.to(device))
    streams = Streams(constraints.seed, index.to(device), attempt.to(device))
    streams.draw = asked.draw
    times = _times(method.steps, start)
    noisy = requests.begin(model, n_atoms.to(device), streams, times[0].to(device), palette, start)
    if model.diffusion.species is None:  # crystal structure prediction: elements are known from the start
        noisy = noisy.replace(numbers=requests.known_species(palette, noisy, start))
    plan = Walk(
        denoiser=guided(_predict(model, method.precision), constraints.guidance, model.taught_together),
        diffusion=model.diffusion,
        conditions=conditions, streams=streams, palette=palette, scheme=method.scheme, corrections=method.corrections,
        published=method.published, given=None if start is None else start.given(n_atoms, device),
    )

    def look(done: int, running: Crystals) -> None:
        watch(Progress(stage="denoise", done=done, total=len(times) - 1, unit="steps", payload=running))

    with torch.no_grad(), _products(method.precision):
        made, finite = walk(plan, noisy, times, look)
    if not bool(palette.kept(made).all()):
        raise RuntimeError("The sampler broke a hard constraint, which it cannot by its construction: a defect.")
    return made.to("cpu"), finite.cpu()


def _predict(model: CrystalModel, precision: str) -> Denoiser:
    """The model's answers, computed in bf16 where that is asked for; they are float32 in any case."""
    if precision != "bf16":
        return model.predict

    def in_half(noisy: Crystals, t: Tensor, conditions: Conditions) -> Prediction:
        with torch.autocast(noisy.device.type, torch.bfloat16):
            return model.predict(noisy, t, conditions)

    return in_half


@contextmanager
def _products(precision: str) -> Iterator[None]:
    """Matrix products of a precision, and afterwards of the one that was set before."""
    before = torch.get_float32_matmul_precision()
    torch.set_float32_matmul_precision("highest" if precision == "bf16" else precision)
    try:
        yield
    finally:
        torch.set_float32_matmul_precision(before)


def _times(steps: int, start: Start | None) -> Float[Tensor, " grid"]:
    """The whole grid, or the part of it below a variation's strength."""
    times = grid(steps)
    if start is None or start.strength >= 1:
        return times
    below = times[times < start.strength]
    return torch.cat([torch.tensor([start.strength]), below])


def diagnose(crystals: Crystals, finite: Tensor) -> dict[int, str]:
    """What is wrong with the bad ones of some finished crystals, by position."""
    wrong: dict[int, str] = {}
    per_atom = (cell.volume(crystals.cell) / crystals.n_atoms).tolist()
    for i in range(len(crystals)):
        if not finite[i]:
            wrong[i] = "the walk left the finite numbers"
        elif per_atom[i] < SMALLEST_VOLUME:
            wrong[i] = f"the cell collapsed to {per_atom[i]:.2f} Å³ an atom"
        elif per_atom[i] > BIGGEST_VOLUME:
            wrong[i] = f"the cell exploded to {per_atom[i]:.0f} Å³ an atom"
        elif (nearest := cell.shortest_distance(crystals[i])) < CLOSEST:
            wrong[i] = f"two atoms are {nearest:.2f} Å apart"
    return wrong
