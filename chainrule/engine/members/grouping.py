"""Several nets trained side by side: stacked where a trial shows that it gives the same numbers and is faster, else one after the other."""

from __future__ import annotations

import math
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

import torch

from chainrule.core.batch import Batch
from chainrule.core.errors import InputError, NotNow, PlanRejected
from chainrule.core.events import Event, Planned
from chainrule.core.rule import Learner, Rule
from chainrule.core.threads import torch_threads
from chainrule.core.tree import clone
from chainrule.data.feed.shuffled import Feed
from chainrule.engine.consult import consulted
from chainrule.engine.group import Group, Lone
from chainrule.engine.loop import Loop
from chainrule.engine.members.groups import Apart, Member, Stack
from chainrule.engine.members.parallel import beside_name, tried
from chainrule.engine.members.stacked import Abreast, Together, disagreement, draws, shape_of, side_by_side, stack
from chainrule.engine.plans.eager import Advance, copied, eager, unused
from chainrule.engine.plans.microbatch import NO_ROOM, out_of_memory, within_memory
from chainrule.engine.plans.plan import FUSED_STEPS, Plan
from chainrule.engine.plans.planner import WORTH_PLANNING_SECONDS, Choice, choose
from chainrule.engine.plans.timeline import Plans, steps_of
from chainrule.engine.plans.trial import per_step
from chainrule.engine.randomness import Aside
from chainrule.engine.train import train_seat

MemberEvents = Iterator[tuple[int, Event]]

WORTH_STACKING_SECONDS = 3.0   # what all members take in turn; below it the trials, and loading torch's transformations, do not pay
TRIAL_STEPS, TRIAL_SECONDS = 20, 0.1
PLANNING_SECONDS = 0.5         # what the trials of one run take, beside making programs


@dataclass
class Kin:
    """Members whose nets may be stacked: of one structure, reading batches of one size, apart only in numbers that a stack can hold."""

    numbers: list[int]
    lifted: list[str] = field(default_factory=list)
    why_alone: str = ""
    seconds_alone: float = 0.0   # a step of one of them as it is written
    threads: int = 1


@dataclass
class Grouping:
    """Groups of `size`, what the choice was between, and, for stacks, the plan of the first of them. A size of 1: in turn.

    `apart` says that the members of a stack advance beside one another, each by a program for one.
    """

    size: int
    name: str
    rejected: list[dict[str, str]]
    choice: Choice | None = None
    apart: bool = False


def train_members(members: Sequence[Member]) -> MemberEvents:
    """Train every member as it would be alone; yields (number of the member, event), for each the events of an ordinary run.

    A member that stops early leaves the others; one that diverges is put back and diagnosed, and the others go on. On a signal all
    are saved. Where checkpoints exist, the members go on from them, stacked as they were.
    """
    threads = torch.get_num_threads()
    with torch_threads():
        fresh: list[int] = []
        begun: dict[tuple[int, ...], list[int]] = {}
        for i, m in enumerate(members):
            recorded = m.seat.store.position() if m.seat.store else None
            if recorded is None:
                fresh.append(i)
                continue
            how = recorded.plan[-1] if recorded.plan and not recorded.finished else {}
            size, apart = how.get("together", 1), how.get("apart", False)
            place = (size, apart, recorded.stage, recorded.epoch, recorded.batch, recorded.stage_step) if size > 1 else (1, False, i)
            begun.setdefault(place, []).append(i)
        for (size, apart, *_), going in begun.items():
            yield from _again(members, going, size, bool(apart))
            torch.set_num_threads(threads)
        for kin in kindred(members, fresh, WORTH_STACKING_SECONDS):
            yield from _first_time(members, kin)
            torch.set_num_threads(threads)


def _again(members: Sequence[Member], going: list[int], size: int, apart: bool) -> MemberEvents:
    """Members that were at one position when they were saved, stacked as then."""
    if size == 1:
        for i in going:
            yield from ((i, event) for event in train_seat(members[i].seat))
        return
    for kin in kindred(members, going):
        for at in range(0, len(kin.numbers), size):
            yield from _together(members, kin, kin.numbers[at : at + size], Grouping(size, "as recorded", [], apart=apart))


