"""Convolutional nets built without memory for their numbers, and their parameters counted beside the published counts."""

from __future__ import annotations

from dataclasses import replace
from typing import NamedTuple

import torch

from chainrule.core.registry import nets, recipes
from chainrule.recipes.outcome import Figure, Outcome, Setting

LECUN = "LeCun, Bottou, Bengio & Haffner (1998), https://doi.org/10.1109/5.726791, section II.B"
CAFFE = "the authors' layers as in Caffe, Krizhevsky, Sutskever & Hinton (2012), https://doi.org/10.1145/3065386: 60 million"
SIMONYAN = "Simonyan & Zisserman (2015), https://arxiv.org/abs/1409.1556, table 2: 138 and 144 million"
ROMERO = "Romero et al. (2015), https://arxiv.org/abs/1412.6550, table 1"
SZEGEDY = "Szegedy et al. (2015), https://arxiv.org/abs/1409.4842"
RETHINKING = "Szegedy et al. (2016), https://arxiv.org/abs/1512.00567"
HE = "He et al. (2016), https://arxiv.org/abs/1512.03385"
MAPPINGS = "He et al. (2016), https://arxiv.org/abs/1603.05027"
ZAGORUYKO = "Zagoruyko & Komodakis (2016), https://arxiv.org/abs/1605.07146"
LARSSON = "Larsson, Maire & Shakhnarovich (2017), https://arxiv.org/abs/1605.07648"
SRIVASTAVA = "Srivastava, Greff & Schmidhuber (2015), https://arxiv.org/abs/1507.06228, table 1"
HUANG = "Huang et al. (2017), https://arxiv.org/abs/1608.06993"
SABOUR = "Sabour, Frosst & Hinton (2017), https://arxiv.org/abs/1710.09829"

Pictures = tuple[tuple[int, int, int], int]
LETTERS, SMALL, LARGE, LARGER = ((1, 28, 28), 10), ((3, 32, 32), 10), ((3, 224, 224), 1000), ((3, 299, 299), 1000)
DENSE_BC = "bottleneck=yes,compression=0.5"


class Published(NamedTuple):
    """A net's name, its pictures and classes, and its published parameters, where `digits` are given in millions to so many of them."""

    spec: str
    pictures: Pictures
    parameters: float
    source: str
    digits: int | None = None        # after the point, of a count in millions; None where all figures are given
    tolerance: float = 0.0           # as a share, where layers that a paper leaves open are ours


CLASSICAL = (
    Published("lenet5:output=rbf", LETTERS, 60_000, LECUN),
    Published("alexnet", LARGE, 60_965_224, CAFFE),
    Published("vgg:depth=16", LARGE, 138_357_544, SIMONYAN), Published("vgg:depth=19", LARGE, 143_667_240, SIMONYAN),
    Published("fitnet:form=1", SMALL, 0.25, ROMERO, 2, 0.02), Published("fitnet:form=4", SMALL, 2.5, ROMERO, 1, 0.02),
)
INCEPTION = (
    Published("googlenet:norm=batch,kernel=3", LARGE, 13.0, SZEGEDY + ", as commonly reimplemented: 3 x 3 kernels, normalised", 1),
    Published("googlenet:norm=batch,kernel=3,auxiliary=no", LARGE, 6.6, SZEGEDY + ", the same", 1),
    Published("inception-v3", LARGER, 27.2, RETHINKING + ", with the auxiliary head", 1),
)
RESIDUAL = (
    *(Published(f"resnet:depth={depth}", SMALL, count, HE + ", table 6", digits)
      for depth, count, digits in ((20, 0.27, 2), (32, 0.46, 2), (44, 0.66, 2), (56, 0.85, 2), (110, 1.7, 1))),
    Published("resnet:depth=18", LARGE, 11.69, HE, 2), Published("resnet:depth=50", LARGE, 25.56, HE, 2),
    Published("resnet:depth=152", LARGE, 60.19, HE, 2),
    Published("resnet:depth=164,form=v2", SMALL, 1.7, MAPPINGS, 1),
    Published("resnet:depth=16,width=8,form=v2", SMALL, 11.0, ZAGORUYKO, 1),
    Published("resnet:depth=28,width=10,form=v2", SMALL, 36.5, ZAGORUYKO, 1),
)
RESIDUAL_DEEP = (                    # seconds to build
    Published("resnet:depth=1202", SMALL, 19.4, HE + ", table 6", 1),
    Published("resnet:depth=1001,form=v2", SMALL, 10.2, MAPPINGS, 1, 0.02),
)
HUNDRED = ((3, 32, 32), 100)
FRACTAL = (
    Published("fractalnet:columns=3", SMALL, 38.6, LARSSON + ", table 1", 1),
    *(Published(f"fractalnet:columns={columns},maps=16x32x64x128x128", HUNDRED, count, LARSSON + ", table 3", 1)
      for columns, count in ((1, 0.3), (2, 0.8), (3, 2.1), (4, 4.8), (5, 10.2), (6, 21.1))),
)
DENSE = (
    Published("densenet:depth=40", SMALL, 1.0, HUANG + ", table 2", 1), Published("densenet:depth=100", SMALL, 7.0, HUANG, 1),
    Published("densenet:depth=100,growth=24", SMALL, 27.2, HUANG, 1),
    Published(f"densenet:depth=100,growth=12,{DENSE_BC}", SMALL, 0.8, HUANG, 1),
    Published("densenet:depth=121", LARGE, 7.98, HUANG, 2),
    Published("highway:depth=19", SMALL, 2.3, SRIVASTAVA, 1), Published("highway:depth=32", SMALL, 1.25, SRIVASTAVA, 2),
)
DENSE_DEEP = (
    Published(f"densenet:depth=250,growth=24,{DENSE_BC}", SMALL, 15.3, HUANG, 1),
    Published(f"densenet:depth=190,growth=40,{DENSE_BC}", SMALL, 25.6, HUANG, 1),
)
CAPSULE = (Published("capsnet", LETTERS, 8.2, SABOUR, 1), Published("capsnet:reconstruction=no", LETTERS, 6.8, SABOUR, 1))


