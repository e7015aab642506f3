"""The planner: trial execution plans on copies under one seed, reject what fails or disagrees with eager, take the fastest.

Making a program is an investment. It is made at once where the steps that are sure to come pay it back twice; where nobody knows how
many will come, training starts eagerly and the program is begun once that has lasted as long as making it takes, so that at worst the
time is doubled. A native program that is not in the cache is compiled in a process beside the training, which changes over when it is
ready. What was measured is remembered for the next run of the same net on the same machine.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, field, replace

import torch

from chainrule.core.batch import Batch
from chainrule.core.errors import InputError, NotNow, PlanRejected
from chainrule.core.rule import Learner, Rule
from chainrule.core.text import counted
from chainrule.core.threads import cores
from chainrule.engine.native import Written
from chainrule.engine.plans.cache import Measured, Memory, about
from chainrule.engine.plans.candidates import Refused, candidates, convolutional, native_bf16
from chainrule.engine.plans.eager import Advance
from chainrule.engine.plans.microbatch import NO_ROOM, in_fewest_parts, out_of_memory
from chainrule.engine.plans.plan import Plan, arrange
from chainrule.engine.plans.reference import Reference
from chainrule.engine.plans.signature import Signature, signature
from chainrule.engine.plans.trial import HOPELESS, LONG_STEP_SECONDS, Trial, begin, enough, in_turns, measure, per_step, shortened

WORTH_PLANNING_SECONDS = 3.0
PAYS_BACK = 2.0                 # a program is made at once only where the time it may save is this many times what making it takes
WORTH_THREADS_SECONDS = 1e-4    # below this a step of a native program is over before another thread has woken
HOST_CHUNK_SECONDS = 0.1
MOST_STEPS_A_CHUNK = 2000
MOST_MAKING_SECONDS = 120.0     # no program is made that is expected to take longer
ONE_THREAD_UNLESS = 0.9         # all threads must save a tenth: one is steadier on a machine that others use
ONE_NATIVE_UNLESS = 0.75        # and a quarter of a native program, whose threads wait for one another several times a step


@dataclass(frozen=True)
class Later:
    """A plan to try when the stage has lasted `seconds`: by then its making is as likely to pay as not. `written` is its program, where
    that is being compiled; then it is tried when it is ready."""

    plan: Plan
    seconds: float = 0.0
    written: Written | None = None


@dataclass
class Choice:
    """The plan taken, how fast it measured, and why; `rejected` tells of the others, `later` of those to be tried in mid-run.

    `recorded` says that it was not chosen now but is what the run ran under before.
    `advance` was built on a copy and runs any learner of the same shapes, once `arrange` has laid out its weights.
    """

    plan: Plan
    advance: Advance
    seconds_per_step: float
    reason: str
    rejected: list[dict[str, str]] = field(default_factory=list)
    compiling: float = 0.0
    later: list[Later] = field(default_factory=list)
    recorded: bool = False


@dataclass(frozen=True)
class Planning:
    """What a choice is made for. `sure` says that all of `steps_left` will be taken, not only up to a deadline or an early stop.

    `longest_chunk` bounds how many batches pass at once; `threads` fixes their number, None measures one against `most_threads`;
    `identity` names net and rule for the `memory`; `beside` says that native programs may be compiled while training goes on.
    """

    steps_left: float
    longest_chunk: int
    plan: str = "auto"
    precision: str = "auto"
    threads: int | None = None
    seed: int = 0
    sure: bool = True
    identity: str = ""
    memory: Memory = field(default_factory=Memory)
    most_threads: int = 1            # torch's own number, before a plan or a trial set another
    beside: bool = False

    @property
    def choices_of_threads(self) -> str:
        """How many threads a plan may have, in words: what was measured where one was all there was says nothing of two."""
        return f"{self.threads} threads" if self.threads else f"1 or {self.most_threads} threads"


def check_asked(plan: str, precision: str, device: torch.device) -> None:
    """Raises InputError for an unknown plan, or a precision that this machine does not have natively."""
    if precision not in ("auto", "fp32", "bf16"):
        raise InputError(f"--precision is auto, fp32 or bf16; got '{precision}'.")
    if precision == "bf16" and not native_bf16(device):
        raise InputError("--precision bf16 needs a processor with native bfloat16, which this one lacks; it would run slower, not faster. "
                         "Use --precision fp32.")
    if plan != "auto" and Plan.parse(plan).bf16 and not native_bf16(device):
        raise InputError(f"Plan {plan} needs a processor with native bfloat16, which this one lacks. Leave out +bf16.")


def choose(rule: Rule, learner: Learner, chunk: Batch, planning: Planning) -> Choice:
    """Choose by trials on `chunk` (k, batch, ...), a few real batches.

    Raises InputError for an unknown plan or a precision that this machine does not have natively.
    """
    check_asked(planning.plan, planning.precision, learner.net.device)
    asked = planning.plan != "auto" or planning.precision == "bf16"
    choice = (_requested if asked else _fastest)(rule, learner, chunk, planning)
    if choice.plan.threads:
        torch.set_num_threads(choice.plan.threads)  # trials have set others
    return choice


def _fastest(rule: Rule, learner: Learner, chunk: Batch, planning: Planning) -> Choice:
    """The fastest of those worth a trial."""
    step = signature(rule, learner, chunk[0], planning.seed)
    words = about(planning.identity, learner, chunk, step.digest, planning.choices_of_threads)
    known = planning.memory.recall(words)
    few = enough(rule, learner, chunk, planning.seed)
    eager = _eager(rule, learner, few, planning, known)
    total = eager.seconds_per_step * planning.steps_left
    if total < WORTH_PLANNING_SECONDS:
        reason = f"all steps take about {total:.1f} s, so trying others would not pay"
        return _sized(Choice(eager.plan, eager.advance, eager.seconds_per_step, reason), planning.longest_chunk)
    if eager.plan.parts > 1:
        return _sized(Choice(eager.plan, eager.advance, eager.seconds_per_step, _parted(eager.plan)), planning.longest_chunk)

    found = Measured(seconds_per_step={"eager": eager.seconds_per_step}, threads={"eager": eager.plan.threads})
    best, rejected, later = eager, [], []
    against = {len(batches): Reference(rule, learner, batches, eager.plan, planning.seed) for batches in (chunk, few)}
    for candidate in candidates(rule, learner, eager, planning.precision, len(chunk)):
        if isinstance(candidate, Refused):
            rejected.append({"plan": candidate.plan.name, "reason": candidate.reason})
            continue
        why_not = _not_worth(candidate, best, known, planning, step.operations)
        if isinstance(why_not, Later):
            later.append(why_not)
        elif why_not:
            rejected.append({"plan": candidate.name, "reason": why_not})
        elif candidate.programmed and any(one.written for one in later):     # training would wait for what that one may outdo
            later.append(Later(candidate, _making(candidate, known, planning, step.operations)))
        else:
            best = _compete(against[len(chunk if candidate.fused > 1 else few)], candidate, best, planning, step, rejected, found, later)
    best = _with_threads(against[len(few)], best, planning, step, rejected, found, later)
    compiling = any(one.written for one in later)
    if compiling:
        best = _beside_compiler(against[len(few)], best, planning)
    planning.memory.keep(words, Measured(*({**vars(known)[name], **vars(found)[name]} for name in vars(found))))
    measured = 1 + sum(r["reason"].startswith(("slower", "hardly faster")) for r in rejected)
    reason = f"fastest of {measured} measured" if measured > 1 else "no other was worth a trial"
    if compiling:
        reason += "; a native program is being compiled meanwhile"
    return _sized(Choice(best.plan, best.advance, best.seconds_per_step, reason, rejected, best.compiling, later), planning.longest_chunk)


def change_over(rule: Rule, learner: Learner, chunk: Batch, now: Choice, planning: Planning) -> Choice:
    """In mid-run: the first of the plans for later instead of what runs `now` where it is faster and agrees; otherwise `now` again, with
    the reason why not. Where its program must be compiled first, `now` as it was recorded, with the program begun.
    """
    to, written, later = now.later[0].plan, now.later[0].written, now.later[1:]
    arrange(learner, channels_last=False)    # what it is compared with rounds as the net that was given; the caller lays out the weights
    refused: list[dict[str, str]] = []
    measurements = Measured()
    eager, candidate = Plan(threads=now.plan.threads), to if written else replace(to, threads=now.plan.threads)
    few = chunk if candidate.fused > 1 else shortened(chunk, now.seconds_per_step)
    step, against = signature(rule, learner, chunk[0], planning.seed), Reference(rule, learner, few, eager, planning.seed)
    words = about(planning.identity, learner, chunk, step.digest, planning.choices_of_threads)
    known = planning.memory.recall(words)
    best = _after_compiler(against, now, known, planning)
    begun: list[Later] = []
    trial = _compete(against, candidate, best, planning, step, refused, measurements, begun, written)
    if begun:
        return replace(now, later=[*begun, *later], compiling=0.0, recorded=True)
    if not now.plan.native:
        trial = _with_threads(against, trial, planning, step, refused, measurements, later)
    planning.memory.keep(words, Measured(*({**vars(known)[name], **vars(measurements)[name]} for name in vars(measurements))))
    if trial.plan.threads:
        torch.set_num_threads(trial.plan.threads)  # trials have set others
    if trial.plan == now.plan:
        # Another number of threads for the same program is no news where it is not taken.
        return replace(now, reason=f"stayed with {now.plan.name}", rejected=refused, compiling=0.0, later=later, recorded=now.plan.native)
    reason = f"changed over: {refused[0]['plan']} was {refused[0]['reason']}"
    if trial.plan == best.plan:
        reason = f"on {trial.plan.threads} threads now that nothing is compiled; {refused[0]['plan']} was {refused[0]['reason']}"
    choice = Choice(trial.plan, trial.advance, trial.seconds_per_step, reason, refused, trial.compiling, later)
    return _sized(choice, planning.longest_chunk)


def _compete(against: Reference, candidate: Plan, best: Trial, planning: Planning, step: Signature, rejected: list[dict[str, str]],
             measurements: Measured, later: list[Later], written: Written | None = None) -> Trial:
    """The faster of the best so far and a candidate, the other noted. Both are timed in turns.

    A native program that is not in the cache is put off to `later` where it may be compiled beside the training; `written` is one
    that was.
    """
    rule, learner, chunk = against.rule, against.learner, against.chunk
    try:
        if planning.beside and candidate.native and written is None:
            written = begin(rule, learner, chunk, candidate, planning.seed)
            if not written.ready():
                later.append(Later(candidate, written=written))
                return best
        trial = measure(rule, learner, chunk, candidate, planning.seed, agree_with=against, beat=best.seconds_per_step, written=written)
    except Exception as error:
        rejected.append({"plan": candidate.name, "reason": _refusal(error)})
        if isinstance(error, PlanRejected) and not isinstance(error, NotNow):
            measurements.refused[candidate.name] = str(error)
        return best
    if trial.compiling:
        making = max(trial.compiling, written.seconds if written else 0.0)
        planning.memory.compiled(candidate.program, making, step.operations)
        measurements.compiling[candidate.name] = making
    if trial.seconds_per_step < HOPELESS * best.seconds_per_step:  # else no load explains it
        before, after = in_turns(best, trial, learner, chunk, planning.seed)
        best, trial = replace(best, seconds_per_step=before), replace(trial, seconds_per_step=after)
    measurements.seconds_per_step[candidate.name] = min(trial.seconds_per_step, measurements.seconds_per_step.get(candidate.name, math.inf))
    won = _handicap(best.plan, candidate) * trial.seconds_per_step < best.seconds_per_step
    loser, winner = (best, trial) if won else (trial, best)
    threads = f", {counted(loser.plan.threads, 'thread')}" if loser.plan.name == winner.plan.name else ""
    slower = "slower" if loser.seconds_per_step >= winner.seconds_per_step else "hardly faster"
    rejected.append({"plan": f"{loser.plan.name}{threads}", "reason": f"{slower}: {loser} against {winner}"})
    return winner


def _handicap(best: Plan, candidate: Plan) -> float:
    """How many times a candidate's time counts: a native program on several threads must save more than one on one."""
    if not best.native or not candidate.native or best.threads == candidate.threads:
        return 1.0
    return 1 / ONE_NATIVE_UNLESS if best.threads == 1 else ONE_NATIVE_UNLESS


