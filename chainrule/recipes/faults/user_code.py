"""Modules and losses as a user might write them, with the faults that lie there, and healthy ones that look as if they had one."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from itertools import pairwise

import torch
from torch import Tensor, nn
from torch.nn import functional as F

PIXELS, CLASSES = 64, 10        # of the digits


def dense(widths: Sequence[int] = (PIXELS, 64, 64, CLASSES), activation: Callable[[], nn.Module] = nn.ReLU,
          last: nn.Module | None = None) -> nn.Sequential:
    """Linear layers with an activation between them, and `last` at the end."""
    layers: list[nn.Module] = [nn.Flatten()]
    for below, above in pairwise(widths):
        layers += [nn.Linear(below, above), activation()]
    layers[-1:] = [] if last is None else [last]
    return nn.Sequential(*layers)


def convolutional(activation: Callable[[], nn.Module] = nn.ReLU, last: nn.Module | None = None) -> nn.Sequential:
    """Two convolutions, pooling, and two dense layers, for 8 x 8 digits."""
    return nn.Sequential(nn.Conv2d(1, 8, 3, padding=1), activation(), nn.Conv2d(8, 16, 3, padding=1), activation(), nn.MaxPool2d(2),
                         nn.Flatten(), nn.Linear(256, 32), activation(), nn.Linear(32, CLASSES), *([] if last is None else [last]))


def weighted(module: nn.Module) -> list[nn.Linear | nn.Conv2d]:
    """The layers of weights, nearest the input first."""
    return [part for part in module.modules() if isinstance(part, nn.Linear | nn.Conv2d)]


@torch.no_grad()
def constant(module: nn.Module, value: float) -> nn.Module:
    """All hidden weights alike, the biases zero."""
    for layer in weighted(module)[:-1]:
        nn.init.constant_(layer.weight, value)
        if layer.bias is not None:
            nn.init.zeros_(layer.bias)
    return module


@torch.no_grad()
def biased(module: nn.Module, value: float, layers: slice = slice(0, -1)) -> nn.Module:
    """The biases of some layers at a value."""
    for layer in weighted(module)[layers]:
        if layer.bias is not None:
            nn.init.constant_(layer.bias, value)
    return module


@torch.no_grad()
def scaled(module: nn.Module, factor: float, layers: slice = slice(0, -1)) -> nn.Module:
    """The weights of some layers times a factor."""
    for layer in weighted(module)[layers]:
        layer.weight.mul_(factor)
    return module


class Apply(nn.Module):
    """A function as a layer."""

    def __init__(self, function: Callable[[Tensor], Tensor]):
        super().__init__()
        self.function = function

    def forward(self, x: Tensor) -> Tensor:
        return self.function(x)


def detached(module: nn.Sequential, at: int = -1) -> nn.Sequential:
    """With a `.detach()` before the layer at this place, so that what lies below is never updated."""
    layers = list(module)
    layers.insert(at, Apply(Tensor.detach))
    return nn.Sequential(*layers)


def multiplied(module: nn.Module, factor: float) -> nn.Sequential:
    """The inputs are multiplied before they are read, as where a division by 255 is written as a product."""
    return nn.Sequential(Apply(lambda x: x * factor), module)


def frozen_backbone(inputs: int = PIXELS) -> nn.Sequential:
    """Random features that are not trained, on purpose, and an output layer that is."""
    module = dense((inputs, 400, CLASSES))
    weighted(module)[0].requires_grad_(False)
    return module


@torch.no_grad()
def zero_head(module: nn.Module) -> nn.Module:
    """An output layer that starts at zero."""
    last = weighted(module)[-1]
    nn.init.zeros_(last.weight)
    if last.bias is not None:
        nn.init.zeros_(last.bias)
    return module


class Residual(nn.Module):
    """x + W2 relu(W1 x)."""

    def __init__(self, width: int):
        super().__init__()
        self.first, self.second = nn.Linear(width, width), nn.Linear(width, width)

    def forward(self, x: Tensor) -> Tensor:
        moved: Tensor = self.second(self.first(x).relu())
        return x + moved


def residual(blocks: int = 16, width: int = 48) -> nn.Sequential:
    """Many blocks without normalisation, whose loss starts above that of guessing."""
    return nn.Sequential(nn.Flatten(), nn.Linear(PIXELS, width), *(Residual(width) for _ in range(blocks)), nn.Linear(width, CLASSES))


def normed(momentum: float = 0.1) -> nn.Sequential:
    """Batch normalisation in both hidden layers; with a small momentum its running statistics never arrive."""
    return nn.Sequential(nn.Flatten(), nn.Linear(PIXELS, 64), nn.BatchNorm1d(64, momentum=momentum), nn.ReLU(),
                         nn.Linear(64, 64), nn.BatchNorm1d(64, momentum=momentum), nn.ReLU(), nn.Linear(64, CLASSES))


def normed_maps(momentum: float = 0.1) -> nn.Sequential:
    """The same of two convolutions."""
    return nn.Sequential(nn.Conv2d(1, 8, 3, padding=1), nn.BatchNorm2d(8, momentum=momentum), nn.ReLU(),
                         nn.Conv2d(8, 16, 3, padding=1), nn.BatchNorm2d(16, momentum=momentum), nn.ReLU(), nn.MaxPool2d(2), nn.Flatten(),
                         nn.Linear(256, CLASSES))


def low_rank() -> nn.Sequential:
    """Two linear layers in sequence on purpose: a product of rank 16, and a ReLU net above it."""
    return nn.Sequential(nn.Flatten(), nn.Linear(PIXELS, 16), nn.Linear(16, 64), nn.ReLU(), nn.Linear(64, CLASSES))


class Memory(nn.Module):
    """A recurrent layer of torch read out at its last step: (n, t, d) -> (n, classes)."""

    def __init__(self, layer: nn.RNNBase, classes: int):
        super().__init__()
        self.layer, self.output = layer, nn.Linear(layer.hidden_size, classes)

    def forward(self, x: Tensor) -> Tensor:
        states, _ = self.layer(x)
        scores: Tensor = self.output(states[:, -1])
        return scores


@torch.no_grad()
def forgetful(bias: float, inputs: int = 5, classes: int = 4, hidden: int = 32) -> Memory:
    """An LSTM whose gate that keeps starts at this bias: torch's order is input, forget, cell, output."""
    layer = nn.LSTM(inputs, hidden, batch_first=True)
    for name in ("bias_ih_l0", "bias_hh_l0"):
        getattr(layer, name)[hidden: 2 * hidden].fill_(bias / 2)
    return Memory(layer, classes)


