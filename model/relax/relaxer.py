"""Many crystals relaxed at once, atoms and cell: converged ones leave, new ones enter."""

from collections import deque
from collections.abc import Callable, Iterator
from concurrent.futures import Executor, as_completed
from dataclasses import dataclass
from typing import Any, Protocol, runtime_checkable

import torch
from torch import Tensor

from model.crystals import Crystals
from model.execution import INLINE, Progress, Watch, silent
from model.relax import fire
from model.relax.potential import Potential, Reading
from model.relax.reading import read
from model.shapes import Bool, Float, Int

FMAX, STEPS = 0.05, 500
_EXPLODED, _COLLAPSED = 10.0, 0.05  # volume against the start
ATOMS_AT_ONCE = 512  # read by the potential together, unless less is asked for


@dataclass(frozen=True, slots=True, kw_only=True)
class Path:
    """The way of one crystal down: every crystal on it, and its energies in eV."""

    crystals: Crystals
    energy: Float[Tensor, " steps"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Relaxed:
    """One crystal that came out: its row among those that went in, and its verdict (an empty `reason` is success)."""

    row: int
    crystal: Crystals
    energy: float
    force: float
    converged: bool
    steps: int
    reason: str
    moments: Float[Tensor, " atoms"]
    path: Path | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Relaxation:
    """Relaxed crystals, in the order in which they went in.

    Energies are totals in eV (NaN where the potential failed), `force` the largest one left in eV/Å, moments in Bohr
    magnetons; `reasons` are empty where the relaxation converged.
    """

    crystals: Crystals
    energy: Float[Tensor, " batch"]
    force: Float[Tensor, " batch"]
    converged: Bool[Tensor, " batch"]
    steps: Int[Tensor, " batch"]
    moments: Float[Tensor, " atoms"]
    reasons: tuple[str, ...]
    potential: str
    paths: tuple[Path, ...] = ()

    def __len__(self) -> int:
        """Number of crystals."""
        return len(self.crystals)

    @property
    def failed(self) -> Bool[Tensor, " batch"]:
        """Crystals that the potential could not judge."""
        return self.energy.isnan()


@runtime_checkable
class Memory(Protocol):
    """What an interrupted relaxation remembers: `model.relax.journal.RelaxedJournal` keeps it in a file."""

    def begin(self) -> dict[int, Relaxed]:
        """Crystals that came to rest before, by their row."""

    def add(self, row: int, one: Relaxed) -> None:
        """Keep one more."""


def relax(crystals: Crystals, potential: Potential, **asked: Any) -> Relaxation:
    """Relax atoms and cell of every crystal; what else is asked, and its defaults, as `relaxing` has it."""
    done = sorted(relaxing(crystals, potential, **asked), key=lambda one: one.row)
    return gather(done, potential.name)


def relaxing(
    crystals: Crystals,
    potential: Potential,
    *,
    fmax: float = FMAX,
    steps: int = STEPS,
    atoms_at_once: int = ATOMS_AT_ONCE,
    cell: bool = True,
    executor: Executor = INLINE,
    watch: Watch = silent,
    trajectories: bool = False,
    memory: Memory | None = None,
) -> Iterator[Relaxed]:
    """Relax atoms and cell of every crystal until no force exceeds `fmax` eV/Å, in at most `steps` steps each.

    Each is handed out as soon as it is done, in whatever order they are. Without `cell`, the atoms move and the cell
    stays. At most `atoms_at_once` atoms fall together (in each process of the executor).

    A crystal that does not converge, whose cell explodes, or on which the potential fails, gets that as its verdict;
    the others go on. `watch` hears of every crystal that is done, as a `Relaxed`. What came to rest before, by a
    `memory`, is handed out first and not relaxed again.
    """
    work = _Work(potential, fmax, steps, atoms_at_once, cell, trajectories)

    def fall(some: Crystals) -> Iterator[Relaxed]:
        return work.inline(some) if executor is INLINE else work.spread(some, executor)

    stream = fall(crystals) if memory is None else remembering(crystals, fall, memory)
    for count, one in enumerate(stream, start=1):
        watch(Progress(stage="relax", done=count, total=len(crystals), payload=one))
        yield one


def remembering(
    crystals: Crystals, rest: Callable[[Crystals], Iterator[Relaxed]], memory: Memory
) -> Iterator[Relaxed]:
    """Crystals that came to rest before, then the others as `rest` has them, each kept as it comes."""
    before = memory.begin()
    yield from before.values()
    rows = [row for row in range(len(crystals)) if row not in before]
    for one in rest(crystals[rows]) if rows else ():
        one = renumbered(one, rows[one.row])  # noqa: PLW2901 - the same crystal under its row in the whole set
        memory.add(one.row, one)
        yield one


def gather(done: list[Relaxed], potential: str) -> Relaxation:
    """One relaxation out of crystals that came out singly, in the order given."""
    return Relaxation(
        crystals=Crystals.join([one.crystal for one in done]),
        energy=torch.tensor([one.energy for one in done], dtype=torch.float64),
        force=torch.tensor([one.force for one in done], dtype=torch.float64),
        converged=torch.tensor([one.converged for one in done], dtype=torch.bool),
        steps=torch.tensor([one.steps for one in done], dtype=torch.long),
        moments=torch.cat([one.moments for one in done]) if done else torch.zeros(0, dtype=torch.float64),
        reasons=tuple(one.reason for one in done),
        potential=potential,
        paths=tuple(one.path for one in done if one.path is not None),
    )


@dataclass
class _Entry:
    """What is remembered of a crystal while it falls."""

    row: int
    start: Crystals
    volume: float
    steps: int = 0
    frames: list[Crystals] | None = None
    energies: list[float] | None = None


@dataclass(frozen=True)
class _Work:
    """One relaxation as it was asked for; goes to other processes with its potential."""

    potential: Potential
    fmax: float
    steps: int
    atoms_at_once: int
    cell: bool
    trajectories: bool

    def inline(self, crystals: Crystals) -> Iterator[Relaxed]:
        """Keep a pool of at most `atoms_at_once` atoms falling; whoever is done leaves, the next enters."""
        waiting = deque(range(len(crystals)))
        pool, entries = fire.start(Crystals.empty()), []
        while waiting or entries:
            fresh = self._enter(crystals, waiting, int(pool.n_atoms.sum()))
            if fresh:
                volumes = torch.linalg.det(crystals[fresh].cell.double()).abs().tolist()
                entries += [self._entry(row, crystals[row], volume) for row, volume in zip(fresh, volumes, strict=True)]
                pool = fire.Falling.join([pool, fire.start(crystals[fresh])])
            here = pool.crystals
            reading = read(self.potential, here)
            force = fire.pull(pool, reading)
            if not self.cell:
                force = fire.Pull(atoms=force.atoms, cell=torch.zeros_like(force.cell))
            largest = fire.largest(pool, force)
            stay = []
            for place, entry in enumerate(entries):
                verdict = self._verdict(entry, place, here, reading, float(largest[place]))
                stay.append(verdict is None)
                if verdict is not None:
                    yield verdict
            keep = torch.tensor(stay)
            entries = [entry for entry, stays in zip(entries, stay, strict=True) if stays]
            pool = fire.step(pool.pick(keep), _pick(pool, force, keep))

    def spread(self, crystals: Crystals, executor: Executor) -> Iterator[Relaxed]:
        """Portions on an executor, large and small crystals mixed so that portions take alike."""
        order = torch.argsort(crystals.n_atoms, descending=True).tolist()
        portions = max(1, min(len(order), round(4 * int(crystals.n_atoms.sum()) / self.atoms_at_once)))
        rows = [order[i::portions] for i in range(portions)]
        futures = {executor.submit(self.all, crystals[part]): part for part in rows if part}
        try:
            for future in as_completed(futures):
                part = futures[future]
                for one in future.result():
                    yield renumbered(one, part[one.row])
        finally:
            for future in futures:
                future.cancel()

    def all(self, crystals: Crystals) -> list[Relaxed]:
        """What `inline` gives, at once: the work of one process."""
        return list(self.inline(crystals))

    def _enter(self, crystals: Crystals, waiting: "deque[int]", falling: int) -> list[int]:
        fresh: list[int] = []
        while waiting and (falling == 0 or falling + int(crystals.n_atoms[waiting[0]]) <= self.atoms_at_once):
            falling += int(crystals.n_atoms[waiting[0]])
            fresh.append(waiting.popleft())
        return fresh

    def _entry(self, row: int, start: Crystals, volume: float) -> _Entry:
        return _Entry(row, start, volume, 0, [], []) if self.trajectories else _Entry(row, start, volume)

    def _verdict(self, entry: _Entry, place: int, here: Crystals, reading: Reading, force: float) -> Relaxed | None:
        """The crystal's verdict if it is done, None while it still falls."""
        reason, converged = reading.declined.get(place, ""), False
        if not reason:
            if entry.frames is not None:
                entry.frames.append(here[place])
                entry.energies.append(float(reading.energy[place]))
            change = float(torch.linalg.det(here.cell[place]).abs()) / max(entry.volume, 1e-12)
            converged = force < self.fmax
            if not converged:
                reason = self._trouble(change, force, entry.steps)
                if not reason:
                    entry.steps += 1
                    return None
        whole = bool(here.cell[place].isfinite().all() & here.frac[here.owner == place].isfinite().all())
        return Relaxed(
            row=entry.row, crystal=here[place] if whole else entry.start, force=force,
            energy=float(reading.energy[place]) if whole else float("nan"),
            converged=converged, steps=entry.steps, reason=reason, path=_path(entry),
            moments=reading.moments[here.owner == place],
        )  # fmt: skip

    def _trouble(self, change: float, force: float, steps: int) -> str:
        if change > _EXPLODED or change < _COLLAPSED:
            what = "exploded" if change > 1 else "collapsed"
            return f"Its cell {what} while relaxing: after {steps} steps the volume was {change:.3g} times the first."
        if steps >= self.steps:
            return f"Not relaxed after {steps} steps: a force of {force:.3g} eV/Å is left, {self.fmax:g} was asked for."
        return ""


def _pick(pool: fire.Falling, force: fire.Pull, keep: Tensor) -> fire.Pull:
    return fire.Pull(atoms=force.atoms[keep[pool.owner]], cell=force.cell[keep])


def _path(entry: _Entry) -> Path | None:
    if entry.frames is None:
        return None
    return Path(crystals=Crystals.join(entry.frames), energy=torch.tensor(entry.energies, dtype=torch.float64))


def renumbered(one: Relaxed, row: int) -> Relaxed:
    """The same crystal under another row: that of a larger set."""
    return Relaxed(**{name: getattr(one, name) for name in Relaxed.__slots__} | {"row": row})