def _with_threads(against: Reference, best: Trial, planning: Planning, step: Signature, rejected: list[dict[str, str]],
                  measurements: Measured, later: list[Later]) -> Trial:
    """A native program on one thread or on all, whichever is faster: eager's own number says little about it."""
    many = _own_threads(against.learner.net.device, planning)
    if not best.plan.native or best.seconds_per_step <= WORTH_THREADS_SECONDS or planning.threads or many <= 1:
        return best
    alone = best.plan.threads == 1
    if not alone and best.seconds_per_step > LONG_STEP_SECONDS:
        return best  # eager has shown that they help, and a step so long is arithmetic
    return _compete(against, replace(best.plan, threads=many if alone else 1), best, planning, step, rejected, measurements, later)


def _beside_compiler(against: Reference, best: Trial, planning: Planning) -> Trial:
    """The best so far with a core left to the compiler: of threads that wait for one another, one that shares its core holds up all."""
    plan = best.plan
    if planning.threads or plan.programmed or not 1 < plan.threads >= cores():
        return best
    return measure(against.rule, against.learner, against.chunk, replace(plan, threads=plan.threads - 1), planning.seed)


def _after_compiler(against: Reference, now: Choice, known: Measured, planning: Planning) -> Trial:
    """What runs now, on the threads that it would have had from the start, had no compiler worked beside it."""
    trial = Trial(now.plan, now.advance, now.seconds_per_step)
    usual = known.threads.get("eager", _own_threads(against.learner.net.device, planning))
    if planning.threads or now.plan.programmed or usual <= now.plan.threads:
        return trial
    more = measure(against.rule, against.learner, against.chunk, replace(now.plan, threads=usual), planning.seed)
    return more if more.seconds_per_step < ONE_THREAD_UNLESS * trial.seconds_per_step else trial


