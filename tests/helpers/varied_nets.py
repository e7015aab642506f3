"""Nets of all kinds, small, for programs to be written of: residual, normalised, convolutional, gated, attentive, with what each reads."""

from __future__ import annotations

import torch
from torch import nn
from torch.nn import functional as F

from chainrule.core import registry

CLASSES = 3


class Residual(nn.Module):
    def __init__(self):
        super().__init__()
        self.words, self.norm = nn.Embedding(11, 6), nn.LayerNorm(6)
        self.inner, self.out = nn.Linear(6, 6), nn.Linear(6, CLASSES)

    def forward(self, x):
        h = self.words(x)
        return self.out((h + F.gelu(self.inner(self.norm(h)))).mean(1))


class Shortcut(nn.Module):
    """Half as many places and more channels, as between the stages of a residual net of He et al. (2016)."""

    def __init__(self):
        super().__init__()
        self.inner = nn.Conv2d(4, 6, 3, stride=2, padding=1)

    def forward(self, x):
        return F.relu(self.inner(x) + F.pad(x[:, :, ::2, ::2], (0, 0, 0, 0, 0, 2)))


class Recurrent(nn.Module):
    def __init__(self, kind):
        super().__init__()
        self.cells, self.out = kind(4, 5, batch_first=True), nn.Linear(5, CLASSES)

    def forward(self, x):
        return self.out(self.cells(x)[0][:, -1])


class Attention(nn.Module):
    def __init__(self):
        super().__init__()
        self.inner, self.out = nn.Linear(6, 18), nn.Linear(6, CLASSES)

    def forward(self, x):
        n, t, d = x.shape
        q, k, v = self.inner(x).view(n, t, 3, 2, 3).permute(2, 0, 3, 1, 4)
        later = torch.triu(torch.ones(t, t, dtype=torch.bool), 1)
        shares = (q @ k.transpose(-1, -2) / 3**0.5).masked_fill(later, float("-inf")).softmax(-1)
        return self.out((shares @ v).transpose(1, 2).reshape(n, t, d).mean(1))


NETS = {
    "normalised": lambda: (nn.Sequential(nn.Linear(6, 5), nn.BatchNorm1d(5), nn.Tanh(), nn.Linear(5, CLASSES)), (6,)),
    "convolutional": lambda: (nn.Sequential(
        nn.Conv2d(2, 4, 3, padding=1, bias=False), nn.BatchNorm2d(4), nn.ReLU(), nn.MaxPool2d(2), Shortcut(), nn.AdaptiveAvgPool2d(1),
        nn.Flatten(), nn.Linear(6, CLASSES)), (2, 9, 8)),
    "lenet": lambda: (registry.nets.choose("lenet:filters=3x4,hidden=10").make((1, 28, 28), CLASSES), (1, 28, 28)),
    "averaging": lambda: (registry.nets.choose("lenet:filters=3x4,hidden=9,pooling=average").make((3, 13, 12), CLASSES), (3, 13, 12)),
    "embedded": lambda: (Residual(), None), "attentive": lambda: (Attention(), (5, 6)), "gated": lambda: (Recurrent(nn.GRU), (3, 4)),
    "recurrent": lambda: (Recurrent(nn.LSTM), (3, 4)),
}
