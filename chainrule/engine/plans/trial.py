"""A trial of a plan on copies of a learner under one seed: does it give eager's numbers, and how fast is it?"""

from __future__ import annotations

import math
import time
from dataclasses import dataclass

import torch

from chainrule.core.batch import Batch
from chainrule.core.errors import ChainruleError, PlanRejected
from chainrule.core.rule import Learner, Rule
from chainrule.core.tree import Tree, leaves
from chainrule.engine.plans.eager import Advance, copied
from chainrule.engine.plans.microbatch import out_of_memory
from chainrule.engine.plans.plan import Plan, arrange
from chainrule.engine.randomness import Aside

TRIAL_SECONDS = 0.25
CHUNK_SECONDS = 1.0             # a trial passes as many batches at once as take so long, at least three
LONG_STEP_SECONDS = 0.05        # can be timed singly, even on a machine that others use
HOPELESS = 2.0                  # times the best's time for such a step, and a plan is not tried any further
BF16_TOLERANCE = 0.1
ROUNDINGS, DRAWS = 3.0, 3       # a step may be off by so many times what rounding the weights once does to eager, the most of some draws
MOST_ROUNDING = 0.02            # but none by more than this
MOST_APART = 0.2                # of the update over the whole trial: beyond it nothing tells a rounding from a fault


@dataclass
class Trial:
    """A plan that was built and timed. `advance` was built on a copy and runs any learner of the same shapes, once `arrange` has laid
    out its weights. `compiling` is in seconds."""

    plan: Plan
    advance: Advance
    seconds_per_step: float
    compiling: float = 0.0

    def __str__(self) -> str:
        return per_step(self.seconds_per_step)


def per_step(seconds: float) -> str:
    return f"{1e6 * seconds:.0f} us a step" if seconds < 1e-3 else f"{1e3 * seconds:.1f} ms a step"


def enough(rule: Rule, learner: Learner, chunk: Batch, seed: int) -> Batch:
    """As many batches of `chunk` as a trial needs: where one step takes long, a few can be told apart and compared."""
    try:
        seconds, _ = _step_seconds(rule, learner, chunk, Plan(), seed, repeats=1)
    except Exception as error:
        if not out_of_memory(error):
            raise
        return chunk
    return shortened(chunk, seconds)


def shortened(chunk: Batch, seconds_per_step: float) -> Batch:
    """The batches that a trial passes at once where a step takes so long."""
    return chunk.rows(0, max(3, int(CHUNK_SECONDS / max(seconds_per_step, 1e-9))))


def measure(rule: Rule, learner: Learner, chunk: Batch, plan: Plan, seed: int, agree_with: Plan | None = None,
            beat: float = math.inf) -> Trial:
    """Build `plan` and time it on a copy of the learner. Raises PlanRejected if it fails, or disagrees with `agree_with`.

    Where `beat` seconds a step is long, a plan that needs no making and is far from it is neither timed nor compared any further.
    """
    trial = copied(learner)
    aside = Aside(seed, learner.net.device)
    began = time.perf_counter()
    with aside:
        try:
            if not plan.programmed and LONG_STEP_SECONDS < beat < math.inf:
                seconds, advance = _step_seconds(rule, learner, chunk, plan, seed, repeats=2)
                if seconds > HOPELESS * beat:
                    return Trial(plan, advance, seconds)
            advance = plan.build(rule, trial, chunk)
            trial, _ = advance(trial, chunk)
            _wait(learner.net.device)
        except ChainruleError:
            raise
        except Exception as error:
            if agree_with is None or out_of_memory(error):
                raise
            raise PlanRejected(f"failed: {type(error).__name__}: {str(error).splitlines()[0][:160] if str(error) else ''}") from error
        compiling = time.perf_counter() - began if plan.programmed else 0.0
    if agree_with is not None:
        difference = disagreement(rule, learner, trial, chunk, agree_with, seed)
        tolerance = max(rule.tolerance, BF16_TOLERANCE if plan.bf16 else 0.0)
        if not difference <= tolerance and (plan.bf16 or not difference <= MOST_APART
                                            or not only_rounds(rule, learner, chunk, plan, advance, agree_with, seed)):
            raise PlanRejected(f"disagrees with eager by {difference:.1e} of the update; allowed {tolerance:.0e}")
    if plan.threads:
        torch.set_num_threads(plan.threads)  # the plan it was compared with may have set others
    with Aside(seed, learner.net.device):
        return Trial(plan, advance, _seconds_per_step(advance, trial, chunk, learner.net.device), compiling)


