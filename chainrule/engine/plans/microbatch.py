"""A batch that memory does not hold is split into parts whose directions are averaged: the same step, a part at a time."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import TypeVar

import torch
from torch import Tensor, nn

from chainrule.core.batch import Batch
from chainrule.core.descend import Descend
from chainrule.core.errors import ChainruleError, NotNow, PlanRejected
from chainrule.core.net import Net
from chainrule.core.rule import Report, Rule
from chainrule.core.tree import Tree, add_, scale

T = TypeVar("T")

MOST_PARTS = 16  # four halvings
ALLOCATORS = ("DefaultCPUAllocator", "std::bad_alloc")
NO_ROOM = "memory does not hold its trial"


class OutOfMemory(ChainruleError):
    """Memory ran out, in the words `lack`, and what it did not hold cannot be divided, or not any further: `why`."""

    def __init__(self, why: str, lack: str):
        super().__init__(f"Memory ran out, and {why}. Use a smaller --batch or net. ({lack})")
        self.lack = lack


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
    """Whether memory ran out. On the CPU torch has no type of its own for it, only the allocator's name in the message, or C++'s."""
    return isinstance(error, torch.OutOfMemoryError | MemoryError) or (
        isinstance(error, RuntimeError) and any(word in str(error) for word in ALLOCATORS))


@contextmanager
def within_memory() -> Iterator[None]:
    """Memory that runs out inside refuses what is tried there: NotNow, a PlanRejected."""
    try:
        yield
    except Exception as error:
        if not (out_of_memory(error) or isinstance(error, OutOfMemory)):
            raise
        raise NotNow(NO_ROOM) from None


def words_of(error: BaseException) -> str:
    """The first line of an error's own words, or its type where it has none."""
    return (str(error).splitlines() or [type(error).__name__])[0][:160]


def in_fewest_parts(attempt: Callable[[int], T], rows: int) -> T:
    """What `attempt(parts)` gives for the fewest parts of a batch of so many rows with which memory does not run out.

    Raises OutOfMemory where the batch cannot be split, or not any further.
    """
    parts, lack = 1, ""                # words alone: the error itself would hold on to what the attempt had in memory
    while True:
        try:
            return attempt(parts)
        except PlanRejected as refused:
            if not lack:
                raise
            raise OutOfMemory(str(refused), lack) from None
        except Exception as error:
            if not out_of_memory(error):
                raise
            lack = words_of(error)
        parts *= 2
        if parts > min(MOST_PARTS, rows):
            raise OutOfMemory(f"a batch in {parts // 2} parts does not fit either", lack)
