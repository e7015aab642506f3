"""Gated recurrent units: Cho et al. (2014), https://doi.org/10.3115/v1/D14-1179"""

from __future__ import annotations

from typing import ClassVar

import torch
from torch import Tensor, nn

from chainrule.core.registry import nets
from chainrule.nets.layers.recurrent import TASKS, WHOLE, Answer, Recurrence, RecurrentNet, State


class GRULayer(Recurrence):
    """h_t = z h_{t-1} + (1 - z) n: the gate z keeps, and the gate r lets the candidate n see the state.

    r and z are sigmoids of W x_t + b + U h_{t-1}; n = tanh(W x_t + b + r (U h_{t-1} + c)), in the order r, z, n. Cho et al. have
    U (r h_{t-1}); with r outside the product all three are one, as in Chung et al. (2014), https://arxiv.org/abs/1412.3555, footnote 1.
    """

    gates: ClassVar[int] = 3
    kernel: ClassVar[str] = "gru"

    def __init__(self, inputs: int, hidden: int):
        super().__init__(inputs, hidden)
        self.candidate_bias = nn.Parameter(torch.zeros(hidden))

    def parameters_of_kernel(self) -> tuple[Tensor, ...]:
        return *super().parameters_of_kernel(), self.candidate_bias

    def cell(self, driven: Tensor, state: State) -> State:
        (hidden,) = state
        recurs_reset, recurs_keep, recurs_candidate = self.recurs(hidden).chunk(3, 1)            # (n, hidden) each
        reads_reset, reads_keep, reads_candidate = driven.chunk(3, 1)
        reset, keep = torch.sigmoid(reads_reset + recurs_reset), torch.sigmoid(reads_keep + recurs_keep)
        candidate = torch.tanh(reads_candidate + reset * (recurs_candidate + self.candidate_bias))
        return (keep * hidden + (1 - keep) * candidate,)

    def library(self, x: Tensor, state: State) -> tuple[Tensor, State]:
        bias = torch.cat([self.candidate_bias.new_zeros(2 * self.hidden), self.candidate_bias])
        weights = [self.reads.weight, self.recurs.weight, self.reads.bias, bias]
        outputs, hidden = torch._VF.gru(x, state[0][None], weights, True, 1, 0.0, False, False, True)
        return outputs, (hidden[0],)


@nets("gru", source="Cho et al. (2014), https://doi.org/10.3115/v1/D14-1179", tasks=TASKS, whole=WHOLE, sentences=True)
class GRU(RecurrentNet):
    """Units that a gate keeps and another lets forget: (n, t, d) -> (n, t, outputs), or (n, outputs) of sequences.

    See `GRULayer` for the formulas and `RecurrentNet` for the options.
    """

    def __init__(self, inputs: tuple[int, ...], outputs: int, *, hidden: int = 256, layers: int = 1, bidirectional: bool = False,
                 residual: bool = False, answer: Answer = "steps"):
        super().__init__("gru", GRULayer, inputs, outputs, hidden=hidden, layers=layers, bidirectional=bidirectional, residual=residual,
                         answer=answer)
