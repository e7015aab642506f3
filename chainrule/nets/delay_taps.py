"""A feed-forward net with delay taps: hidden units over the last steps of a series.

Lang, Waibel & Hinton (1990), https://doi.org/10.1016/0893-6080(90)90044-L; Takens (1981), https://doi.org/10.1007/BFb0091924
"""

from __future__ import annotations

import torch
from torch import Tensor, nn

from chainrule.core.errors import InputError
from chainrule.core.registry import nets
from chainrule.nets.layers.windows import check_windows


@nets("tdnn", source="Lang, Waibel & Hinton (1990), https://doi.org/10.1016/0893-6080(90)90044-L; Takens (1981), "
                     "https://doi.org/10.1007/BFb0091924", init="xavier", kind="forecaster", tasks=("forecast",))
class DelayTaps(nn.Module):
    """A feed-forward net that reads the last `taps` steps, all of them where it is 0, by delay taps: (n, t, d) -> (n, outputs).

    With `relative` the last value of each of the first `targets` columns is taken from that column and added to what is foretold of it, so
    that a level never seen in training is met as a change.
    """

    def __init__(self, inputs: tuple[int, ...], outputs: int, *, taps: int = 0, hidden: tuple[int, ...] = (32,), targets: int = 1,
                 relative: bool = True):
        super().__init__()
        if len(inputs) != 2 or not 0 <= taps <= inputs[0] or min(hidden, default=1) < 1:
            raise InputError(f"tdnn reads windows (t, d) of a series, at most t taps of them, with units in each hidden layer; got inputs "
                             f"of shape {inputs}, taps={taps}, hidden={'x'.join(map(str, hidden))}. Give a series with --horizon, or use "
                             "--net mlp.")
        check_windows("tdnn", inputs, outputs, targets)
        self.taps, self.targets, self.relative, self.outputs = taps or inputs[0], targets, relative, outputs
        sizes = (self.taps * inputs[1], *hidden)
        self.hidden = nn.ModuleList(nn.Linear(below, units) for below, units in zip(sizes, hidden))
        self.output = nn.Linear(sizes[-1], outputs)

    def forward(self, x: Tensor) -> Tensor:
        read, level = x[:, -self.taps :], x[:, -1, : self.targets]                          # (n, taps, d), (n, targets)
        if self.relative:
            read = torch.cat([read[..., : self.targets] - level[:, None], read[..., self.targets :]], 2)
        h = read.flatten(1)
        for layer in self.hidden:
            h = torch.tanh(layer(h))
        forecast: Tensor = self.output(h)
        return forecast + level.repeat(1, self.outputs // self.targets) if self.relative else forecast
