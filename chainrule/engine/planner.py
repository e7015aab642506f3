"""The planner: trial execution plans on copies under one seed, reject what fails or disagrees with eager, take the fastest.

Compiling is an investment: it is tried only where the steps that remain can pay it back, and the choice says so.
"""

from __future__ import annotations

import math
import shutil
import time
from collections.abc import Iterator
from dataclasses import dataclass, field, replace

import torch

from chainrule.core.errors import ChainruleError, InputError, PlanRejected
from chainrule.core.rule import Batch, Learner, Rule
from chainrule.core.tree import leaves
from chainrule.engine.plan import FUSED_STEPS, Advance, Plan, copied
from chainrule.engine.randomness import Aside

WORTH_PLANNING_SECONDS = 3.0
TRIAL_SECONDS = 0.25
COMPILE_SECONDS = 40.0          # a cold compile of ten fused steps on two cores; measured, docs/results.md
OVERHEAD_BOUND_SECONDS = 4e-3   # above this a CPU step is arithmetic, which compiling hardly shortens
HOST_CHUNK_SECONDS = 0.1
ONE_THREAD_UNLESS = 0.9         # all threads must save a tenth: one is steadier on a machine that others use
BF16_TOLERANCE = 0.1


@dataclass
class Choice:
    """The plan taken, how fast it measured, and why; `rejected` tells of the others. `compiling` is in seconds.

    `advance` was built on a copy and runs any learner of the same shapes, once `arrange` has laid out its weights.
    """

    plan: Plan
    advance: Advance
    seconds_per_step: float
    reason: str
    rejected: list[dict[str, str]] = field(default_factory=list)
    compiling: float = 0.0


@dataclass
class Trial:
    plan: Plan
    advance: Advance
    seconds_per_step: float
    compiling: float = 0.0


def check_asked(plan: str, precision: str, device: torch.device) -> None:
    """Raises InputError for an unknown plan, or a precision that this machine does not have natively."""
    if precision not in ("auto", "fp32", "bf16"):
        raise InputError(f"--precision is auto, fp32 or bf16; got '{precision}'.")
    if precision == "bf16" and not native_bf16(device):
        raise InputError("--precision bf16 needs a processor with native bfloat16, which this one lacks; it would run slower, not faster. "
                         "Use --precision fp32.")
    if plan != "auto" and Plan.parse(plan).bf16 and not native_bf16(device):
        raise InputError(f"Plan {plan} needs a processor with native bfloat16, which this one lacks. Leave out +bf16.")


def choose(rule: Rule, learner: Learner, chunk: Batch, *, steps_left: float, longest_chunk: int, plan: str = "auto",
           precision: str = "auto", threads: int | None = None, seed: int = 0) -> Choice:
    """Choose for `steps_left` further steps, by trials on `chunk` (k, batch, ...), a few real batches.

    `threads` fixes their number; None measures one against torch's own, because tiny steps lose by sharing.
    Raises InputError for an unknown plan or a precision that this machine does not have natively.
    """
    device = learner.net.device
    check_asked(plan, precision, device)
    if plan != "auto" or precision == "bf16":
        asked = Plan.parse(plan) if plan != "auto" else Plan(channels_last=_convolutional(learner))
        asked = replace(asked, threads=threads or _own_threads(device))
        return _asked_for(rule, learner, chunk, asked, precision, longest_chunk, seed)

    eager, threads = _eager(rule, learner, chunk, seed, threads)
    total = eager.seconds_per_step * steps_left
    if total < WORTH_PLANNING_SECONDS:
        reason = f"all steps take about {total:.1f} s, so trying others would not pay"
        return _sized(Choice(eager.plan, eager.advance, eager.seconds_per_step, reason), longest_chunk)

    best, rejected = eager, []
    for option, why_not in _candidates(learner, eager, total, precision, len(chunk)):
        candidate = replace(option, threads=threads)
        if why_not:
            rejected.append({"plan": candidate.name, "reason": why_not})
            continue
        try:
            trial = _time(rule, learner, chunk, candidate, seed, agree_with=eager.plan)
        except PlanRejected as error:
            rejected.append({"plan": candidate.name, "reason": str(error)})
            continue
        if trial.seconds_per_step < best.seconds_per_step:
            rejected.append({"plan": best.plan.name, "reason": f"slower: {_per_step(best)} against {_per_step(trial)}"})
            best = trial
        else:
            rejected.append({"plan": candidate.name, "reason": f"slower: {_per_step(trial)} against {_per_step(best)}"})
    reason = f"fastest of {1 + sum(r['reason'].startswith('slower') for r in rejected)} measured: {_per_step(best)}"
    return _sized(Choice(best.plan, best.advance, best.seconds_per_step, reason, rejected, best.compiling), longest_chunk)


def _asked_for(rule: Rule, learner: Learner, chunk: Batch, plan: Plan, precision: str, longest_chunk: int, seed: int) -> Choice:
    if precision == "bf16":
        plan = replace(plan, bf16=True)
    try:
        plain = Plan(threads=plan.threads)
        trial = _time(rule, learner, chunk, plan, seed, agree_with=plain if plan != plain else None)
    except PlanRejected as error:
        eager = _time(rule, learner, chunk, plain, seed)
        refused = [{"plan": plan.name, "reason": str(error)}]
        reason = f"{plan.name} was asked for and refused"
        return _sized(Choice(plain, eager.advance, eager.seconds_per_step, reason, refused), longest_chunk)
    return _sized(Choice(plan, trial.advance, trial.seconds_per_step, "asked for", [], trial.compiling), longest_chunk)


