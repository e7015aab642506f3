"""Partition functions by annealing against enumeration, and the likelihood of a large machine. Salakhutdinov & Murray (2008)"""

from __future__ import annotations

import math
from dataclasses import replace
from typing import Any

import torch
from torch import Tensor

import chainrule
from chainrule.core.registry import recipes
from chainrule.data.source import Source
from chainrule.nets.rbm import RBM
from chainrule.recipes.outcome import Figure, Outcome, Setting
from chainrule.tasks.density import LIKELIHOOD
from chainrule.tasks.energies import mean_rows
from chainrule.workflows.run import Run

SOURCE = "Salakhutdinov & Murray (2008), https://doi.org/10.1145/1390156.1390266"
TEMPERATURES, CHAINS = 14_500, 100   # of the paper
FEW = (100, 1000, 10_000)            # temperatures of the machine that is enumerated
MANY = 500                           # chains of it


@recipes("partition-function", source=SOURCE)
def partition_function(setting: Setting) -> Outcome:
    """A machine of 20 hidden units, whose partition function is enumerated, and one of 500 by CD-25 on binarised MNIST.

    In its short form the small machine alone, of embedded digits.
    """
    data = binarised(chainrule.load("digits" if setting.short else "mnist", data_dir=setting.data_dir))
    small = _trained(setting, data, "20", {"net": "rbm:hidden=20", "epochs": 10 if setting.short else 20})
    machine = _machine(small)
    exact = float(machine.log_partition())
    mean = mean_rows(small.job.data.train, small.job.data.ready)
    rows = [["temperatures", "log Z", "95 %", "relative error of Z"], ["enumerated", f"{exact:.4f}", "", ""]]
    error = math.inf
    for temperatures in FEW:
        torch.manual_seed(0)
        estimate = machine.estimate_log_partition(mean, temperatures=temperatures, chains=MANY)
        error = abs(math.expm1(estimate.value - exact))
        rows.append([f"{temperatures:,}", f"{estimate.value:.4f}", f"{estimate.low:.4f} to {estimate.high:.4f}", f"{error:.2g}"])
    figures = [Figure("relative error of AIS against enumeration", error, published=0.01, goal="at most", source=SOURCE),
               _likelihood(small, "log likelihood of test rows with 20 hidden units, nats")]
    if not setting.short:
        large = _trained(setting, data, "500", {"net": "rbm:hidden=500", "rule": "divergence:steps=25", "epochs": 100, "batch": 100,
                                                "optimizer": "sgd:rate=0.05,momentum=0.5", "schedule": "linear"})
        module, base = _machine(large), mean_rows(large.job.data.train, large.job.data.ready)
        torch.manual_seed(0)
        estimate = module.estimate_log_partition(base, temperatures=TEMPERATURES, chains=CHAINS)
        rows.append([f"{TEMPERATURES:,}, 500 hidden units", f"{estimate.value:.2f}", f"{estimate.low:.2f} to {estimate.high:.2f}", ""])
        figures.append(_likelihood(large, "log likelihood of test rows with 500 hidden units, nats", published=-86.34, goal="at least",
                                   source=f"{SOURCE}, CD25(500)"))
    return Outcome(figures, rows, ["Pixels are drawn once, on with the probability that their brightness says."])


def binarised(source: Source) -> Source:
    """Pictures with every pixel black or white, drawn by its brightness as a share of the brightest."""
    x: Tensor = source.inputs
    generator, most = torch.Generator().manual_seed(0), int(x.max())
    on = [torch.rand(rows.shape, generator=generator) * most < rows for rows in x.split(4096)]
    return replace(source, inputs=torch.cat(on).to(torch.uint8) * most)


def _trained(setting: Setting, data: Source, name: str, options: dict[str, Any]) -> Run:
    setting.say(f"{name} hidden units")
    run: Run = chainrule.train(data, **options, out=setting.out / name, progress=False)
    return run


def _machine(run: Run) -> RBM:
    module = run.net
    assert isinstance(module, RBM)
    return module


def _likelihood(run: Run, what: str, **published: Any) -> Figure:
    measure = run.test().measures[LIKELIHOOD]
    return Figure(what, measure.value, measure.low, measure.high, **published)
