"""A reservoir that is never trained: how well its readout follows a system of order ten, and how far back it remembers.

Jaeger (2003), NIPS 15:593; Jaeger (2002), Short term memory in echo state networks, GMD report 152
"""

from __future__ import annotations

from statistics import mean
from typing import Any

import torch
from torch import Tensor

import chainrule
from chainrule.core.batch import Batch
from chainrule.core.files import write_file
from chainrule.core.net import Net
from chainrule.core.registry import recipes
from chainrule.nets.esn import EchoState
from chainrule.plots.figure import to_png
from chainrule.plots.through_time import memory_by_delay
from chainrule.recipes.outcome import Figure, Outcome, Setting, command
from chainrule.rules.ridge_readout import RidgeReadout

SOURCE = "Jaeger (2003), NIPS 15:593; Rodan & Tino (2011), https://doi.org/10.1109/TNN.2010.2089641"
MEMORY = "Jaeger (2002), Short term memory in echo state networks, GMD report 152"
DATA, SHORT_DATA = "narma10:count=6000,lags=60", "narma10:count=800,lags=30"
OPTIONS: dict[str, Any] = {"net": "esn:units=400", "split": "train=.6,valid=.1,test=.3"}
DELAYS, LAGS, STEPS = 250, 600, 4000       # asked for, read before each answer, and answered in training
TESTED = 1000
UNITS = 600        # of the reservoir that is asked what it remembers


@recipes("echo-state", source=SOURCE)
def echo_state(setting: Setting) -> Outcome:
    """The normalised error of 400 units on NARMA-10, and how many steps back a reservoir of 600 still knows what it was driven by.

    The error is the root of the mean squared error over the variance of what is asked, on the test part, the mean over seeds. A delay
    counts as remembered where the readout's r2 for it is a half or more, on inputs that it never saw.
    """
    data, options = (SHORT_DATA, {**OPTIONS, "net": "esn:units=100"}) if setting.short else (DATA, OPTIONS)
    errors, rows = [], [["seed", "normalised error", "seconds"]]
    for seed in range(1 if setting.short else setting.seeds):
        setting.say(f"NARMA-10, seed {seed}")
        run = chainrule.train(data, **options, seed=seed, out=setting.out / f"narma-{seed}", progress=False)
        errors.append((1 - run.test().measures["r2"].value) ** 0.5)
        rows.append([str(seed), f"{errors[-1]:.4f}", f"{run.summary()['seconds']['training']:.1f}"])
    setting.say("memory")
    shares = remembered(100 if setting.short else UNITS, steps=1000 if setting.short else STEPS)
    beyond = (shares < 0.5).nonzero()[:, 0]
    delay = int(beyond[0]) if len(beyond) else len(shares)
    picture = setting.out / "memory.png"
    write_file(picture, to_png(memory_by_delay(shares)))
    return Outcome([
        Figure("normalised error on NARMA-10, 400 units" if not setting.short else "normalised error on NARMA-10, 100 units",
               mean(errors), min(errors), max(errors), published=0.2, source=SOURCE, goal="none" if setting.short else "at most"),
        Figure(f"steps back that {100 if setting.short else UNITS} units remember with an r2 of a half or more", delay, published=100,
               source=MEMORY, goal="none" if setting.short else "at least"),
        Figure("memory capacity, the sum of r2 over all delays", float(shares.sum())),
    ], rows, [command(data, options) + "; the interval is the range over seeds"], [picture])


def remembered(units: int, *, steps: int, seed: int = 0) -> Tensor:
    """The r2 (delays,) with which a linear readout tells what drove a reservoir so many steps ago, 0 first; in float64."""
    torch.manual_seed(seed)
    net = Net.of(EchoState((LAGS, 1), DELAYS, units=units, radius=0.98, drive=0.01, bias=0.0, ridge=1e-14, answer="last").double())
    rule = RidgeReadout(carry=True)
    x, y = delayed(steps)
    net, _, _ = rule.step(net, rule.init(net), Batch(x, y))
    x, y = delayed(TESTED)
    with torch.no_grad():
        away = torch.cat([net(rows) - wanted for rows, wanted in zip(x.split(250), y.split(250), strict=True)])
    shares: Tensor = 1 - away.square().mean(0) / y.var(0, correction=0)
    return shares.clamp(min=0)


def delayed(rows: int) -> tuple[Tensor, Tensor]:
    """Windows (rows, lags, 1) of even numbers in [-0.5, 0.5] and the last of each, the one before it, and so on (rows, delays)."""
    driven = torch.rand(rows + LAGS - 1, dtype=torch.float64) - 0.5
    windows = driven.unfold(0, LAGS, 1)                                                        # (rows, lags)
    return windows[:, :, None], windows[:, -DELAYS:].flip(1)
