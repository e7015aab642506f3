"""The net of contacts: Wang, Sun, Li, Zhang & Xu (2017), https://doi.org/10.1371/journal.pcbi.1005324"""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from chainrule.core.errors import InputError
from chainrule.core.registry import nets
from chainrule.nets.layers.normalisation import BatchNorm

SEPARATIONS = 128     # along the chain, each with numbers of its own; those beyond share the last
DILATIONS = (1, 2, 4, 8)


class DilatedBlock(nn.Module):
    """Two convolutions, each after batch normalisation and rectifiers, and what they are added to: (n, c, ...) -> (n, c, ...)."""

    def __init__(self, kind: type[nn.Conv1d | nn.Conv2d], channels: int, dilation: int):
        super().__init__()
        self.norms = nn.ModuleList(BatchNorm(channels) for _ in range(2))
        self.convolutions = nn.ModuleList(kind(channels, channels, 3, padding=d, dilation=d, bias=False) for d in (dilation, 1))

    def forward(self, x: Tensor) -> Tensor:
        y = x
        for norm, convolution in zip(self.norms, self.convolutions, strict=True):
            y = convolution(norm(y).relu())
        return x + y


@nets("contactnet", source="Wang, Sun, Li, Zhang & Xu (2017), https://doi.org/10.1371/journal.pcbi.1005324", init="he", tasks=("contacts",))
class ContactNet(nn.Module):
    """Features of residues by a residual net along the chain, of pairs by one over the square: (n, t, d) -> (n, outputs, t, t).

    A pair begins with the features of its ends and of the residue in the middle between them, and with numbers of how far apart they are
    along the chain. What is said of (i, j) is the mean over both orders, and so symmetric.
    """

    def __init__(self, inputs: tuple[int, ...], outputs: int, *, hidden: int = 48, depth: int = 8, pairs: int = 16, pair_depth: int = 6):
        super().__init__()
        if len(inputs) != 2 or min(hidden, depth, pairs, pair_depth) < 1:
            raise InputError("contactnet reads sequences of rows (t, d), with hidden, depth, pairs and pair_depth of at least 1; got "
                             f"inputs of shape {inputs}, hidden={hidden}, depth={depth}, pairs={pairs}, pair_depth={pair_depth}. Give "
                             "chains, e.g. FASTA beside contacts.csv.")
        self.reads = nn.Conv1d(inputs[1], hidden, 5, padding=2)
        self.along = nn.Sequential(*[DilatedBlock(nn.Conv1d, hidden, DILATIONS[i % len(DILATIONS)]) for i in range(depth)])
        self.first = nn.Conv1d(hidden, pairs, 1)                          # a convolution of 1 x 1 over the joined features of a pair
        self.second = nn.Conv1d(hidden, pairs, 1, bias=False)             # is the sum of one over those of each end
        self.middle = nn.Conv1d(hidden, pairs, 1, bias=False)
        self.separation = nn.Embedding(SEPARATIONS, pairs)
        self.over = nn.Sequential(*[DilatedBlock(nn.Conv2d, pairs, DILATIONS[i % len(DILATIONS)]) for i in range(pair_depth)])
        self.norm = BatchNorm(pairs)
        self.output = nn.Conv2d(pairs, outputs, 1)

    def forward(self, x: Tensor) -> Tensor:
        features = self.along(self.reads(x.mT)).relu()                                          # (n, hidden, t)
        places = torch.arange(x.shape[1], device=x.device)
        middles = (places[:, None] + places) // 2                                               # (t, t)
        apart = (places[:, None] - places).abs().clamp(max=SEPARATIONS - 1)
        pairs = self.first(features)[:, :, :, None] + self.second(features)[:, :, None]         # (n, pairs, t, t)
        pairs = pairs + self.middle(features)[:, :, middles] + self.separation(apart).permute(2, 0, 1)
        scores: Tensor = self.output(F.relu(self.norm(self.over(pairs))))                               # (n, outputs, t, t)
        symmetric: Tensor = (scores + scores.mT) / 2
        return symmetric
