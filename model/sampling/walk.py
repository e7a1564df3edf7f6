"""One loop from noise to crystals: corrector, step, species; whatever the scheme, the constraints and the start."""

from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import Tensor

from model import cell
from model.cell import wrapped
from model.conditions import Conditions
from model.crystals import MASK, Crystals, Prediction
from model.diffusion.crystal import CrystalDiffusion
from model.diffusion.schedule import level
from model.diffusion.species import MASK_CLASS
from model.randomness import Streams
from model.sampling.guidance import Denoiser
from model.sampling.palette import Palette
from model.sampling.schemes import ANCESTRAL, Scheme
from model.shapes import Bool, Float

Look = Callable[[int, Crystals], None]  # (steps done, crystals as they stand)

BIGGEST_CELL = 1e4  # Å; beyond it a cell has exploded and only costs time
BIGGEST_ANSWER = 1e6  # answers are scores times the noise's spread, of the order of 1


@dataclass(frozen=True, kw_only=True)
class Given:
    """Parts of crystals that are known beforehand and kept: everything where a mask holds.

    While the rest is noisy the kept coordinates and cells are shown at the same noise, and are exact at the end;
    kept elements are shown all the time.
    """

    crystals: Crystals
    frac: Bool[Tensor, " atoms"]
    numbers: Bool[Tensor, " atoms"]
    cell: Bool[Tensor, " batch"]


@dataclass(frozen=True, kw_only=True)
class Walk:
    """Everything a walk back from noise needs besides where it starts."""

    denoiser: Denoiser
    diffusion: CrystalDiffusion
    conditions: Conditions
    streams: Streams
    palette: Palette
    scheme: Scheme = ANCESTRAL
    corrections: int = 1
    published: bool = False  # the released sampler's lattice noise and batch-averaged corrector (sections 6.4, 6.5)
    given: Given | None = None


def walk(
    plan: Walk, start: Crystals, times: Float[Tensor, " grid"], look: Look | None = None
) -> tuple[Crystals, Bool[Tensor, " batch"]]:
    """Walk a batch along falling times, the last of which is 0; say which crystals stayed finite on the way.

    A crystal that turns infinite, or of which the denoiser answers no numbers, is set aside (as a harmless cube, or
    with an answer of nothing) so that the rest of its batch is not lost.
    """
    noisy, n = start, start.n_atoms
    shown, ask = _Given(plan, start), _Asking(plan, start)
    last: tuple[Prediction, Tensor] | None = None
    for done, (t, s) in enumerate(zip(times[:-1].tolist(), times[1:].tolist(), strict=True), start=1):
        at, to = (torch.full((len(noisy),), v, device=noisy.device) for v in (t, s))
        noisy = shown.put(noisy, at)
        for _ in range(plan.corrections):
            answer = ask(noisy, at)
            noisy = plan.diffusion.correct(noisy, answer, at, to, plan.streams, averaged=plan.published)
            noisy = shown.put(ask.set_aside(noisy), at)
            if look is not None:  # a step may be long: who watches can stop it after any of its evaluations
                look(done - 1, noisy)
        answer = ask(noisy, at)
        lean = _extrapolated(plan, answer, last, at, to, n)
        last = (answer, at)
        later = _step(plan, noisy, lean, at, to)
        if plan.scheme.look_ahead and s > 0:
            ahead = ask(shown.put(ask.set_aside(later), to), to)
            later = _step(plan, noisy, _blend(answer, ahead, plan.scheme.look_ahead), at, to)
        noisy = shown.put(_reveal(plan, later, answer.logits, at, to), to)
        noisy = shown.put(ask.set_aside(noisy), to)  # what is kept is kept even of a crystal that was set aside
        if look is not None:
            look(done, noisy)
    return _finished(noisy), ask.fine


class _Asking:
    """Asks the denoiser, and remembers which crystals stayed finite."""

    def __init__(self, plan: Walk, start: Crystals) -> None:
        self.plan = plan
        self.fine = torch.ones(len(start), dtype=torch.bool, device=start.device)

    def __call__(self, noisy: Crystals, t: Tensor) -> Prediction:
        """The denoiser's answer; nothing for crystals of which it answers no numbers, whose walk is no more."""
        answer = self.plan.denoiser(noisy, t, self.plan.conditions)
        good_atoms = (answer.frac.abs() < BIGGEST_ANSWER).all(-1) & ~answer.logits.isnan().any(-1)  # false for NaN
        ok = (answer.cell.abs() < BIGGEST_ANSWER).all((-1, -2)) & _all_atoms(good_atoms, noisy)
        if bool(ok.all()):
            return answer
        self.fine = self.fine & ok
        atoms = ok[noisy.owner][:, None]
        return Prediction(
            frac=torch.where(atoms, answer.frac, 0.0), cell=torch.where(ok[:, None, None], answer.cell, 0.0),
            logits=torch.where(atoms, answer.logits, 0.0),
        )

    def set_aside(self, noisy: Crystals) -> Crystals:
        """Crystals that are no longer finite become cubes at rest, and are remembered."""
        ok = _all_atoms(noisy.frac.isfinite().all(-1), noisy)
        ok = ok & (noisy.cell.abs() < BIGGEST_CELL).all((-1, -2))  # also false for NaN
        if bool(ok.all()):
            return noisy
        self.fine = self.fine & ok
        cube = self.plan.diffusion.lattice.mean(noisy.n_atoms)
        frac = torch.where(ok[noisy.owner][:, None], noisy.frac, torch.zeros_like(noisy.frac))
        return noisy.replace(frac=frac, cell=torch.where(ok[:, None, None], noisy.cell, cube))


