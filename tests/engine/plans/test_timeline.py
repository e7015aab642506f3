"""Plans in mid-run: what is recorded is followed to the step, a change keeps the numbers, and memory that runs out costs one sentence."""

import json
from dataclasses import asdict, replace

import pytest
import torch
from tiny import BUILD, Ready, convolutional, dense, descend, learner, part, running, told_seconds

from chainrule.core.batch import Batch
from chainrule.core.criterion import Supervised
from chainrule.core.errors import ChainruleError, PlanRejected
from chainrule.core.events import Evaluated, Finished, Planned, Warned
from chainrule.core.net import Net
from chainrule.core.registry import optimizers, rules
from chainrule.core.rule import Learner
from chainrule.core.stage import Budget, Stage
from chainrule.core.threads import torch_threads
from chainrule.core.tree import clone, leaves
from chainrule.engine.plans import cache, candidates, planner, timeline, trial
from chainrule.engine.plans.eager import copied
from chainrule.engine.plans.microbatch import Accumulated
from chainrule.engine.plans.plan import Plan, arrange
from chainrule.engine.plans.planner import Choice, Later
from chainrule.engine.plans.timeline import Plans
from chainrule.engine.position import Settings
from chainrule.engine.stop import Stop
from chainrule.engine.store import Store
from chainrule.job.rule_spec import make_rule
from chainrule.losses.classic import squared


def entry(since, **made):
    return {"since": since, "made": asdict(Plan(threads=1, **made))}


def distance(there: Net, here: Net, start: Net) -> float:
    """How far apart two nets are, relative to how far the first has moved."""
    off = sum(float((a - b).detach().double().square().sum()) for a, b in zip(leaves(there.params), leaves(here.params), strict=True))
    moved = sum(float((a - b).detach().double().square().sum()) for a, b in zip(leaves(there.params), leaves(start.params), strict=True))
    return (off / moved) ** 0.5


def falling(first=0):
    epochs = iter(range(first, 10**6))
    return lambda _: {"loss": -next(epochs)}


@pytest.fixture
def stepped(monkeypatch):
    """The plan of every step that was taken, in order, whatever its chunk."""
    plans = []

    def build(plan, rule, one, few, written=None):
        advance = BUILD(plan, rule, one, few)

        def noting(learner, batches):
            plans.extend([replace(plan, chunk=1)] * len(batches))
            return advance(learner, batches)

        return noting

    monkeypatch.setattr(Plan, "build", build)
    return plans


@pytest.mark.parametrize("to", [{"channels_last": True}, {"parts": 3}, {"channels_last": True, "chunk": 4}])
def test_a_change_of_plan_in_mid_run_keeps_the_run_within_tolerance(to, stepped):
    """Whether the other plan rounds otherwise is the processor's affair; that its steps are the ones taken is not."""
    shape, runs = (2, 6, 6), {}
    for name, made in (("eager", [entry(0)]), ("changed", [entry(0), entry(7, **to)])):
        stepped.clear()
        net = Net.of(torch.nn.Sequential(*[m for m in convolutional().module if not isinstance(m, torch.nn.BatchNorm2d)]))
        start = net.clone()
        events = list(running(net, additive(), data=part(30, shape), made=made, validate=falling()).run())
        assert events[-1].steps == 15
        runs[name] = net
    assert stepped == [Plan(threads=1)] * 7 + [replace(Plan(threads=1, **to), chunk=1)] * 8
    assert distance(runs["eager"], runs["changed"], start) <= descend().tolerance


def additive(rate: float = 0.1):
    rule = descend(rate)
    rule.additive = True
    return rule


def test_the_change_comes_at_the_recorded_step(stepped):
    list(running(dense(), descend(), made=[entry(0), entry(7, channels_last=True), entry(11)]).run())
    assert [plan.channels_last for plan in stepped] == [False] * 7 + [True] * 4 + [False] * 4


