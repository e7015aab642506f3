"""Convolutions over pictures with their arithmetic, and the block of convolution, normalisation and nonlinearity that families repeat.

Dumoulin & Visin (2016), https://arxiv.org/abs/1603.07285
"""

from __future__ import annotations

from collections import OrderedDict
from typing import Literal

from torch import Tensor, nn
from torch.nn import functional as F

from chainrule.core.errors import InputError
from chainrule.nets.layers.activation import make_activation, widening
from chainrule.nets.layers.normalisation import MapNorm, normalisation

Padding = Literal["valid", "same", "half"]


class Convolution(nn.Conv2d):
    """Kernels moved over maps: (n, inputs, h, w) -> (n, outputs, h', w').

    `valid` pads nothing; `half` pads each side by half a kernel, rounded down; `same` gives ceil(side / stride), where the padding does not
    divide with the odd row below and right. Raises InputError for sizes below one and groups that do not divide the channels.
    """

    def __init__(self, inputs: int, outputs: int, kernel: int, *, stride: int = 1, padding: Padding = "half", dilation: int = 1,
                 groups: int = 1, bias: bool = True):
        if min(inputs, outputs, kernel, stride, dilation, groups) < 1 or inputs % groups or outputs % groups:
            raise InputError("A convolution expects kernel, stride, dilation and groups of at least 1, and groups that divide the "
                             f"channels; got kernel={kernel}, stride={stride}, dilation={dilation}, groups={groups} for {inputs} to "
                             f"{outputs} channels.")
        super().__init__(inputs, outputs, kernel, stride, _half(kernel, dilation) if padding == "half" else 0, dilation, groups, bias)
        self.form = padding

    def forward(self, x: Tensor) -> Tensor:
        if self.form == "same":
            pads = [self._pads(side) for side in x.shape[:1:-1]]
            x = F.pad(x, [end for pair in pads for end in pair])
        return super().forward(x)

    def _pads(self, side: int) -> tuple[int, int]:
        """How many rows of zeros stand before and after `side` of them."""
        (kernel, stride, dilation) = self.kernel_size[0], self.stride[0], self.dilation[0]
        total = max((-(-side // stride) - 1) * stride + dilation * (kernel - 1) + 1 - side, 0)
        return total // 2, total - total // 2


def side_after(side: int, kernel: int, *, stride: int = 1, padding: Padding | int = "half", dilation: int = 1) -> int:
    """How many places a kernel has along a side of a picture; below one where it does not fit."""
    if padding == "same":
        return -(-side // stride)
    pad = _half(kernel, dilation) if padding == "half" else 0 if padding == "valid" else padding
    return (side + 2 * pad - dilation * (kernel - 1) - 1) // stride + 1


def _half(kernel: int, dilation: int) -> int:
    return dilation * (kernel - 1) // 2


def block(family: str, inputs: int, outputs: int, kernel: int, *, stride: int = 1, padding: Padding = "half", groups: int = 1,
          nonlinearity: str = "relu", norm: MapNorm = "none", norm_groups: int = 2) -> nn.Sequential:
    """Convolution, normalisation where asked, nonlinearity: (n, inputs, h, w) -> (n, outputs, h', w').

    A convolution before a normalisation that shifts has no bias of its own.
    """
    wide = outputs * widening(nonlinearity)
    layers: OrderedDict[str, nn.Module] = OrderedDict()
    layers["conv"] = Convolution(inputs, wide, kernel, stride=stride, padding=padding, groups=groups, bias=norm in ("none", "local"))
    if norm != "none":
        layers["norm"] = normalisation(family, norm, wide, norm_groups, maps=True)
    layers[nonlinearity] = make_activation(nonlinearity)
    return nn.Sequential(layers)


def check_picture(family: str, inputs: tuple[int, ...], least: int = 1) -> tuple[int, int, int]:
    """Channels, height and width of the pictures. Raises InputError for other inputs and for pictures below `least` x `least`."""
    if len(inputs) != 3:
        raise InputError(f"{family} reads pictures (channels, height, width); got inputs of shape {inputs}. Use --net mlp.")
    channels, height, width = inputs
    if min(height, width) < least:
        raise InputError(f"{family} needs pictures of at least {least} x {least}; got {height} x {width}. Use --resize {least}x{least}, or "
                         "--net lenet.")
    return channels, height, width