def _step_seconds(rule: Rule, learner: Learner, chunk: Batch, plan: Plan, seed: int, repeats: int) -> tuple[float, Advance]:
    """What the last of so many steps over the first batch takes, and what took it."""
    trial, first, seconds = copied(learner), chunk.rows(0, 1), 0.0
    with Aside(seed, learner.net.device):
        advance = plan.build(rule, trial, first)
        for _ in range(repeats):
            began = time.perf_counter()
            trial, _reports = advance(trial, first)
            _wait(learner.net.device)
            seconds = time.perf_counter() - began
    return seconds, advance


def only_rounds(rule: Rule, learner: Learner, chunk: Batch, plan: Plan, advance: Advance, eager: Plan, seed: int) -> bool:
    """Whether most steps of `plan`, each from where eager stands, are as close to eager's as eager's own from weights rounded once more.

    Roundings grow from step to step, in deep nets with normalised layers within a few; and one that moves a unit across its kink, or the
    greatest of a pool to its neighbour, shows in that step by far more than its size. A wrong program is wrong in most steps.
    """
    now, close = copied(learner), 0
    plainly = eager.build(rule, now, chunk)
    pieces = [chunk.rows(i, i + plan.fused) for i in range(0, len(chunk) - plan.fused + 1, plan.fused)]
    needed = len(pieces) // 2 + 1
    for i, piece in enumerate(pieces):
        ours = copied(now)
        arrange(ours, plan.channels_last)
        ours, there = _after(advance, ours, piece, seed), _after(plainly, copied(now), piece, seed)
        # The rule's state too: each step begins from eager's, so that a wrong one would show nowhere else.
        offs = [apart(now.net.tensors, there.net.tensors, ours.net.tensors), apart(now.state, there.state, ours.state)]
        if not all(off <= MOST_ROUNDING for off in offs):
            return False
        if close < needed:
            rounded = [_after(plainly, _rounded(now, seed + draw), piece, seed) for draw in range(DRAWS)]
            most = [max(apart(now.net.tensors, there.net.tensors, one.net.tensors) for one in rounded),
                    max(apart(now.state, there.state, one.state) for one in rounded)]
            close += all(off <= ROUNDINGS * rounding for off, rounding in zip(offs, most, strict=True))
            if close + len(pieces) - 1 - i < needed:
                return False
        now = there
    return close >= needed


def _after(advance: Advance, begin: Learner, few: Batch, seed: int) -> Learner:
    with Aside(seed, begin.net.device):
        return advance(begin, few)[0]


def _rounded(learner: Learner, seed: int) -> Learner:
    """A copy whose weights are each moved by up to half a unit in their last place."""
    moved = copied(learner)
    with Aside(seed, learner.net.device):
        for p in moved.net.params.values():
            if p.is_floating_point():
                p.data.mul_(1 + (torch.rand_like(p) - 0.5) * torch.finfo(p.dtype).eps)
    return moved


def disagreement(rule: Rule, before: Learner, after: Learner, chunk: Batch, plan: Plan, seed: int) -> float:
    """How far `after` is from where `plan` takes `before` over the same chunk and seed, relative to the distance moved."""
    reference = copied(before)
    with Aside(seed, before.net.device):
        reference, _ = plan.build(rule, reference, chunk)(reference, chunk)
    return apart(before.net.tensors, reference.net.tensors, after.net.tensors)


def apart(before: Tree, reference: Tree, after: Tree) -> float:
    """How far the numbers of `after` are from `reference`, relative to how far that has moved from `before`."""
    moved = off = 0.0
    for start, there, here in zip(leaves(before), leaves(reference), leaves(after), strict=True):
        if there.is_floating_point():
            moved += float((there - start).detach().double().square().sum())
            off += float((here - there).detach().double().square().sum())
    return math.sqrt(off) / max(math.sqrt(moved), 1e-30) if off else 0.0


def _seconds_per_step(advance: Advance, learner: Learner, chunk: Batch, device: torch.device) -> float:
    """The median over repeated chunks, within the time a trial may take."""
    took: list[float] = []
    began = time.perf_counter()
    while len(took) < 3 or (time.perf_counter() - began < TRIAL_SECONDS and len(took) < 50):
        at = time.perf_counter()
        learner, _ = advance(learner, chunk)
        _wait(device)
        took.append((time.perf_counter() - at) / len(chunk))
        if time.perf_counter() - began > 4 * TRIAL_SECONDS:
            break
    return sorted(took)[len(took) // 2]


def _wait(device: torch.device) -> None:
    if device.type == "cuda":
        torch.cuda.synchronize(device)