def test_a_run_resumed_under_another_plan_stays_within_tolerance(tmp_path, stepped):
    whole, start = dense(), dense()
    list(running(whole, additive(), made=[entry(0)], validate=falling()).run())
    stop = Stop()
    for event in running(dense(), additive(), made=[entry(0)], store=Store(tmp_path, "r"), stop=stop, validate=falling()).run():
        if isinstance(event, Evaluated) and event.epoch == 2:
            stop.request("SIGINT")
    stepped.clear()
    again = dense()
    events = list(running(again, additive(), made=[entry(0, parts=2)], store=Store(tmp_path, "r"), validate=falling(10)).run())
    assert events[-1].steps == 15
    assert stepped == [Plan(threads=1, parts=2)] * 5
    assert distance(whole, again, start) <= descend().tolerance


@pytest.fixture
def quick(monkeypatch):
    """Eager is slow, `native` is fast and made in no time; which is what a planner is told, not what this machine does."""
    monkeypatch.setattr(trial, "TRIAL_SECONDS", 0.0)
    monkeypatch.setattr(planner, "WORTH_PLANNING_SECONDS", 0.0)
    return told_seconds(monkeypatch, {"eager": 1e-3, "native": 1e-5, "fused": 1.0}, {"native": 0.0, "fused": 1e9})


@pytest.mark.parametrize(("seconds", "steps_left", "due"), [(0.019, 1000, False), (0.02, 1000, True), (5.0, 1000, True), (5.0, 21, True),
                                                            (5.0, 20, False)])
def test_a_change_is_due_once_the_stage_has_lasted_as_long_as_making_takes_and_more_is_left(seconds, steps_left, due):
    """Making takes 20 ms and a step 1 ms, so that what is left is longer from the 21st step before the end."""
    training = running(dense(), descend(), epochs=None, steps=2000)
    training.position.stage_step = 2000 - steps_left
    plans = Plans(training.stages[0], training.feed_for(0), Settings(), training.position, torch.device("cpu"))
    now = Choice(Plan(), lambda *_: None, 1e-3, "given", later=[Later(Plan(native=True), 0.02)])
    assert plans.due(now, seconds) is due
    assert not plans.due(replace(now, later=[]), seconds)


def test_where_nobody_knows_how_long_it_lasts_it_starts_eagerly_and_changes_over(quick):
    events = list(running(dense(), descend(), epochs=20, patience=20, plan="auto", threads=1, validate=falling()).run())
    planned = [e for e in events if isinstance(e, Planned)]
    assert [e.name for e in planned] == ["eager", "native"]
    assert planned[1].reason == "changed over: eager was slower: 1.0 ms a step against 10 us a step"
    assert [one["made"]["native"] for one in planned[1].made] == [False, True]
    assert planned[1].made[0]["since"] == 0 < planned[1].made[1]["since"] < 100
    assert events[-1].steps == 100


def test_what_is_repeated_changes_over_at_the_same_step(quick):
    """With dropout and momentum: the same bits only if the random numbers and the state pass through the change untouched."""
    one, rule = dense(0.3), descend()
    events = list(running(one, rule, epochs=20, patience=20, plan="auto", threads=1, validate=falling()).run())
    made = next(e.made for e in reversed(events) if isinstance(e, Planned))
    assert len(made) == 2
    again = dense(0.3)
    told = list(running(again, descend(), epochs=20, made=[{**m, "later": []} for m in made], validate=falling()).run())
    assert not any(isinstance(e, Planned) for e in told)
    assert all(torch.equal(one.params[k], again.params[k]) for k in one.params)


def test_a_run_that_is_sure_to_be_long_makes_the_program_at_once(quick, monkeypatch):
    """A hundred steps of 1 ms pay twice for what takes 20 ms to make."""
    monkeypatch.setattr(cache, "COMPILE_SECONDS", {"native": 0.02, "fused": 1e9})
    events = list(running(dense(), descend(), epochs=20, plan="auto", threads=1, validate=falling()).run())
    assert [e.name for e in events if isinstance(e, Planned)] == ["native"]


