"""Layers one after the other: the linear map, softmax regression and the multi-layer perceptron.

Gauss (1809); Bridle (1990), https://doi.org/10.1007/978-3-642-76153-9_28; Rumelhart, Hinton & Williams (1986), https://doi.org/10.1038/323533a0
"""

from __future__ import annotations

import math
from collections import OrderedDict

import torch
from torch import Tensor, nn

from chainrule.core.errors import InputError
from chainrule.core.registry import nets
from chainrule.nets.layers.activation import check_dropout, make_activation, widening
from chainrule.nets.layers.dense import Dense
from chainrule.nets.layers.normalisation import Norm, normalisation


@nets(source="Legendre (1805); Widrow & Hoff (1960), https://doi.org/10.21236/AD0241531", loss="squared", init="zeros")
def linear(inputs: tuple[int, ...], outputs: int) -> nn.Module:
    """A weighted sum of the inputs for each output: (n, *inputs) -> (n, outputs)."""
    return Dense(inputs, outputs)


@nets(source="Bridle (1990), https://doi.org/10.1007/978-3-642-76153-9_28", loss="cross-entropy", init="zeros")
def softmax(inputs: tuple[int, ...], outputs: int) -> nn.Module:
    """Logistic regression for several classes; the loss's link turns the scores into probabilities: (n, *inputs) -> (n, classes)."""
    return Dense(inputs, outputs)


@nets(source="Rumelhart, Hinton & Williams (1986), https://doi.org/10.1038/323533a0", init="he")
def mlp(inputs: tuple[int, ...], outputs: int, *, hidden: tuple[int, ...] = (100,), activation: str = "relu", output: str = "identity",
        dropout: tuple[float, ...] = (0.0,), input_dropout: float = 0.0, norm: Norm = "none", groups: int = 2,
        direct: bool = False) -> nn.Module:
    """Hidden layers of units, each followed by a nonlinearity and, where asked, dropout: (n, *inputs) -> (n, outputs).

    `dropout` is one share for all hidden layers or one for each, 0.2x0.5; `norm` stands between a hidden layer and its nonlinearity.
    With `direct` the output layer reads the inputs too, past the hidden layers.
    """
    if any(units < 1 for units in hidden):
        raise InputError(f"mlp expects at least one unit in every hidden layer; got {'x'.join(map(str, hidden))}. "
                         "Write e.g. mlp:hidden=300x100.")
    shares = dropout * len(hidden) if len(dropout) == 1 else dropout
    if len(shares) != len(hidden):
        raise InputError(f"mlp expects one dropout for all hidden layers or one for each of {len(hidden)}; got "
                         f"{'x'.join(map(str, dropout))}. Write e.g. dropout=0.5.")
    for share in (*dropout, input_dropout):
        check_dropout("mlp", share)
    layers: OrderedDict[str, nn.Module] = OrderedDict()
    below = inputs
    for i, (units, share) in enumerate(zip(hidden, shares, strict=True), 1):
        wide = units * widening(activation)
        layers[f"hidden{i}"] = Dense(below, wide)
        if norm != "none":
            layers[f"norm{i}"] = normalisation("mlp", norm, wide, groups)
        layers[f"{activation}{i}"] = make_activation(activation)
        if share:
            layers[f"dropout{i}"] = nn.Dropout(share)
        below = (units,)
    if direct:
        if not hidden:
            raise InputError("mlp:direct=yes connects inputs and outputs past hidden layers; there are none. Leave it out, or give hidden.")
        layers = OrderedDict(beside=Beside(layers))
        below = (math.prod(below) + math.prod(inputs),)
    if input_dropout:
        layers["input_dropout"] = nn.Dropout(input_dropout)
        layers.move_to_end("input_dropout", last=False)
    layers["output"] = Dense(below, outputs * widening(output))
    if output != "identity":
        layers[f"{output}_out"] = make_activation(output)
    return nn.Sequential(layers)


class Beside(nn.Sequential):
    """What layers make of the inputs, and the inputs beside it: (n, *inputs) -> (n, units + inputs)."""

    def forward(self, x: Tensor) -> Tensor:
        units: Tensor = super().forward(x)  # type: ignore[no-untyped-call]
        return torch.cat([units, x.flatten(1)], 1)