def parameters(spec: str, shape: tuple[int, ...], outputs: int) -> int:
    """How many numbers a net of this name learns."""
    with torch.device("meta"):
        return sum(p.numel() for p in nets.choose(spec).make(shape, outputs).parameters())


def _counted(published: tuple[Published, ...]) -> Outcome:
    """Every net built and counted; reached where the count, rounded as it is printed, is the published one."""
    rows, figures = [["net", "pictures", "published", "ours"]], list[Figure]()
    for one in published:
        count, asked = parameters(one.spec, *one.pictures), one.parameters
        unit, words = (1, "parameters") if one.digits is None else (1_000_000, "millions of parameters")
        rounding = 0.0 if one.digits is None else 0.5 * 10**-one.digits
        figures.append(Figure(f"{words} of {one.spec}", count / unit, published=asked, source=one.source, goal="about",
                              within=max(rounding, one.tolerance * asked)))
        printed = f"{asked:,.0f}" if one.digits is None else f"{asked:.{one.digits}f} M"
        rows.append([one.spec, " x ".join(map(str, one.pictures[0])), printed, f"{count:,}"])
    return Outcome(figures, rows)


@recipes("classical-counts", source=f"{LECUN}; {SIMONYAN}; {ROMERO}")
def classical(setting: Setting) -> Outcome:
    """LeNet-5 with its connection table, AlexNet, VGG and FitNet."""
    return _counted(CLASSICAL)


@recipes("inception-counts", source=f"{SZEGEDY}; {RETHINKING}")
def inception(setting: Setting) -> Outcome:
    """GoogLeNet with and without its auxiliary heads, and Inception-v3."""
    return _counted(INCEPTION)


@recipes("residual-counts", source=f"{HE}; {MAPPINGS}; {ZAGORUYKO}")
def residual(setting: Setting) -> Outcome:
    """Residual nets for small and large pictures, with pre-activation, and wide ones; in the full form those of a thousand layers."""
    return _counted(RESIDUAL if setting.short else RESIDUAL + RESIDUAL_DEEP)


@recipes("fractal-counts", source=LARSSON)
def fractal(setting: Setting) -> Outcome:
    """FractalNet of twenty layers beside the count of table 1, and narrower ones of 5 to 160 layers beside those of table 3."""
    outcome = _counted(FRACTAL)
    return replace(outcome, notes=["The five blocks of three columns that the paper describes, and its authors' generator writes, have "
                                   "fewer parameters than table 1 lists, and as many as table 3 does at a quarter of the width: see "
                                   "docs/results.md."])


@recipes("dense-counts", source=f"{HUANG}; {SRIVASTAVA}")
def dense(setting: Setting) -> Outcome:
    """DenseNet with and without bottlenecks, and highway nets; in the full form the deepest."""
    return _counted(DENSE if setting.short else DENSE + DENSE_DEEP)


@recipes("capsule-counts", source=SABOUR)
def capsule(setting: Setting) -> Outcome:
    """The capsule net with its reconstruction part and without."""
    return _counted(CAPSULE)