@pytest.mark.parametrize("patience", [None, 20])
def test_training_goes_on_eagerly_while_the_program_is_compiled(quick, monkeypatch, patience):
    """Whether it is sure to be long or not, and to the same weights when it is repeated; nothing is noted before the change."""
    monkeypatch.setattr(timeline, "CHANGING_SECONDS", 0.0)
    monkeypatch.setattr(Plan, "write", lambda *_: Ready(waits=8))
    if patience is None:
        monkeypatch.setattr(cache, "COMPILE_SECONDS", {"native": 0.05, "fused": 1e9})
    one = dense(0.3)
    events = list(running(one, descend(), epochs=20, patience=patience, plan="auto", threads=1, validate=falling()).run())
    planned = [e for e in events if isinstance(e, Planned)]
    assert [e.name for e in planned] == ["eager", "native"]
    assert ("compiled meanwhile" in planned[0].reason) is (patience is None)
    assert 7 <= planned[1].made[1]["since"] < 100
    json.dumps(planned[1].made)
    again = dense(0.3)
    list(running(again, descend(), epochs=20, made=planned[1].made, validate=falling()).run())
    assert all(torch.equal(one.params[k], again.params[k]) for k in one.params)


@pytest.mark.parametrize(("native", "after", "reason"), [
    (1e-5, "native", "changed over: eager was slower: 500 us a step against 5 us"),
    (1.0, "eager", "on 2 threads now that nothing is compiled; native was slower")])
def test_a_core_is_left_to_the_compiler_and_taken_back(quick, monkeypatch, native, after, reason):
    """On all cores a step would wait for the thread that shares its core; what was measured is for the plan on all of them."""
    monkeypatch.setattr(timeline, "CHANGING_SECONDS", 0.0)
    monkeypatch.setattr(planner, "cores", lambda: 2)
    monkeypatch.setattr(Plan, "write", lambda *_: Ready(waits=8))
    monkeypatch.setattr(cache, "COMPILE_SECONDS", {"native": 0.05, "fused": 1e9})
    seconds = {"eager": 1e-3, "native": native}
    monkeypatch.setattr(trial, "_seconds_per_step", lambda advance, one, batches, _: (
        advance(one, batches), seconds[quick[-1]] / torch.get_num_threads())[1])
    one = dense(0.3)
    with torch_threads(2):
        events = list(running(one, descend(), epochs=20, plan="auto", validate=falling()).run())
    planned = [e for e in events if isinstance(e, Planned)]
    assert [(e.name, e.made[-1]["made"]["threads"]) for e in planned] == [("eager", 1), (after, 2)]
    assert planned[1].reason.startswith(reason)
    again = dense(0.3)
    list(running(again, descend(), epochs=20, made=planned[1].made, validate=falling()).run())
    assert all(torch.equal(one.params[k], again.params[k]) for k in one.params)


def test_what_made_the_plan_of_now_is_not_counted_again_when_another_program_is_begun(quick, monkeypatch):
    monkeypatch.setattr(Plan, "write", lambda *_: Ready(waits=8))
    training = running(dense(), descend(), epochs=20, plan="auto", threads=1, patience=5)
    plans = Plans(training.stages[0], training.feed_for(0), training.settings, training.position, torch.device("cpu"), beside=True)
    one = learner(dense(), descend())
    now = replace(plans.first(one), later=[Later(Plan(native=True), 0.0)], compiling=7.0)
    begun = plans.change(one, now)
    assert begun.recorded
    assert begun.later[0].written
    assert begun.compiling == 0.0


def test_no_other_program_is_made_while_a_native_one_is_compiled(quick, monkeypatch):
    """Making one takes half a minute in which nothing is trained, and the native one may be ready in a few seconds."""
    monkeypatch.setattr(Plan, "write", lambda *_: Ready(waits=8))
    monkeypatch.setattr(cache, "COMPILE_SECONDS", {"native": 1e-9, "fused": 1e-9})
    monkeypatch.setattr(candidates, "FUSED_STEPS", 2)
    training = running(dense(), descend(), epochs=20, plan="auto", threads=1)
    plans = Plans(training.stages[0], training.feed_for(0), training.settings, training.position, torch.device("cpu"), beside=True)
    choice = plans.first(learner(dense(), descend()))
    assert set(quick) == {"eager"}
    assert [one.plan.program for one in choice.later] == ["native", "fused"]
    assert choice.later[1].written is None


