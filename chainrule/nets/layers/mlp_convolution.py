"""Convolutions under small nets of 1 x 1 kernels, "mlpconv" layers, with the stages of the CIFAR-10 net: Lin, Chen & Yan (2014),
https://arxiv.org/abs/1312.4400
"""

from __future__ import annotations

from torch import nn

from chainrule.nets.layers.convolution import block

STAGES = ((5, (192, 160, 96)), (5, (192, 192, 192)), (3, (192, 192)))     # kernel, then the maps of it and of the 1 x 1 kernels above it


def mlp_convolution(family: str, inputs: int, kernel: int, maps: tuple[int, ...], width: float) -> tuple[nn.Sequential, int]:
    """A stage whose maps are `width` times as many as given, and how many it gives: (n, inputs, h, w) -> (n, maps[-1] * width, h', w')."""
    layers: list[nn.Module] = []
    for i, count in enumerate(maps):
        count = max(1, round(width * count))
        layers.append(block(family, inputs, count, kernel if i == 0 else 1))
        inputs = count
    return nn.Sequential(*layers), inputs
