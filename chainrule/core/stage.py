"""Stages of training: a view of the net, what it reads, the rule that trains it, and for how long."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from torch import Tensor

from chainrule.core.net import Net
from chainrule.core.rule import Rule


@dataclass(frozen=True)
class Budget:
    """How long a stage trains: whichever bound is met first ends it."""

    epochs: int | None = None
    steps: int | None = None
    seconds: float | None = None


@dataclass(frozen=True)
class Stage:
    """One entry of a training plan by stages: a view of the net, the rule that trains it, and for how long.

    `view` picks what is trained (default: all); `inputs` maps the data to what that view reads, through the parts already trained: the
    engine computes that once, in evaluation mode, where the stage begins. `begin` alters the net, in place, before the first step of the
    stage, and not again where a run is resumed within it. Greedy layer-wise learning followed by fine-tuning is a list of these, not code
    in the loop.
    """

    rule: Rule
    budget: Budget
    view: Callable[[Net], Net] | None = None
    inputs: Callable[[Net, Tensor], Tensor] | None = None
    name: str = ""
    begin: Callable[[Net], None] | None = None


Stages = list[Stage]


def part(path: str) -> Callable[[Net], Net]:
    """The view of a submodule, e.g. `part("hidden.0")`: it shares its tensors with the whole."""

    def view(net: Net) -> Net:
        module, prefix = net.module.get_submodule(path), path + "."
        params = {k.removeprefix(prefix): v for k, v in net.params.items() if k.startswith(prefix)}
        buffers = {k.removeprefix(prefix): v for k, v in net.buffers.items() if k.startswith(prefix)}
        return Net(module, params, buffers, bound=net.bound)

    return view
