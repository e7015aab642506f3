"""Hessian-free against SGD with momentum on a deep autoencoder of curves, at equal wall time.

The net of Hinton & Salakhutdinov (2006), https://doi.org/10.1126/science.1127647, and the question of Martens (2010),
https://icml.cc/Conferences/2010/papers/458.pdf: 784-400-200-100-50-25-6 and mirrored, logistic units, a linear code, cross-entropy of the
pixels, without pre-training, from his sparse weights. Pictures are made here, of curves through three random control points.
"""

from __future__ import annotations

import time
from itertools import pairwise
from typing import Annotated

import torch
import typer
from torch import Tensor, nn
from torch.nn import functional as F

from chainrule.core.batch import Batch
from chainrule.core.criterion import Supervised
from chainrule.core.loss import Loss
from chainrule.core.net import Net
from chainrule.core.registry import optimizers, rules
from chainrule.core.rule import Rule
from chainrule.job.rule_spec import make_rule

SIDE, EDGE, INK = 28, 3.0, 0.8  # pixels; control points keep EDGE from the border; half the width of a line
SIZES = (784, 400, 200, 100, 50, 25, 6)
TRAIN, TEST = 10_000, 2_000
BATCH = (100,)                  # rows of a step of SGD
INCOMING = 15                   # connections of a unit in sparse initial weights
RATES = (0.001, 0.003, 0.01)
SGD = "momentum:momentum=0.9,rate={rate}"
SOLVER = "hessian-free:damping=10,iterations=100"
ROWS = (500, 1000, 2000)        # of a Hessian-free step, in each third of the time: the nearer to the bottom, the less noise it bears


def curves(n: int, seed: int) -> Tensor:
    """Pictures (n, 784) in [0, 1] of quadratic Bezier curves, each with three control points drawn evenly over the middle of the square."""
    random = torch.Generator().manual_seed(seed)
    points = EDGE + (SIDE - 1 - 2 * EDGE) * torch.rand(n, 3, 2, generator=random)                 # (n, 3, 2)
    t = torch.linspace(0, 1, 48)[:, None]
    blend = torch.cat([(1 - t) ** 2, 2 * t * (1 - t), t**2], 1)                                    # (48, 3)
    pixels = torch.cartesian_prod(torch.arange(SIDE), torch.arange(SIDE)).float()                  # (784, 2)
    drawn = []
    for some in points.split(250):
        far = torch.cdist(pixels.expand(len(some), -1, -1), blend @ some).amin(2)                  # (250, 784)
        drawn.append(torch.exp(-0.5 * (far / INK) ** 2))
    return torch.cat(drawn)


def autoencoder(seed: int) -> nn.Sequential:
    """Encoder and decoder; it puts out log-odds of ink. (n, 784) -> (n, 784)."""
    torch.manual_seed(seed)
    sizes = (*SIZES, *reversed(SIZES[:-1]))
    layers: list[nn.Module] = []
    for i, (reads, out) in enumerate(pairwise(sizes)):
        layer = nn.Linear(reads, out)
        with torch.no_grad():
            layer.bias.zero_()
            picked = torch.rand(out, reads).argsort(1)[:, :INCOMING]
            layer.weight.zero_().scatter_(1, picked, torch.randn(out, picked.shape[1]))
        layers.append(layer)
        if i + 2 not in (len(SIZES), len(sizes)):
            layers.append(nn.Sigmoid())
    return nn.Sequential(*layers)


def pixels() -> Loss:
    """Cross-entropy of every pixel's log-odds, summed over a picture."""
    return Loss("pixels", lambda out, y: F.binary_cross_entropy_with_logits(out, y, reduction="none").sum(1), torch.sigmoid, ("real",))


@torch.no_grad()
def error(net: Net, x: Tensor) -> float:
    """The mean over pictures (n, 784) of the squared distance between picture and reconstruction."""
    return float(torch.cat([(net(rows).sigmoid() - rows).square().sum(1) for rows in x.split(1000)]).mean())


def train(spec: str, seconds: float, x: Tensor, rows: tuple[int, ...], seed: int) -> tuple[Net, int, float, str]:
    """A net trained for so long, as many rows a step as `rows` says for each equal share of the time, its steps, the seconds they took, and
    a line on what a step costs.
    """
    net, chosen = Net.of(autoencoder(seed).to(x.device)), optimizers.choose(spec)
    rule: Rule = make_rule(rules.choose("backprop"), Supervised(pixels()), chosen, None)
    state, begun, steps = rule.init(net), time.perf_counter(), 0
    random, order = torch.Generator().manual_seed(seed), torch.empty(0, dtype=torch.int64)
    evaluations = products = 0.0
    while (spent := time.perf_counter() - begun) < seconds:
        n = rows[min(int(spent / seconds * len(rows)), len(rows) - 1)]
        if len(order) < n:
            order = torch.randperm(len(x), generator=random).to(x.device)
        some, order = x[order[:n]], order[n:]
        net, state, report = rule.step(net, state, Batch(some, some))
        if x.is_cuda:
            torch.cuda.synchronize()
        steps += 1
        if "products" in report:
            evaluations, products = evaluations + float(report["evaluations"]), products + float(report["products"])
            print(f"    {spent:6.0f} s  loss {float(report['loss']):8.3f}  damping {float(report['damping']):.3g}  "
                  f"products {float(report['products']):.0f}  passes {float(report['evaluations']):.0f}", flush=True)
    cost = f"{spent / steps * 1000:.1f} ms a step"
    if products:
        cost += f" ({evaluations / steps:.1f} passes over its rows, {products / steps:.1f} products)"
    return net, steps, spent, cost


def main(seconds: Annotated[float, typer.Option(help="Wall time of each training.")] = 300,
         seed: Annotated[int, typer.Option(help="Of initial weights and batches.")] = 0,
         device: Annotated[str, typer.Option(help="cpu or cuda.")] = "cpu") -> None:
    """A deep autoencoder of curves by Hessian-free steps and by SGD with momentum at several rates, each for as long."""
    x, fresh = curves(TRAIN, 0).to(device), curves(TEST, 1).to(device)
    spread = float((x - x.mean(0)).square().sum(1).mean())
    print(f"{TRAIN:,} curves to learn from, {TEST:,} others; the mean picture is off by {spread:.2f}; {seconds:.0f} s each, "
          f"{torch.get_num_threads()} threads")
    errors: dict[str, float] = {}
    for spec, rows in [(SOLVER, ROWS), *((SGD.format(rate=rate), BATCH) for rate in RATES)]:
        net, steps, spent, cost = train(spec, seconds, x, rows, seed)
        errors[spec] = error(net, x)
        words = " then ".join(map(str, rows))
        print(f"  {spec}, {words} rows a step: squared error {errors[spec]:.3f}, of others {error(net, fresh):.3f}, "
              f"after {steps:,} steps in {spent:.0f} s, {cost}", flush=True)
    solved, best = errors.pop(SOLVER), min(errors.values())
    print(f"hessian-free's squared error is {best / solved:.2f} times below that of the best of {len(errors)} rates (target: 3)")
