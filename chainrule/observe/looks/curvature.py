"""How strongly the loss bends: the largest eigenvalue of its Hessian, and the curvature along the gradient.

Plain descent diverges along a direction at rates above 2 by its curvature. Products of Hessian and vector: Pearlmutter (1994),
https://doi.org/10.1162/neco.1994.6.1.147; the power method on them: LeCun, Simard & Pearlmutter (1993), NIPS 5:156
"""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor

from chainrule.core.kernels import written_out
from chainrule.core.registry import looks
from chainrule.observe.scene import Scene

ROUNDS = 32         # of the power method at most
NEAR = 0.002        # by which two rounds differ where it ends
SECONDS, FEWEST = 0.1, 4    # after which a net whose products are dear has no other round, and rounds that it has in any case
LARGEST = 2 * 10**7  # parameters of a net whose curvature is asked for

Vector = list[Tensor]


@looks("curvature", source="LeCun, Simard & Pearlmutter (1993), NIPS 5:156", every=8)
def curvature(scene: Scene) -> dict[str, Any]:
    """The largest eigenvalue of the Hessian of the mean loss in training mode, and the curvature along the gradient.

    Nothing where no criterion is known, or a part of the net cannot be differentiated twice.
    """
    if scene.criterion is None or scene.before.count() > LARGEST or any(p.is_complex() for p in scene.before.params.values()):
        return {}
    net = scene.copy()
    try:
        with torch.enable_grad(), written_out():
            params = list(net.params.values())
            slopes = torch.autograd.grad(scene.loss(net, scene.read), params, create_graph=True, allow_unused=True)
            own = [(p, g) for p, g in zip(params, slopes, strict=True) if g is not None and g.requires_grad]
            return _bends([p for p, _ in own], [g for _, g in own]) if own else {"curvature": 0.0, "slope_curvature": 0.0}
    except (RuntimeError, NotImplementedError):     # no second derivative
        return {}


def _bends(params: Vector, slope: Vector) -> dict[str, Any]:
    def times(v: Vector) -> Vector:     # of a scalar: for vectors torch imports sympy first, half a second
        product = torch.autograd.grad(inner(slope, v), params, retain_graph=True, allow_unused=True)
        return [torch.zeros_like(p) if h is None else h for p, h in zip(params, product, strict=True)]

    g = [t.detach() for t in slope]
    square = inner(g, g)
    found: dict[str, Any] = {"curvature": largest(times, [torch.randn_like(p) for p in params])}
    if float(square) > 0:
        found["slope_curvature"] = inner(g, times(g)) / square
    return found


def largest(times: Callable[[Vector], Vector], start: Vector) -> float:
    """The largest eigenvalue of a symmetric matrix that is known by its products with vectors.

    The power method finds the one of largest size; where that is below zero, the matrix is shifted by it and asked again. Where it ends for
    the time, the value is below that of the eigenvalue.
    """
    value = _dominant(times, start, 0.0)
    return value if value >= 0 else value + _dominant(times, start, value)


def _dominant(times: Callable[[Vector], Vector], start: Vector, shift: float) -> float:
    """The eigenvalue of largest size of a matrix less a shift, as near as the one of the matrix is to be known."""
    v, value, end = _unit(start), 0.0, time.perf_counter() + SECONDS
    for number in range(ROUNDS):
        if number >= FEWEST and time.perf_counter() > end:
            break
        product = times(v)
        if shift:
            product = list(torch._foreach_add(product, v, alpha=-shift))
        last, value = value, float(inner(v, product))
        if abs(value - last) <= NEAR * abs(value + shift):
            break
        v = _unit(product)
    return value


def inner(a: Vector, b: Vector) -> Tensor:
    """The sum of products over all entries."""
    return torch.stack([(x * y).sum() for x, y in zip(a, b, strict=True)]).sum()


def _unit(v: Vector) -> Vector:
    norm = torch.stack(torch._foreach_norm(v)).square().sum().sqrt().clamp(min=1e-30)
    return list(torch._foreach_div(v, norm))
