"""Several nets that learn as one: a rule for a stack of them, each with its own rows, numbers and state, in the same few kernels.

Vectorising over models as over samples: Frostig, Johnson & Leary (2018), SysML, Compiling machine learning programs via high-level tracing.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any

import torch
from torch import Tensor
from torch.utils import _pytree as pytree

from chainrule.core.batch import Batch
from chainrule.core.net import Net
from chainrule.core.rule import Learner, Report, Rule
from chainrule.core.tree import Tree, clone, leaves
from chainrule.data.feed.shuffled import Feed
from chainrule.engine.plans.eager import clone_structure, copied
from chainrule.engine.randomness import Aside

Numbers = Mapping[str, Any]
Make = Callable[[Numbers], Rule]
MORE = 4   # chunks of as much memory as one net's


class Together:
    """A rule for a stack of nets (every tensor with a leading member axis), made of the rule that each would learn by alone.

    `make(numbers)` is that rule with these numbers (0-d tensors) in place of its own; `numbers` has those of each member, which the
    state keeps beside the rule's own. Batches are (members, n, ...), or, where all read the same rows, (n, ...): `shared`. Every entry
    of the report is (members,). Steps that draw random numbers draw others than they would alone: see `draws`. Where memory does not hold
    what a step of all has in between, `at_once` members take it at a time; 0: all.
    """

    def __init__(self, make: Make, numbers: Sequence[Mapping[str, float]], shared: bool = False, at_once: int = 0):
        self.make, self.numbers, self.shared, self.at_once = make, numbers, shared, at_once
        self.alike = make({})
        self.reads, self.target, self.tolerance = self.alike.reads, self.alike.target, self.alike.tolerance

    def init(self, net: Net) -> Tree:
        # vmap hands out aliased zeros, which must not be written in place: cloned
        return {"rule": clone(torch.vmap(self.alike.init)(net)), "numbers": self.lifted(net)}

    def lifted(self, net: Net) -> dict[str, Tensor]:
        """The members' numbers as the stack's state keeps them, each (members,)."""
        kind = next((p.dtype for p in net.params.values() if p.is_floating_point()), torch.get_default_dtype())
        return {name: torch.tensor([n[name] for n in self.numbers], dtype=kind, device=net.device) for name in self.numbers[0]}

    def step(self, net: Net, state: Tree, batch: Batch) -> tuple[Net, Tree, Report]:
        members, size = len(self.numbers), self.at_once
        if not 0 < size < members:
            return net, state, self._step(net, state, batch)
        reports = []
        for begin in range(0, members, size):
            some = slice(begin, begin + size)
            part = batch if self.shared else batch.map(lambda t: t[some])  # noqa: B023 (called at once)
            reports.append(self._step(view(net, some), pytree.tree_map(lambda t: t[some], state), part))  # noqa: B023
        return net, state, {name: torch.cat([report[name] for report in reports]) for name in reports[0]}

    def _step(self, net: Net, state: Tree, batch: Batch) -> Report:
        """A step of all the members of a stack, written into its tensors."""

        def one(net: Net, state: Tree, numbers: dict[str, Tensor], batch: Batch) -> tuple[Tree, Tree, Report]:
            tensors, was = dict(net.tensors), clone_structure(state)
            after, now, report = (self.make(numbers) if numbers else self.alike).step(net, state, batch)
            return _anew(tensors, after.tensors), _anew(was, now), report

        tensors, anew, report = torch.vmap(one, in_dims=(0, 0, 0, None if self.shared else batch.map(lambda _: 0)), randomness="different")(
            net, state["rule"], state["numbers"], batch)
        with torch.no_grad():
            _settle(net.tensors, tensors)
            _settle(state["rule"], anew)
        own: Report = report
        return own


def view(net: Net, members: int | slice) -> Net:
    """One member of a stack, or a smaller stack, in the stack's own tensors: what is written there is written in it."""
    params, buffers = ({name: t[members] for name, t in tensors.items()} for tensors in (net.params, net.buffers))
    return Net(net.module, params, buffers, caller=net.caller, idle=net.idle)


def _anew(before: Tree, after: Tree) -> Tree:
    """What a step returned in place of what it was given; what it wrote in place is left out, being there already."""
    found = {}
    for name, t in after.items():
        if isinstance(t, dict):
            found[name] = _anew(before[name], t)
        elif t is not before[name]:
            found[name] = t
    return found


def _settle(into: Tree, anew: Tree) -> None:
    for name, t in anew.items():
        if isinstance(t, dict):
            _settle(into[name], t)
        else:
            into[name].copy_(t)


def stacked(trees: Sequence[Tree]) -> Tree:
    """Trees of one shape as one, every tensor with a leading member axis."""
    return pytree.tree_map(lambda *t: torch.stack([u.detach() for u in t]), *trees)


def member(tree: Tree, i: int) -> Tree:
    """The `i`-th tree of a stack, copied."""
    return pytree.tree_map(lambda t: t[i].clone(), tree)


