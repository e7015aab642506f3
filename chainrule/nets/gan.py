"""Adversarial pairs: a generator that makes samples of noise, and a discriminator that tells them from data.

Goodfellow, Pouget-Abadie, Mirza, Xu, Warde-Farley, Ozair, Courville & Bengio (2014), https://arxiv.org/abs/1406.2661
"""

from __future__ import annotations

import math
from itertools import pairwise

import torch
from torch import Tensor, nn

from chainrule.core.errors import InputError
from chainrule.core.registry import nets


@nets("gan", source="Goodfellow et al. (2014), https://arxiv.org/abs/1406.2661", rule="adversarial", kind="generative")
class GAN(nn.Module):
    """A dense generator and a dense discriminator: (n, ...) -> the log-odds of being real (n, 1).

    `noise` is how many normal numbers a sample is made of; `hidden` sizes the layers of both parts; `unit` bounds what is
    generated to [0, 1].
    """

    def __init__(self, inputs: tuple[int, ...], outputs: int, *, noise: int = 16, hidden: tuple[int, ...] = (128, 128), unit: bool = False):
        super().__init__()
        if noise < 1 or min(hidden, default=1) < 1:
            raise InputError(f"gan needs noise and hidden layers of at least one unit; got noise={noise}, hidden={hidden}. "
                             "Write gan:noise=16,hidden=128x128.")
        self.inputs, self.noise = inputs, noise
        features = math.prod(inputs)
        self.generator = _dense((noise, *hidden, features), nn.ReLU())
        if unit:
            self.generator.append(nn.Sigmoid())
        self.discriminator = _dense((features, *hidden, 1), nn.LeakyReLU(0.2))

    def forward(self, x: Tensor) -> Tensor:
        return self.judge(x)

    def draw_noise(self, n: int) -> Tensor:
        """What `n` samples are made of: standard normal numbers (n, noise)."""
        like = next(self.generator.parameters())
        return torch.randn(n, self.noise, dtype=like.dtype, device=like.device)

    def generate(self, z: Tensor) -> Tensor:
        """Samples made of noise: (n, noise) -> (n, features)."""
        samples: Tensor = self.generator(z)
        return samples

    def judge(self, x: Tensor) -> Tensor:
        """The log-odds that samples are real: (n, ...) -> (n, 1)."""
        scores: Tensor = self.discriminator(x.flatten(1))
        return scores

    @torch.no_grad()
    def sample(self, n: int) -> Tensor:
        """`n` generated samples, shaped like the inputs."""
        return self.generate(self.draw_noise(n)).reshape(n, *self.inputs)

    def extra_repr(self) -> str:
        return f"inputs={self.inputs}, noise={self.noise}"


def _dense(sizes: tuple[int, ...], activation: nn.Module) -> nn.Sequential:
    """Linear layers of these sizes with the activation between them."""
    layers: list[nn.Module] = []
    for into, out in pairwise(sizes):
        layers += [nn.Linear(into, out), activation]
    return nn.Sequential(*layers[:-1])
