"""Hessian-free against SGD with momentum on a deep autoencoder of curves, at equal wall time.

The net of Hinton & Salakhutdinov (2006), https://doi.org/10.1126/science.1127647, and the question of Martens (2010),
https://icml.cc/Conferences/2010/papers/458.pdf: 784-400-200-100-50-25-6 and mirrored, logistic units, a linear code, cross-entropy of the
pixels, without pre-training, from his sparse weights. Pictures are made here, of curves through three random control points.
"""

from __future__ import annotations

from typing import Annotated

import torch
import typer

from chainrule.data.synthetic.curves import drawn
from chainrule.recipes.curves import BATCH, ROWS, SGD, SOLVER, error, learned

TRAIN, TEST = 10_000, 2_000
RATES = (0.001, 0.003, 0.01)


def main(seconds: Annotated[float, typer.Option(help="Wall time of each training.")] = 300,
         seed: Annotated[int, typer.Option(help="Of initial weights and batches.")] = 0,
         device: Annotated[str, typer.Option(help="cpu or cuda.")] = "cpu") -> None:
    """A deep autoencoder of curves by Hessian-free steps and by SGD with momentum at several rates, each for as long."""
    x, fresh = drawn(TRAIN, 0).to(device), drawn(TEST, 1).to(device)
    spread = float((x - x.mean(0)).square().sum(1).mean())
    print(f"{TRAIN:,} curves to learn from, {TEST:,} others; the mean picture is off by {spread:.2f}; {seconds:.0f} s each, "
          f"{torch.get_num_threads()} threads")
    errors: dict[str, float] = {}
    for spec, rows in [(SOLVER, ROWS), *((SGD.format(rate=rate), BATCH) for rate in RATES)]:
        net, steps, spent, cost = learned(spec, seconds, x, rows, seed)
        errors[spec] = error(net, x)
        words = " then ".join(map(str, rows))
        print(f"  {spec}, {words} rows a step: squared error {errors[spec]:.3f}, of others {error(net, fresh):.3f}, "
              f"after {steps:,} steps in {spent:.0f} s, {cost}", flush=True)
    solved, best = errors.pop(SOLVER), min(errors.values())
    print(f"hessian-free's squared error is {best / solved:.2f} times below that of the best of {len(errors)} rates (target: 3)")
