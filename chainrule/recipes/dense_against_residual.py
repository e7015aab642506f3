"""Parameters and multiply-adds of dense and residual nets. Huang et al. (2017), https://arxiv.org/abs/1608.06993, figure 4"""

from __future__ import annotations

import torch

from chainrule.core.registry import nets, recipes
from chainrule.observe.layers import layers
from chainrule.recipes.outcome import Figure, Outcome, Setting

HUANG = "Huang et al. (2017), https://arxiv.org/abs/1608.06993, section 4.4 and figure 4"
PICTURE, CLASSES = (3, 224, 224), 1000
DENSE, RESIDUAL, SHALLOWER = "densenet:depth=201", "resnet:depth=101", "resnet:depth=50"


def totals(spec: str) -> tuple[int, int]:
    """The parameters and the multiply-adds for one picture of 224 x 224, without memory for either."""
    with torch.device("meta"):
        rows = layers(nets.choose(spec).make(PICTURE, CLASSES), PICTURE)
    return sum(row.parameters for row in rows), sum(row.multiply_adds for row in rows)


@recipes("dense-against-residual", source=HUANG)
def dense_against_residual(setting: Setting) -> Outcome:
    """DenseNet-201 beside ResNet-101, whose published errors on ImageNet are alike: half the parameters, and half the multiply-adds."""
    counts = {spec: totals(spec) for spec in (DENSE, RESIDUAL, SHALLOWER)}
    (parameters, products), (residual_parameters, residual_products) = counts[DENSE], counts[RESIDUAL]
    return Outcome([
        Figure("parameters of DenseNet-201 over those of ResNet-101", parameters / residual_parameters, published=0.5, goal="at most",
               source=f"{HUANG}: 20 million for more than 40 million at a similar error"),
        Figure("millions of parameters of DenseNet-201", parameters / 1e6, published=20, goal="about", within=0.5),
        Figure("millions of parameters of ResNet-101", residual_parameters / 1e6, published=40, goal="at least"),
        Figure("multiply-adds of DenseNet-201 over those of ResNet-101", products / residual_products, published=0.5, goal="about",
               within=0.1, source=f"{HUANG}: on par with a ResNet-101 that asks for twice the computation"),
        Figure("multiply-adds of DenseNet-201 over those of ResNet-50", products / counts[SHALLOWER][1], published=1, goal="about",
               within=0.15, source=f"{HUANG}: as much computation as a ResNet-50"),
    ], [["net", "parameters", "multiply-adds"], *([spec, f"{a:,}", f"{b:,}"] for spec, (a, b) in counts.items())])
