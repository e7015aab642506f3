"""A trial of a plan on copies of a learner under one seed: does it give eager's numbers, and how fast is it?"""

from __future__ import annotations

import math
import subprocess
import time
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager, nullcontext
from dataclasses import dataclass, field
from typing import NamedTuple

import torch
from torch import Tensor
from torch.utils import _pytree as pytree

from chainrule.core.batch import Batch
from chainrule.core.errors import ChainruleError, NotNow, PlanRejected
from chainrule.core.rule import Learner, Rule
from chainrule.core.tree import Tree
from chainrule.engine.native import Written
from chainrule.engine.native.compiling import MACHINE
from chainrule.engine.plans.eager import Advance, copied
from chainrule.engine.plans.fidelity import check_traceable
from chainrule.engine.plans.microbatch import out_of_memory
from chainrule.engine.plans.plan import Plan, arrange
from chainrule.engine.plans.reference import ALL, NEGLIGIBLE, Reference, after, distances, norm, real, resolution
from chainrule.engine.randomness import Aside

TRIAL_SECONDS = 0.25
CHUNK_SECONDS = 1.0             # a trial passes as many batches at once as take so long, at least three
LONG_STEP_SECONDS = 0.05        # can be timed singly, even on a machine that others use
HOPELESS = 2.0                  # times the best's time for such a step, and a plan is not tried any further
BF16_TOLERANCE = 0.1            # of the update as a whole, where bf16 is asked for by name; never where plans are chosen
MOST_ROUNDING = 0.02            # but none by more than this
MOST_APART = 0.2                # of the update over the whole trial: beyond it nothing tells a rounding from a fault
TURNS = 3                       # at least so often two plans are timed side by side


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


def measure(rule: Rule, learner: Learner, chunk: Batch, plan: Plan, seed: int, agree_with: Plan | Reference | None = None,
            beat: float = math.inf, asked: bool = False, written: Written | None = None) -> Trial:
    """Build `plan` and time it on a copy of the learner. Raises PlanRejected if it fails, or disagrees with `agree_with`.

    `asked` plans in bf16 may differ as a whole by what that rounds; all others by the rule's tolerance, as a whole and tensor by tensor.
    Where `beat` seconds a step is long, a plan that needs no making and is far from it is neither timed nor compared any further.
    `written` is the program of a native plan that `begin` began.
    """
    if agree_with is not None and plan.programmed and written is None:
        check_traceable(rule, learner, chunk, seed)
    trial = copied(learner)
    began = time.perf_counter() - (written.seconds_of_writing if written else 0.0)
    with Aside(seed, learner.net.device), nullcontext() if agree_with is None else _refusing():
        if not plan.programmed and LONG_STEP_SECONDS < beat < math.inf:
            seconds, advance = _step_seconds(rule, learner, chunk, plan, seed, repeats=2)
            if seconds > HOPELESS * beat:
                return Trial(plan, advance, seconds)
        advance = plan.build(rule, trial, chunk, written)
        trial, _ = advance(trial, chunk)
        _wait(learner.net.device)
    compiling = time.perf_counter() - began if plan.programmed else 0.0
    if agree_with is not None:
        reference = agree_with if isinstance(agree_with, Reference) else Reference(rule, learner, chunk, agree_with, seed)
        compare(reference, trial, plan, advance, asked)
    if plan.threads:
        torch.set_num_threads(plan.threads)  # the plan it was compared with may have set others
    with Aside(seed, learner.net.device):
        return Trial(plan, advance, _seconds_per_step(advance, trial, chunk, learner.net.device), compiling)


def begin(rule: Rule, learner: Learner, chunk: Batch, plan: Plan, seed: int) -> Written:
    """The program of a native plan, written for a copy of the learner, its library being compiled. Raises PlanRejected like `measure`."""
    check_traceable(rule, learner, chunk, seed)
    with Aside(seed, learner.net.device), _refusing():
        return plan.write(rule, copied(learner), chunk)


@contextmanager
def _refusing() -> Iterator[None]:
    """Whatever goes wrong inside, but for want of memory, refuses the plan: for good, or for now where the machine failed."""
    try:
        yield
    except ChainruleError:
        raise
    except Exception as error:
        if out_of_memory(error):
            raise
        kind = NotNow if of_the_machine(error) else PlanRejected
        raise kind(f"failed: {type(error).__name__}: {str(error).splitlines()[0][:160] if str(error) else ''}") from error


def compare(reference: Reference, trial: Learner, plan: Plan, advance: Advance, asked: bool, tally: Tally | None = None) -> bool:
    """Raises PlanRejected unless `trial`, where `plan` has taken a copy of the learner, is where eager steps take it.

    False where `tally`, which goes on with the steps of earlier comparisons, cannot tell yet.
    """
    rule = reference.rule
    loose = plan.bf16 and asked
    tolerance = max(rule.tolerance, BF16_TOLERANCE) if loose else rule.tolerance
    found = apart(reference, trial)
    tally = tally or Tally()
    if not tally.steps and found.total <= tolerance and (loose or found.worst <= tolerance):
        return True
    if plan.bf16 or not found.total <= MOST_APART or not tally.rounds(reference, plan, advance):
        which = f"{found.total:.1e} of the update"
        if found.total <= tolerance:
            which = f"{found.worst:.1e} of what {found.where} moves" if found.worst < math.inf else f"moving {found.where}"
        raise PlanRejected(f"disagrees with eager by {which}; allowed {tolerance:.0e}")
    return tally.decided


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