def test_a_program_that_is_ready_with_nothing_left_to_do_is_not_tried(quick, monkeypatch):
    monkeypatch.setattr(Plan, "write", lambda *_: Ready(waits=2))
    monkeypatch.setattr(cache, "COMPILE_SECONDS", {"native": 0.05, "fused": 1e9})
    events = list(running(dense(), descend(), epochs=20, plan="auto", threads=1, validate=falling()).run())
    assert [e.name for e in events if isinstance(e, Planned)] == ["eager"]
    assert events[-1].steps == 100


def test_a_program_that_fails_to_compile_beside_leaves_the_run_as_it_was(quick, monkeypatch):
    monkeypatch.setattr(timeline, "CHANGING_SECONDS", 0.0)
    monkeypatch.setattr(Plan, "write", lambda *_: Ready(waits=2))
    monkeypatch.setattr(cache, "COMPILE_SECONDS", {"native": 0.05, "fused": 1e9})
    build = Plan.build

    def failing(plan, rule, one, few, written=None):
        if plan.native:
            raise PlanRejected("the C compiler failed: error")
        return build(plan, rule, one, few)

    monkeypatch.setattr(Plan, "build", failing)
    events = list(running(dense(), descend(), epochs=20, plan="auto", threads=1, validate=falling()).run())
    planned = [e for e in events if isinstance(e, Planned)]
    assert [e.reason for e in planned[1:]] == ["stayed with eager"]
    assert planned[1].rejected[0] == {"plan": "native", "reason": "the C compiler failed: error"}
    assert events[-1].steps == 100


def test_a_candidate_that_is_no_faster_is_said_and_not_tried_again(quick, monkeypatch):
    seconds = {"eager": 1e-3, "native": 1e-2}
    monkeypatch.setattr(trial, "_seconds_per_step", lambda advance, one, batches, _: (advance(one, batches), seconds[quick[-1]])[1])
    events = list(running(dense(), descend(), epochs=20, patience=20, plan="auto", threads=1, validate=falling()).run())
    planned = [e for e in events if isinstance(e, Planned)]
    assert [e.reason for e in planned[1:]] == ["stayed with eager"]
    assert planned[1].rejected[0]["plan"] == "native"


class Bounded:
    """A rule for which a batch of more than `most` samples does not fit into memory."""

    def __init__(self, most: int, error: Exception | None = None):
        self.rule, self.most = additive(), most
        self.error = error or torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 3 GiB")
        held = self.rule.direction

        def direction(net, batch):
            if len(batch) > self.most:
                raise self.error
            return held(net, batch)

        self.rule.direction = direction


@pytest.mark.parametrize("error", [None, RuntimeError("[enforce fail at alloc_cpu.cpp:117] DefaultCPUAllocator: can't allocate memory")])
@pytest.mark.parametrize(("most", "parts"), [(4, 2), (2, 4), (1, 8)])
def test_when_memory_runs_out_the_batch_goes_in_parts_that_give_the_same_step(most, parts, error):
    """R13: halved until it fits, said, and the weights are those of the unsplit run to rounding."""
    whole, net = dense(), dense()
    list(running(whole, additive(), batch=8, validate=falling()).run())
    events = list(running(net, Bounded(most, error).rule, batch=8, validate=falling()).run())
    said = [e.message for e in events if isinstance(e, Warned)]
    assert f"each batch goes in {parts} parts" in said[-1]
    assert len(said) == {2: 1, 4: 2, 8: 3}[parts]
    assert [e.made[-1]["made"]["parts"] for e in events if isinstance(e, Planned)][-1] == parts
    assert isinstance(events[-1], Finished)
    assert events[-1].steps == 12
    for name, p in whole.params.items():
        torch.testing.assert_close(net.params[name], p, rtol=1e-5, atol=1e-6)


def test_parts_count_by_their_samples_and_their_weights():
    """Seven rows in three parts of three, three and one, with weights; in double precision against the whole."""
    net, rule = Net.of(dense().module.double()), additive()
    torch.manual_seed(5)
    batch = Batch(torch.randn(7, 3, dtype=torch.float64), torch.arange(7) % 2, torch.rand(7, dtype=torch.float64))
    whole, split = copied(learner(net, rule)), copied(learner(net, rule))
    _, _, report = rule.step(*whole, batch)
    _, _, told = Accumulated(rule, 3).step(*split, batch)
    torch.testing.assert_close(told["loss"], report["loss"], rtol=1e-12, atol=0)
    for a, b in zip(leaves(whole.net.params), leaves(split.net.params), strict=True):
        torch.testing.assert_close(a, b, rtol=1e-12, atol=1e-14)


