"""Initial weights by name, each a distribution for tensors of two or more axes; biases start at zero unless asked otherwise.

Fan-in and fan-out are counted as in Glorot & Bengio (2010), PMLR 9:249: a convolution's include the area of its kernel.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import Tensor, nn
from torch.nn import init

from chainrule.core.errors import InputError
from chainrule.core.registry import Chosen, inits


@dataclass(frozen=True)
class Init:
    """`weight` fills a tensor of two or more axes in place; biases are drawn from N(0, `biases`^2)."""

    weight: Callable[[Tensor], Tensor]
    biases: float = 0.0


@torch.no_grad()
def initialise(module: nn.Module, chosen: Chosen) -> None:
    """Fill every weight of two or more axes, and every bias, in place and in order; seed torch first to repeat it.

    Other tensors of one axis (the gains of a normalisation, say) keep what the module gave them.
    """
    start: Init = chosen.make()
    for name, p in module.named_parameters():
        if p.dim() >= 2:
            start.weight(p)
        elif name.endswith("bias"):
            init.normal_(p, std=start.biases) if start.biases else init.zeros_(p)


@inits(source="Rumelhart, Hinton & Williams (1986), on breaking the symmetry, https://doi.org/10.1038/323533a0")
def zeros() -> Init:
    """Nothing but zeros: for one layer; units of a hidden layer would stay alike."""
    return Init(init.zeros_)


@inits(source="Rumelhart, Hinton & Williams (1986), https://doi.org/10.1038/323533a0")
def uniform(*, bound: float = 0.2) -> Init:
    """Evenly between -bound and bound, whatever the size of the layer."""
    _check("uniform", "bound", bound)
    return Init(lambda w: init.uniform_(w, -bound, bound))


@inits(source="Krizhevsky, Sutskever & Hinton (2012), https://doi.org/10.1145/3065386")
def normal(*, sd: float = 0.01, biases: float = 0.0) -> Init:
    """Gaussian with standard deviation sd, whatever the size of the layer; biases with their own."""
    _check("normal", "sd", sd)
    return Init(lambda w: init.normal_(w, std=sd), _check("normal", "biases", biases))


@inits(source="LeCun, Bottou, Orr & Müller (1998), https://doi.org/10.1007/3-540-49430-8_2")
def lecun(*, biases: float = 0.0) -> Init:
    """Gaussian with variance 1 / fan-in; `biases=1` gives biases from N(0, 1), as in Nielsen's book."""
    return Init(lambda w: init.normal_(w, std=math.prod(w.shape[1:]) ** -0.5), _check("lecun", "biases", biases))


@inits(source="Glorot & Bengio (2010), https://proceedings.mlr.press/v9/glorot10a.html")
def xavier() -> Init:
    """Evenly with variance 2 / (fan-in + fan-out): for tanh and sigmoid units."""
    return Init(init.xavier_uniform_)


@inits(source="He, Zhang, Ren & Sun (2015), https://doi.org/10.1109/ICCV.2015.123")
def he() -> Init:
    """Gaussian with variance 2 / fan-in: for rectified units."""
    return Init(lambda w: init.kaiming_normal_(w, nonlinearity="relu"))


def _check(owner: str, option: str, value: float) -> float:
    if not 0 <= value < float("inf"):
        raise InputError(f"{owner} expects {option} to be a number of at least 0; got {value}.")
    return value
