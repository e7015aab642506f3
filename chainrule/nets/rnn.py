"""The simple recurrent net: Elman (1990), https://doi.org/10.1207/s15516709cog1402_1"""

from __future__ import annotations

from typing import ClassVar

import torch
from torch import Tensor

from chainrule.core.registry import nets
from chainrule.nets.layers.recurrent import TASKS, WHOLE, Answer, Recurrence, RecurrentNet, State


class ElmanLayer(Recurrence):
    """h_t = tanh(W x_t + b + U h_{t-1})."""

    gates: ClassVar[int] = 1
    kernel: ClassVar[str] = "rnn"

    def cell(self, driven: Tensor, state: State) -> State:
        return (torch.tanh(driven + self.recurs(state[0])),)

    def library(self, x: Tensor, state: State) -> tuple[Tensor, State]:
        bias = self.reads.bias
        weights = [self.reads.weight, self.recurs.weight, bias, torch.zeros_like(bias)]
        outputs, hidden = torch._VF.rnn_tanh(x, state[0][None], weights, True, 1, 0.0, False, False, True)
        return outputs, (hidden[0],)


@nets("rnn", source="Elman (1990), https://doi.org/10.1207/s15516709cog1402_1", tasks=TASKS, whole=WHOLE, sentences=True)
class Elman(RecurrentNet):
    """Hidden units that read the inputs and themselves one step before: (n, t, d) -> (n, t, outputs), or (n, outputs) of sequences.

    A layer is h_t = tanh(W x_t + b + U h_{t-1}). See `RecurrentNet` for the options.
    """

    def __init__(self, inputs: tuple[int, ...], outputs: int, *, hidden: int = 256, layers: int = 1, bidirectional: bool = False,
                 residual: bool = False, dropout: float = 0.0, answer: Answer = "steps"):
        super().__init__("rnn", ElmanLayer, inputs, outputs, hidden=hidden, layers=layers, bidirectional=bidirectional, residual=residual,
                         dropout=dropout, answer=answer)
