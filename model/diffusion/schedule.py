"""When: how much noise there is at a time, and the grids of times that samplers walk."""

import torch
from torch import Tensor

from model.shapes import Float, Int

TRAINING_STEPS = 1000  # levels of the species' discrete diffusion
FIRST_TIME = 1e-5  # training never sees less noise than this; source: section 4.1


def training_times(uniform: Float[Tensor, " batch"]) -> Float[Tensor, " batch"]:
    """Times in [1e-5, 1) out of uniform numbers."""
    return FIRST_TIME + (1.0 - FIRST_TIME) * uniform


def grid(steps: int) -> Float[Tensor, " steps_and_end"]:
    """Equally spaced times from 1 down to 1/steps, then 0: with 1,000 steps the published grid (section 6.1).

    Raises ValueError outside 1 to 1,000.
    """
    if not 1 <= steps <= TRAINING_STEPS:
        raise ValueError(f"The number of steps runs from 1 to {TRAINING_STEPS}; found {steps}.")
    times = torch.linspace(1.0, 1.0 / steps, steps, dtype=torch.float64)
    return torch.cat([times, torch.zeros(1, dtype=torch.float64)]).float()


def level(t: Float[Tensor, " *n"]) -> Int[Tensor, " *n"]:
    """Discrete noise level of the species at time t: floor(999 t) + 1, and 0 at the very end (section 2.4)."""
    return torch.where(t > 0, torch.floor(t * (TRAINING_STEPS - 1)).long() + 1, 0)


def keep_probability(level: Int[Tensor, " *n"]) -> Float[Tensor, " *n"]:
    """Chance that an atom still knows its element at a level: k_j = (1000 − j)/1000 (section 2.3)."""
    return ((TRAINING_STEPS - level).double() / TRAINING_STEPS).float()
