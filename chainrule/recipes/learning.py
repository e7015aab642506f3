"""Small certainties of multi-layer learning: parameters counted, schedules tabled, batch normalisation undone, two answers combined."""

from __future__ import annotations

import math

import torch

from chainrule.core.registry import nets, recipes, schedules
from chainrule.evaluate.combination import combine
from chainrule.nets.layers.normalisation import BatchNorm
from chainrule.recipes.outcome import Figure, Outcome, Setting

SHARES = (0.0, 0.25, 0.5, 0.75, 1.0)
RISE, START, FINAL = 0.3, 0.04, 4e-6     # of one-cycle, as in its paper


def _glide(low: float, high: float, share: float) -> float:
    return high + (low - high) * (1 + math.cos(math.pi * share)) / 2


TABLE = {  # the factors at the shares above, by their formulas
    "step": (1, 1, 0.1, 0.01, 0.01),
    "exponential:final=0.01": tuple(0.01**s for s in SHARES),
    "cosine": tuple((1 + math.cos(math.pi * s)) / 2 for s in SHARES),
    "one-cycle": tuple(_glide(START, 1, s / RISE) if s < RISE else _glide(1, FINAL, (s - RISE) / (1 - RISE)) for s in SHARES),
    "warm-up:rise=0.5,start=0.2": (0.2, 0.6, 1, 1, 1),
}


@recipes("parameter-counts", source="Nielsen (2015), http://neuralnetworksanddeeplearning.com/chap1.html; lecture")
def parameter_counts(setting: Setting) -> Outcome:
    """Parameters of multi-layer perceptrons, counted in the built nets."""
    rows, figures = [["net", "inputs", "outputs", "parameters"]], list[Figure]()
    for spec, inputs, outputs, published in (("mlp:hidden=30", 784, 10, 23_860), ("mlp:hidden=100", 784, 10, 79_510),
                                             ("mlp:hidden=6x2", 256, 1, 1_559), ("mlp:hidden=50x10x50", 100, 100, 11_210)):
        count = sum(p.numel() for p in nets.choose(spec).make((inputs,), outputs).parameters())
        rows.append([spec, str(inputs), str(outputs), f"{count:,}"])
        figures.append(Figure(f"parameters of {spec} on {inputs} inputs", count, published=published, goal="about",
                              source="Nielsen (2015); lecture" if not figures else ""))
    return Outcome(figures, rows)


@recipes("schedule-table", source="Loshchilov & Hutter (2016), https://arxiv.org/abs/1608.03983; Smith & Topin (2017), https://arxiv.org/abs/1708.07120")
def schedule_table(setting: Setting) -> Outcome:
    """Factors of the rate at the start, the quarters and the end, against their formulas."""
    rows, worst = [["schedule", *(f"{s:g}" for s in SHARES)]], 0.0
    for spec, published in TABLE.items():
        schedule = schedules.choose(spec).make()
        factors = [float(schedule(torch.tensor(share, dtype=torch.float64))) for share in SHARES]
        worst = max(worst, *(abs(a - b) for a, b in zip(factors, published, strict=True)))
        rows.append([spec, *(f"{f:.6g}" for f in factors)])
    return Outcome([Figure("greatest difference of a factor", worst, published=0, goal="about", within=1e-6,
                           source="Loshchilov & Hutter (2016); Smith & Topin (2017)")], rows)


@recipes("batch-norm-identity", source="Ioffe & Szegedy (2015), https://arxiv.org/abs/1502.03167, section 3")
def batch_norm_identity(setting: Setting) -> Outcome:
    """Batch normalisation whose gamma is the standard deviation and whose beta is the mean gives back what it was given."""
    torch.manual_seed(0)
    worst = 0.0
    for shape in ((50, 6), (7, 6, 4, 5)):
        x = 3 * torch.randn(shape, dtype=torch.float64) + torch.arange(6.0).reshape(6, *[1] * (len(shape) - 2))
        axes = [axis for axis in range(x.dim()) if axis != 1]
        norm = BatchNorm(6, eps=1e-14).double()
        with torch.no_grad():
            norm.weight.copy_(x.std(axes, unbiased=False))
            norm.bias.copy_(x.mean(axes))
            worst = max(worst, float((norm(x) - x).abs().max()))
    return Outcome([Figure("greatest difference from the input", worst, published=0, goal="about", within=1e-12,
                           source="Ioffe & Szegedy (2015), section 3: the identity can be represented")])


@recipes("combination", source="lecture; Hinton (2002), https://doi.org/10.1162/089976602760128018")
def combination(setting: Setting) -> Outcome:
    """Two nets that say (.3 .2 .5) and (.1 .8 .1): their mixture, and their product by the geometric mean."""
    answers = torch.tensor([[[0.3, 0.2, 0.5]], [[0.1, 0.8, 0.1]]], dtype=torch.float64)      # (members, 1, classes)
    roots = [math.sqrt(p) for p in (0.03, 0.16, 0.05)]
    expected = {"mean": (0.2, 0.5, 0.3), "product": tuple(r / sum(roots) for r in roots)}
    rows, figures = [["by", "first", "second", "third"]], []
    for by, published in expected.items():
        shares = combine(answers, by)[0]
        rows.append([by, *(f"{p:.6f}" for p in shares.tolist())])
        apart = float((shares - torch.tensor(published, dtype=torch.float64)).abs().max())
        figures.append(Figure(f"greatest difference, {by}", apart, published=0, goal="about", within=1e-12, source="lecture"))
    return Outcome(figures, rows)