def _first_time(members: Sequence[Member], kin: Kin) -> MemberEvents:
    stop = members[kin.numbers[0]].seat.stop
    with stop.ending_at_once():
        try:
            with within_memory():
                grouping = _in_turn(kin.why_alone, []) if kin.why_alone else grouped(members, kin)
        except NotNow as error:
            grouping = _in_turn(str(error), [])
    if grouping.size > 1:
        choice = grouping.choice
        for at in range(0, len(kin.numbers), grouping.size):
            some = kin.numbers[at : at + grouping.size]
            yield from _together(members, kin, some, grouping, choice if len(some) == grouping.size else None)
        return
    for i in kin.numbers:
        for event in train_seat(members[i].seat):
            if isinstance(event, Planned) and len(members) > 1:
                event = replace(event, reason=f"{grouping.name}; {event.reason}", rejected=[*event.rejected, *grouping.rejected])
            yield i, event
        if stop.requested:
            return


def _together(members: Sequence[Member], kin: Kin, some: list[int], how: Grouping, choice: Choice | None = None) -> MemberEvents:
    """Some members as one group, in which a single one is alone, unless members were running beside one another."""
    if members[some[0]].seat.stop.requested:
        return
    group: Group = Lone(members[some[0]].seat)
    if how.apart or len(some) > 1:
        kind = Apart if how.apart else Stack
        group = kind([members[i] for i in some], kin.lifted, how.name, how.rejected, threads=kin.threads, under=choice)
    number = {members[i].seat: i for i in some}
    for seat, event in consulted(Loop(group).run()):
        yield number[seat], event


def kindred(members: Sequence[Member], some: Sequence[int], worth: float = 0.0) -> list[Kin]:
    """The members sorted into those that may be stacked, and the sentence why not for those that go alone.

    `worth` is how many seconds of training in turn make it worth finding out.
    """
    families: dict[Any, list[int]] = {}
    for i in some:
        seat = members[i].seat
        feed, stage = seat.feed_for(0), seat.stages[0]
        single = len(seat.stages) == 1 and stage.view is None and stage.inputs is None
        structure: Any = ("stages", i) if not single else (
            members[i].kind, tuple(members[i].numbers), shape_of(_probe(members[i])), feed.batch, feed.full)
        families.setdefault(structure, []).append(i)
    return [kin for family in families.values() for kin in _kin(members, family, worth)]


def _probe(of: Member) -> Learner:
    """A copy of a member's learner as it begins."""
    seat = of.seat
    seat.net.train()
    trial = copied(Learner(seat.net, {}))
    with Aside(seat.settings.seed, seat.net.device):
        rule = seat.stages[0].rule
        probe = Learner(trial.net, clone(rule.init(trial.net)))
        probe.net.idle = unused(rule, probe, _few(of, 1)[0])
        return probe


def _few(of: Member, batches: int) -> Batch:
    return next(of.seat.feed_for(0).chunks(0, 0, batches))


def _kin(members: Sequence[Member], family: list[int], worth: float) -> list[Kin]:
    """A family, divided by those numbers that differ and that a stack cannot hold for each member."""
    first = members[family[0]]
    if len(family) == 1:
        return [Kin(family, why_alone="no other member has a net and a rule of this shape")]
    if not first.seat.feed_for(0).uniform:
        return [Kin(family, why_alone="batches of each member are as long as their own rows, which a stack cannot hold")]
    seed, probe, few = first.seat.settings.seed, _probe(first), _few(first, 1)
    if draws(first.seat.stages[0].rule, probe, few[0], seed):
        return [Kin(family, why_alone="a step draws random numbers, which a stack would draw otherwise than each member alone")]
    with Aside(seed, first.seat.net.device):
        alone = _seconds(eager(first.seat.stages[0].rule.step), probe, _few(first, TRIAL_STEPS))
    total = alone * sum(steps_of(members[i].seat.stages[0], members[i].seat.feed_for(0)) for i in family)
    if total < worth:
        return [Kin(family, why_alone=f"all steps of all members take about {total:.1f} s, so trying stacks would not pay")]
    differing = [name for name in first.numbers if len({members[i].numbers[name] for i in family}) > 1]
    lifted = [name for name in differing if _lifts(members, family, name, probe, few[0])]
    alike: dict[Any, list[int]] = {}
    for i in family:
        alike.setdefault(tuple(members[i].numbers[name] for name in differing if name not in lifted), []).append(i)
    threads = first.seat.settings.threads or torch.get_num_threads()
    return [Kin(some, lifted, "" if len(some) > 1 else "no other member has its numbers", alone, threads) for some in alike.values()]


