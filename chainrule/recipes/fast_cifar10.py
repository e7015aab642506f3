"""CIFAR-10 as fast as it goes here, and what the same steps take in plain torch. Jordan (2024), https://arxiv.org/abs/2404.00498"""

from __future__ import annotations

import time
from collections.abc import Callable
from copy import deepcopy
from dataclasses import replace
from statistics import mean, median, quantiles
from typing import Any

import torch
from torch import nn
from torch.nn import functional as F

from chainrule.core.batch import Batch
from chainrule.core.criterion import Supervised
from chainrule.core.net import Net
from chainrule.core.registry import losses, optimizers, recipes, rules
from chainrule.core.rule import Learner
from chainrule.engine.plans.plan import Plan
from chainrule.engine.randomness import Aside
from chainrule.job.device import pick_device
from chainrule.job.rule_spec import make_rule
from chainrule.recipes.image_recognition import CIFAR10, quick
from chainrule.recipes.outcome import Figure, Outcome, Setting, command, seeds_table, share_right, together, trainings

JORDAN = "Jordan (2024), https://arxiv.org/abs/2404.00498: 94 % in 2.59 s of an A100"
RATE, DECAY, SMOOTHING = 0.2, 0.0005, 0.1
OPTIONS: dict[str, Any] = {**CIFAR10, "optimizer": f"nesterov:rate={RATE},decay={DECAY}", "loss": f"cross-entropy:smoothing={SMOOTHING}",
                           "epochs": 40}
SMALL: dict[str, Any] = {"batch": 50, "net": "convnet:pattern=8-pool,norm=batch,head=average,dense=none"}
ROUNDS, STEPS = 20, 4               # of the comparison with plain torch


@recipes("fast-cifar-10", source=JORDAN)
def fast_cifar10(setting: Setting) -> Outcome:
    """CIFAR-10 in forty epochs, to 94 % within an hour of two cores if it may be, and its step beside that of plain torch.

    Both take the same steps, forward, backward and Nesterov momentum, from the same weights over the same batches, in turns: ours by the
    plan and the precision that the training chose, torch's in single precision, eager, with channels last. Altering pictures is left
    out on both sides. The ratio is the median of all rounds with their quartiles.
    """
    options, judged = quick(OPTIONS), not setting.short
    done = trainings(setting, "cifar10", options, small=SMALL)
    ends, run = together(done), done[0].run
    minutes, plan = mean(one.seconds for one in done) / 60, run.summary()["plan"]["name"]
    on_gpu = pick_device("auto").type == "cuda"
    batch = min(int(run.options.batch or 0), len(run.job.data.train))
    ours, theirs = _sides(run.net, run.job.data.input_shape, len(run.job.data.classes), batch, plan)
    turns = [(ours(), theirs()) for _ in range(3 if setting.short else ROUNDS)][1:]
    ratios = [b / a for a, b in turns]
    low, _, high = quantiles(ratios, n=4)
    seconds = [median(side) for side in zip(*turns, strict=True)]
    rows = [*seeds_table({"cifar10": done}), ["", "", "", "", "", ""],
            ["step", "ours, ms", "torch, ms", "torch / ours", "quartiles", "plan"],
            ["", f"{1e3 * seconds[0]:.3g}", f"{1e3 * seconds[1]:.3g}", f"{median(ratios):.2f}", f"{low:.2f} to {high:.2f}", plan]]
    return Outcome([
        Figure("test accuracy % on CIFAR-10", 100 * mean(map(share_right, done)), 100 * ends.low, 100 * ends.high, 94.0,
               f"{JORDAN}; asked of an hour of this machine, whose pictures went through JPEG once", "at least" if judged else "none"),
        Figure("minutes of training", minutes, published=2.59 / 60 if on_gpu else 60, source=JORDAN if on_gpu else "asked of two cores",
               goal="at most" if judged and not on_gpu else "none"),
        Figure("time of a step of eager torch with channels last over ours", median(ratios), low, high)],
        rows, [command("cifar10", options)])


Side = Callable[[], float]


def _sides(module: nn.Module, shape: tuple[int, ...], classes: int, batch: int, plan: str) -> tuple[Side, Side]:
    """What takes some steps by our plan, and by plain torch, each on a copy of the module; both return the seconds that a step took."""
    device, name = next(module.parameters()).device, OPTIONS["optimizer"]
    with Aside(0, device):
        batches = Batch(torch.rand(STEPS, batch, *shape, device=device), torch.randint(classes, (STEPS, batch), device=device))
    mine, plain = deepcopy(module), deepcopy(module)
    with torch.no_grad():
        for p in plain.parameters():
            if p.dim() == 4:
                p.data = p.contiguous(memory_format=torch.channels_last)
    net = Net.of(mine.train())
    rule = make_rule(rules.choose("backprop"), Supervised(losses.choose(OPTIONS["loss"]).make()), optimizers.choose(name), None)
    learner = Learner(net, rule.init(net))
    threads = torch.get_num_threads()
    advance = replace(Plan.parse(plan), threads=threads).build(rule, learner, batches)
    optimizer = torch.optim.SGD(plain.train().parameters(), lr=RATE, momentum=0.9, nesterov=True, weight_decay=DECAY)

    def done() -> None:
        if device.type == "cuda":
            torch.cuda.synchronize()

    def ours() -> float:
        nonlocal learner
        began = time.perf_counter()
        learner, _ = advance(learner, batches)
        done()
        return (time.perf_counter() - began) / STEPS

    def theirs() -> float:
        torch.set_num_threads(threads)
        began = time.perf_counter()
        for x, y in zip(batches.x, batches.y, strict=True):
            optimizer.zero_grad()
            F.cross_entropy(plain(x.contiguous(memory_format=torch.channels_last)), y, label_smoothing=SMOOTHING).backward()
            optimizer.step()
        done()
        return (time.perf_counter() - began) / STEPS

    return ours, theirs
