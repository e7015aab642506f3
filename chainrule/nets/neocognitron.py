"""The neocognitron: Fukushima (1980), https://doi.org/10.1007/BF00344251"""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from chainrule.core.abilities.nets import Competition
from chainrule.core.errors import InputError
from chainrule.core.registry import nets
from chainrule.nets.layers.convolution import check_picture
from chainrule.nets.layers.dense import Dense

FALL = {"simple": 0.9, "complex": 0.8}   # of the fixed weights, for each place further from the middle
SATURATION = 0.5                         # alpha: what a C-cell's input is compared with
INITIAL = 0.01                           # of the excitatory weights, drawn evenly from 0 to this, beside the fixed ones
LEAST = 1e-12                            # keeps the slope of a root finite where nothing is seen


def falling(kernel: int, fall: float) -> Tensor:
    """Weights that fall with the distance from the middle, (kernel, kernel), 1 in the middle."""
    at = torch.arange(kernel) - (kernel - 1) / 2
    return fall ** (at[:, None].square() + at[None, :].square()).sqrt()


class SimpleCells(nn.Module):
    """S-cells answer to a pattern in their place: (n, inputs, h, w) -> (n, planes, h, w), not negative.

    Excitation by the pattern against inhibition by all that is there, equation (1) and (3): above zero where the two are alike enough,
    by as much as `selectivity` asks. A plane's cells share their weights, so that it finds its pattern anywhere.
    """

    weighting: Tensor

    def __init__(self, inputs: int, planes: int, kernel: int, selectivity: float):
        super().__init__()
        self.kernel, self.selectivity = kernel, selectivity
        fixed = falling(kernel, FALL["simple"])
        self.register_buffer("weighting", fixed / (inputs * fixed.sum()))                                # c, sums to 1 over all planes
        self.weight = nn.Parameter(INITIAL * torch.rand(planes, inputs, kernel, kernel) * self.weighting)     # a
        self.inhibition = nn.Parameter(torch.zeros(planes))                                              # b

    def surroundings(self, x: Tensor) -> Tensor:
        """The root of the weighted mean square of what each place sees, (n, 1, h, w): the inhibitory cells."""
        squares = x.square().sum(1, keepdim=True)
        return (F.conv2d(squares, self.weighting[None, None], padding=self.kernel // 2) + LEAST).sqrt()

    def forward(self, x: Tensor) -> Tensor:
        r = self.selectivity
        excitation = F.conv2d(x, self.weight, padding=self.kernel // 2)
        inhibition = 2 * r / (1 + r) * self.inhibition.clamp(min=0)[:, None, None] * self.surroundings(x)
        return r * (excitation - inhibition).relu() / (1 + inhibition)    # (1 + e) / (1 + h) - 1, without the loss of digits


class ComplexCells(nn.Module):
    """C-cells answer where an S-cell of their plane answers nearby: (n, planes, h, w) -> (n, planes, h / 2, w / 2), from 0 to 1.

    So that a pattern may move a little. Planes hold each other back by their mean, equations (4) to (6). A single row or column is not
    halved.
    """

    nearby: Tensor

    def __init__(self, kernel: int, stride: tuple[int, int]):
        super().__init__()
        self.kernel, self.stride = kernel, stride
        self.register_buffer("nearby", falling(kernel, FALL["complex"]))                                 # d

    def forward(self, x: Tensor) -> Tensor:
        planes = x.shape[1]
        excitation = F.conv2d(x, self.nearby.expand(planes, 1, self.kernel, self.kernel), stride=self.stride, padding=self.kernel // 2,
                              groups=planes)
        held_back = excitation.mean(1, keepdim=True)
        answer = (excitation - held_back).relu() / (1 + held_back)
        return answer / (SATURATION + answer)


@nets("neocognitron", source="Fukushima (1980), https://doi.org/10.1007/BF00344251", rule="winner-take-all")
class Neocognitron(nn.Module):
    """Layers of S-cells, which find patterns, and C-cells, which let them move, and a readout: (n, c, h, w) -> (n, outputs).

    `planes` has the number of cell planes of each pair of layers, `selectivity` how alike a pattern must be to be answered, one for all or
    one for each; `kernel` is what an S-cell sees, `spread` what a C-cell does. It is made for inputs that are not negative. Raises
    InputError for sizes that are none.
    """

    def __init__(self, inputs: tuple[int, ...], outputs: int, *, planes: tuple[int, ...] = (24, 64, 128),
                 selectivity: tuple[float, ...] = (4.0, 2.0, 1.5), kernel: int = 3, spread: int = 3):
        super().__init__()
        channels, *sides = check_picture("neocognitron", inputs)
        each = selectivity * len(planes) if len(selectivity) == 1 else selectivity[: len(planes)]
        odd = all(size > 0 and size % 2 for size in (kernel, spread))
        if not planes or min(planes) < 1 or len(each) != len(planes) or min(each) <= 0 or not odd:
            raise InputError("neocognitron expects planes of at least 1, a selectivity above 0 for each, and an odd kernel and spread; got "
                             f"planes={'x'.join(map(str, planes)) or 'none'}, selectivity={'x'.join(map(str, selectivity)) or 'none'}, "
                             f"kernel={kernel}, spread={spread}. Write e.g. neocognitron:planes=24x64x128,selectivity=4x2x1.5.")
        self.simple, self.complex = nn.ModuleList(), nn.ModuleList()
        for count, r in zip(planes, each, strict=True):
            self.simple.append(SimpleCells(channels, count, kernel, r))
            self.complex.append(ComplexCells(spread, (2 if sides[0] > 1 else 1, 2 if sides[1] > 1 else 1)))
            channels, sides = count, [-(-side // 2) for side in sides]
        self.output = Dense((channels, *sides), outputs)

    def forward(self, x: Tensor) -> Tensor:
        for simple, complex_ in zip(self.simple, self.complex, strict=True):
            x = complex_(simple(x))
        scores: Tensor = self.output(x)
        return scores

    def competitions(self, x: Tensor) -> list[Competition]:
        """What the S-cells of each layer see and answer."""
        layers = []
        for number, (simple, complex_) in enumerate(zip(self.simple, self.complex, strict=True)):
            assert isinstance(simple, SimpleCells)
            answers, surroundings = simple(x), simple.surroundings(x).flatten(1)
            patches = F.unfold(x, simple.kernel, padding=simple.kernel // 2)                             # (n, inputs * kernel^2, h * w)
            weighting = simple.weighting.expand(x.shape[1], -1, -1).flatten()                            # (inputs * kernel^2,)
            layers.append(Competition(answers, patches, surroundings, weighting, f"simple.{number}.weight", f"simple.{number}.inhibition"))
            x = complex_(answers)
        return layers
