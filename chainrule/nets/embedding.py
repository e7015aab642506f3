"""The neural probabilistic language model: Bengio, Ducharme, Vincent & Jauvin (2003), https://jmlr.org/papers/v3/bengio03a.html"""

from __future__ import annotations

import torch
from torch import Tensor, nn

from chainrule.core.errors import InputError
from chainrule.core.registry import nets
from chainrule.nets.layers.activation import check_dropout


@nets("embedding", source="Bengio, Ducharme, Vincent & Jauvin (2003), https://jmlr.org/papers/v3/bengio03a.html; neighbours as in Mikolov "
                          "et al. (2013), https://arxiv.org/abs/1301.3781",
      tasks=("language", "tagging"))
class Embedding(nn.Module):
    """A vector for each symbol, and a hidden layer over those of the last `context` symbols: (n, t, symbols) -> (n, t, outputs).

    At every step the scores are b + U tanh(d + H [C x_{t-context+1}, ..., C x_t]), with `direct` and W of the same vectors. A symbol comes
    as a one-hot row, so that C x is its vector of `size` numbers; before the first symbol vectors are zero. The state between windows is
    the vectors that are still needed. Dropout stands behind the hidden units. Raises InputError for inputs that are no sequences, and
    sizes below one.
    """

    def __init__(self, inputs: tuple[int, ...], outputs: int, *, size: int = 60, hidden: int = 100, context: int = 5, direct: bool = False,
                 dropout: float = 0.0):
        super().__init__()
        check_dropout("embedding", dropout)
        if len(inputs) != 2:
            raise InputError(f"embedding reads sequences of symbols (t, symbols); got inputs of shape {inputs}. Give text or sequences, or "
                             "use --net mlp.")
        if min(size, hidden, context) < 1:
            raise InputError(f"embedding expects size, hidden and context of at least 1; got size={size}, hidden={hidden}, "
                             f"context={context}. Write embedding:size=60,hidden=100,context=5.")
        self.context = context
        self.embedding = nn.Linear(inputs[1], size, bias=False)
        self.hidden = nn.Linear(context * size, hidden)
        self.output = nn.Linear(hidden, outputs)
        self.direct = nn.Linear(context * size, outputs, bias=False) if direct else None
        self.dropout = nn.Dropout(dropout)
        nn.init.normal_(self.embedding.weight, std=0.1)

    def vectors(self) -> Tensor:
        """What stands for each symbol, (symbols, size)."""
        return self.embedding.weight.T

    def initial(self, rows: int) -> Tensor:
        """The vectors (rows, context - 1, size) before a sequence."""
        return self.embedding.weight.new_zeros(rows, self.context - 1, len(self.embedding.weight))

    def unroll(self, x: Tensor, state: Tensor) -> tuple[Tensor, Tensor]:
        """Outputs (n, t, outputs) and the last vectors (n, context - 1, size) after inputs (n, t, symbols), from those before them."""
        every = torch.cat([state, self.embedding(x)], 1)                                   # (n, context - 1 + t, size)
        read = torch.cat([every[:, i : i + x.shape[1]] for i in range(self.context)], 2)   # (n, t, context * size)
        scores: Tensor = self.output(self.dropout(torch.tanh(self.hidden(read))))
        scores = scores if self.direct is None else scores + self.direct(read)
        return scores, every[:, x.shape[1] :]

    def forward(self, x: Tensor) -> Tensor:
        return self.unroll(x, self.initial(len(x)))[0]
