"""Adversarial pairs: a generator that makes samples of noise, and a discriminator that tells them from data.

Goodfellow, Pouget-Abadie, Mirza, Xu, Warde-Farley, Ozair, Courville & Bengio (2014), https://arxiv.org/abs/1406.2661; on a label Mirza &
Osindero (2014), https://arxiv.org/abs/1411.1784; convolutional Radford, Metz & Chintala (2016), https://arxiv.org/abs/1511.06434
"""

from __future__ import annotations

import math
from typing import Literal

import torch
from torch import Tensor, nn

from chainrule.core.errors import InputError
from chainrule.core.registry import nets
from chainrule.nets.layers.adversaries import SLOPE, coarsest, dense, downward, normalise, upward

Form = Literal["minimax", "non-saturating", "least-squares", "wgan-gp"]


@nets("gan", source="Goodfellow et al. (2014), https://arxiv.org/abs/1406.2661", rule="adversarial", kind="generative",
      tasks=("generation",))
class GAN(nn.Module):
    """A generator and a discriminator: (n, ...) -> the discriminator's score of being real (n, 1), the log-odds in the first two forms.

    `form` is the game that the pair plays, which its rule obeys. `noise` is how many normal numbers a sample is made of; `hidden` sizes the
    layers of both parts; `unit` bounds what is generated to [0, 1]. `convolutional` pairs make pictures of any size by transposed
    convolutions of `filters` at the finest, each coarser layer having twice as many. A `conditional` pair is told the class in both
    parts. `spectral` divides every weight of the discriminator by its greatest singular value.
    """

    def __init__(self, inputs: tuple[int, ...], outputs: int, *, form: Form = "non-saturating", noise: int = 16,
                 hidden: tuple[int, ...] = (128, 128), unit: bool = False, conditional: bool = False, convolutional: bool = False,
                 filters: int = 32, spectral: bool = False):
        super().__init__()
        if noise < 1 or min(hidden, default=1) < 1 or filters < 1:
            raise InputError(f"gan needs noise and hidden layers of at least one unit; got noise={noise}, hidden={hidden}, "
                             f"filters={filters}. Write gan:noise=16,hidden=128x128.")
        if conditional and outputs < 2:
            raise InputError("gan:conditional=yes makes samples of a class that is asked for, and there are no classes. Name a column with "
                             "--target, or leave it out.")
        self.inputs, self.noise, self.form = inputs, noise, form
        self.labels = outputs if conditional else 0
        features = math.prod(inputs)
        if convolutional:
            self.generator, self.discriminator = self._convolutional(filters, norm=not spectral and form != "wgan-gp")
        else:
            self.generator = dense((noise + self.labels, *hidden, features), nn.ReLU())
            self.discriminator = dense((features + self.labels, *hidden, 1), nn.LeakyReLU(SLOPE))
        self.convolutional = convolutional
        if unit:
            self.generator.append(nn.Sigmoid())
        if spectral:
            normalise(self.discriminator)

    def _convolutional(self, filters: int, norm: bool) -> tuple[nn.Sequential, nn.Sequential]:
        if len(self.inputs) != 3:
            raise InputError(f"gan:convolutional=yes makes pictures (channels, height, width); the rows have shape {self.inputs}. Leave it "
                             "out.")
        if min(self.inputs[1:]) < 2:
            raise InputError(f"gan:convolutional=yes halves pictures, which takes sides of at least 2 pixels; got {self.inputs}. "
                             "Leave it out.")
        channels, height, width = self.inputs
        widths = tuple(filters * 2**at for at in range(coarsest(height, width)))
        return (upward(self.noise + self.labels, (channels, height, width), widths[::-1]),
                downward(channels + self.labels, height, width, widths, norm))

    def forward(self, x: Tensor) -> Tensor:
        return self.judge(x)

    def draw_noise(self, n: int) -> Tensor:
        """What `n` samples are made of: standard normal numbers (n, noise)."""
        like = next(self.generator.parameters())
        return torch.randn(n, self.noise, dtype=like.dtype, device=like.device)

    def generate(self, z: Tensor, y: Tensor | None = None) -> Tensor:
        """Samples made of noise, of classes (n,) where these are told: (n, noise) -> (n, features)."""
        samples: Tensor = self.generator(torch.cat([z, self._told(y, z)], 1) if self.labels else z)
        return samples.flatten(1)

    def judge(self, x: Tensor, y: Tensor | None = None) -> Tensor:
        """The score of samples, as those of classes (n,) where these are told: (n, ...) -> (n, 1)."""
        if self.convolutional:
            x = x.reshape(-1, *self.inputs)
            if self.labels:
                x = torch.cat([x, self._told(y, x)[:, :, None, None].expand(-1, -1, *self.inputs[1:])], 1)
        else:
            x = x.flatten(1)
            x = torch.cat([x, self._told(y, x)], 1) if self.labels else x
        scores: Tensor = self.discriminator(x)
        return scores

    def _told(self, y: Tensor | None, like: Tensor) -> Tensor:
        """A 1 in the column of the class (n, labels); the same in each where no class is told."""
        if y is None:
            return like.new_full((len(like), self.labels), 1 / self.labels)
        return (y[:, None] == torch.arange(self.labels, device=y.device)).to(like.dtype)

    @torch.no_grad()
    def sample(self, n: int) -> Tensor:
        """`n` generated samples, shaped like the inputs; of classes in turn where they are told."""
        y = torch.arange(n, device=next(self.generator.parameters()).device) % self.labels if self.labels else None
        return self.generate(self.draw_noise(n), y).reshape(n, *self.inputs)

    @torch.no_grad()
    def sample_given(self, y: Tensor) -> Tensor:
        """A sample of each class (n,), shaped like the inputs."""
        return self.generate(self.draw_noise(len(y)), y if self.labels else None).reshape(len(y), *self.inputs)

    def extra_repr(self) -> str:
        return f"inputs={self.inputs}, form={self.form}, noise={self.noise}"
