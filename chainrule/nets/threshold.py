"""The perceptron: one layer of threshold units. Rosenblatt (1958), https://doi.org/10.1037/h0042519"""

from __future__ import annotations

from torch import nn

from chainrule.core.registry import nets
from chainrule.nets.blocks import Dense


@nets(source="Rosenblatt (1958), https://doi.org/10.1037/h0042519", rule="perceptron", init="zeros")
def perceptron(inputs: tuple[int, ...], outputs: int) -> nn.Module:
    """A unit whose sign is the answer, or one for each class, of which the greatest is; raw scores: (n, *inputs) -> (n, outputs)."""
    return Dense(inputs, outputs)