def _lifts(members: Sequence[Member], family: list[int], name: str, probe: Learner, batch: Batch) -> bool:
    """Whether members of a stack may differ in a number: a step of two that do is the step of each alone."""
    make = members[family[0]].make
    values = sorted({members[i].numbers[name] for i in family})
    some = [{name: values[0]}, {name: values[-1]}]
    together = Together(make, some, shared=True)
    try:
        apart = disagreement([probe, probe], [make(numbers) for numbers in some], together, [batch, batch],
                             members[family[0]].seat.settings.seed)
    except InputError:
        raise
    except Exception:   # any transformation may fail in a way of its own; these members then go in groups of one value each
        return False
    return apart <= together.tolerance


def grouped(members: Sequence[Member], kin: Kin) -> Grouping:
    """Together, in groups, in turn or beside one another: whichever was measured fastest for a member's step, on copies.

    Where all members train long enough to make a native program, each runs by it, which no stack of small nets beats. Otherwise steps
    as they are written are compared, and the plan of the fastest stack with the members' own.
    """
    first, m = members[kin.numbers[0]].seat, len(kin.numbers)
    stage, probes = first.stages[0], [_probe(members[i]) for i in kin.numbers]
    own = [members[i].seat.stages[0].rule for i in kin.numbers]
    feeds = [members[i].seat.feed_for(0) for i in kin.numbers]
    longest = max(steps_of(members[i].seat.stages[0], feed) for i, feed in zip(kin.numbers, feeds, strict=True))
    planning = Plans(stage, feeds[0], first.settings, first.position, first.net.device).planning()
    planning = replace(planning, steps_left=m * longest)
    alone: Choice | None = None
    rejected: list[dict[str, str]] = []
    worth = planning.sure and kin.seconds_alone * m * longest > WORTH_PLANNING_SECONDS
    if worth if planning.plan == "auto" else Plan.parse(planning.plan).programmed:
        with Aside(planning.seed, first.net.device):
            alone = choose(stage.rule, probes[0], _few(members[kin.numbers[0]], FUSED_STEPS), planning)
        if alone.plan.native:
            return _beside(members, kin, probes, own, feeds, alone, longest)
    took = _stacks(members, kin, probes, own, rejected)
    size = min((s for s in took if s > 1), key=took.__getitem__, default=1)
    best = min(took, key=took.__getitem__)
    rejected += [_refused(s, m, f"slower: {per_step(t)} and member against {per_step(took[best])}") for s, t in took.items() if s != best]
    if size == 1 or (best == 1 and not (alone and alone.plan.programmed)):
        return _in_turn(f"{per_step(took[1])} and member", rejected)
    rule, learner, batches = _joined(members, kin, probes, [_few(members[i], FUSED_STEPS) for i in kin.numbers], size)
    with Aside(planning.seed, first.net.device):
        choice = choose(rule, learner, batches, replace(planning, steps_left=longest, longest_chunk=Abreast(feeds[:size]).longest_chunk()))
    if alone is not None:
        mine, theirs = alone.seconds_per_step, choice.seconds_per_step / size
        compared = f"{per_step(mine)} in turn ({alone.plan.name}), {per_step(theirs)} and member {_name(size, m)} ({choice.plan.name})"
        if mine <= theirs:
            return _in_turn(compared, rejected)
        rejected.append(_refused(1, m, compared))
    return Grouping(size, _name(size, m), rejected, choice)


