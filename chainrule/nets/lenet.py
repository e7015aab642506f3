"""LeNet: convolutions and pooling, then a dense layer. LeCun, Bottou, Bengio & Haffner (1998), https://doi.org/10.1109/5.726791"""

from __future__ import annotations

from collections import OrderedDict
from typing import Literal

from torch import Tensor, nn

from chainrule.core.errors import InputError
from chainrule.core.registry import nets
from chainrule.nets.layers.activation import check_dropout, make_activation, widening
from chainrule.nets.layers.dense import Dense
from chainrule.nets.layers.normalisation import MapNorm, normalisation


@nets("lenet", source="LeCun, Bottou, Bengio & Haffner (1998), https://doi.org/10.1109/5.726791", init="he")
class LeNet(nn.Module):
    """Stages of convolution, nonlinearity and 2 x 2 pooling, a hidden layer, an output layer: (n, c, h, w) -> (n, outputs).

    Every unit sees one kernel's area of the stage below, moved over the picture with the same weights. Where the picture is too small for
    convolutions without padding, as 8 x 8 digits are, `auto` pads them by half a kernel. `dropout` is that of the hidden layer,
    `map_dropout` one share for all stages or one for each; `norm` stands between each layer but the last and its nonlinearity, a local
    one in the stages alone.
    """

    def __init__(self, inputs: tuple[int, ...], outputs: int, *, filters: tuple[int, ...] = (20, 50), hidden: int = 500, kernel: int = 5,
                 activation: str = "relu", pooling: Literal["max", "average"] = "max", padding: Literal["auto", "valid", "same"] = "auto",
                 dropout: float = 0.0, map_dropout: tuple[float, ...] = (0.0,), input_dropout: float = 0.0, norm: MapNorm = "none",
                 groups: int = 2):
        super().__init__()
        _check(inputs, filters, hidden, kernel)
        shares = map_dropout * len(filters) if len(map_dropout) == 1 else map_dropout
        if len(shares) != len(filters):
            raise InputError(f"lenet expects one map_dropout for all stages or one for each of {len(filters)}; got "
                             f"{'x'.join(map(str, map_dropout))}. Write e.g. map_dropout=0.25.")
        for share in (dropout, *map_dropout, input_dropout):
            check_dropout("lenet", share)
        channels, *sides = inputs
        pad = 0 if padding == "valid" or (padding == "auto" and min(_below(sides, filters, kernel, 0)) >= 1) else kernel // 2
        sides_left = _below(sides, filters, kernel, pad)
        if min(sides_left) < 1:
            least = next(s for s in range(1, 10_000) if min(_below([s], filters, kernel, pad)) >= 1)
            raise InputError(f"lenet with {len(filters)} stages of {kernel} x {kernel} kernels and padding={padding} needs pictures of "
                             f"at least {least} x {least}; got {sides[0]} x {sides[1]}. Use fewer filters, a smaller kernel, or --net mlp.")

        stages: OrderedDict[str, nn.Module] = OrderedDict()
        wider = widening(activation)
        if input_dropout:
            stages["input_dropout"] = nn.Dropout(input_dropout)
        for i, (count, share) in enumerate(zip(filters, shares, strict=True), 1):
            stages[f"conv{i}"] = nn.Conv2d(channels, count * wider, kernel, padding=pad)
            if norm != "none":
                stages[f"norm{i}"] = normalisation("lenet", norm, count * wider, groups, maps=True)
            stages[f"{activation}{i}"] = make_activation(activation)
            stages[f"pool{i}"] = nn.MaxPool2d(2) if pooling == "max" else nn.AvgPool2d(2)
            if share:
                stages[f"dropout{i}"] = nn.Dropout(share)
            channels = count
        self.features = nn.Sequential(stages)
        self.hidden = Dense((channels, *sides_left), hidden * wider)
        self.norm = normalisation("lenet", "none" if norm == "local" else norm, hidden * wider, groups)
        self.activation = make_activation(activation)
        self.dropout = nn.Dropout(dropout) if dropout else nn.Identity()
        self.output = nn.Linear(hidden, outputs)

    def forward(self, x: Tensor) -> Tensor:
        maps = self.features(x)  # (n, filters[-1], h', w')
        scores: Tensor = self.output(self.dropout(self.activation(self.norm(self.hidden(maps)))))
        return scores


def _below(sides: list[int], filters: tuple[int, ...], kernel: int, pad: int) -> list[int]:
    """The height and width that all stages leave of `sides`; below one where they do not fit."""
    for _ in filters:
        sides = [max(side + 2 * pad - kernel + 1, 0) // 2 for side in sides]
    return sides


def _check(inputs: tuple[int, ...], filters: tuple[int, ...], hidden: int, kernel: int) -> None:
    if len(inputs) != 3:
        raise InputError(f"lenet reads pictures (channels, height, width); got inputs of shape {inputs}. Use --net mlp.")
    if not filters or min(*filters, hidden, kernel) < 1:
        raise InputError(f"lenet expects filters, hidden and kernel to be at least 1; got filters={'x'.join(map(str, filters)) or 'none'}, "
                         f"hidden={hidden}, kernel={kernel}.")
