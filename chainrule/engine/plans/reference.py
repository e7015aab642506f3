"""What eager steps do to a learner over a trial's batches, computed once for all the plans that are compared with it."""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING

import torch
from torch import Tensor
from torch.utils import _pytree as pytree

from chainrule.core.batch import Batch
from chainrule.core.rule import Learner, Rule
from chainrule.core.tree import leaves
from chainrule.engine.plans.eager import Advance, copied, eager
from chainrule.engine.plans.fidelity import own_steps
from chainrule.engine.plans.microbatch import Accumulated
from chainrule.engine.randomness import Aside

if TYPE_CHECKING:
    from chainrule.engine.plans.plan import Plan

ROUNDINGS, DRAWS = 5.0, 3       # a step may be off by so many times what rounding the weights once does to eager, the most of some draws
MOST_DRAWS = 9                  # of a step that is not so close after the first few
NEGLIGIBLE = 1e-6               # of the whole update: by so much any tensor may be off, however little it moves
MOST_OF_ONE = 0.01              # of what a tensor moves in a step, where that is more than eager's own draws are off by
ALL = ""                        # the name under which the steps are counted in which all tensors together are close
LAST_PLACES = 4                 # and by so many units in the last place of its own numbers
MOST_BYTES = 2**29              # of learners that are kept for the next plan; larger ones are computed anew


@dataclass
class Taken:
    """One piece of the batches: where eager steps begin and end, how far from there draws of rounded weights end, and so how far each
    tensor may be, and all of them together."""

    begin: Learner
    piece: Batch
    end: Learner
    draws: list[dict[str, float]]
    allowed: dict[str, float]
    together: float

    def close(self, offs: dict[str, float]) -> Iterator[str]:
        """The names of the tensors that are near enough, being off by so much, and `ALL` if all together are."""
        yield from (name for name, off in offs.items() if off <= self.allowed[name])
        if size_of(offs) <= self.together:
            yield ALL


class Reference:
    """Eager steps of a rule over a chunk, under one seed and with the threads and parts of `plan`."""

    def __init__(self, rule: Rule, learner: Learner, chunk: Batch, plan: Plan, seed: int):
        self.rule, self.learner, self.chunk, self.plan, self.seed = rule, learner, chunk, plan, seed
        self._after: Learner | None = None
        self._taken: dict[int, list[Taken]] = {}

    def after(self) -> Learner:
        """Where steps as they are written take the user's own module, which is left as it was."""
        if self._after is None:
            if self.plan.threads:
                torch.set_num_threads(self.plan.threads)
            step = Accumulated(self.rule, self.plan.parts).step if self.plan.parts > 1 else self.rule.step
            self._after = own_steps(eager(step), self.learner, self.chunk, self.seed)
        return self._after

    def taken(self, size: int) -> Iterator[Taken]:
        """The chunk in pieces of so many batches, one after the other."""
        taken = self._taken.setdefault(size, [])
        yield from taken
        pieces = self.pieces(size)
        keep = 2 * pieces * sum(t.numel() * t.itemsize for t in leaves([self.learner.net.tensors, self.learner.state])) <= MOST_BYTES
        now = taken[-1].end if taken else copied(self.learner)
        plainly = self.plan.build(self.rule, copied(now), self.chunk) if len(taken) < pieces else None
        for i in range(len(taken), pieces):
            assert plainly is not None
            piece = self.chunk.rows(i * size, (i + 1) * size)
            there = after(plainly, copied(now), piece, self.seed)
            one = Taken(now, piece, there, [], {}, 0.0)
            self._draw(one, plainly, DRAWS)
            if keep:
                taken.append(one)
            yield one
            now = there

    def draw_again(self, step: Taken) -> bool:
        """Some more draws of a step, whose bounds widen with them; False if it has had enough.

        Whether a draw crosses a kink is chance, and a plan that sums in another order crosses more of them than a rounding does.
        """
        if len(step.draws) >= MOST_DRAWS:
            return False
        self._draw(step, self.plan.build(self.rule, copied(step.begin), self.chunk), DRAWS)
        return True

    def _draw(self, step: Taken, plainly: Advance, count: int) -> None:
        for number in range(len(step.draws), len(step.draws) + count):
            off = distances(step.end, after(plainly, _rounded(step.begin, self.seed + number), step.piece, self.seed))
            step.draws.append(off)
        step.allowed, step.together = self._allowed(_moved(step.begin, step.end), _slack(step.begin, step.end), step.draws)

    def pieces(self, size: int) -> int:
        return len(self.chunk) // size

    def _allowed(self, moved: dict[str, float], slack: dict[str, float], rounded: list[dict[str, float]]) -> tuple[dict[str, float], float]:
        """How far each tensor may be off a step in which it moves so far, and all together, if eager's own draws are off by `rounded`.

        Which layers a crossed kink shows in is chance: what one tensor is off by, relative to what it moves, any may be, up to a limit.
        """
        most, tolerance = _most(rounded), self.rule.tolerance
        worst = max((most[name] / m for name, m in moved.items() if m > slack[name]), default=0.0)
        share = max(tolerance, min(ROUNDINGS * worst, MOST_OF_ONE))
        allowed = {name: max(ROUNDINGS * most[name], slack[name], share * m) for name, m in moved.items()}
        return allowed, max(ROUNDINGS * max(map(size_of, rounded)), size_of(slack))


