"""A batch that memory does not hold is split into parts whose directions are averaged: the same step, a part at a time."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from chainrule.core.batch import Batch
from chainrule.core.descend import Descend
from chainrule.core.errors import PlanRejected
from chainrule.core.net import Net
from chainrule.core.rule import Report, Rule
from chainrule.core.tree import Tree, add_, scale

MOST_PARTS = 16  # four halvings


class Accumulated:
    """`rule` with every batch split into `parts`, each counting by its number of samples, and one move of the optimizer.

    Raises PlanRejected for a rule whose direction is not a mean over samples: a clipped gradient, a contrast of phases.
    """

    def __init__(self, rule: Rule, parts: int):
        if not (isinstance(rule, Descend) and rule.additive):
            raise PlanRejected("this rule's step is not a mean over the samples of a batch, so the batch cannot be split")
        self.rule, self.parts = rule, parts
        self.reads, self.target, self.tolerance = rule.reads, rule.target, rule.tolerance

    def init(self, net: Net) -> Tree:
        return self.rule.init(net)

    def step(self, net: Net, state: Tree, batch: Batch) -> tuple[Net, Tree, Report]:
        n, size, whole = len(batch), -(-len(batch) // self.parts), batch.size()
        total: dict[str, Tensor] = {}
        report: Report = {}
        for begin in range(0, n, size):
            part = batch.rows(begin, begin + size)
            direction, of_part = self.rule.direction(net, part)
            share = part.size() / whole
            with torch.no_grad():
                if not total:
                    total, report = scale(direction, share), scale(of_part, share)
                else:
                    add_(total, {name: d for name, d in direction.items() if name in total}, share)
                    total |= {name: d * share for name, d in direction.items() if name not in total}
                    report = {name: value + share * of_part[name] for name, value in report.items()}
        return self.rule.follow(net, state, total, report)


def normalises_by_batch(net: Net) -> bool:
    """Whether some layer reads statistics of the whole batch, which a part does not have."""
    return any(isinstance(m, nn.modules.batchnorm._BatchNorm) and m.training for m in net.module.modules())


def out_of_memory(error: BaseException) -> bool:
    """Whether memory ran out. On the CPU torch has no type of its own for it, only the allocator's name in the message."""
    return isinstance(error, torch.OutOfMemoryError | MemoryError) or (
        isinstance(error, RuntimeError) and "DefaultCPUAllocator" in str(error))