@dataclass
class Tally:
    """The steps in which a plan, each from where eager stands, was as close to eager as eager itself is from weights rounded once more.

    Roundings grow from step to step, in deep nets with normalised layers within a few; and one that moves a unit across its kink, or the
    greatest of a pool to its neighbour, shows in that step by far more than its size. A wrong program is wrong in most steps. So most must
    be close, by all tensors together and by every tensor (`Reference`). `least` steps decide.
    """

    least: int = 1
    steps: int = 0
    close: Counter[str] = field(default_factory=Counter)

    @property
    def decided(self) -> bool:
        return self.steps >= self.least

    def rounds(self, reference: Reference, plan: Plan, advance: Advance) -> bool:
        """Whether no more than roundings show, in the steps of the reference and in those before; True where that is not decided yet."""
        last = max(self.steps + reference.pieces(plan.fused), self.least)
        for step in reference.taken(plan.fused):
            ours = copied(step.begin)
            arrange(ours, plan.channels_last)
            ours = after(advance, ours, step.piece, reference.seed)
            # The rule's state too: each step begins from eager's, so that a wrong one would show nowhere else.
            if not all(gaps(*trees).total <= MOST_ROUNDING for trees in _thrice(step.begin, step.end, ours)):
                return False
            offs = distances(step.end, ours)
            if any(off > step.allowed[name] == 0 for name, off in offs.items()):
                return False
            self.steps += 1
            while len(near := list(step.close(offs))) <= len(offs) and reference.draw_again(step):
                pass
            self.close.update(near)
            if any(2 * (self.close[name] + last - self.steps) <= last for name in (ALL, *offs)):
                return False
        return True


def _thrice(*learners: Learner) -> list[tuple[Tree, ...]]:
    """Their tensors, and their states."""
    return [tuple(one.net.tensors for one in learners), tuple(one.state for one in learners)]


def disagreement(rule: Rule, before: Learner, after: Learner, chunk: Batch, plan: Plan, seed: int) -> Gaps:
    """How far `after` is from where steps as they are written take `before`, the user's own module and no copy of it, over the same
    chunk and seed, with the threads of `plan`."""
    return apart(Reference(rule, before, chunk, plan, seed), after)


def apart(reference: Reference, after: Learner) -> Gaps:
    """How far `after` is from where eager steps lead. The rule's state counts in the worst tensor alone."""
    net, state = (gaps(*trees) for trees in _thrice(reference.learner, reference.after(), after))
    return net if net.worst >= state.worst or state.where == "" else Gaps(net.total, state.worst, f"the rule's {state.where}")


def gaps(before: Tree, reference: Tree, after: Tree) -> Gaps:
    """How far the numbers of `after` are from `reference`, which came from `before`."""
    trees = [dict(pytree.tree_flatten_with_path(tree)[0]) for tree in (before, reference, after)]
    moved, off, worst, where = {}, {}, 0.0, ""
    for path, there in trees[1].items():
        if isinstance(there, Tensor) and real(there):
            moved[path] = norm((there - trees[0][path]).detach())
            off[path] = norm((trees[2][path] - there).detach())
        elif isinstance(there, Tensor) and not torch.equal(there, trees[2][path]):
            worst, where = math.inf, pytree.keystr(path)
    total = math.sqrt(sum(m * m for m in moved.values()))
    for path, distance in off.items():
        slack = NEGLIGIBLE * total + resolution(trees[1][path].detach()) if moved[path] else 0.0
        gap = max(distance - slack, 0.0) / moved[path] if moved[path] else math.inf if distance else 0.0
        if not gap <= worst:
            worst, where = gap, pytree.keystr(path)
    apart = math.sqrt(sum(d * d for d in off.values()))
    return Gaps(apart / max(total, 1e-30) if apart else 0.0, worst, where)


def of_the_machine(error: BaseException | None) -> bool:
    """Whether an error, or one that it was raised from, is the machine's: no space, no compiler, a process that was killed."""
    while error is not None:
        if isinstance(error, OSError | subprocess.SubprocessError) or any(word in str(error) for word in MACHINE):
            return True
        error = error.__cause__ or error.__context__
    return False


def in_turns(first: Trial, second: Trial, learner: Learner, chunk: Batch, seed: int) -> tuple[float, float]:
    """Seconds a step of two plans that were built, timed in turns, so that whatever else the machine does slows both alike.

    The first by its quickest turn, the second by the median of its times over the first's in the same turn.
    """
    few, device = chunk, learner.net.device
    if max(first.seconds_per_step, second.seconds_per_step) > LONG_STEP_SECONDS:
        few = chunk.rows(0, max(first.plan.fused, second.plan.fused))
    sides = []
    for one in (first, second):
        copy = copied(learner)
        arrange(copy, one.plan.channels_last)
        sides.append((one, copy))
    took: list[list[float]] = []
    began = time.perf_counter()
    with Aside(seed, device):
        while len(took) < TURNS or (time.perf_counter() - began < 2 * TRIAL_SECONDS and len(took) < 25):
            turn = []
            for one, copy in sides:
                if one.plan.threads and torch.get_num_threads() != one.plan.threads:
                    torch.set_num_threads(one.plan.threads)
                at = time.perf_counter()
                one.advance(copy, few)
                _wait(device)
                turn.append((time.perf_counter() - at) / len(few))
            took.append(turn)
            if time.perf_counter() - began > 8 * TRIAL_SECONDS:
                break
    quickest = min(a for a, _ in took)
    return quickest, quickest * sorted(b / a for a, b in took)[len(took) // 2]


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
