"""Matrix products at the speed of the machine, and row-wise work in pieces that fit its cache.

On a processor without gradients, products go through oneDNN, which uses all vector units of every make (PyTorch's
default there, MKL, uses half of an AMD processor's) and applies the activation on the way. Everywhere else they are
the ordinary ones. Both are float32 and agree to rounding.
"""

from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager

import torch
from torch import Tensor
from torch.nn import functional as F

from model.shapes import Float

ROWS = 512  # a thread: of 512 float32 numbers each they fill 1 MB, the second cache of present cores
_LINEAR = getattr(torch.ops.mkldnn, "_linear_pointwise", None) if torch.backends.mkldnn.is_available() else None
_AFTER = {"none": lambda x: x, "swish": F.silu, "relu": F.relu}


def product(
    x: Float[Tensor, "rows inputs"], weight: Float[Tensor, "outputs inputs"],
    bias: Float[Tensor, " outputs"] | None = None, after: str = "none",
) -> Float[Tensor, "rows outputs"]:
    """Rows times Wᵀ, plus b, and after it nothing, "swish" (x times its sigmoid) or "relu"."""
    exact = x.dtype == weight.dtype == torch.float32 and not torch.is_autocast_enabled("cpu")
    if _LINEAR is not None and exact and _plain_cpu(x):
        return _LINEAR(x, weight.contiguous(), bias, after, [], "")  # strided ones would take a thousand times as long
    return _AFTER[after](F.linear(x, weight, bias))


def single_precision(tensor: Tensor) -> AbstractContextManager[None]:
    """Where a model computes in bf16 (autocast), geometry does not: bf16 rounds positions to 0.03 Å."""
    return torch.autocast(tensor.device.type, enabled=False)


def at_least_single(x: Tensor) -> Tensor:
    """What was computed in bf16 as float32; wider numbers as they are."""
    return x.to(torch.promote_types(x.dtype, torch.float32))


def by_rows(work: Callable[..., Tensor], *tensors: Tensor) -> Tensor:
    """A row-wise function of tensors of equally many rows; in pieces where that keeps them in the cache."""
    if _at_once(tensors[0]):
        return work(*tensors)
    whole: Tensor | None = None
    for rows in _pieces(tensors[0]):
        part = work(*(t[rows] for t in tensors))
        if whole is None:
            whole = part.new_empty(tensors[0].shape[0], *part.shape[1:])
        whole[rows] = part
    return whole


def sum_by_rows(
    work: Callable[..., Tensor], index: Tensor, size: int, *tensors: Tensor
) -> Float[Tensor, "size width"]:
    """What a row-wise function gives, summed over the rows of equal index, in float32 at least."""
    if _at_once(index):
        return _added(None, work(*tensors), index, size)
    total: Tensor | None = None
    for rows in _pieces(index):
        total = _added(total, work(*(t[rows] for t in tensors)), index[rows], size)
    return total


def _added(total: Tensor | None, part: Tensor, index: Tensor, size: int) -> Tensor:
    if total is None:
        total = at_least_single(part.new_zeros(size, *part.shape[1:]))
    return total.index_add_(0, index, part.to(total.dtype))


def _at_once(rows: Tensor) -> bool:
    """Where gradients, a compiler or a GPU want it so, and where one piece holds all."""
    return not _plain_cpu(rows) or rows.shape[0] <= _piece()


def _pieces(rows: Tensor) -> Iterator[slice]:
    for begin in range(0, rows.shape[0], _piece()):
        yield slice(begin, begin + _piece())


def _piece() -> int:
    return ROWS * torch.get_num_threads()


def _plain_cpu(x: Tensor) -> bool:
    return x.device.type == "cpu" and not torch.is_grad_enabled() and not torch.compiler.is_compiling()
