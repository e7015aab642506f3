"""Two marked numbers of a long sequence, whose sum is asked for at the end: who remembers them, and what helps a plain net to.

Hochreiter & Schmidhuber (1997), https://doi.org/10.1162/neco.1997.9.8.1735; Sutskever, Martens, Dahl & Hinton (2013),
https://proceedings.mlr.press/v28/sutskever13.html
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn

import chainrule
from chainrule.core.files import write_file
from chainrule.core.registry import recipes
from chainrule.nets.layers.gated import LSTMLayer
from chainrule.nets.layers.recurrent import Recurrence, RecurrentNet
from chainrule.plots.figure import to_png
from chainrule.plots.through_time import gates_over_time, slopes_through_time
from chainrule.recipes.outcome import Figure, Goal, Outcome, Setting, command

SOURCE = "Hochreiter & Schmidhuber (1997), https://doi.org/10.1162/neco.1997.9.8.1735, experiment 4"
MOMENTUM = "Sutskever, Martens, Dahl & Hinton (2013), https://proceedings.mlr.press/v28/sutskever13.html"
SOLVED, UNSOLVED = 0.01, 0.1        # mean squared error; who always says 1 has 0.167
COUNT, SHORT = 20_000, "length=12,count=120"
DRAWN = 50          # sequences over which slopes are taken
USUAL: dict[str, Any] = {"rule": "backprop:clip=1", "schedule": "step:at=0.6x0.85,factor=0.3", "batch": 32}


@dataclass(frozen=True)
class Contestant:
    """A net on sequences of so many steps, and whether it is to solve them."""

    name: str
    steps: int
    options: dict[str, Any]
    solves: bool
    source: str


CONTESTANTS = (
    Contestant("an LSTM", 200, {**USUAL, "net": "lstm:hidden=64", "optimizer": "adam:rate=0.005", "epochs": 12}, True, SOURCE),
    Contestant("a plain net", 200, {**USUAL, "net": "rnn:hidden=64", "init": "xavier", "optimizer": "adam:rate=0.005", "epochs": 12}, False,
               SOURCE),
    Contestant("a plain net with rotations and momentum", 100, {**USUAL, "net": "rnn:hidden=64", "init": "orthogonal",
                                                          "optimizer": "nesterov:rate=0.01,momentum=0.9", "epochs": 30}, True, MOMENTUM),
)


@recipes("adding-problem", source=SOURCE)
def adding_problem(setting: Setting) -> Outcome:
    """The mean squared error on test sequences: of an LSTM and a plain net over 200 steps, and of a plain net that starts with rotations
    and is trained with momentum over 100.

    Who always says 1 has an error of 1/6; below 0.01 the problem counts as solved. The figures are of the worst seed, of the best where a
    net is to fail.
    """
    figures, rows = [], [["net", "steps", "seed", "squared error", "epochs"]]
    lengths: dict[str, Tensor] = {}
    pictures = [setting.out / "slopes.png", setting.out / "gates.png"]
    for number, one in enumerate(CONTESTANTS):
        errors = []
        for seed in range(1 if setting.short else setting.seeds):
            setting.say(f"{one.name}, {one.steps} steps, seed {seed}")
            data = f"adding:{SHORT}" if setting.short else f"adding:length={one.steps},count={COUNT}"
            run = chainrule.train(data, **{**one.options, **({"epochs": 1} if setting.short else {})}, seed=seed,
                                  out=setting.out / f"{number}-{seed}", progress=False)
            errors.append(run.test().measures["mse"].value)
            rows.append([one.name, str(one.steps), str(seed), f"{errors[-1]:.5f}", str(len(run.history))])
        x, y = run.job.data.ready(run.job.data.valid.x[:DRAWN]), run.job.data.valid.y[:DRAWN]
        lengths[f"{one.name} ({x.shape[1]} steps)"] = slope_lengths(run.net, x, y)
        if isinstance(_layer(run.net), LSTMLayer):
            write_file(pictures[1], to_png(gates_over_time(gates_of(run.net, x[:1]), x[0])))
        goal: Goal = "none" if setting.short else "at most" if one.solves else "at least"
        figures.append(Figure(f"squared error of {one.name} over {one.steps} steps", max(errors) if one.solves else min(errors),
                              published=SOLVED if one.solves else UNSOLVED, source=one.source, goal=goal))
    write_file(pictures[0], to_png(slopes_through_time(lengths)))
    return Outcome(figures, rows, [command(f"adding:length={one.steps},count={COUNT}", one.options) for one in CONTESTANTS], pictures)


def _layer(net: nn.Module) -> Recurrence:
    assert isinstance(net, RecurrentNet)
    layer = net.layers[0]
    assert isinstance(layer, Recurrence)
    return layer


def slope_lengths(net: nn.Module, x: Tensor, y: Tensor) -> Tensor:
    """The root mean square length (t,) of the slope of a squared error by the whole state after each step, hidden units and cells."""
    layer = _layer(net)
    shifts: list[Tensor] = []            # by which slopes are taken: hidden units follow from cells, and must move without them
    state = layer.initial(len(x))
    with torch.enable_grad():
        for driven in layer.reads(x).unbind(1):
            after = layer.cell(driven, state)
            shifts += [torch.zeros_like(part, requires_grad=True) for part in after]
            state = tuple(part + shift for part, shift in zip(after, shifts[-len(after) :], strict=True))
        error = (net.get_submodule("output")(state[0]) - y).square().sum()
    slopes = torch.autograd.grad(error, shifts, allow_unused=True, materialize_grads=True)
    squares = torch.stack([slope.square().sum(1).mean() for slope in slopes])                     # (t * parts,)
    return squares.view(x.shape[1], -1).sum(1).sqrt()


@torch.no_grad()
def gates_of(net: nn.Module, x: Tensor) -> dict[str, Tensor]:
    """How far the gates of an LSTM that write, keep and read are open along one sequence (1, t, d), (t, units) each."""
    layer, opened = _layer(net), []
    state = layer.initial(1)
    for driven in layer.reads(x).unbind(1):
        opened.append(torch.sigmoid(driven + layer.recurs(state[0]))[0])
        state = layer.cell(driven, state)
    write, keep, _, read = torch.stack(opened).chunk(4, 1)
    return {"write": write, "keep": keep, "read": read}
