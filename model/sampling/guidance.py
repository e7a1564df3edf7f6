"""Classifier-free guidance: what conditions add to the free answer, with a strength for each."""

from collections.abc import Callable, Mapping, Sequence

import torch

from model.conditions import Conditions
from model.crystals import Crystals, Prediction
from model.shapes import Float

Denoiser = Callable[[Crystals, torch.Tensor, Conditions], Prediction]
_NOTHING = 1e-15


def guided(
    denoiser: Denoiser, strength: float | Mapping[str, float], groups: Sequence[Sequence[str]] | None = None
) -> Denoiser:
    """A denoiser whose answer leans towards the conditions: free + strength · (conditional − free).

    One number is the published guidance: all conditions together against none; 0 is the free answer, 1 the
    conditional one, each of one evaluation (section 6.8). With `groups` of properties that were taught apart, the
    number holds for each group, and their terms add up over the one free answer. A mapping gives each property a term
    and a strength of its own. All copies are evaluated in one batch.
    """

    def answer(noisy: Crystals, t: Float[torch.Tensor, " batch"], conditions: Conditions) -> Prediction:
        terms = _terms(conditions, strength, groups)
        rest = 1 - sum(weight for weight, _ in terms)
        copies = [(weight, c) for weight, c in ((rest, conditions.forget()), *terms) if abs(weight) > _NOTHING]
        if len(copies) == 1:
            return denoiser(noisy, t, copies[0][1])
        together = denoiser(
            Crystals.join([noisy] * len(copies)),
            t.repeat(len(copies)),
            Conditions.join([c for _, c in copies]),
        )
        return _mix(together, [weight for weight, _ in copies])

    return answer


def _terms(
    conditions: Conditions, strength: float | Mapping[str, float], groups: Sequence[Sequence[str]] | None
) -> list[tuple[float, Conditions]]:
    if not isinstance(strength, Mapping):
        heard = [[name for name in group if name in conditions.values] for group in groups or [list(conditions.values)]]
        return [(float(strength), conditions.only(*names)) for names in heard if names]
    if unknown := sorted(set(strength) - set(conditions.values)):
        raise ValueError(f"Guidance names {', '.join(unknown)}, for which no target was given.")
    return [(float(weight), conditions.only(name)) for name, weight in strength.items()]


def _mix(together: Prediction, weights: list[float]) -> Prediction:
    """The weighted sum over copies of a batch; weights add up to one."""
    def mixed(values: torch.Tensor) -> torch.Tensor:
        parts = values.unflatten(0, (len(weights), -1))
        return torch.einsum("c,c...->...", torch.tensor(weights, dtype=values.dtype, device=values.device), parts)

    return Prediction(frac=mixed(together.frac), cell=mixed(together.cell), logits=mixed(together.logits))