def test_a_step_that_is_no_mean_over_samples_is_not_split(tmp_path):
    with pytest.raises(PlanRejected, match="not a mean over the samples"):
        Accumulated(descend(), 2)
    rule = Bounded(4).rule
    rule.additive = False
    with pytest.raises(ChainruleError, match=r"Memory ran out, and this rule's step is not a mean.*smaller --batch.*Tried to allocate"):
        list(running(dense(), rule, batch=10).run())


def test_what_never_fits_ends_with_a_sentence_and_the_weights_as_they_were():
    net = dense()
    before = clone(net.tensors)
    with pytest.raises(ChainruleError, match=r"does not fit either\. Use a smaller --batch"):
        list(running(net, Bounded(0).rule, batch=10).run())
    assert all(torch.equal(before[k], t) for k, t in net.tensors.items())


def test_other_errors_are_not_taken_for_want_of_memory():
    with pytest.raises(RuntimeError, match="shapes"):
        list(running(dense(), Bounded(0, RuntimeError("shapes do not match")).rule, batch=10).run())


def test_a_batch_that_normalises_is_split_with_a_word_about_it():
    events = list(running(dense(norm=True), Bounded(5).rule, batch=10).run())
    assert "Batch normalisation sees one part at a time" in next(e.message for e in events if isinstance(e, Warned))


def test_a_budget_that_is_not_sure_is_told_to_the_planner():
    feed = running(dense(), descend()).feed_for(0)

    def sure(budget, **settings):
        position = running(dense(), descend()).position
        return Plans(Stage(descend(), budget), feed, Settings(**settings), position, torch.device("cpu")).planning().sure

    assert sure(Budget(epochs=3))
    assert not sure(Budget(epochs=3), patience=2)
    assert not sure(Budget(seconds=3.0))
    assert not sure(Budget())


def test_clipping_makes_a_rule_one_that_cannot_be_split():
    for name, additive_ in (("backprop", True), ("backprop:l2=0.1", True), ("backprop:clip=1", False)):
        assert make_rule(rules.choose(name), Supervised(squared()), optimizers.choose("sgd"), None).additive is additive_


def test_learners_are_left_alone_by_a_change_that_is_tried(quick):
    net, rule = dense(), descend()
    one = learner(net, rule)
    before = clone([one.net.tensors, one.state])
    training = running(net, rule, epochs=20, plan="auto", threads=1, patience=5)
    plans = Plans(training.stages[0], training.feed_for(0), training.settings, training.position, net.device)
    first = plans.first(one)
    assert first.later
    plans.change(Learner(net, one.state), first)
    for kept, now in zip(leaves(before), leaves([one.net.tensors, one.state]), strict=True):
        assert torch.equal(kept, now)


def test_what_a_later_plan_is_compared_with_has_its_weights_as_the_net_was_given(monkeypatch):
    """Convolutions of torch round otherwise with channels last: a native program was refused for that."""
    rule, layouts = descend(), []
    training = running(convolutional(), rule, epochs=None, steps=2000)
    plans = Plans(training.stages[0], training.feed_for(0), Settings(threads=1), training.position, torch.device("cpu"))
    one = learner(training.net, rule)
    arrange(one, channels_last=True)
    kernels = [t for t in one.net.params.values() if t.dim() == 4]

    def compete(against, candidate, best, *_):
        layouts.append([t.is_contiguous() for t in kernels])
        return best

    monkeypatch.setattr(planner, "_compete", compete)
    monkeypatch.setattr(planner, "_with_threads", lambda against, best, *_: best)
    now = Choice(Plan(channels_last=True, threads=1), lambda *_: None, 1e-3, "given", later=[Later(Plan(native=True, threads=1), 0.0)])
    assert plans.change(one, now).plan.channels_last
    assert layouts == [[True] * len(kernels)]
    assert all(t.is_contiguous(memory_format=torch.channels_last) for t in kernels)
