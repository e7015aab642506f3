"""Dense layers that read inputs of any shape, and stacks of them, as encoders and decoders are made of."""

from __future__ import annotations

import math

from torch import Tensor, nn
from torch.nn import functional as F

from chainrule.core.errors import InputError
from chainrule.nets.layers.activation import make_activation, widening


class Dense(nn.Linear):
    """A linear layer that flattens what it reads: (n, ...) -> (n, outputs)."""

    def __init__(self, inputs: tuple[int, ...], outputs: int):
        super().__init__(math.prod(inputs), outputs)

    def forward(self, x: Tensor) -> Tensor:
        return super().forward(x.flatten(1))


class Transposed(nn.Module):
    """A dense layer whose weights (inputs, outputs) are those of another, the other way round, with biases of its own.

    Both are one tensor, so that its slope is the sum of what each of the two asks for.
    """

    def __init__(self, layer: nn.Linear):
        super().__init__()
        self.weight = layer.weight
        self.bias = nn.Parameter(layer.weight.new_zeros(layer.in_features))

    def forward(self, x: Tensor) -> Tensor:
        return F.linear(x, self.weight.T, self.bias)

    def extra_repr(self) -> str:
        return f"{self.weight.shape[0]}, {self.weight.shape[1]}"


def stack(inputs: int, widths: tuple[int, ...], outputs: int, nonlinearity: str) -> nn.Sequential:
    """Dense layers of these widths with a nonlinearity between them: (n, inputs) -> (n, outputs)."""
    layers: list[nn.Module] = []
    below = inputs
    for width in widths:
        layers += [Dense((below,), width * widening(nonlinearity)), make_activation(nonlinearity)]
        below = width
    return nn.Sequential(*layers, Dense((below,), outputs))


def check_widths(net: str, hidden: tuple[int, ...], code: int) -> None:
    """Raises InputError for a layer without units."""
    if code < 1 or any(width < 1 for width in hidden):
        raise InputError(f"{net} expects at least one unit in every layer; got hidden={'x'.join(map(str, hidden)) or 'none'}, code={code}. "
                         f"Write e.g. {net}:hidden=200,code=20.")
