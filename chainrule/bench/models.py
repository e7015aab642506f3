"""The nets of the side-by-side works as anyone would write them in plain torch; every torch peer trains these.

LeNet with padding: LeCun et al. (1998), https://doi.org/10.1109/5.726791; ResNet-20: He, Zhang, Ren & Sun (2015), arXiv:1512.03385,
section 4.2; the character LSTM: Hochreiter & Schmidhuber (1997), https://doi.org/10.1162/neco.1997.9.8.1735
"""

from __future__ import annotations

from torch import Tensor, nn
from torch.nn import functional as F

RESNET_WIDTHS, RESNET_BLOCKS = (16, 32, 64), 3
LSTM_UNITS = 256


def digit_mlp(inputs: tuple[int, ...], outputs: int) -> nn.Module:
    """784-30-10 with logistic units throughout: (n, 784) -> (n, 10)."""
    return nn.Sequential(nn.Linear(inputs[0], 30), nn.Sigmoid(), nn.Linear(30, outputs), nn.Sigmoid())


def table_mlp(inputs: tuple[int, ...], outputs: int) -> nn.Module:
    """64-64 rectified units: (n, features) -> (n, classes)."""
    return nn.Sequential(nn.Linear(inputs[0], 64), nn.ReLU(), nn.Linear(64, 64), nn.ReLU(), nn.Linear(64, outputs))


def lenet(inputs: tuple[int, ...], outputs: int) -> nn.Module:
    """Two padded 5 x 5 convolutions of 32 and 64 maps, each pooled, then 1024 units: (n, c, h, w) -> (n, classes)."""
    channels, height, width = inputs
    return nn.Sequential(
        nn.Conv2d(channels, 32, 5, padding=2), nn.ReLU(), nn.MaxPool2d(2),
        nn.Conv2d(32, 64, 5, padding=2), nn.ReLU(), nn.MaxPool2d(2),
        nn.Flatten(), nn.Linear(64 * (height // 4) * (width // 4), 1024), nn.ReLU(), nn.Linear(1024, outputs))


class Residual(nn.Module):
    """Two normalised 3 x 3 convolutions beside a shortcut without parameters (option A): (n, c, h, w) -> (n, maps, h', w')."""

    def __init__(self, channels: int, maps: int, stride: int):
        super().__init__()
        self.conv1 = nn.Conv2d(channels, maps, 3, stride, padding=1, bias=False)
        self.norm1 = nn.BatchNorm2d(maps)
        self.conv2 = nn.Conv2d(maps, maps, 3, padding=1, bias=False)
        self.norm2 = nn.BatchNorm2d(maps)
        self.stride, self.more = stride, maps - channels

    def forward(self, x: Tensor) -> Tensor:
        y = self.norm2(self.conv2(self.norm1(self.conv1(x)).relu()))
        if self.more:
            x = F.pad(x[:, :, :: self.stride, :: self.stride], (0, 0, 0, 0, self.more // 2, self.more - self.more // 2))
        maps: Tensor = (y + x).relu()
        return maps


def resnet20(inputs: tuple[int, ...], outputs: int) -> nn.Module:
    """ResNet-20 for pictures of 32 x 32: (n, 3, h, w) -> (n, classes)."""
    channels = RESNET_WIDTHS[0]
    layers: list[nn.Module] = [nn.Conv2d(inputs[0], channels, 3, padding=1, bias=False), nn.BatchNorm2d(channels), nn.ReLU()]
    for stage, maps in enumerate(RESNET_WIDTHS):
        for block in range(RESNET_BLOCKS):
            layers.append(Residual(channels, maps, 2 if stage and not block else 1))
            channels = maps
    return nn.Sequential(*layers, nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(channels, outputs))


class CharacterLSTM(nn.Module):
    """Names the symbol after the last: (n, t, symbols) one-hot -> (n, symbols)."""

    def __init__(self, inputs: tuple[int, ...], outputs: int):
        super().__init__()
        self.lstm = nn.LSTM(inputs[-1], LSTM_UNITS, batch_first=True)
        self.output = nn.Linear(LSTM_UNITS, outputs)

    def forward(self, x: Tensor) -> Tensor:
        states, _ = self.lstm(x)  # (n, t, units)
        scores: Tensor = self.output(states[:, -1])
        return scores