def _not_worth(candidate: Plan, best: Trial, known: Measured, planning: Planning, operations: int) -> Later | str:
    """Why a candidate is not tried now: it was refused before, it cannot be made in time, or it may be tried later. Else nothing."""
    if candidate.name in known.refused:
        return f"{known.refused[candidate.name]} (remembered)"
    per = known.seconds_per_step.get(candidate.name)
    making = _making(candidate, known, planning, operations)
    left = best.seconds_per_step * planning.steps_left
    if per is not None and per >= best.seconds_per_step:
        return f"slower: {per_step(per)} against {best} (remembered)"
    if not candidate.programmed:
        return ""
    if MOST_MAKING_SECONDS < making < math.inf:
        return f"making it would take about {making:.0f} s for {operations} operations; at most {MOST_MAKING_SECONDS:.0f} s are spent"
    if not planning.sure:
        return Later(candidate, making)
    saved = left - (per or 0.0) * planning.steps_left
    if saved < making * (PAYS_BACK if per is None and not (planning.beside and candidate.native) else 1.0):
        return f"making it takes about {making:.0f} s and all steps {left:.0f} s"
    return ""


def _making(candidate: Plan, known: Measured, planning: Planning, operations: int) -> float:
    """Seconds that making a plan's program takes, as it did for this work, or as it does for others of the size."""
    return known.compiling.get(candidate.name) or planning.memory.compile_seconds(candidate.program, operations)


