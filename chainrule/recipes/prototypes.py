"""Nets of prototypes on digits: a map whose neighbours answer neighbours, and a window about every row.

Kohonen (1982), https://doi.org/10.1007/BF00337288; Specht (1990), https://doi.org/10.1016/0893-6080(90)90049-Q
"""

from __future__ import annotations

from statistics import mean

import torch
from torch import Tensor

import chainrule
from chainrule.core.registry import recipes
from chainrule.evaluate.intervals import wilson
from chainrule.nets.pnn import ProbabilisticNet
from chainrule.nets.som import Map
from chainrule.recipes.outcome import Figure, Outcome, Setting, share_right, together, trainings
from chainrule.tasks.prototypes import neighbours

KOHONEN = "Kohonen (1982), https://doi.org/10.1007/BF00337288"
SPECHT = "Specht (1990), https://doi.org/10.1016/0893-6080(90)90049-Q"


@recipes("self-organising-map", source=KOHONEN)
def self_organising_map(setting: Setting) -> Outcome:
    """A map of ten by ten units of the digits, by either rule: test rows whose two nearest units are neighbours on the grid.

    Beside it the same units in random places on the grid, which keep nothing of the neighbourhood.
    """
    rows = [["rule", "seed", "neighbours", "shuffled", "purity", "quantisation error"]]
    shares: dict[str, list[float]] = {}
    counts, pictures = [0, 0], []
    shuffled = []
    for rule in ("kohonen", "kohonen-batch"):
        for seed in range(1 if setting.short else setting.seeds):
            run = chainrule.train("digits", net="som:rows=10,columns=10", rule=rule, seed=seed, progress=False,
                                  epochs=3 if setting.short else None, out=setting.out / f"{rule}-{seed}")
            result = run.test()
            measures = {name: measure.value for name, measure in result.measures.items()}
            share = 1 - measures["topographic_error"]
            shares.setdefault(rule, []).append(share)
            module = run.net
            assert isinstance(module, Map)
            shuffled.append(_shuffled(module, run.job.data.ready(run.job.data.valid.x)))
            rows.append([rule, str(seed), f"{100 * share:.1f} %", f"{100 * shuffled[-1]:.1f} %", f"{100 * measures['purity']:.1f} %",
                         f"{measures['quantisation_error']:.3f}"])
            if rule == "kohonen":
                counts = [counts[0] + round(share * result.n), counts[1] + result.n]
            pictures += [run.path / "u-matrix.png", run.path / "prototypes.png"] if seed == 0 else []
    ends = wilson(*counts)
    return Outcome([
        Figure("share of neighbouring units that answer neighbouring inputs", mean(shares["kohonen"]), ends.low, ends.high, source=KOHONEN),
        Figure("the same by the batch rule", mean(shares["kohonen-batch"])),
        Figure("how much greater it is than with the units shuffled", mean(shares["kohonen"]) - mean(shuffled), published=0.3,
               goal="none" if setting.short else "at least", source=f"{KOHONEN}: ordered, where a shuffled map is not"),
    ], rows, ["chainrule train digits --net som:rows=10,columns=10"], pictures)


@torch.no_grad()
def _shuffled(module: Map, x: Tensor) -> float:
    """The share of rows (n, ...) whose two nearest units would be neighbours if the units lay on the grid at random."""
    units = module.nearest(x)[0]
    order = torch.randperm(len(module.weight), generator=torch.Generator().manual_seed(0))
    return float(neighbours(order[units], module.grid[1]).double().mean())


@recipes("probabilistic-net", source=SPECHT)
def probabilistic_net(setting: Setting) -> Outcome:
    """Digits by Parzen windows, their one width chosen by leaving each training row out, beside other widths and the nearest row alone."""
    done = trainings(setting, "digits", {"net": "pnn"})
    ends = together(done)
    rows = [["seed", "width", "test accuracy %", "half the width", "twice", "nearest row"]]
    for seed, one in enumerate(done):
        module, job = one.run.net, one.run.job
        assert isinstance(module, ProbabilisticNet)
        width = float(module.log_width.detach().exp())
        x, y = job.data.ready(job.data.valid.x), job.data.valid.y
        others = [100 * _accuracy(module, x, y, factor) for factor in (0.5, 2.0, 1e-2)]
        rows.append([str(seed), f"{width:.3g}", f"{100 * share_right(one):.2f}", *(f"{share:.2f}" for share in others)])
    return Outcome([Figure("test accuracy % on digits", 100 * mean(share_right(one) for one in done), 100 * ends.low, 100 * ends.high,
                           source=SPECHT)], rows, ["chainrule train digits --net pnn; other widths on the validation part"])


@torch.no_grad()
def _accuracy(module: ProbabilisticNet, x: Tensor, y: Tensor, factor: float) -> float:
    """The share of rows (n, ...) answered rightly at a multiple of the width."""
    before = module.log_width.clone()
    module.log_width.add_(torch.tensor(factor).log())
    right = float((module(x).argmax(1) == y).double().mean())
    module.log_width.copy_(before)
    return right
