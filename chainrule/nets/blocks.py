"""Parts that families share: activations by name, and a linear layer that reads inputs of any shape.

McCulloch & Pitts (1943), https://doi.org/10.1007/BF02478259 (step); LeCun et al. (1998), https://doi.org/10.1007/3-540-49430-8_2 (scaled
tanh); Glorot, Bordes & Bengio (2011), PMLR 15:315 (relu); Clevert et al. (2015), https://arxiv.org/abs/1511.07289 (elu).
"""

from __future__ import annotations

import math
from collections.abc import Callable

from torch import Tensor, nn

from chainrule.core.errors import InputError, suggest


class Step(nn.Module):
    """1 where the input is not negative, else 0."""

    def forward(self, x: Tensor) -> Tensor:
        return (x >= 0).to(x.dtype)


class Sign(nn.Module):
    """1 where the input is not negative, else -1."""

    def forward(self, x: Tensor) -> Tensor:
        return 2 * (x >= 0).to(x.dtype) - 1


class ScaledTanh(nn.Module):
    """1.7159 tanh(2 x / 3): maps -1 to -1 and 1 to 1, where its second derivative is greatest."""

    def forward(self, x: Tensor) -> Tensor:
        return 1.7159 * (x * (2 / 3)).tanh()


ACTIVATIONS: dict[str, Callable[[], nn.Module]] = {
    "step": Step,
    "sign": Sign,
    "identity": nn.Identity,
    "sigmoid": nn.Sigmoid,
    "tanh": nn.Tanh,
    "scaled-tanh": ScaledTanh,
    "relu": nn.ReLU,
    "leaky": nn.LeakyReLU,
    "elu": nn.ELU,
    "softplus": nn.Softplus,
    "gelu": nn.GELU,
    "silu": nn.SiLU,
    "softmax": lambda: nn.Softmax(-1),
}


def activation(name: str) -> nn.Module:
    """The activation called `name`, elementwise (softmax: over the last axis). Raises InputError naming the nearest."""
    if name not in ACTIVATIONS:
        raise InputError(f"There is no activation called '{name}'. {suggest(name, ACTIVATIONS)}")
    return ACTIVATIONS[name]()


class Dense(nn.Linear):
    """A linear layer that flattens what it reads: (n, ...) -> (n, outputs)."""

    def __init__(self, inputs: tuple[int, ...], outputs: int):
        super().__init__(math.prod(inputs), outputs)

    def forward(self, x: Tensor) -> Tensor:
        return super().forward(x.flatten(1))


def check_dropout(family: str, dropout: float) -> None:
    """Raises InputError unless `dropout` is a probability below one."""
    if not 0 <= dropout < 1:
        raise InputError(f"{family} expects dropout, the share of units left out, to be at least 0 and below 1; got {dropout}.")
