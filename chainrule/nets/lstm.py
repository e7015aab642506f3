"""Long short-term memory: Hochreiter & Schmidhuber (1997), https://doi.org/10.1162/neco.1997.9.8.1735

With the gate that keeps: Gers, Schmidhuber & Cummins (2000), https://doi.org/10.1162/089976600300015015
"""

from __future__ import annotations

from typing import ClassVar

import torch
from torch import Tensor

from chainrule.core.registry import nets
from chainrule.nets.layers.recurrent import TASKS, WHOLE, Answer, Recurrence, RecurrentNet, State


class LSTMLayer(Recurrence):
    """c_t = f c_{t-1} + i g, h_t = o tanh(c_t): the gates i, f, o write, keep and read a cell, g is what is written.

    i, f and o are sigmoids and g is tanh of W x_t + b + U h_{t-1}, in the order i, f, g, o. The gate that keeps starts with a bias of 1:
    Jozefowicz, Zaremba & Sutskever (2015), https://proceedings.mlr.press/v37/jozefowicz15.html
    """

    gates: ClassVar[int] = 4
    parts: ClassVar[tuple[str, ...]] = ("hidden", "cell")
    kernel: ClassVar[str] = "lstm"

    def lift_biases(self) -> None:
        self.reads.bias[self.hidden : 2 * self.hidden] += 1

    def cell(self, driven: Tensor, state: State) -> State:
        hidden, cell = state
        write, keep, written, read = (driven + self.recurs(hidden)).chunk(4, 1)                  # (n, hidden) each
        cell = torch.sigmoid(keep) * cell + torch.sigmoid(write) * torch.tanh(written)
        return torch.sigmoid(read) * torch.tanh(cell), cell

    def library(self, x: Tensor, state: State) -> tuple[Tensor, State]:
        bias = self.reads.bias
        weights = [self.reads.weight, self.recurs.weight, bias, torch.zeros_like(bias)]
        outputs, hidden, cell = torch._VF.lstm(x, [part[None] for part in state], weights, True, 1, 0.0, False, False, True)
        return outputs, (hidden[0], cell[0])


@nets("lstm", source="Hochreiter & Schmidhuber (1997), https://doi.org/10.1162/neco.1997.9.8.1735; Gers, Schmidhuber & Cummins (2000), "
                     "https://doi.org/10.1162/089976600300015015", tasks=TASKS, whole=WHOLE, sentences=True)
class LSTM(RecurrentNet):
    """Cells that gates write, keep and read: (n, t, d) -> (n, t, outputs), or (n, outputs) of sequences.

    See `LSTMLayer` for the formulas and `RecurrentNet` for the options.
    """

    def __init__(self, inputs: tuple[int, ...], outputs: int, *, hidden: int = 256, layers: int = 1, bidirectional: bool = False,
                 residual: bool = False, answer: Answer = "steps"):
        super().__init__("lstm", LSTMLayer, inputs, outputs, hidden=hidden, layers=layers, bidirectional=bidirectional, residual=residual,
                         answer=answer)
