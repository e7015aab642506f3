"""A deep autoencoder of curves: by Hessian-free steps and by descent for as long, from sparse weights, and from machines.

Martens (2010), https://icml.cc/Conferences/2010/papers/458.pdf; Hinton & Salakhutdinov (2006), https://doi.org/10.1126/science.1127647
"""

from __future__ import annotations

import time
from collections.abc import Callable
from itertools import pairwise
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional as F

import chainrule
from chainrule.core.batch import Batch
from chainrule.core.criterion import Supervised
from chainrule.core.loss import Loss
from chainrule.core.net import Net
from chainrule.core.registry import optimizers, recipes, rules
from chainrule.core.rule import Rule
from chainrule.data.synthetic.curves import drawn
from chainrule.job.rule_spec import make_rule
from chainrule.recipes.outcome import Figure, Outcome, Setting, command

MARTENS = "Martens (2010), https://icml.cc/Conferences/2010/papers/458.pdf"
SCIENCE = "Hinton & Salakhutdinov (2006), https://doi.org/10.1126/science.1127647, figure 2A"
SIZES, SMALL_SIZES = (784, 400, 200, 100, 50, 25, 6), (784, 40, 20, 6)
COUNT, SMALL_COUNT = 20_000, 200   # curves to learn from; a half as many others to test on
SECONDS, SHORT_SECONDS = 900.0, 1.0
BATCH = (100,)                     # rows of a step of descent
ROWS = (500, 1000, 2000)           # of a Hessian-free step, in each third of the time: the nearer to the bottom, the less noise it bears
INCOMING = 15                      # connections of a unit in sparse initial weights
SGD, RATE = "momentum:momentum=0.9,rate={rate}", 0.003
SOLVER = "hessian-free:damping=10,iterations=100"
NET, SMALL_NET = "autoencoder:hidden=400x200x100x50x25,code=6", "autoencoder:hidden=40x20,code=6"
GUIDE = "momentum:rate=0.1,initial=0.5,momentum=0.9,until=1000"
MACHINES: dict[str, Any] = {"loss": "binary-cross-entropy", "stages": "divergence", "stage_optimizer": GUIDE, "stage_epochs": 20,
                            "batch": 100, "optimizer": "adam:rate=0.001", "schedule": "cosine", "epochs": 60}


@recipes("curves", source=f"{MARTENS}; {SCIENCE}")
def curves(setting: Setting) -> Outcome:
    """784-400-200-100-50-25-6 and back, of logistic units: a quarter of an hour of Hessian-free steps, as long of descent, and machines.

    Curves go through three points, so that six numbers can say all; they are drawn here, by another pen than the published ones.
    """
    count, seconds, sizes = (SMALL_COUNT, SHORT_SECONDS, SMALL_SIZES) if setting.short else (COUNT, SECONDS, SIZES)
    x, fresh = drawn(count, 0), drawn(count // 2, 1)
    rows, errors = [["learned by", "squared error a picture", "of others", "steps"]], dict[str, float]()
    for name, spec, batch in (("Hessian-free", SOLVER, (50,) if setting.short else ROWS), ("descent", SGD.format(rate=RATE), BATCH)):
        setting.say(name)
        net, steps, _, _ = learned(spec, seconds, x, batch, 0, widths=sizes, say=lambda _: None)
        errors[name] = error(net, x)
        rows.append([name, f"{errors[name]:.3f}", f"{error(net, fresh):.3f}", f"{steps:,}"])
    setting.say("machines")
    few = {"stage_epochs": 2, "epochs": 2, "batch": 20} if setting.short else {}
    data = f"curves:count={count * 3 // 2}"
    options = {"net": SMALL_NET if setting.short else NET, **MACHINES}
    run = chainrule.train(data, **{**options, **few}, out=setting.out / "machines", progress=False)
    measure = run.test().measures["squared_error"]
    rows.append(["machines", "", f"{measure.value:.3f}", ""])
    return Outcome([
        Figure("squared error after descent over that after Hessian-free steps for as long", errors["descent"] / errors["Hessian-free"],
               source=MARTENS),
        Figure("squared error a picture, from machines", measure.value, measure.low, measure.high, 1.44, SCIENCE)],
        rows, [command(data, options)])


def autoencoder(seed: int, widths: tuple[int, ...] = SIZES) -> nn.Sequential:
    """Encoder and decoder; it puts out log-odds of ink. (n, 784) -> (n, 784)."""
    torch.manual_seed(seed)
    sizes = (*widths, *reversed(widths[:-1]))
    layers: list[nn.Module] = []
    for i, (reads, out) in enumerate(pairwise(sizes)):
        layer = nn.Linear(reads, out)
        with torch.no_grad():
            layer.bias.zero_()
            picked = torch.rand(out, reads).argsort(1)[:, :INCOMING]
            layer.weight.zero_().scatter_(1, picked, torch.randn(out, picked.shape[1]))
        layers.append(layer)
        if i + 2 not in (len(widths), len(sizes)):
            layers.append(nn.Sigmoid())
    return nn.Sequential(*layers)


def pixels() -> Loss:
    """Cross-entropy of every pixel's log-odds, summed over a picture."""
    return Loss("pixels", lambda out, y: F.binary_cross_entropy_with_logits(out, y, reduction="none").sum(1), torch.sigmoid, ("real",))


@torch.no_grad()
def error(net: Net, x: Tensor) -> float:
    """The mean over pictures (n, 784) of the squared distance between picture and reconstruction."""
    return float(torch.cat([(net(rows).sigmoid() - rows).square().sum(1) for rows in x.split(1000)]).mean())


def learned(spec: str, seconds: float, x: Tensor, rows: tuple[int, ...], seed: int, *, widths: tuple[int, ...] = SIZES,
            say: Callable[[str], None] = print) -> tuple[Net, int, float, str]:
    """A net trained for so long, as many rows a step as `rows` says for each equal share of the time, its steps, the seconds they took, and
    a line on what a step costs.
    """
    net, chosen = Net.of(autoencoder(seed, widths).to(x.device)), optimizers.choose(spec)
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
            say(f"    {spent:6.0f} s  loss {float(report['loss']):8.3f}  damping {float(report['damping']):.3g}  "
                f"products {float(report['products']):.0f}  passes {float(report['evaluations']):.0f}")
    cost = f"{spent / steps * 1000:.1f} ms a step"
    if products:
        cost += f" ({evaluations / steps:.1f} passes over its rows, {products / steps:.1f} products)"
    return net, steps, spent, cost
