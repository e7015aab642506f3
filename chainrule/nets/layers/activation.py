"""Activations by name, and how much wider some make the layer before them.

McCulloch & Pitts (1943), https://doi.org/10.1007/BF02478259 (step); LeCun et al. (1998), https://doi.org/10.1007/3-540-49430-8_2 (scaled
tanh); Collobert (2004), PhD thesis, Paris 6 (hard-tanh); Glorot, Bordes & Bengio (2011), PMLR 15:315 (relu); Goodfellow et al. (2013),
PMLR 28(3):1319 (maxout); Clevert et al. (2015), https://arxiv.org/abs/1511.07289 (elu); Klambauer et al. (2017),
https://arxiv.org/abs/1706.02515 (selu).
"""

from __future__ import annotations

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


class Maxout(nn.Module):
    """The greatest of each `pieces` neighbouring units: (n, ..., pieces * units) -> (n, ..., units); of pictures, of neighbouring channels.

    Raises InputError for fewer than two pieces, and for units that do not divide into them.
    """

    def __init__(self, pieces: int = 2):
        super().__init__()
        if pieces < 2:
            raise InputError(f"maxout expects at least two pieces to take the greatest of; got {pieces}.")
        self.pieces = pieces

    def forward(self, x: Tensor) -> Tensor:
        axis = 1 if x.dim() == 4 else x.dim() - 1
        if x.shape[axis] % self.pieces:
            raise InputError(f"maxout takes the greatest of every {self.pieces} units; got {x.shape[axis]}, which do not divide. "
                             f"Make the layer before it widening(activation) times as wide.")
        greatest: Tensor = x.unflatten(axis, (x.shape[axis] // self.pieces, self.pieces)).amax(axis + 1)
        return greatest

    def extra_repr(self) -> str:
        return f"pieces={self.pieces}"


ACTIVATIONS: dict[str, Callable[[], nn.Module]] = {
    "step": Step,
    "sign": Sign,
    "identity": nn.Identity,
    "sigmoid": nn.Sigmoid,
    "tanh": nn.Tanh,
    "scaled-tanh": ScaledTanh,
    "hard-tanh": nn.Hardtanh,
    "relu": nn.ReLU,
    "leaky": nn.LeakyReLU,
    "elu": nn.ELU,
    "selu": nn.SELU,
    "softplus": nn.Softplus,
    "gelu": nn.GELU,
    "silu": nn.SiLU,
    "softmax": lambda: nn.Softmax(-1),
    "maxout": Maxout,
}


def make_activation(name: str) -> nn.Module:
    """The activation called `name`, elementwise (softmax: over the last axis; maxout: see `widening`).

    Raises InputError naming the nearest.
    """
    if name not in ACTIVATIONS:
        raise InputError(f"There is no activation called '{name}'. {suggest(name, ACTIVATIONS)}")
    return ACTIVATIONS[name]()


def widening(name: str) -> int:
    """How many times as many units an activation reads as it gives: a layer before it is made so much wider."""
    return Maxout().pieces if name == "maxout" else 1


def check_dropout(family: str, dropout: float) -> None:
    """Raises InputError unless `dropout` is a probability below one."""
    if not 0 <= dropout < 1:
        raise InputError(f"{family} expects dropout, the share of units left out, to be at least 0 and below 1; got {dropout}.")