def stack(learners: Sequence[Learner], rule: Together) -> Learner:
    """A learner for `rule` that holds copies of all of these."""
    net = Net.stack([learner.net for learner in learners])
    return Learner(net, {"rule": stacked([learner.state for learner in learners]), "numbers": rule.lifted(net)})


class Parts:
    """A chunk of several members, not joined: each has batches of its own."""

    def __init__(self, parts: Sequence[Batch]):
        self.parts = list(parts)

    def __len__(self) -> int:
        return len(self.parts[0])

    def __getitem__(self, i: int) -> Batch:
        return self.parts[i]

    def rows(self, begin: int, end: int) -> Parts:
        return Parts([part.rows(begin, end) for part in self.parts])


class Abreast:
    """The feeds of several members side by side: chunks (k, members, n, ...), or (k, n, ...) where all hand out the same rows: `shared`.

    With `apart`, chunks of several members are `Parts`, and the last, smaller batch of an epoch is left out: no program is made for it.
    """

    def __init__(self, feeds: Sequence[Feed], apart: bool = False):
        self.feeds, self.apart = list(feeds), apart
        first = self.feeds[0]
        self.shared = all(f.part is first.part and f.batch == first.batch and (f.everything or f.seed == first.seed) for f in self.feeds)

    @property
    def batches(self) -> int:
        """Batches in an epoch of the member that has most."""
        return max(feed.batches for feed in self.feeds)

    def longest_chunk(self) -> int:
        """How many batches may be gathered at once; the memory of a few chunks is set aside for all members together."""
        longest, several = self.feeds[0].longest_chunk(), len(self.feeds)
        return longest if self.shared else max(1, longest * min(MORE, several) // several)

    def chunks(self, epoch: int, start: int = 0, size: int = 1) -> Iterator[Any]:
        """As `Feed.chunks`, as long as the members' batches are of one size."""
        for parts in zip(*(f.chunks(epoch, start, size) for f in (self.feeds[:1] if self.shared else self.feeds)), strict=False):
            if len({part.x.shape for part in parts}) > 1 or (self.apart and parts[0].x.shape[1] != self.feeds[0].batch):
                return
            yield parts[0] if self.shared else Parts(parts) if self.apart else side_by_side(parts)

    def of(self, chunk: Any, i: int) -> Batch:
        """One member's part of a chunk."""
        if self.shared:
            whole: Batch = chunk
            return whole
        if isinstance(chunk, Parts):
            return chunk[i]
        own: Batch = chunk.map(lambda t: t[:, i])
        return own


def side_by_side(batches: Sequence[Batch], axis: int = 1) -> Batch:
    """Batches of several members as one with a member axis."""
    return Batch.join(batches, lambda tensors: torch.stack(tensors, axis))


def shape_of(learner: Learner) -> tuple[Any, ...]:
    """What must be equal for nets to be stacked: the structure of the module, and of every tensor of net and state."""
    flat, spec = pytree.tree_flatten(learner.state)
    tensors = [(name, t.shape, t.dtype) for name, t in learner.net.tensors.items()]
    return repr(learner.net.module), tuple(tensors), str(spec), tuple((t.shape, t.dtype) for t in flat)


def draws(rule: Rule, learner: Learner, batch: Batch, seed: int) -> bool:
    """Whether a step draws random numbers, found by taking one on a copy."""
    device = learner.net.device

    def state() -> list[Tensor]:
        return [torch.get_rng_state(), *([torch.cuda.get_rng_state(device)] if device.type == "cuda" else [])]

    trial = copied(learner)
    with Aside(seed, device):
        before = state()
        rule.step(trial.net, trial.state, batch)
        return not all(torch.equal(a, b) for a, b in zip(before, state(), strict=True))


def disagreement(learners: Sequence[Learner], rules: Sequence[Rule], together: Together, batches: Sequence[Batch], seed: int) -> float:
    """How far one step of the stack takes its members from where each goes alone, relative to the distance moved; the largest."""
    device = learners[0].net.device
    joint = stack(learners, together)
    with Aside(seed, device):
        joint = Learner(*together.step(*joint, batches[0] if together.shared else side_by_side(batches, axis=0))[:2])
    worst = 0.0
    for i, (learner, rule, batch) in enumerate(zip(learners, rules, batches, strict=True)):
        alone = copied(learner)
        with Aside(seed, device):
            alone = Learner(*rule.step(*alone, batch)[:2])
        worst = max(worst, distance(learner, alone.net, joint.net.member(i)))
    return worst


def distance(start: Learner, there: Net, here: Net) -> float:
    """How far two nets are apart, relative to how far one of them is from the start; infinite where that is not a number."""
    moved = off = 0.0
    for a, b, c in zip(leaves(start.net.tensors), leaves(there.tensors), leaves(here.tensors), strict=True):
        if b.is_floating_point():
            moved += float((b - a).detach().double().square().sum())
            off += float((c - b).detach().double().square().sum())
    if off != off or moved != moved:
        return math.inf
    return math.sqrt(off / max(moved, 1e-60)) if off else 0.0