def _requested(rule: Rule, learner: Learner, chunk: Batch, planning: Planning) -> Choice:
    threads = planning.threads or _own_threads(learner.net.device, planning)
    plan = Plan.parse(planning.plan) if planning.plan != "auto" else Plan(channels_last=convolutional(learner))
    plan = replace(plan, threads=threads, bf16=plan.bf16 or planning.precision == "bf16")
    plain = Plan(threads=threads)
    refused: list[dict[str, str]] = []
    if plan != plain:
        try:
            trial = measure(rule, learner, chunk, plan, planning.seed, agree_with=plain, asked=True)
            return _sized(Choice(plan, trial.advance, trial.seconds_per_step, "asked for", [], trial.compiling), planning.longest_chunk)
        except Exception as error:
            refused = [{"plan": plan.name, "reason": _refusal(error)}]
    eager = in_fewest_parts(lambda parts: measure(rule, learner, chunk, replace(plain, parts=parts), planning.seed), len(chunk[0]))
    reason = f"{plan.name} was asked for and refused" if refused else "asked for"
    if eager.plan.parts > 1:
        reason += f"; {_parted(eager.plan)}"
    return _sized(Choice(eager.plan, eager.advance, eager.seconds_per_step, reason, refused), planning.longest_chunk)


def _refusal(error: Exception) -> str:
    """Why a plan whose trial failed so is not taken. Raises `error` where it is none of the plan's."""
    if out_of_memory(error):
        return NO_ROOM
    if not isinstance(error, PlanRejected):
        raise error
    return str(error)


def _parted(plan: Plan) -> str:
    return f"memory does not hold a batch, so it goes in {plan.parts} parts"


def _eager(rule: Rule, learner: Learner, chunk: Batch, planning: Planning, known: Measured) -> Trial:
    """Eager execution with the number of threads that suits it, the batch in as many parts as memory asks for."""
    many = _own_threads(learner.net.device, planning)

    def attempt(parts: int) -> Trial:
        if planning.threads or many <= 1:
            return measure(rule, learner, chunk, Plan(threads=planning.threads or many, parts=parts), planning.seed)
        if known.threads.get("eager") in (1, many):
            return measure(rule, learner, chunk, Plan(threads=known.threads["eager"], parts=parts), planning.seed)
        alone = measure(rule, learner, chunk, Plan(threads=1, parts=parts), planning.seed)
        together = measure(rule, learner, chunk, Plan(threads=many, parts=parts), planning.seed)
        return together if together.seconds_per_step < ONE_THREAD_UNLESS * alone.seconds_per_step else alone

    return in_fewest_parts(attempt, len(chunk[0]))


def _own_threads(device: torch.device, planning: Planning) -> int:
    """Torch's own number of threads, recorded with the plan because sums over threads round differently; 0 where none compute."""
    return planning.most_threads if device.type == "cpu" else 0


def _sized(choice: Choice, longest_chunk: int) -> Choice:
    """Chunks of about a tenth of a second, so that a signal, or the progress line, never waits long."""
    steps = int(HOST_CHUNK_SECONDS / max(choice.seconds_per_step, 1e-7))
    choice.plan = choice.plan.sized(max(1, min(steps, longest_chunk, MOST_STEPS_A_CHUNK)))
    return choice
