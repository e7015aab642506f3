"""The convolutional net for sentences: Kim (2014), https://arxiv.org/abs/1408.5882"""

from __future__ import annotations

import torch
from torch import Tensor, nn

from chainrule.core.errors import InputError
from chainrule.core.registry import nets
from chainrule.nets.layers.activation import check_dropout


@nets("textcnn", source="Kim (2014), https://arxiv.org/abs/1408.5882", sentences=True)
class TextCNN(nn.Module):
    """Kernels of several widths over embedded symbols, and the greatest of each over time: (n, t, symbols) -> (n, outputs).

    A symbol comes as a one-hot row, whose product with the embedding is its vector of `size` numbers; what fills up shorter sequences is
    zero. Of every one of the `widths` there are `maps` kernels, which reach over both ends, so that a sequence may be shorter than a
    kernel. Dropout stands before the output layer. Raises InputError for inputs that are no sequences, and sizes below one.
    """

    def __init__(self, inputs: tuple[int, ...], outputs: int, *, size: int = 300, widths: tuple[int, ...] = (3, 4, 5), maps: int = 100,
                 dropout: float = 0.5):
        super().__init__()
        check_dropout("textcnn", dropout)
        if len(inputs) != 2:
            raise InputError(f"textcnn reads sequences of symbols (t, symbols); got inputs of shape {inputs}. Give text or sequences with "
                             "a class each, or use --net mlp.")
        if not widths or min(size, maps, *widths) < 1:
            raise InputError(f"textcnn expects size, maps and widths of at least 1; got size={size}, maps={maps}, "
                             f"widths={'x'.join(map(str, widths)) or 'none'}. Write e.g. textcnn:size=300,widths=3x4x5,maps=100.")
        self.embedding = nn.Linear(inputs[1], size, bias=False)
        self.convolutions = nn.ModuleList(nn.Conv1d(size, maps, width, padding=width - 1) for width in widths)
        self.dropout, self.output = nn.Dropout(dropout), nn.Linear(maps * len(widths), outputs)

    def vectors(self) -> Tensor:
        """What stands for each symbol, (symbols, size)."""
        return self.embedding.weight.T

    def forward(self, x: Tensor) -> Tensor:
        vectors = self.embedding(x).transpose(1, 2)                                                  # (n, size, t)
        greatest = [convolution(vectors).relu().amax(2) for convolution in self.convolutions]        # (n, maps) each
        scores: Tensor = self.output(self.dropout(torch.cat(greatest, 1)))
        return scores
