"""Convolution and pooling on grids small enough to work by hand. Dumoulin & Visin (2016), https://arxiv.org/abs/1603.07285"""

from __future__ import annotations

import torch
from torch import Tensor

from chainrule.core.registry import recipes
from chainrule.nets.layers.convolution import Convolution, Padding, side_after
from chainrule.nets.layers.pooling import Kind, Pool, pooled
from chainrule.recipes.outcome import Figure, Outcome, Setting

SOURCE = "lecture; Dumoulin & Visin (2016), https://arxiv.org/abs/1603.07285"
Grid = tuple[tuple[float, ...], ...]
PICTURE: Grid = ((3, 3, 2, 1, 0), (0, 0, 1, 3, 1), (3, 1, 2, 2, 3), (2, 0, 0, 2, 2), (2, 0, 0, 0, 1))
KERNEL: Grid = ((0, 1, 2), (2, 2, 0), (0, 1, 2))
SMALL: Grid = ((0.4, 0.9, 0.1), (0.7, 0.2, 0.6), (0.8, 0.3, 0.5))
TWO: Grid = ((5.7, 2.4), (3.1, 0.9))
# picture, kernel, padding, stride, the worked grid, to how many digits
CONVOLVED: tuple[tuple[Grid, Grid, Padding, int, Grid, float], ...] = (
    (PICTURE, KERNEL, "valid", 1, ((12, 12, 17), (10, 17, 19), (9, 6, 14)), 0.0),
    (PICTURE, KERNEL, "half", 2, ((6, 17, 3), (8, 17, 13), (6, 4, 4)), 0.0),
    (SMALL, TWO, "valid", 1, ((6.79, 6.53), (7.22, 3.96)), 0.005),
)
POOLED: tuple[tuple[Kind, Grid], ...] = (  # kind, the worked grid of windows of 3 at every place of the picture
    ("max", ((3, 3, 3), (3, 3, 3), (3, 2, 3))),
    ("average", ((15 / 9, 15 / 9, 15 / 9), (9 / 9, 11 / 9, 16 / 9), (10 / 9, 7 / 9, 12 / 9))),
)
PADDINGS: tuple[Padding, ...] = ("valid", "half", "same")


def convolved(picture: Tensor, kernel: Tensor, padding: Padding, stride: int) -> Tensor:
    """The grid that a convolution without bias leaves of a picture."""
    layer = Convolution(1, 1, len(kernel), bias=False, padding=padding, stride=stride).double()
    with torch.no_grad():
        layer.weight.copy_(kernel[None, None])
        grid: Tensor = layer(picture[None, None])[0, 0]
    return grid


@recipes("convolution-arithmetic", source=SOURCE)
def convolution_arithmetic(setting: Setting) -> Outcome:
    """Three worked convolutions, two worked poolings, and the sides of a shape table against what the layers leave."""
    rows, worst = [["grid", "worked", "ours"]], 0.0
    for picture, kernel, padding, stride, worked, printed in CONVOLVED:
        grid = convolved(_grid(picture), _grid(kernel), padding, stride)
        worst = max(worst, float(((grid - _grid(worked)).abs() - printed).max()))
        name = f"{len(picture)} x {len(picture)}, kernel {len(kernel)}, {padding}, stride {stride}"
        rows.append([name, _shown(_grid(worked)), _shown(grid)])
    for kind, expected in POOLED:
        grid = Pool(kind, 3, 1)(_grid(PICTURE)[None, None])[0, 0]
        worst = max(worst, float((grid - _grid(expected)).abs().max()))
        rows.append([f"5 x 5, {kind} of 3 x 3", _shown(_grid(expected)), _shown(grid)])
    return Outcome([Figure("greatest difference from the worked convolutions and poolings, beyond the digits that are printed",
                           max(worst, 0.0), published=0, goal="about", within=1e-12, source=SOURCE),
                    Figure("sides of the shape table that the layers do not leave", _wrong_sides(), published=0, goal="at most",
                           source="Dumoulin & Visin (2016), relations 6, 8, 15")], rows)


def _grid(rows: Grid) -> Tensor:
    return torch.tensor(rows, dtype=torch.float64)


def _shown(grid: Tensor) -> str:
    return " / ".join(" ".join(f"{v:.4g}" for v in row) for row in grid.tolist())


@torch.no_grad()
def _wrong_sides() -> int:
    """How many sides, of convolutions and poolings of many sizes, strides, dilations and paddings, are counted otherwise than left."""
    wrong = 0
    for kernel, stride, dilation in ((1, 1, 1), (3, 1, 1), (3, 2, 1), (3, 1, 2), (5, 2, 1), (4, 3, 2)):
        for padding in PADDINGS:
            layer = Convolution(1, 1, kernel, stride=stride, dilation=dilation, padding=padding)
            for side in range(dilation * (kernel - 1) + 1, 16):
                left = layer(torch.zeros(1, 1, side, side)).shape[-1]
                wrong += left != side_after(side, kernel, stride=stride, padding=padding, dilation=dilation)
        wrong += sum(Pool("max", kernel, stride)(torch.zeros(1, 1, side, side)).shape[-1] != pooled(side, kernel, stride)
                     for side in range(kernel, 16) if stride <= kernel)
    return wrong
