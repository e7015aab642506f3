"""Steps as they are written, one after the other: what every other plan is measured against and must agree with."""

from __future__ import annotations

from collections.abc import Callable

import torch

from chainrule.core.batch import Batch
from chainrule.core.duplicate import duplicate
from chainrule.core.net import Net
from chainrule.core.rule import Learner, Report, Rule
from chainrule.core.tree import Tree, clone
from chainrule.engine.randomness import Aside

Advance = Callable[[Learner, Batch], tuple[Learner, Report]]
Step = Callable[[Net, Tree, Batch], tuple[Net, Tree, Report]]


def eager(step: Step) -> Advance:
    """One step after the other, as written; what a step has put in place of a buffer is the net's when the next one begins."""

    def advance(learner: Learner, batches: Batch) -> tuple[Learner, Report]:
        net, state = learner
        reports = []
        for batch in batches.unbind():
            net, state, report = step(net, state, batch)
            net.settle()
            reports.append(report)
        return Learner(net, state), stacked_reports(reports)

    return advance


def stacked_reports(reports: list[Report]) -> Report:
    with torch.no_grad():
        return {name: torch.stack([r[name] for r in reports]) for name in reports[0]}


def clone_structure(tree: Tree) -> Tree:
    """The same tensors in new dicts, so that a step that replaces an entry does not touch the caller's."""
    return {k: clone_structure(v) for k, v in tree.items()} if isinstance(tree, dict) else tree


def settle(into: Tree, tree: Tree) -> None:
    """Copy what a step returned anew, rather than wrote in place, back into the tensors it was given."""
    if isinstance(into, dict):
        for name, t in into.items():
            settle(t, tree[name])
    elif into is not tree:
        into.copy_(tree)


def copied(learner: Learner) -> Learner:
    """A learner on a module of its own, to try things on."""
    net, state = learner
    module = duplicate(net.module)
    return Learner(Net.of(module) if net.bound else Net(module, net.params, net.buffers, idle=net.idle).clone(), clone(state))


def unused(rule: Rule, learner: Learner, batch: Batch) -> frozenset[str]:
    """The parameters that a step on such a batch (n, ...) has no gradient for, by taking one on a copy."""
    trial = copied(learner)
    with Aside(0, learner.net.device):
        net, *_ = rule.step(trial.net, trial.state, batch)
    return net.idle
