"""Radial and angular bases: Gaussians under a smooth envelope, and real spherical harmonics."""

import math

import torch
from torch import Tensor, nn

from model.shapes import Float


def envelope(x: Float[Tensor, " edges"]) -> Float[Tensor, " edges"]:
    """Falls smoothly from 1 to 0 at x = 1: 1 − 21 x⁵ + 35 x⁶ − 15 x⁷ (section 3.4)."""
    smooth = 1 + x**5 * (-21 + x * (35 - 15 * x))
    return torch.where(x < 1, smooth, torch.zeros_like(x))


class GaussianBasis(nn.Module):
    """Equally spaced Gaussians on [0, 1]."""

    def __init__(self, num_radial: int) -> None:
        super().__init__()
        self.register_buffer("offset", torch.linspace(0, 1, num_radial))
        self.coefficient = -0.5 * (num_radial - 1) ** 2

    def forward(self, x: Float[Tensor, " edges"]) -> Float[Tensor, "edges radial"]:
        """Value of every Gaussian."""
        return torch.exp(self.coefficient * (x[:, None] - self.offset) ** 2)


class RadialBasis(nn.Module):
    """Distances as Gaussians of d/cutoff under the envelope."""

    def __init__(self, num_radial: int, cutoff: float) -> None:
        super().__init__()
        self.cutoff = cutoff
        self.rbf = GaussianBasis(num_radial)

    def forward(self, distance: Float[Tensor, " edges"]) -> Float[Tensor, "edges radial"]:
        """Zero at and beyond the cutoff."""
        x = distance / self.cutoff
        return envelope(x)[:, None] * self.rbf(x)


def spherical_harmonics(unit: Float[Tensor, "edges 3"], degrees: int = 7) -> Float[Tensor, "edges harmonics"]:
    """Real orthonormal spherical harmonics of l = 0 … degrees − 1 at unit vectors, l after l, 2l + 1 each.

    By the addition theorem P_l(u·v) = 4π/(2l+1) Σ_m Y_lm(u) Y_lm(v): sums over pairs of edges at an atom then
    factorise into one sum an atom and one product an edge.
    """
    x, y, z = unit.unbind(-1)
    cosines, sines = [torch.ones_like(x)], [torch.zeros_like(x)]  # of m φ, times sinᵐθ
    for _ in range(1, degrees):
        cosines, sines = [*cosines, x * cosines[-1] - y * sines[-1]], [*sines, x * sines[-1] + y * cosines[-1]]
    legendre = _legendre(z, degrees)
    columns = []
    for l in range(degrees):
        for m in range(-l, l + 1):
            k = abs(m)
            norm = math.sqrt((2 * l + 1) / (4 * math.pi) * math.factorial(l - k) / math.factorial(l + k))
            turn = sines[k] if m < 0 else cosines[k]
            columns.append((norm * math.sqrt(2) if m else norm) * legendre[l][k] * turn)
    return torch.stack(columns, dim=-1)


def _legendre(z: Tensor, degrees: int) -> list[list[Tensor]]:
    """Associated Legendre functions without sinᵐθ: polynomials in z, by the usual recursion."""
    table: list[list[Tensor]] = []
    for l in range(degrees):
        row = []
        for m in range(l + 1):
            if m == l:
                row.append(torch.full_like(z, float(math.prod(range(1, 2 * m, 2)))))
            elif m == l - 1:
                row.append((2 * m + 1) * z * table[m][m])
            else:
                row.append(((2 * l - 1) * z * table[l - 1][m] - (l + m - 1) * table[l - 2][m]) / (l - m))
        table.append(row)
    return table


def expand_degrees(per_degree: Float[Tensor, "*rows degrees"]) -> Float[Tensor, "*rows harmonics"]:
    """A value for each l repeated for its 2l + 1 harmonics."""
    degrees = per_degree.shape[-1]
    index = [l for l in range(degrees) for _ in range(2 * l + 1)]
    return per_degree[..., torch.tensor(index, device=per_degree.device)]


def degree_weights(degrees: int) -> tuple[Tensor, Tensor]:
    """√(4π/(2l+1)), which turns sums of harmonics into √((2l+1)/4π) P_l, and that function's value at angle 0."""
    l = torch.arange(degrees, dtype=torch.float64)
    return torch.sqrt(4 * math.pi / (2 * l + 1)).float(), torch.sqrt((2 * l + 1) / (4 * math.pi)).float()
