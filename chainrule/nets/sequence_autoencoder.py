"""An autoencoder of sequences: one recurrent net reads a sequence into a code, another writes it again from the code alone.

Srivastava, Mansimov & Salakhutdinov (2015), https://arxiv.org/abs/1502.04681; Dai & Le (2015), https://arxiv.org/abs/1511.01432
"""

from __future__ import annotations

from typing import Literal

import torch
from torch import Tensor, nn

from chainrule.core.errors import InputError
from chainrule.core.registry import nets
from chainrule.nets.layers.gated import GRULayer, LSTMLayer
from chainrule.nets.layers.recurrent import Recurrence, RecurrentStack

CELLS: dict[str, type[Recurrence]] = {"gru": GRULayer, "lstm": LSTMLayer}


@nets("sequence-autoencoder", source="Srivastava, Mansimov & Salakhutdinov (2015), https://arxiv.org/abs/1502.04681",
      tasks=("reconstruction",))
class SequenceAutoencoder(nn.Module):
    """Reads a sequence from both ends into `code` numbers, and writes it from these: (n, t, d) -> (n, t d).

    The code is a linear map of what the encoder has where each direction has read everything. The decoder begins with a state made of the
    code and reads the code at every step, so that it sees nothing of what it has written; what fills up shorter sequences is to be
    written as the zeros that it is. Raises InputError for inputs that are no sequences of rows, and sizes below one.
    """

    def __init__(self, inputs: tuple[int, ...], outputs: int, *, hidden: int = 128, code: int = 32, cell: Literal["gru", "lstm"] = "gru"):
        super().__init__()
        if len(inputs) != 2:
            raise InputError(f"sequence-autoencoder reads sequences of rows (t, d); got inputs of shape {inputs}. Give sequences, or use "
                             "--net autoencoder.")
        if code < 1:
            raise InputError(f"sequence-autoencoder expects a code of at least one number; got {code}. Write e.g. "
                             "sequence-autoencoder:hidden=128,code=32.")
        layer = CELLS[cell]
        self.encoder = RecurrentStack("sequence-autoencoder", layer, inputs, hidden=hidden, layers=1, bidirectional=True)
        self.code = nn.Linear(self.encoder.width, code)
        self.starts = nn.Linear(code, len(layer.parts) * hidden)
        self.decoder = layer(code, hidden)
        self.output = nn.Linear(hidden, inputs[1])
        self.length = inputs[0]

    @property
    def kernels(self) -> frozenset[str]:
        """The kernels that its layers ask for."""
        return self.encoder.kernels

    def encode(self, x: Tensor) -> Tensor:
        """Codes (n, code) of sequences (n, t, d)."""
        codes: Tensor = self.code(self.encoder.end(x, self.encoder(x)))
        return codes

    def decode(self, code: Tensor) -> Tensor:
        """Sequences (n, t d) of codes (n, code), as long as the inputs."""
        return self._written(code, self.length)

    def forward(self, x: Tensor) -> Tensor:
        return self._written(self.encode(x), x.shape[1])

    def _written(self, code: Tensor, length: int) -> Tensor:
        state = tuple(torch.tanh(self.starts(code)).chunk(len(self.decoder.parts), 1))
        states, _ = self.decoder(code[:, None].expand(-1, length, -1), state)
        rows: Tensor = self.output(states).flatten(1)
        return rows
