"""The residual net for time series: Wang, Yan & Oates (2017), https://doi.org/10.1109/IJCNN.2017.7966039"""

from __future__ import annotations

from torch import Tensor, nn
from torch.nn import functional as F

from chainrule.core.errors import InputError
from chainrule.core.registry import nets
from chainrule.nets.layers.normalisation import BatchNorm

KERNELS = (8, 5, 3)


class SeriesBlock(nn.Module):
    """Three convolutions along time, and the shortcut that is added: (n, inputs, t) -> (n, outputs, t)."""

    def __init__(self, inputs: int, outputs: int):
        super().__init__()
        channels = (inputs, outputs, outputs)
        self.convolutions = nn.ModuleList(nn.Conv1d(c, outputs, kernel, bias=False) for c, kernel in zip(channels, KERNELS, strict=True))
        self.norms = nn.ModuleList(BatchNorm(outputs) for _ in KERNELS)
        same = inputs == outputs
        self.shortcut = BatchNorm(outputs) if same else nn.Sequential(nn.Conv1d(inputs, outputs, 1, bias=False), BatchNorm(outputs))

    def forward(self, x: Tensor) -> Tensor:
        y = x
        for i, (convolution, norm, kernel) in enumerate(zip(self.convolutions, self.norms, KERNELS, strict=True)):
            y = norm(convolution(F.pad(y, ((kernel - 1) // 2, kernel // 2))))
            y = y.relu() if i < len(KERNELS) - 1 else y
        rectified: Tensor = (y + self.shortcut(x)).relu()
        return rectified


@nets("resnet1d", source="Wang, Yan & Oates (2017), https://doi.org/10.1109/IJCNN.2017.7966039", init="he")
class SeriesResNet(nn.Module):
    """Three residual blocks along time, and the mean over it: rows (n, t) or channels of them (n, c, t) -> (n, outputs)."""

    def __init__(self, inputs: tuple[int, ...], outputs: int, *, filters: int = 64):
        super().__init__()
        if len(inputs) > 2 or filters < 1:
            raise InputError(f"resnet1d reads rows of numbers in order, or channels of them (channels, time), with at least one filter; "
                             f"got inputs of shape {inputs}, filters={filters}. Use --net resnet for pictures.")
        channels = 1 if len(inputs) == 1 else inputs[0]
        wide = 2 * filters
        self.blocks = nn.Sequential(SeriesBlock(channels, filters), SeriesBlock(filters, wide), SeriesBlock(wide, wide))
        self.output = nn.Linear(2 * filters, outputs)

    def forward(self, x: Tensor) -> Tensor:
        maps = self.blocks(x[:, None] if x.dim() == 2 else x)                                   # (n, filters, t)
        scores: Tensor = self.output(maps.mean(2))
        return scores
