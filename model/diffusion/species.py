"""MaskNoise: atoms forget their element, and are told it again (discrete diffusion with an absorbing state)."""

from dataclasses import dataclass
from typing import final

import torch
from torch import Tensor
from torch.nn import functional as F

from model.crystals import MASK, N_CLASSES
from model.diffusion.schedule import keep_probability
from model.shapes import Float, Int

MASK_CLASS = MASK - 1
_TINY = 1e-20

Levels = Int[Tensor, " atoms"]
Numbers = Int[Tensor, " atoms"]
Probabilities = Float[Tensor, "atoms 101"]


@final
@dataclass(frozen=True)
class MaskNoise:
    """At level j an atom still knows its element with probability k_j = (1000 − j)/1000; level 1000 knows nothing."""

    hybrid: float = 0.01  # weight of the cross entropy beside the Kullback-Leibler term, λ_CE

    def corrupt(self, clean: Numbers, uniform: Float[Tensor, " atoms"], level: Levels) -> Numbers:
        """Masked wherever the uniform number reaches the chance of being kept."""
        return torch.where(uniform < keep_probability(level), clean, MASK)

    def marginal(self, clean: Probabilities, level: Levels) -> Probabilities:
        """q(a_j | a_0) for a soft a_0, whose own share of the mask ends up in the mask."""
        kept = keep_probability(level)[:, None] * clean[:, :MASK_CLASS]
        at_level = torch.cat([kept, 1 - kept.sum(-1, keepdim=True)], dim=-1)
        return torch.where((level == 0)[:, None], clean, at_level)

    def posterior_logits(self, clean: Probabilities, noisy: Numbers, now: Levels, then: Levels) -> Probabilities:
        """Unnormalised log-probabilities of the element at level `then`, seen at level `now` > `then` (section 2.3)."""
        return torch.log(self.marginal(clean, then) + _TINY) + torch.log(self._likelihood(noisy, now, then) + _TINY)

    def _likelihood(self, noisy: Numbers, now: Levels, then: Levels) -> Probabilities:
        """Chance of what is seen at level `now`, for every element at level `then`."""
        kept = (keep_probability(now) / keep_probability(then))[:, None]
        seen = F.one_hot(noisy - 1, N_CLASSES).to(kept)
        to_mask = torch.cat([(1 - kept).expand(-1, MASK_CLASS), torch.ones_like(kept)], dim=-1)
        return torch.where((noisy == MASK)[:, None], to_mask, kept * seen)

    def reveal_chance(self, now: Levels, then: Levels) -> Float[Tensor, " atoms"]:
        """Chance that a masked atom is told its element between two levels: (k_s − k_t)/(1 − k_t), exact."""
        before, after = keep_probability(now), keep_probability(then)
        return (after - before) / (1 - before)

    def loss(
        self,
        logits: Probabilities,
        clean: Numbers,
        noisy: Numbers,
        now: Levels,
        n_atoms: Int[Tensor, " batch"],
    ) -> Float[Tensor, " batch"]:
        """Kullback-Leibler to the true posterior one level down (cross entropy at the last), plus λ_CE · cross entropy.

        Summed over the atoms of a crystal. Source: section 4.2; Austin et al. 2021.
        """
        then = now - 1
        truth = F.one_hot(clean - 1, N_CLASSES).to(logits)
        teacher = torch.log_softmax(self.posterior_logits(truth, noisy, now, then), dim=-1)
        student = torch.log_softmax(self.posterior_logits(torch.softmax(logits, -1), noisy, now, then), dim=-1)
        divergence = (teacher.exp() * (teacher - student)).sum(-1)
        last = F.cross_entropy(student, clean - 1, reduction="none")
        plain = F.cross_entropy(logits, clean - 1, reduction="none")
        each = torch.where(then > 0, divergence, last) + self.hybrid * plain
        owner = torch.repeat_interleave(torch.arange(len(n_atoms), device=each.device), n_atoms)
        return each.new_zeros(len(n_atoms)).index_add(0, owner, each)


def draw(p: Float[Tensor, "atoms classes"], uniform: Float[Tensor, " atoms"]) -> Int[Tensor, " atoms"]:
    """One class an atom by inverting the cumulated probabilities (any scale); never one of probability zero."""
    total = torch.cumsum(p.double(), dim=-1)
    place = (uniform.double() * total[:, -1]).unsqueeze(-1)
    found = torch.searchsorted(total, place, right=True).squeeze(-1)
    last = p.shape[-1] - 1 - (p.flip(-1) > 0).to(torch.uint8).argmax(-1)
    return torch.minimum(found, last)
