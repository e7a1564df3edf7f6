"""Geometry of cells: volume, lengths and angles, the symmetric form, Cartesian and fractional coordinates."""

import torch
from torch import Tensor

from model.crystals import Crystals
from model.shapes import Float


def volume(cell: Float[Tensor, "batch 3 3"]) -> Float[Tensor, " batch"]:
    """Volume in Å³, positive whatever the handedness."""
    return torch.linalg.det(cell).abs()


def lengths(cell: Float[Tensor, "batch 3 3"]) -> Float[Tensor, "batch 3"]:
    """Lengths of the lattice vectors in Å."""
    return cell.norm(dim=-1)


def angles(cell: Float[Tensor, "batch 3 3"]) -> Float[Tensor, "batch 3"]:
    """Angles between b and c, c and a, a and b, in degrees."""
    unit = cell / lengths(cell).unsqueeze(-1)
    cosines = (unit[:, [1, 2, 0]] * unit[:, [2, 0, 1]]).sum(-1)
    return torch.rad2deg(torch.arccos(cosines.clamp(-1, 1)))


def symmetric(cell: Float[Tensor, "batch 3 3"]) -> Float[Tensor, "batch 3 3"]:
    """The same crystal turned so that its lattice matrix is symmetric and positive: (L Lᵀ)^½.

    A left-handed or indefinite matrix is mirrored on the way. Source: Zeni et al., polar decomposition (B.3).
    """
    w, stretch, _ = torch.linalg.svd(cell)
    return w @ torch.diag_embed(stretch) @ w.mT


def cartesian(crystals: Crystals) -> Float[Tensor, "atoms 3"]:
    """Positions in Å."""
    return torch.bmm(crystals.frac[:, None], crystals.cell[crystals.owner]).squeeze(1)


def wrapped(frac: Float[Tensor, "atoms 3"]) -> Float[Tensor, "atoms 3"]:
    """Fractional coordinates brought into [0, 1); rounding up to 1 is taken back to 0."""
    inside = torch.remainder(frac, 1.0)
    return torch.where(inside >= 1.0, torch.zeros_like(inside), inside)


def heights(cell: Float[Tensor, "batch 3 3"]) -> Float[Tensor, "batch 3"]:
    """Distances in Å between opposite faces of each cell."""
    crosses = torch.linalg.cross(cell[:, [1, 2, 0]], cell[:, [2, 0, 1]], dim=-1)
    return volume(cell)[:, None] / crosses.norm(dim=-1)


def shortest_distance(crystal: Crystals, reach: float = 3.0) -> float:
    """Smallest distance in Å between two atoms of one crystal, images within `reach` Å included (at most 9 cells)."""
    sides = (reach / heights(crystal.cell)[0]).ceil().nan_to_num(9.0).clamp(1, 9).int().tolist()
    shifts = torch.cartesian_prod(*[torch.arange(-n, n + 1, dtype=crystal.frac.dtype) for n in sides])
    apart = crystal.frac[:, None] - crystal.frac[None, :]
    distances = ((apart[:, :, None] + shifts) @ crystal.cell[0]).norm(dim=-1)
    itself = torch.eye(len(crystal.frac), dtype=torch.bool)[:, :, None] & (shifts == 0).all(-1)
    return float(distances.masked_fill(itself, torch.inf).min())