def _all_atoms(good: Bool[Tensor, " atoms"], crystals: Crystals) -> Bool[Tensor, " batch"]:
    """Of which crystals every atom is good."""
    bad = torch.zeros(len(crystals), device=crystals.device).index_add(0, crystals.owner, (~good).float())
    return bad == 0


class _Given:
    """Shows the kept parts at any time, each with one noise of its own for the whole walk."""

    def __init__(self, plan: Walk, start: Crystals) -> None:
        self.given, self.diffusion = plan.given, plan.diffusion
        if self.given is not None:
            self.shaken = plan.streams.normal_atoms(start.n_atoms)
            self.strained = plan.streams.normal(9).reshape(-1, 3, 3)

    def put(self, noisy: Crystals, t: Tensor) -> Crystals:
        if self.given is None:
            return noisy
        known, n = self.given.crystals, noisy.n_atoms
        frac = self.diffusion.coordinates.corrupt(known.frac, self.shaken, t, n)
        lattice = self.diffusion.lattice.corrupt(known.cell, self.strained, t, n)
        return noisy.replace(
            frac=torch.where(self.given.frac[:, None], frac, noisy.frac),
            cell=torch.where(self.given.cell[:, None, None], lattice, noisy.cell),
            numbers=torch.where(self.given.numbers, known.numbers, noisy.numbers),
        )


def _step(plan: Walk, noisy: Crystals, answer: Prediction, at: Tensor, to: Tensor) -> Crystals:
    return plan.diffusion.step(
        noisy, answer, at, to, plan.streams, eta=plan.scheme.eta, single_scalar=plan.published
    )


def _extrapolated(
    plan: Walk, answer: Prediction, last: tuple[Prediction, Tensor] | None, at: Tensor, to: Tensor, n: Tensor
) -> Prediction:
    """The mean answer over the coming step, from this one and the last (Adams-Bashforth with changing steps in κ)."""
    if not plan.scheme.extrapolate or last is None:
        return answer
    before, then = last

    def weight(kappa: Callable[[Tensor], Tensor]) -> Tensor:
        return plan.scheme.extrapolate * 0.5 * (kappa(at) - kappa(to)) / (kappa(then) - kappa(at))

    lattice = plan.diffusion.lattice
    of_frac = weight(lambda t: plan.diffusion.coordinates.left(t, n)).repeat_interleave(n)[:, None]
    of_cell = weight(lambda t: lattice.std(t, n) / lattice.alpha(t))[:, None, None]
    return Prediction(
        frac=answer.frac + of_frac * (answer.frac - before.frac),
        cell=answer.cell + of_cell * (answer.cell - before.cell),
        logits=answer.logits,
    )


def _blend(now: Prediction, ahead: Prediction, weight: float) -> Prediction:
    return Prediction(
        frac=torch.lerp(now.frac, ahead.frac, weight), cell=torch.lerp(now.cell, ahead.cell, weight), logits=now.logits
    )


def _reveal(plan: Walk, noisy: Crystals, logits: Tensor, at: Tensor, to: Tensor) -> Crystals:
    """Masked atoms are told their elements with the exact chance; in the last step all are, the likeliest ones."""
    species = plan.diffusion.species
    if species is None:
        return noisy
    uniform = plan.streams.uniform_atoms(noisy.n_atoms, 2)
    chance = species.reveal_chance(level(at), level(to))[noisy.owner]
    told = (noisy.numbers == MASK) & (uniform[:, 0] < chance)
    p = torch.softmax(logits[:, :MASK_CLASS], dim=-1)
    final = bool((to <= 0).all())
    return noisy.replace(numbers=plan.palette.assign(p, noisy, told, None if final else uniform[:, 1]))


def _finished(noisy: Crystals) -> Crystals:
    """Coordinates in [0, 1), cells right-handed; what already is a cell is left to the last digit."""
    handed = torch.linalg.det(noisy.cell) > 0
    cells = torch.where(handed[:, None, None], noisy.cell, cell.symmetric(noisy.cell))
    return noisy.replace(frac=wrapped(noisy.frac), cell=cells)
