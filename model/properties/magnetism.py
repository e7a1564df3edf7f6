"""Magnetic density: the moments of a crystal's atoms over its volume."""

import torch
from torch import Tensor

from model.cell import volume
from model.crystals import Crystals
from model.shapes import Float


def magnetic_density(crystals: Crystals, moments: Float[Tensor, " atoms"]) -> Float[Tensor, " batch"]:
    """Sum of the sizes of the moments (Bohr magnetons) over the volume, in Å⁻³; NaN where a moment is unknown.

    Sizes are summed because CHGNet, and the labels it learned from, know no sign: antiferromagnets come out magnetic.
    """
    total = torch.zeros(len(crystals), dtype=torch.float64).index_add_(0, crystals.owner, moments.double().abs())
    return total / volume(crystals.cell.double())
