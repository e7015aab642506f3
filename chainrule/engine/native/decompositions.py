"""Operations written out as others that have kernels: moments as sums, and grouped, transposed and one-dimensional convolutions as plain
ones of two dimensions."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from typing import Any

import torch
from torch import Tensor

aten = torch.ops.aten
MOST_GROUPS = 32  # each becomes kernels of its own


def _dims(x: Tensor, dim: list[int] | None) -> list[int]:
    return [d % x.dim() for d in dim] if dim else list(range(x.dim()))


def _mean(x: Tensor, dim: list[int] | None = None, keepdim: bool = False, *, dtype: torch.dtype | None = None) -> Tensor:
    dims = _dims(x, dim)
    count = 1
    for d in dims:
        count *= x.shape[d]
    return torch.sum(x, dims, keepdim, dtype=dtype) / count


def _var(x: Tensor, dim: list[int] | None = None, *, correction: float | None = None, keepdim: bool = False) -> Tensor:
    dims = _dims(x, dim)
    count = 1
    for d in dims:
        count *= x.shape[d]
    away = x - _mean(x, dims, True)
    return torch.sum(away * away, dims, keepdim) / max(count - (1 if correction is None else correction), 0)


def _prims_var(x: Tensor, dims: list[int] | None, correction: float = 1, *, output_dtype: torch.dtype | None = None) -> Tensor:
    return _var(x, dims, correction=correction)


def _prims_sum(x: Tensor, dims: list[int] | None, *, output_dtype: torch.dtype | None = None) -> Tensor:
    return torch.sum(x, _dims(x, dims), dtype=output_dtype)


def _spread(x: Tensor, shape: list[int], axes: list[int]) -> Tensor:
    for d in range(len(shape)):
        if d not in axes:
            x = x.unsqueeze(d)
    return x.expand(shape)


def _var_mean(x: Tensor, dim: list[int] | None = None, *, correction: float | None = None, keepdim: bool = False) -> tuple[Tensor, Tensor]:
    return _var(x, dim, correction=correction, keepdim=keepdim), _mean(x, dim, keepdim)


def _convolution(x: Tensor, weight: Tensor, bias: Tensor | None, stride: Sequence[int], padding: Sequence[int], dilation: Sequence[int],
                 transposed: bool, output_padding: Sequence[int], groups: int) -> Any:
    """By plain convolutions: one a group; the slope of one by its inputs where transposed; of height one where the maps are lines."""
    if x.dim() == 3:
        flat = _convolution_of(x.unsqueeze(2), weight.unsqueeze(2), bias, [1, *stride], [0, *padding], [1, *dilation], transposed,
                               [0, *output_padding], groups)
        return flat.squeeze(2)
    if _whole(x, stride, transposed, output_padding, groups):
        return NotImplemented
    if groups > 1:
        parts = zip(x.chunk(groups, 1), weight.chunk(groups, 0), _chunks(bias, groups), strict=True)
        return torch.cat([_convolution_of(*part, stride, padding, dilation, transposed, output_padding, 1) for part in parts], 1)
    sides = [(n - 1) * s - 2 * p + d * (k - 1) + o + 1 for n, s, p, d, k, o in
             zip(x.shape[2:], stride, padding, dilation, weight.shape[2:], output_padding, strict=True)]
    spread = x.new_empty((len(x), weight.shape[1], *sides))
    y, _, _ = aten.convolution_backward(x, spread, weight, None, stride, padding, dilation, False, [0, 0], 1, [True, False, False])
    return y if bias is None else y + bias[:, None, None]


def _convolution_backward(slope: Tensor, x: Tensor, weight: Tensor, bias_sizes: Sequence[int] | None, stride: Sequence[int],
                          padding: Sequence[int], dilation: Sequence[int], transposed: bool, output_padding: Sequence[int], groups: int,
                          output_mask: Sequence[bool]) -> Any:
    """The slopes by inputs, weights and biases, by those of plain convolutions."""
    if x.dim() == 3:
        dx, dw, db = aten.convolution_backward(slope.unsqueeze(2), x.unsqueeze(2), weight.unsqueeze(2), bias_sizes, [1, *stride],
                                               [0, *padding], [1, *dilation], transposed, [0, *output_padding], groups, output_mask)
        return None if dx is None else dx.squeeze(2), None if dw is None else dw.squeeze(2), db
    if _whole(x, stride, transposed, output_padding, groups):
        return NotImplemented
    if groups > 1:
        sizes = None if bias_sizes is None else [math.prod(bias_sizes) // groups]
        parts = [aten.convolution_backward(*part, sizes, stride, padding, dilation, transposed, output_padding, 1, output_mask)
                 for part in zip(slope.chunk(groups, 1), x.chunk(groups, 1), weight.chunk(groups, 0), strict=True)]
        return tuple(torch.cat(each, axis) if wanted else None
                     for each, axis, wanted in zip(zip(*parts, strict=True), (1, 0, 0), output_mask, strict=True))
    dx = aten.convolution(slope, weight, None, stride, padding, dilation, False, [0, 0], 1) if output_mask[0] else None
    dw = None
    if output_mask[1]:
        dw = aten.convolution_backward(x, slope, weight, None, stride, padding, dilation, False, [0, 0], 1, [False, True, False])[1]
    return dx, dw, slope.sum((0, 2, 3)) if output_mask[2] else None


def _whole(x: Tensor, stride: Sequence[int], transposed: bool, output_padding: Sequence[int], groups: int) -> bool:
    """Whether a convolution is left as it is: a plain one, and what cannot be written as such.

    That is one over other than two axes, one of very many groups, and a transposed one that gives more places than any convolution has
    whose slope it could be.
    """
    beyond = transposed and any(more >= step for more, step in zip(output_padding, stride, strict=True))
    return x.dim() != 4 or groups > MOST_GROUPS or (groups == 1 and not transposed) or beyond


def _convolution_of(*arguments: Any) -> Tensor:
    y: Tensor = aten.convolution(*arguments)
    return y


def _chunks(bias: Tensor | None, groups: int) -> Sequence[Tensor | None]:
    return [None] * groups if bias is None else bias.chunk(groups)


DECOMPOSITIONS: dict[Any, Callable[..., Any]] = {
    aten.mean.default: _mean, aten.mean.dim: _mean, aten.var.correction: _var, aten.var_mean.correction: _var_mean,
    torch.ops.prims.var.default: _prims_var, torch.ops.prims.broadcast_in_dim.default: _spread,
    torch.ops.prims.sum.default: _prims_sum,
    aten.convolution.default: _convolution, aten.convolution_backward.default: _convolution_backward,
}
