"""Dense, residual and scaled layers of GemNet. Attribute names are those of the published checkpoints."""

import math

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from model.network.products import product
from model.shapes import Float, Int

INV_SQRT_2 = 1 / math.sqrt(2)


def scaled_silu(x: Tensor) -> Tensor:
    """silu(x)/0.6, which keeps variances; in place where no gradient is wanted."""
    return scaled(F.silu(x, inplace=not torch.is_grad_enabled()))


def scaled(x: Tensor) -> Tensor:
    """x/0.6; in place where no gradient is wanted."""
    return x * (1 / 0.6) if torch.is_grad_enabled() else x.mul_(1 / 0.6)


def he_orthogonal_(weight: Tensor) -> Tensor:
    """Fill a weight with a semi-orthogonal matrix standardised per output, of variance 1/fan-in (section 3.10)."""
    with torch.no_grad():
        if weight.dim() == 3:
            fan_in = weight.shape[0] * weight.shape[1]
            flat = nn.init.orthogonal_(torch.empty(weight.shape[2], fan_in)).T.reshape(weight.shape)
            axes: tuple[int, ...] = (0, 1)
        else:
            fan_in = weight.shape[1]
            flat, axes = nn.init.orthogonal_(torch.empty_like(weight)), (1,)
        if fan_in > 1:
            variance, mean = torch.var_mean(flat, dim=axes, keepdim=True)
            flat = (flat - mean) / (variance + 1e-6).sqrt()
        return weight.copy_(flat * math.sqrt(1 / fan_in))


class Linear(nn.Module):
    """A matrix without bias, initialised as GemNet's dense layers are."""

    def __init__(self, inputs: int, outputs: int) -> None:
        super().__init__()
        self.linear = nn.Linear(inputs, outputs, bias=False)
        he_orthogonal_(self.linear.weight)

    @property
    def weight(self) -> Float[Tensor, "outputs inputs"]:
        """The matrix."""
        return self.linear.weight

    def forward(self, x: Tensor) -> Tensor:
        """W x."""
        return product(x, self.weight)


class Dense(Linear):
    """A matrix and the scaled SiLU."""

    def forward(self, x: Tensor) -> Tensor:
        """silu*(W x)."""
        return scaled(product(x, self.weight, after="swish"))


class Residual(nn.Module):
    """(x + Dense(Dense(x)))/√2."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.dense_mlp = nn.Sequential(Dense(width, width), Dense(width, width))

    def forward(self, x: Tensor) -> Tensor:
        """Keeps the variance."""
        return mean_of(x, self.dense_mlp(x))


def mean_of(x: Tensor, y: Tensor) -> Tensor:
    """(x + y)/√2; the second one's memory is used where no gradient is wanted."""
    if torch.is_grad_enabled():
        return (x + y) * INV_SQRT_2
    return y.add_(x).mul_(INV_SQRT_2)


class ScaleFactor(nn.Module):
    """A fixed factor after an aggregation, stored with the weights."""

    def __init__(self, value: float) -> None:
        super().__init__()
        self.scale_factor = nn.Parameter(torch.tensor(float(value)), requires_grad=False)

    def forward(self, x: Tensor) -> Tensor:
        """Times the factor."""
        return x * self.scale_factor


class Cubic(nn.Module):
    """A weight of three axes: (degrees, radial, out) or (in, radial, out)."""

    def __init__(self, *shape: int) -> None:
        super().__init__()
        self.weight = nn.Parameter(he_orthogonal_(torch.empty(*shape)))


def sum_over_edges(
    messages: Float[Tensor, "edges width"], target: Int[Tensor, " edges"], atoms: int
) -> Float[Tensor, "atoms width"]:
    """Sum of the messages that arrive at each atom."""
    return messages.new_zeros(atoms, messages.shape[-1]).index_add_(0, target, messages)


def residuals(count: int, width: int) -> list[Residual]:
    """So many residual layers."""
    return [Residual(width) for _ in range(count)]