@torch.no_grad()
def rectified(gain: float, inputs: int = 1, classes: int = CLASSES, hidden: int = 32) -> Memory:
    """A recurrent layer of ReLU units whose recurrent weights are an orthogonal matrix times a gain."""
    layer = nn.RNN(inputs, hidden, nonlinearity="relu", batch_first=True)
    nn.init.orthogonal_(layer.get_parameter("weight_hh_l0"), gain)
    return Memory(layer, classes)


def minus_cross_entropy(outputs: Tensor, y: Tensor) -> Tensor:
    return -F.cross_entropy(outputs, y)


def minus_squared(outputs: Tensor, y: Tensor) -> Tensor:
    return -F.mse_loss(outputs, y)


def among_others(outputs: Tensor, y: Tensor) -> Tensor:
    """The targets are shuffled inside every batch, as a loader does that shuffles them apart from the inputs."""
    return F.cross_entropy(outputs, y[torch.randperm(len(y), device=y.device)])


def squared_among_others(outputs: Tensor, y: Tensor) -> Tensor:
    return F.mse_loss(outputs, y.reshape(outputs.shape)[torch.randperm(len(y), device=y.device)])


def shares_by_hand(outputs: Tensor, y: Tensor) -> Tensor:
    """Scores divided by their sum in place of softmax: the logarithm of a score that a ReLU has put to zero is infinite."""
    positive = outputs.relu()
    return -(positive / positive.sum(1, keepdim=True)).gather(1, y[:, None]).log().mean()


def softmax_by_hand(outputs: Tensor, y: Tensor) -> Tensor:
    """Without the greatest score taken off first: exp overflows from 89 on."""
    powers = outputs.exp()
    return -(powers / powers.sum(1, keepdim=True)).gather(1, y[:, None]).log().mean()


def smoothed(outputs: Tensor, y: Tensor) -> Tensor:
    """Cross-entropy with a tenth of the certainty spread over all classes: it cannot come near zero."""
    return F.cross_entropy(outputs, y, label_smoothing=0.1)


def huber(outputs: Tensor, y: Tensor) -> Tensor:
    return F.smooth_l1_loss(outputs, y)


def sigmoid_coder(code: int = 16) -> nn.Sequential:
    """An autoencoder of digits whose output is bounded to (0, 1), as the pixels are."""
    return dense((PIXELS, 64, code, 64, PIXELS), nn.ReLU, nn.Sigmoid())


def rounded(module: nn.Sequential) -> nn.Sequential:
    """With numbers rounded before the last layer, which has no slope."""
    layers = list(module)
    layers.insert(-1, Apply(torch.round))
    return nn.Sequential(*layers)


def cut_maps() -> nn.Sequential:
    """Convolutions computed without a gradient, few and narrow ones, and a dense layer that reads them."""
    maps = nn.Sequential(nn.Conv2d(1, 2, 3), nn.ReLU(), nn.MaxPool2d(2), nn.Conv2d(2, 2, 3), nn.ReLU())
    return nn.Sequential(*maps, Apply(Tensor.detach), nn.Flatten(), nn.Linear(2, 32), nn.ReLU(), nn.Linear(32, CLASSES))


def with_function(function: Callable[[Tensor], Tensor]) -> nn.Sequential:
    """A function in place of the second activation."""
    return nn.Sequential(nn.Flatten(), nn.Linear(PIXELS, 64), nn.ReLU(), nn.Linear(64, 64), Apply(function), nn.Linear(64, CLASSES))
