"""The simple recurrent net: Elman (1990), https://doi.org/10.1207/s15516709cog1402_1"""

from __future__ import annotations

import torch
from torch import Tensor, nn

from chainrule.core.errors import InputError
from chainrule.core.registry import nets


@nets("rnn", source="Elman (1990), https://doi.org/10.1207/s15516709cog1402_1", tasks=("language", "tagging"))
class Elman(nn.Module):
    """Hidden units that read the inputs and themselves one step before: (n, t, d) -> (n, t, outputs).

    h_t = tanh(W x_t + U h_{t-1} + b), read out at every step; the state before the first step is learned. Raises InputError for inputs
    that are no sequences.
    """

    def __init__(self, inputs: tuple[int, ...], outputs: int, *, hidden: int = 128):
        super().__init__()
        if len(inputs) != 2 or hidden < 1:
            raise InputError(f"rnn reads sequences of rows (t, d) with at least one hidden unit; got inputs of shape {inputs}, "
                             f"hidden={hidden}. Give text or sequences, or use --net mlp.")
        self.hidden = hidden
        self.reads = nn.Linear(inputs[1], hidden)
        self.recurs = nn.Linear(hidden, hidden, bias=False)
        self.output = nn.Linear(hidden, outputs)
        self.start = nn.Parameter(torch.zeros(hidden))
        nn.init.orthogonal_(self.recurs.weight)

    def initial(self, rows: int) -> Tensor:
        """The state (rows, hidden) before a sequence."""
        return self.start.expand(rows, -1)

    def unroll(self, x: Tensor, state: Tensor) -> tuple[Tensor, Tensor]:
        """Outputs (n, t, outputs) and the state (n, hidden) after inputs (n, t, d), from the state before them."""
        driven = self.reads(x)                                       # (n, t, hidden)
        states = []
        for step in driven.unbind(1):
            state = torch.tanh(step + self.recurs(state))
            states.append(state)
        return self.output(torch.stack(states, 1)), state

    def forward(self, x: Tensor) -> Tensor:
        return self.unroll(x, self.initial(len(x)))[0]