def _eager(rule: Rule, learner: Learner, chunk: Batch, seed: int, threads: int | None) -> tuple[Trial, int]:
    """Eager execution with the number of threads that suits it."""
    many = _own_threads(learner.net.device)
    if threads or many <= 1:
        return _time(rule, learner, chunk, Plan(threads=threads or many), seed), threads or many
    alone = _time(rule, learner, chunk, Plan(threads=1), seed)
    together = _time(rule, learner, chunk, Plan(threads=many), seed)
    best = together if together.seconds_per_step < ONE_THREAD_UNLESS * alone.seconds_per_step else alone
    torch.set_num_threads(best.plan.threads)
    return best, best.plan.threads


def _convolutional(learner: Learner) -> bool:
    return any(p.dim() == 4 for p in learner.net.params.values())


def _own_threads(device: torch.device) -> int:
    """Torch's own number of threads, recorded with the plan because sums over threads round differently; 0 where none compute."""
    return torch.get_num_threads() if device.type == "cpu" else 0


def _candidates(learner: Learner, eager: Trial, total: float, precision: str, batches: int) -> Iterator[tuple[Plan, str]]:
    """The plans worth a trial, or the sentence why one is not."""
    device = learner.net.device
    convolutional = _convolutional(learner)
    if convolutional:
        yield Plan(channels_last=True), ""
    if precision == "auto":
        low = Plan(bf16=True, channels_last=convolutional)
        yield low, "" if native_bf16(device) else "this processor has no native bfloat16"
    compiled = Plan(compiled=True, fused=FUSED_STEPS)
    if batches < FUSED_STEPS:
        yield compiled, f"it fuses {FUSED_STEPS} steps, and only {batches} pass at once"
    elif device.type == "cpu" and shutil.which("g++") is None and shutil.which("clang++") is None:
        yield compiled, "there is no C++ compiler on this machine"
    elif device.type == "cpu" and eager.seconds_per_step > OVERHEAD_BOUND_SECONDS:
        yield compiled, f"a step takes {1e3 * eager.seconds_per_step:.0f} ms of arithmetic, which compiling does not shorten on a CPU"
    elif total < 2 * COMPILE_SECONDS:
        yield compiled, f"compiling takes up to {COMPILE_SECONDS:.0f} s and the whole run {total:.0f} s"
    else:
        yield compiled, ""


def _time(rule: Rule, learner: Learner, chunk: Batch, plan: Plan, seed: int, agree_with: Plan | None = None) -> Trial:
    """Seconds a step on a copy of the learner. Raises PlanRejected if the plan fails, or disagrees with `agree_with`."""
    trial = copied(learner)
    aside = Aside(seed, learner.net.device)
    began = time.perf_counter()
    with aside:
        try:
            advance = plan.build(rule, trial)
            trial, _ = advance(trial, chunk)
            _wait(learner.net.device)
        except ChainruleError:
            raise
        except Exception as error:
            if agree_with is None:
                raise
            raise PlanRejected(f"failed: {type(error).__name__}: {str(error).splitlines()[0][:160] if str(error) else ''}") from error
        compiling = time.perf_counter() - began if plan.compiled else 0.0
    if agree_with is not None:
        difference = disagreement(rule, learner, trial, chunk, agree_with, seed)
        tolerance = max(rule.tolerance, BF16_TOLERANCE if plan.bf16 else 0.0)
        if not difference <= tolerance:
            raise PlanRejected(f"disagrees with eager by {difference:.1e} of the update; allowed {tolerance:.0e}")
    with Aside(seed, learner.net.device):
        return Trial(plan, advance, _seconds_per_step(advance, trial, chunk, learner.net.device), compiling)


def disagreement(rule: Rule, before: Learner, after: Learner, chunk: Batch, plan: Plan, seed: int) -> float:
    """How far `after` is from where `plan` takes `before` over the same chunk and seed, relative to the distance moved."""
    reference = copied(before)
    with Aside(seed, before.net.device):
        reference, _ = plan.build(rule, reference)(reference, chunk)
    pairs = zip(leaves(before.net.tensors), leaves(reference.net.tensors), leaves(after.net.tensors), strict=True)
    moved = off = 0.0
    for start, there, here in pairs:
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


def _sized(choice: Choice, longest_chunk: int) -> Choice:
    """Chunks of about a tenth of a second, so that a signal, or the progress line, never waits long."""
    steps = int(HOST_CHUNK_SECONDS / max(choice.seconds_per_step, 1e-7))
    choice.plan = choice.plan.sized(max(1, min(steps, longest_chunk, 1000)))
    return choice


def _per_step(trial: Trial) -> str:
    microseconds = 1e6 * trial.seconds_per_step
    return f"{microseconds:.0f} us a step" if microseconds < 1e3 else f"{microseconds / 1e3:.1f} ms a step"


def _wait(device: torch.device) -> None:
    if device.type == "cuda":
        torch.cuda.synchronize(device)


def native_bf16(device: torch.device) -> bool:
    """Whether bfloat16 arithmetic is done by the processor itself rather than emulated."""
    if device.type == "cuda":
        return torch.cuda.get_device_capability(device)[0] >= 8
    return device.type == "cpu" and bool(torch.cpu._is_avx512_bf16_supported() or torch.cpu._is_amx_tile_supported())

