"""Layers one after the other: the linear map, softmax regression and the multi-layer perceptron.

Gauss (1809); Bridle (1990), https://doi.org/10.1007/978-3-642-76153-9_28; Rumelhart, Hinton & Williams (1986), https://doi.org/10.1038/323533a0
"""

from __future__ import annotations

from collections import OrderedDict

from torch import nn

from chainrule.core.errors import InputError
from chainrule.core.registry import nets
from chainrule.nets import blocks
from chainrule.nets.blocks import Dense, check_dropout


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
        dropout: float = 0.0) -> nn.Module:
    """Hidden layers of units, each followed by a nonlinearity and, where asked, dropout: (n, *inputs) -> (n, outputs)."""
    if any(units < 1 for units in hidden):
        raise InputError(f"mlp expects at least one unit in every hidden layer; got {'x'.join(map(str, hidden))}. "
                         "Write e.g. mlp:hidden=300x100.")
    check_dropout("mlp", dropout)
    layers: OrderedDict[str, nn.Module] = OrderedDict()
    below = inputs
    for i, units in enumerate(hidden, 1):
        layers[f"hidden{i}"] = Dense(below, units)
        layers[f"{activation}{i}"] = blocks.activation(activation)
        if dropout:
            layers[f"dropout{i}"] = nn.Dropout(dropout)
        below = (units,)
    layers["output"] = Dense(below, outputs)
    if output != "identity":
        layers[f"{output}_out"] = blocks.activation(output)
    return nn.Sequential(layers)
