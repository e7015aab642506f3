"""Execution plans: a plan turns a rule's step into `advance(learner, batches[k]) -> (learner, reports[k])`."""

from __future__ import annotations

import copy
from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any

import torch
from torch import Tensor

from chainrule.core.errors import InputError, suggest
from chainrule.core.net import Net
from chainrule.core.rule import Batch, Learner, Report, Rule
from chainrule.core.tree import Tree, clone, leaves

Advance = Callable[[Learner, Batch], tuple[Learner, Report]]
Step = Callable[[Net, Tree, Batch], tuple[Net, Tree, Report]]

FUSED_STEPS = 10


@dataclass(frozen=True)
class Plan:
    """How steps are executed. `fused` steps run as one compiled program; `chunk` steps pass between looks at the host.

    `threads` of 0 leaves torch's own number; it is part of the plan because sums over threads round differently.
    """

    channels_last: bool = False
    bf16: bool = False
    compiled: bool = False
    fused: int = 1
    chunk: int = 1
    threads: int = 0

    @classmethod
    def parse(cls, name: str) -> Plan:
        """`eager`, `compiled`, `fused`, each with `+channels-last` and `+bf16`. Raises InputError with the nearest name."""
        plan = cls()
        for word in name.split("+"):
            match word.strip():
                case "eager":
                    pass
                case "channels-last":
                    plan = replace(plan, channels_last=True)
                case "bf16":
                    plan = replace(plan, bf16=True)
                case "compiled":
                    plan = replace(plan, compiled=True)
                case "fused":
                    plan = replace(plan, compiled=True, fused=FUSED_STEPS)
                case other:
                    names = ("auto", "eager", "channels-last", "bf16", "compiled", "fused")
                    raise InputError(f"There is no plan called '{other}'. {suggest(other, names)} Join several with +.")
        return plan

    @property
    def name(self) -> str:
        words = ["fused" if self.fused > 1 else "compiled" if self.compiled else "eager"]
        return "+".join(words + ["channels-last"] * self.channels_last + ["bf16"] * self.bf16)

    @property
    def precision(self) -> str:
        return "bf16" if self.bf16 else "fp32"

    def sized(self, chunk: int) -> Plan:
        """The same plan with at least `chunk` steps a chunk, a multiple of the fused ones."""
        return replace(self, chunk=max(self.fused, chunk // self.fused * self.fused))

    def build(self, rule: Rule, learner: Learner) -> Advance:
        """The plan's `advance` for this rule and net. Sets the threads; the learner's 4-D weights move to the plan's layout."""
        if self.threads:
            torch.set_num_threads(self.threads)
        arrange(learner, self.channels_last)
        step: Step = _bf16(rule.step, learner.net.device) if self.bf16 else rule.step
        one_by_one = eager(step)
        if not self.compiled:
            return _laid_out(one_by_one, self.channels_last)
        return _laid_out(_grouped(fused(step, learner.net, self.fused), one_by_one, self.fused), self.channels_last)


def eager(step: Step) -> Advance:
    """One step after the other, as written."""

    def advance(learner: Learner, batches: Batch) -> tuple[Learner, Report]:
        net, state = learner
        reports = []
        ys = batches.y.unbind() if batches.y is not None else None
        weights = batches.weight.unbind() if batches.weight is not None else None
        for i, x in enumerate(batches.x.unbind()):
            net, state, report = step(net, state, Batch(x, None if ys is None else ys[i], None if weights is None else weights[i]))
            reports.append(report)
        return Learner(net, state), stacked_reports(reports)

    return advance


def stacked_reports(reports: list[Report]) -> Report:
    with torch.no_grad():
        return {name: torch.stack([r[name] for r in reports]) for name in reports[0]}


def fused(step: Step, like: Net, k: int, backend: str = "inductor") -> Advance:
    """`k` steps as one compiled program that writes the learner's tensors in place.

    `backend` is torch.compile's; `aot_eager` captures and functionalises without generating code.
    """

    module, caller = like.module, like.caller

    def run(params: dict[str, Tensor], buffers: dict[str, Tensor], state: Tree, batches: Batch) -> Report:
        net, now, reports = Net(module, dict(params), dict(buffers), caller=caller), clone_structure(state), []
        for i in range(k):
            net, now, report = step(net, now, batches[i])
            reports.append(report)
        _settle(params, net.params)
        _settle(buffers, net.buffers)
        _settle(state, now)
        return stacked_reports(reports)

    run.__code__ = run.__code__.replace()  # torch allows eight programs a code object; every plan gets its own
    options: dict[str, Any] | None = {"fallback_random": True} if backend == "inductor" else None  # the numbers eager would have drawn
    compiled = torch.compile(run, fullgraph=True, dynamic=False, backend=backend, options=options)

    def advance(learner: Learner, batches: Batch) -> tuple[Learner, Report]:
        with torch.no_grad():
            params = {name: p.detach() for name, p in learner.net.params.items()}
            return learner, compiled(params, learner.net.buffers, learner.state, batches)

    return advance


def clone_structure(tree: Tree) -> Tree:
    """The same tensors in new dicts, so that a step that replaces an entry does not touch the caller's."""
    return {k: clone_structure(v) for k, v in tree.items()} if isinstance(tree, dict) else tree


def _settle(into: Tree, tree: Tree) -> None:
    """Copy what a step returned anew, rather than wrote in place, back into the tensors it was given."""
    if isinstance(into, dict):
        for name, t in into.items():
            _settle(t, tree[name])
    elif into is not tree:
        into.copy_(tree)


def _grouped(together: Advance, alone: Advance, k: int) -> Advance:
    """Full groups of `k` steps through `together`, what is left of the chunk through `alone`."""

    def advance(learner: Learner, batches: Batch) -> tuple[Learner, Report]:
        # The last batch of an epoch comes alone: a program of its own for one odd step would cost a compile.
        whole = len(batches) // k * k
        reports, begin = [], 0
        while begin < whole:
            learner, report = together(learner, _slice(batches, begin, begin + k))
            reports.append(report)
            begin += k
        if begin < len(batches):
            learner, report = alone(learner, _slice(batches, begin, len(batches)))
            reports.append(report)
        return learner, {name: torch.cat([r[name] for r in reports]) for name in reports[0]} if len(reports) > 1 else reports[0]

    return advance


def _slice(batches: Batch, begin: int, end: int) -> Batch:
    def cut(t: Tensor | None) -> Tensor | None:
        return None if t is None else t[begin:end]

    x = cut(batches.x)
    assert x is not None
    return Batch(x, cut(batches.y), cut(batches.weight))


def _bf16(step: Step, device: torch.device) -> Step:
    def low(net: Net, state: Tree, batch: Batch) -> tuple[Net, Tree, Report]:
        with torch.autocast(device.type, torch.bfloat16):
            return step(net, state, batch)

    return low


def _laid_out(advance: Advance, channels_last: bool) -> Advance:
    if not channels_last:
        return advance

    def laid_out(learner: Learner, batches: Batch) -> tuple[Learner, Report]:
        x = batches.x
        if x.dim() == 5:
            x = x.flatten(0, 1).contiguous(memory_format=torch.channels_last).unflatten(0, x.shape[:2])
        return advance(learner, Batch(x, batches.y, batches.weight))

    return laid_out


def arrange(learner: Learner, channels_last: bool) -> None:
    """Put the 4-D tensors of a learner into channels-last order, or back into the ordinary one."""
    memory = torch.channels_last if channels_last else torch.contiguous_format
    for t in leaves([learner.net.params, learner.state]):
        if t.dim() == 4:
            t.data = t.data.contiguous(memory_format=memory)


def members(step: Step) -> Callable[[Net, Tree, Batch], tuple[Net, Tree, Report]]:
    """`step` for a stack of nets that all read the same batch; `init` a stack with `stacked_init`."""
    return torch.vmap(step, in_dims=(0, 0, None), randomness="different")


def stacked_init(rule: Rule, stack: Net) -> Tree:
    """The rule's state for every member of a stack. `vmap` hands out aliased zeros, which must not be written: cloned."""
    return clone(torch.vmap(rule.init)(stack))


def copied(learner: Learner) -> Learner:
    """A learner on a module of its own, to try things on."""
    net, state = learner
    module = copy.deepcopy(net.module)
    return Learner(Net.of(module) if net.bound else Net(module, net.params, net.buffers).clone(), clone(state))