def after(advance: Advance, begin: Learner, few: Batch, seed: int) -> Learner:
    with Aside(seed, begin.net.device):
        return advance(begin, few)[0]


def norm(t: Tensor) -> float:
    return float(t.abs().double().square().sum().sqrt())


def real(t: Tensor) -> bool:
    return t.is_floating_point() or t.is_complex()


def resolution(t: Tensor) -> float:
    """A few units in the last place of all its numbers."""
    return LAST_PLACES * torch.finfo(t.dtype).eps * norm(t)


def distances(there: Learner, here: Learner) -> dict[str, float]:
    """How far each tensor is; infinite for whole numbers that differ."""
    theirs, ours = _named(there), _named(here)
    return {name: norm(ours[name] - t) if real(t) else 0.0 if torch.equal(t, ours[name]) else math.inf for name, t in theirs.items()}


def _named(learner: Learner) -> dict[str, Tensor]:
    """Every tensor of a learner by a name."""
    flat, _ = pytree.tree_flatten_with_path([learner.net.tensors, learner.state])
    return {pytree.keystr(path): t.detach() for path, t in flat if isinstance(t, Tensor)}


def _most(some: Iterable[dict[str, float]]) -> dict[str, float]:
    rows = list(some)
    return {name: max(row[name] for row in rows) for name in rows[0]}


def size_of(each: dict[str, float]) -> float:
    """The distance of all tensors together."""
    return math.sqrt(sum(one * one for one in each.values()))


def _moved(before: Learner, there: Learner) -> dict[str, float]:
    """How far each tensor goes; 0 for whole numbers."""
    begin, end = _named(before), _named(there)
    return {name: norm(t - begin[name]) if real(t) else 0.0 for name, t in end.items()}


def _slack(before: Learner, there: Learner) -> dict[str, float]:
    """How far each tensor may be off whatever it moves; nothing for one that stays where it is."""
    end, moved = _named(there), _moved(before, there)
    total = size_of(moved)
    return {name: NEGLIGIBLE * total + resolution(end[name]) if m else 0.0 for name, m in moved.items()}


def _rounded(learner: Learner, seed: int) -> Learner:
    """A copy whose weights are each moved by up to half a unit in their last place."""
    moved = copied(learner)
    with Aside(seed, learner.net.device):
        for p in moved.net.params.values():
            if p.is_floating_point():
                p.data.mul_(1 + (torch.rand_like(p) - 0.5) * torch.finfo(p.dtype).eps)
    return moved
