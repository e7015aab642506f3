"""The error over a plane through the weights: two parameters, the plane a descent kept closest to, or two random directions.

Li, Xu, Taylor, Studer & Goldstein (2018), https://arxiv.org/abs/1712.09913 (filter normalisation; principal directions of a path)
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from chainrule.core.errors import InputError
from chainrule.core.net import Net

Params = dict[str, Tensor]


@dataclass(frozen=True)
class Plane:
    """Points `origin + a first + b second`; `path` (steps, 2) is where a descent was, `shares` what of its variance each axis holds."""

    origin: Params
    first: Params
    second: Params
    path: Tensor
    shares: tuple[float, float] | None = None

    def at(self, a: float, b: float) -> Params:
        return {name: o + a * self.first[name] + b * self.second[name] for name, o in self.origin.items()}


def of_parameters(path: Sequence[Params]) -> Plane:
    """The plane of a net with exactly two numbers: these numbers themselves."""
    numbers = [(name, i) for name, p in path[-1].items() for i in range(p.numel())]
    if len(numbers) != 2:
        raise InputError(f"expected a net of two numbers; got {len(numbers)}. Use the plane of the path instead.")

    def unit(which: int) -> Params:
        flat = {name: torch.zeros_like(p).flatten() for name, p in path[-1].items()}
        flat[numbers[which][0]][numbers[which][1]] = 1.0
        return {name: t.reshape(path[-1][name].shape) for name, t in flat.items()}

    at = torch.stack([torch.cat([p.flatten() for p in params.values()]) for params in path])          # (steps, 2)
    return Plane({name: torch.zeros_like(p) for name, p in path[-1].items()}, unit(0), unit(1), at.double())


def of_path(path: Sequence[Params]) -> Plane:
    """The plane through the last point along the two principal directions of the steps from it, which hold most of the path."""
    last = path[-1]
    rows = torch.stack([torch.cat([(params[name] - last[name]).flatten() for name in last]) for params in path]).double()  # (steps, k)
    if len(path) < 3 or float(rows.square().sum()) == 0:
        raise InputError(f"expected a path of at least three points that moves; got {len(path)}. Train for more steps, or use --plane "
                         "random.")
    values, vectors = torch.linalg.eigh(rows @ rows.T)                       # of (steps, steps): a path is shorter than a net is large
    values, vectors = values.flip(0).clamp_min(0), vectors.flip(1)
    axes = [rows.T @ vectors[:, k] / values[k].clamp_min(1e-300).sqrt() for k in range(2)]             # (k,) of length 1
    share = values / values.sum()
    return Plane(last, _shaped(axes[0], last), _shaped(axes[1], last), torch.stack([rows @ axis for axis in axes], 1),
                 (float(share[0]), float(share[1])))


def at_random(params: Params, *, seed: int = 0) -> Plane:
    """Two random directions, the numbers into each unit as long as its weights are; biases stay as they are."""
    generator = torch.Generator().manual_seed(seed)

    def direction() -> Params:
        along = {}
        for name, p in params.items():
            if p.dim() < 2:
                along[name] = torch.zeros_like(p)
                continue
            drawn = torch.randn(p.shape, generator=generator, dtype=torch.float64).flatten(1)
            length = p.detach().double().cpu().flatten(1).norm(dim=1, keepdim=True)
            along[name] = (drawn * (length / drawn.norm(dim=1, keepdim=True))).reshape(p.shape).to(p)
        return along

    return Plane(params, direction(), direction(), torch.zeros(1, 2, dtype=torch.float64))


def _shaped(flat: Tensor, like: Params) -> Params:
    pieces = flat.split([p.numel() for p in like.values()])
    return {name: piece.reshape(p.shape).to(p) for (name, p), piece in zip(like.items(), pieces, strict=True)}


@torch.no_grad()
def heights(net: Net, plane: Plane, across: Tensor, up: Tensor, value: Callable[[Net], Tensor]) -> Tensor:
    """`value(net)` at every point of the grid, (up, across); the net's own numbers stay as they are."""
    return torch.tensor([[float(value(net.at(plane.at(a, b)))) for a in across.tolist()] for b in up.tolist()], dtype=torch.float64)


def around(path: Tensor, points: int, margin: float = 0.3) -> tuple[Tensor, Tensor]:
    """Grid lines across and up, with room on every side of a path (steps, 2)."""
    low, high = path.amin(0), path.amax(0)
    room = torch.maximum((high - low) * margin, 0.1 * (high - low).max().clamp_min(1e-6))
    return tuple(torch.linspace(float(a), float(b), points, dtype=torch.float64)  # type: ignore[return-value]
                 for a, b in zip(low - room, high + room, strict=True))
