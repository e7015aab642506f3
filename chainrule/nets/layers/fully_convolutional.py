"""A net for pictures of one size as a convolution that is moved over larger ones, so that it answers at many places in one pass.

Matan, Burges, LeCun & Denker (1992), Multi-digit recognition using a space displacement neural network, NIPS 4:488; Sermanet, Eigen, Zhang,
Mathieu, Fergus & LeCun (2014), https://arxiv.org/abs/1312.6229
"""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor, nn

from chainrule.core.duplicate import duplicate
from chainrule.core.errors import InputError
from chainrule.nets.layers.pooling import GlobalAverage

TOLERANCE = 1e-4     # of the largest output, between a net and the same as a convolution


@torch.no_grad()
def fully_convolutional(module: nn.Module, example: Tensor) -> nn.Module:
    """A copy (n, c, h, w) -> (n, outputs, h', w') of a net, which at the size of `example` (n, c, h, w) has one place and gives the same.

    Layers that read whole maps become convolutions over as many places as those maps have, means over maps means over as many. Where no
    layer pads, the answer at a place is the net's own to the window there. Raises InputError for a net that mixes places in other ways.
    """
    copy = duplicate(module).eval()
    shapes, flat = {}, [example.shape[1:]]       # what each layer reads; what the last flattening flattened

    def seen(name: str) -> Callable[[nn.Module, Any], None]:
        def hook(layer: nn.Module, inputs: Any) -> None:
            x: Tensor = inputs[0]
            flat[0] = x.shape[1:] if x.dim() == 4 else flat[0]
            shapes[name] = flat[0] if isinstance(layer, nn.Linear) and x.dim() == 2 and _size(flat[0]) == layer.in_features else x.shape[1:]

        return hook

    hooks = [layer.register_forward_pre_hook(seen(name)) for name, layer in copy.named_modules()
             if isinstance(layer, nn.Linear | nn.Flatten | GlobalAverage)]
    try:
        expected = copy(example)
        for hook in hooks:
            hook.remove()
        for name, shape in shapes.items():
            _replace(copy, name, _moved(copy.get_submodule(name), shape))
        answers = copy(example)
    except Exception as error:       # a module of one's own may do anything
        raise _refusal(module, str(error).splitlines()[0] if str(error) else type(error).__name__) from None
    largest = float(expected.abs().max())
    if answers.shape != (*expected.shape, 1, 1) or float((answers.flatten(1) - expected).abs().max()) > TOLERANCE * largest:
        raise _refusal(module, f"of {tuple(expected.shape[1:])} outputs it gives {tuple(answers.shape[1:])}")
    return copy


def _size(shape: torch.Size) -> int:
    return math.prod(shape)


def _moved(layer: nn.Module, shape: torch.Size) -> nn.Module:
    """The layer, which read maps or numbers of this shape, as one that can be moved over maps."""
    if isinstance(layer, nn.Flatten):
        return nn.Identity()
    if isinstance(layer, GlobalAverage):
        return nn.AvgPool2d((shape[1], shape[2]), 1)
    assert isinstance(layer, nn.Linear)
    channels, *sides = shape if len(shape) == 3 else (*shape, 1, 1)
    convolution = nn.Conv2d(channels, layer.out_features, (sides[0], sides[1]), bias=layer.bias is not None)
    convolution.weight.copy_(layer.weight.view_as(convolution.weight))
    if layer.bias is not None and convolution.bias is not None:
        convolution.bias.copy_(layer.bias)
    return convolution.to(layer.weight)


def _replace(module: nn.Module, name: str, layer: nn.Module) -> None:
    parent, _, own = name.rpartition(".")
    setattr(module.get_submodule(parent), own, layer)


def _refusal(module: nn.Module, why: str) -> InputError:
    return InputError(f"{type(module).__name__} cannot be moved over a larger picture as a convolution ({why}). Use a net of convolutions, "
                      "such as --net lenet, all-cnn or nin.")
