"""FractalNet: Larsson, Maire & Shakhnarovich (2017), https://arxiv.org/abs/1605.07648"""

from __future__ import annotations

import torch
from torch import Tensor, nn

from chainrule.core.errors import InputError
from chainrule.core.registry import nets
from chainrule.nets.layers.activation import check_dropout
from chainrule.nets.layers.convolution import block, check_picture
from chainrule.nets.layers.dense import Dense
from chainrule.nets.layers.pooling import Pool, pooled


class Join(nn.Module):
    """The mean of the paths (paths, n, c, h, w) that are left: (n, c, h, w). In training each is dropped at random, but never all.

    Local drop-path: every path of a join falls out with probability `rate`; where all would, one drawn evenly stays.
    """

    def __init__(self, rate: float):
        super().__init__()
        self.rate = rate

    def forward(self, paths: Tensor) -> Tensor:
        if not self.training or not self.rate:
            return paths.mean(0)
        count = len(paths)
        alive = (torch.rand(count, device=paths.device) >= self.rate).to(paths.dtype)           # (paths,)
        one = torch.rand(count, device=paths.device)
        lone = (one >= one.max()).to(paths.dtype)
        alive = torch.where(alive.sum() > 0, alive, lone)
        mean: Tensor = torch.tensordot(alive / alive.sum(), paths, 1)
        return mean

    def extra_repr(self) -> str:
        return f"rate={self.rate}"


class Fractal(nn.Module):
    """Columns of 1, 2, 4 ... convolutions that meet in joins: (n, inputs, h, w) -> (columns, n, outputs, h, w), before its last join.

    f_1 is a convolution; f_{c+1} is a convolution beside f_c after f_c.
    """

    def __init__(self, inputs: int, outputs: int, columns: int, rate: float):
        super().__init__()
        self.short = block("fractalnet", inputs, outputs, 3, norm="batch")
        self.first = Fractal(inputs, outputs, columns - 1, rate) if columns > 1 else None
        self.second = Fractal(outputs, outputs, columns - 1, rate) if columns > 1 else None
        self.join = Join(rate)

    def forward(self, x: Tensor) -> Tensor:
        short: Tensor = self.short(x)[None]
        if self.first is None or self.second is None:
            return short
        return torch.cat([short, self.second(self.join(self.first(x)))])


@nets("fractalnet", source="Larsson, Maire & Shakhnarovich (2017), https://arxiv.org/abs/1605.07648", init="he")
class FractalNet(nn.Module):
    """Self-similar blocks of convolutions with paths of every length, each followed by pooling: (n, c, h, w) -> (n, outputs).

    The longest path has 2^(columns - 1) convolutions a block. `drop` is the rate of local drop-path; `dropout` grows from 0 at the first
    block to this at the last.
    """

    def __init__(self, inputs: tuple[int, ...], outputs: int, *, columns: int = 3, maps: tuple[int, ...] = (64, 128, 256, 512, 512),
                 drop: float = 0.15, dropout: float = 0.0):
        super().__init__()
        channels, *sides = check_picture("fractalnet", inputs)
        check_dropout("fractalnet", drop)
        check_dropout("fractalnet", dropout)
        if columns < 1 or not maps or min(maps) < 1:
            raise InputError(f"fractalnet expects at least one column, and maps in every block; got columns={columns}, "
                             f"maps={'x'.join(map(str, maps)) or 'none'}. Write e.g. fractalnet:columns=3,maps=64x128.")
        self.blocks = nn.Sequential()
        for i, count in enumerate(maps):
            share = dropout * i / max(len(maps) - 1, 1)
            self.blocks.append(nn.Sequential(Fractal(channels, count, columns, drop), Join(drop), nn.Dropout(share), Pool()))
            channels, sides = count, [pooled(side) for side in sides]
        self.output = Dense((channels, *sides), outputs)

    def forward(self, x: Tensor) -> Tensor:
        scores: Tensor = self.output(self.blocks(x))
        return scores
