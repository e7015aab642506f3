"""A trial of a plan on copies of a learner under one seed: does it give eager's numbers, and how fast is it?"""

from __future__ import annotations

import math
import time
from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass
from typing import NamedTuple

import torch
from torch import Tensor
from torch.utils import _pytree as pytree

from chainrule.core.batch import Batch
from chainrule.core.errors import ChainruleError, PlanRejected
from chainrule.core.rule import Learner, Rule
from chainrule.core.tree import Tree
from chainrule.engine.plans.eager import Advance, copied, eager
from chainrule.engine.plans.fidelity import check_traceable, own_steps
from chainrule.engine.plans.microbatch import Accumulated, out_of_memory
from chainrule.engine.plans.plan import Plan, arrange
from chainrule.engine.randomness import Aside

TRIAL_SECONDS = 0.25
CHUNK_SECONDS = 1.0             # a trial passes as many batches at once as take so long, at least three
LONG_STEP_SECONDS = 0.05        # can be timed singly, even on a machine that others use
HOPELESS = 2.0                  # times the best's time for such a step, and a plan is not tried any further
BF16_TOLERANCE = 0.1            # of the update as a whole, where bf16 is asked for by name; never where plans are chosen
ROUNDINGS, DRAWS = 3.0, 3       # a step may be off by so many times what rounding the weights once does to eager, the most of some draws
MOST_ROUNDING = 0.02            # but none by more than this
MOST_APART = 0.2                # of the update over the whole trial: beyond it nothing tells a rounding from a fault
NEGLIGIBLE = 1e-6               # of the whole update: by so much any tensor may be off, however little it moves
LAST_PLACES = 4                 # and by so many units in the last place of its own numbers


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


class Gaps(NamedTuple):
    """How far numbers are from a reference: all together, relative to how far that has moved, and the worst of the tensors by itself.

    A tensor that the reference leaves alone, or one of whole numbers, must be equal: else the worst is infinite.
    """

    total: float
    worst: float
    where: str


def measure(rule: Rule, learner: Learner, chunk: Batch, plan: Plan, seed: int, agree_with: Plan | None = None,
            beat: float = math.inf, asked: bool = False) -> Trial:
    """Build `plan` and time it on a copy of the learner. Raises PlanRejected if it fails, or disagrees with `agree_with`.

    `asked` plans in bf16 may differ as a whole by what that rounds; all others by the rule's tolerance, as a whole and tensor by tensor.
    Where `beat` seconds a step is long, a plan that needs no making and is far from it is neither timed nor compared any further.
    """
    if agree_with is not None and plan.programmed:
        check_traceable(rule, learner, chunk, seed)
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
        compare(rule, learner, trial, chunk, plan, advance, seed, asked, agree_with)
    if plan.threads:
        torch.set_num_threads(plan.threads)  # the plan it was compared with may have set others
    with Aside(seed, learner.net.device):
        return Trial(plan, advance, _seconds_per_step(advance, trial, chunk, learner.net.device), compiling)


def compare(rule: Rule, learner: Learner, trial: Learner, chunk: Batch, plan: Plan, advance: Advance, seed: int, asked: bool,
            agree_with: Plan | None = None) -> None:
    """Raises PlanRejected unless `trial`, where `plan` has taken a copy of the learner, is where eager steps take it."""
    eager = agree_with or Plan(threads=plan.threads)
    loose = plan.bf16 and asked
    tolerance = max(rule.tolerance, BF16_TOLERANCE) if loose else rule.tolerance
    found = disagreement(rule, learner, trial, chunk, eager, seed)
    if found.total <= tolerance and (loose or found.worst <= tolerance):
        return
    if plan.bf16 or not found.total <= MOST_APART or not only_rounds(rule, learner, chunk, plan, advance, eager, seed):
        which = f"{found.total:.1e} of the update"
        if found.total <= tolerance:
            which = f"{found.worst:.1e} of what {found.where} moves" if found.worst < math.inf else f"moving {found.where}"
        raise PlanRejected(f"disagrees with eager by {which}; allowed {tolerance:.0e}")


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
    """Whether every tensor, in most steps of `plan`, each from where eager stands, is as close to eager's as eager's own from weights
    rounded once more.

    Roundings grow from step to step, in deep nets with normalised layers within a few; and one that moves a unit across its kink, or the
    greatest of a pool to its neighbour, shows in that step by far more than its size. A wrong program is wrong in most steps.
    """
    now, close = copied(learner), Counter[str]()
    plainly = eager.build(rule, now, chunk)
    pieces = [chunk.rows(i, i + plan.fused) for i in range(0, len(chunk) - plan.fused + 1, plan.fused)]
    needed = len(pieces) // 2 + 1
    for i, piece in enumerate(pieces):
        ours = copied(now)
        arrange(ours, plan.channels_last)
        ours, there = _after(advance, ours, piece, seed), _after(plainly, copied(now), piece, seed)
        # The rule's state too: each step begins from eager's, so that a wrong one would show nowhere else.
        if not all(gaps(*trees).total <= MOST_ROUNDING for trees in _thrice(now, there, ours)):
            return False
        rounded = [_after(plainly, _rounded(now, seed + draw), piece, seed) for draw in range(DRAWS)]
        offs, most = _distances(there, ours), _most(_distances(there, one) for one in rounded)
        allowed = {name: max(ROUNDINGS * most[name], slack) for name, slack in _slack(now, there).items()}
        if any(off > allowed[name] == 0 for name, off in offs.items()):
            return False
        close.update(name for name, off in offs.items() if off <= allowed[name])
        if any(close[name] + len(pieces) - 1 - i < needed for name in offs):
            return False
        now = there
    return True