def _stacks(members: Sequence[Member], kin: Kin, probes: list[Learner], own: list[Rule],
            rejected: list[dict[str, str]]) -> dict[int, float]:
    """Seconds for a member's step as it is written, alone (1) and in stacks of several sizes.

    A larger stack is not tried where it would lose even if it took no longer than a smaller one.
    """
    m, seed = len(kin.numbers), members[kin.numbers[0]].seat.settings.seed
    few = [_few(members[i], TRIAL_STEPS) for i in kin.numbers]
    took = {1: kin.seconds_alone}
    for size in sorted({math.ceil(math.sqrt(m)), m} - {1}):
        if any(took[s] * s > m * took[1] for s in took):
            break
        try:
            rule, learner, batches = _joined(members, kin, probes, few, size)
            apart = disagreement(probes[:size], own[:size], rule, [b[0] for b in few[:size]], seed)
            if not apart <= rule.tolerance:
                rejected.append(_refused(size, m, f"disagrees with the members alone by {apart:.1e} of the update"))
                break
            with Aside(seed, learner.net.device):
                took[size] = _seconds(eager(rule.step), learner, batches, bound=2 * size * took[1]) / size
        except InputError:
            raise
        except Exception as error:   # what cannot be vectorised says so in many ways
            words = str(error).strip().splitlines() or [""]
            why = NO_ROOM if out_of_memory(error) else f"failed: {type(error).__name__}: {words[0][:160]}"
            rejected.append(_refused(size, m, why))
            break
    return took


def _beside(members: Sequence[Member], kin: Kin, probes: list[Learner], own: list[Rule], feeds: list[Feed], alone: Choice,
            steps: float) -> Grouping:
    """All members beside one another by the program that a lone one would have, where that is faster than one after the other,
    each of which would make its plan anew."""
    m, name = len(kin.numbers), beside_name(len(kin.numbers), kin.threads)
    feed = Abreast(feeds, apart=True)
    numbers = [{name: members[i].numbers[name] for name in kin.lifted} for i in kin.numbers]
    rule = Together(members[kin.numbers[0]].make, numbers, feed.shared)
    mine = f"{per_step(alone.seconds_per_step)} and member ({alone.plan.name})"
    try:
        choice = tried(rule, stack(probes, rule), own, feed, alone.plan, kin.threads, members[kin.numbers[0]].seat.settings.seed)
    except PlanRejected as error:
        return _in_turn(mine, [{"plan": name, "reason": str(error)}])
    if choice.seconds_per_step * steps >= m * (alone.seconds_per_step * steps + alone.compiling + PLANNING_SECONDS):
        return _in_turn(mine, [{"plan": name, "reason": f"slower: {per_step(choice.seconds_per_step / m)} and member"}])
    choice = replace(choice, rejected=alone.rejected, compiling=choice.compiling + alone.compiling)
    return Grouping(m, name, [_refused(1, m, f"slower: {mine}")], choice, apart=True)


def _joined(members: Sequence[Member], kin: Kin, probes: list[Learner], few: list[Batch], size: int) -> tuple[Together, Learner, Batch]:
    """The first `size` members as one rule, one learner (a copy) and one chunk."""
    some = [members[i] for i in kin.numbers[:size]]
    shared = Abreast([m.seat.feed_for(0) for m in some]).shared
    rule = Together(some[0].make, [{name: m.numbers[name] for name in kin.lifted} for m in some], shared)
    return rule, stack(probes[:size], rule), few[0] if shared else side_by_side(few[:size])


def _seconds(advance: Advance, learner: Learner, batches: Batch, bound: float = math.inf) -> float:
    """Seconds a step, on a copy; after the first step alone where that took longer than `bound`."""
    learner = copied(learner)
    device, few = learner.net.device, batches.rows(0, 1)

    def took(batches: Batch) -> float:
        at = time.perf_counter()
        advance(learner, batches)
        if device.type == "cuda":
            torch.cuda.synchronize(device)
        return (time.perf_counter() - at) / len(batches)

    took(few)
    one = took(few)
    if one > bound:
        return one
    batches = batches.rows(0, max(1, min(len(batches), int(TRIAL_SECONDS / 3 / max(one, 1e-9)))))
    return sorted(took(batches) for _ in range(3))[1]


def _name(size: int, members: int) -> str:
    if size == 1:
        return "in turn"
    groups = -(-members // size)
    return f"{size} together" if groups == 1 else f"{groups} groups of {size}"


def _in_turn(why: str, rejected: list[dict[str, str]]) -> Grouping:
    return Grouping(1, f"in turn: {why}", rejected)


def _refused(size: int, members: int, reason: str) -> dict[str, str]:
    return {"plan": _name(size, members), "reason": reason}

