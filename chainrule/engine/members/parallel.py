"""Members beside one another: each of a stack advanced by itself, by a program made once for all, as many at a time as there are threads.

A program in C that runs a whole chunk of a small net keeps its weights in the nearest cache, which a stack of many does not.
"""

from __future__ import annotations

import time
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor, wait
from dataclasses import replace
from typing import Any

import torch
from torch.utils import _pytree as pytree

from chainrule.core.batch import Batch
from chainrule.core.errors import PlanRejected
from chainrule.core.net import Net
from chainrule.core.rule import Learner, Report, Rule
from chainrule.core.tree import Tree
from chainrule.engine.members.stacked import Abreast, Together, distance, view
from chainrule.engine.plans.eager import copied
from chainrule.engine.plans.microbatch import within_memory
from chainrule.engine.plans.plan import Plan
from chainrule.engine.plans.planner import HOST_CHUNK_SECONDS, Choice
from chainrule.engine.plans.trial import per_step
from chainrule.engine.randomness import Aside

TRIAL_STEPS = 50


class Numbered:
    """The rule of one member of a stack: its numbers are in its state, so that one program serves every member."""

    def __init__(self, together: Together):
        self.make, self.alike, self.names = together.make, together.alike, tuple(together.numbers[0])
        self.reads, self.target, self.tolerance = together.reads, together.target, together.tolerance

    def init(self, net: Net) -> Tree:
        raise NotImplementedError("a member's state is a part of its stack's")

    def step(self, net: Net, state: Tree, batch: Batch) -> tuple[Net, Tree, Report]:
        rule: Rule = self.make(state["numbers"]) if self.names else self.alike
        net, state["rule"], report = rule.step(net, state["rule"], batch)
        return net, state, report


class Beside:
    """`advance` for a stacked learner: the members one by one, each under `plan`, `threads` at a time.

    Programs have workspaces of their own, so every thread gets one. A plan that calls the module gets one thread: it swaps a member's
    tensors into the one module there is.
    """

    def __init__(self, plan: Plan, rule: Together, stacked: Learner, few: Batch, threads: int):
        numbered = Numbered(rule)
        self.programs = [plan.build(numbered, copied(one(stacked, 0)), few) for _ in range(threads if plan.native else 1)]
        self.pool = ThreadPoolExecutor(len(self.programs), initializer=_one_thread)

    def advance(self, learner: Learner, parts: Any) -> tuple[Learner, Report]:
        """A chunk for all; `parts(i)` is a member's (k, n, ...). The report is (k, members)."""
        members = len(next(iter(learner.net.tensors.values())))
        reports: list[Report] = [{} for _ in range(members)]

        def some(worker: int) -> None:
            with torch.no_grad():
                for i in range(worker, members, len(self.programs)):
                    _, reports[i] = self.programs[worker](one(learner, i), parts(i))

        running = [self.pool.submit(some, worker) for worker in range(len(self.programs))]
        wait(running)                                    # all, also where one has failed: what they write is taken back then
        for each in running:
            each.result()
        return learner, {name: torch.stack([r[name] for r in reports], 1) for name in reports[0]}


def one(stacked: Learner, i: int) -> Learner:
    """The `i`-th member of a stack as a view of its tensors: what is written there is written in the stack."""
    return Learner(view(stacked.net, i), pytree.tree_map(lambda t: t[i], stacked.state))


def _one_thread() -> None:
    torch.set_num_threads(1)


def tried(rule: Together, stacked: Learner, rules: Sequence[Rule], feed: Abreast, plan: Plan, threads: int, seed: int) -> Choice:
    """The choice to run these members beside one another, timed on a copy. `feed` hands out chunks apart; `rules` are the members' own.

    Raises PlanRejected where the program cannot be made, or a step of it is not the step that the members take alone.
    """
    plan = replace(plan, threads=1)
    began, members = time.perf_counter(), len(rules)
    chunk = next(feed.chunks(0, 0, max(1, min(TRIAL_STEPS, feed.longest_chunk()))))
    with within_memory(), Aside(seed, stacked.net.device):
        beside = Beside(plan, rule, stacked, feed.of(chunk, 0), min(threads, members))
        trial = copied(stacked)
        beside.advance(trial, lambda i: feed.of(chunk, i).rows(0, 1))
        making = time.perf_counter() - began
        for i in {0, members - 1}:
            start, alone = one(stacked, i), one(copied(stacked), i)
            there, *_ = rules[i].step(alone.net, alone.state["rule"], feed.of(chunk, i)[0])
            if not (apart := distance(start, there, one(trial, i).net)) <= rule.tolerance:
                raise PlanRejected(f"disagrees with a member alone by {apart:.1e} of the update; allowed {rule.tolerance:.0e}")
        took = []
        for _ in range(5):
            at = time.perf_counter()
            beside.advance(trial, lambda i: feed.of(chunk, i))
            took.append((time.perf_counter() - at) / len(chunk))
    seconds = sorted(took)[2]
    steps = max(1, min(int(HOST_CHUNK_SECONDS / seconds), feed.longest_chunk()))
    reason = f"{per_step(seconds / members)} and member, each by a program of its own"
    return Choice(plan.sized(steps), beside.advance, seconds, reason, compiling=making)


def beside_name(members: int, threads: int) -> str:
    """How members are grouped that go beside one another, in words."""
    return f"{members} beside one another, {min(members, threads)} at a time"
