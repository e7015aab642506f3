"""Layers with memory that gates guard: gated recurrent units and long short-term memory.

Cho et al. (2014), https://doi.org/10.3115/v1/D14-1179; Hochreiter & Schmidhuber (1997), https://doi.org/10.1162/neco.1997.9.8.1735, with
the gate that keeps: Gers, Schmidhuber & Cummins (2000), https://doi.org/10.1162/089976600300015015
"""

from __future__ import annotations

from typing import ClassVar

import torch
from torch import Tensor, nn

from chainrule.nets.layers.recurrent import Recurrence, State


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