def _thrice(*learners: Learner) -> list[tuple[Tree, ...]]:
    """Their tensors, and their states."""
    return [tuple(one.net.tensors for one in learners), tuple(one.state for one in learners)]


def _named(learner: Learner) -> dict[str, Tensor]:
    """Every tensor of a learner by a name."""
    flat, _ = pytree.tree_flatten_with_path([learner.net.tensors, learner.state])
    return {pytree.keystr(path): t.detach() for path, t in flat if isinstance(t, Tensor)}


def _norm(t: Tensor) -> float:
    return float(t.abs().double().square().sum().sqrt())


def _distances(there: Learner, here: Learner) -> dict[str, float]:
    """How far each tensor is; infinite for whole numbers that differ."""
    theirs, ours = _named(there), _named(here)
    return {name: _norm(ours[name] - t) if _real(t) else 0.0 if torch.equal(t, ours[name]) else math.inf for name, t in theirs.items()}


def _most(some: Iterable[dict[str, float]]) -> dict[str, float]:
    rows = list(some)
    return {name: max(row[name] for row in rows) for name in rows[0]}


def _slack(before: Learner, there: Learner) -> dict[str, float]:
    """How far each tensor may be off whatever it moves; nothing for one that stays where it is."""
    begin, end = _named(before), _named(there)
    moved = {name: _norm(t - begin[name]) if _real(t) else 0.0 for name, t in end.items()}
    total = math.sqrt(sum(m * m for m in moved.values()))
    return {name: NEGLIGIBLE * total + _resolution(end[name]) if m else 0.0 for name, m in moved.items()}


def _real(t: Tensor) -> bool:
    return t.is_floating_point() or t.is_complex()


def _resolution(t: Tensor) -> float:
    """A few units in the last place of all its numbers."""
    return LAST_PLACES * torch.finfo(t.dtype).eps * _norm(t)


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


def disagreement(rule: Rule, before: Learner, after: Learner, chunk: Batch, plan: Plan, seed: int) -> Gaps:
    """How far `after` is from where steps as they are written take `before`, the user's own module and no copy of it, over the same
    chunk and seed, with the threads of `plan`. The rule's state counts in the worst tensor alone."""
    if plan.threads:
        torch.set_num_threads(plan.threads)
    step = Accumulated(rule, plan.parts).step if plan.parts > 1 else rule.step
    reference = own_steps(eager(step), before, chunk, seed)
    net, state = (gaps(*trees) for trees in _thrice(before, reference, after))
    return net if net.worst >= state.worst or state.where == "" else Gaps(net.total, state.worst, f"the rule's {state.where}")


def gaps(before: Tree, reference: Tree, after: Tree) -> Gaps:
    """How far the numbers of `after` are from `reference`, which came from `before`."""
    trees = [dict(pytree.tree_flatten_with_path(tree)[0]) for tree in (before, reference, after)]
    moved, off, worst, where = {}, {}, 0.0, ""
    for path, there in trees[1].items():
        if isinstance(there, Tensor) and _real(there):
            moved[path] = _norm((there - trees[0][path]).detach())
            off[path] = _norm((trees[2][path] - there).detach())
        elif isinstance(there, Tensor) and not torch.equal(there, trees[2][path]):
            worst, where = math.inf, pytree.keystr(path)
    total = math.sqrt(sum(m * m for m in moved.values()))
    for path, distance in off.items():
        slack = NEGLIGIBLE * total + _resolution(trees[1][path].detach()) if moved[path] else 0.0
        gap = max(distance - slack, 0.0) / moved[path] if moved[path] else math.inf if distance else 0.0
        if not gap <= worst:
            worst, where = gap, pytree.keystr(path)
    apart = math.sqrt(sum(d * d for d in off.values()))
    return Gaps(apart / max(total, 1e-30) if apart else 0.0, worst, where)


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
