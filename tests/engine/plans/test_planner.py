"""The planner: it takes the fastest plan that agrees with eager, says what it refused and why, and leaves everything as it was."""

import math
import random
import re
from dataclasses import replace

import numpy as np
import pytest
import torch
from tiny import BUILD, Bare, chunk, convolutional, dense, descend, learner, planted, told_seconds
from torch import nn

from chainrule.core.errors import InputError, Interrupted, PlanRejected
from chainrule.core.net import Net
from chainrule.core.rule import Learner
from chainrule.core.tree import clone, leaves
from chainrule.engine.plans import cache, candidates, planner, trial
from chainrule.engine.plans.eager import eager
from chainrule.engine.plans.plan import Plan
from chainrule.engine.plans.planner import Planning, choose
from chainrule.engine.plans.trial import Gaps, disagreement


@pytest.fixture(autouse=True)
def quick(monkeypatch):
    """Trials of a few chunks; nothing is really compiled, and no step, however busy the machine, is long enough to be timed singly."""
    monkeypatch.setattr(trial, "TRIAL_SECONDS", 0.0)
    monkeypatch.setattr(trial, "LONG_STEP_SECONDS", math.inf)
    monkeypatch.setattr(cache, "COMPILE_SECONDS", dict.fromkeys(("native", "fused", "compiled"), math.inf))


def decide(net=None, steps_left=1e9, batches=None, **given):
    """The choice for the convolutional net, on one thread, so that only plans compete."""
    net, rule = net or convolutional(), descend()
    batches = batches or chunk(10, rows=3, shape=(2, 6, 6))
    return choose(rule, learner(net, rule), batches, Planning(steps_left, 100, **{"threads": 1, **given}))


def times(monkeypatch, seconds):
    told_seconds(monkeypatch, seconds, {"native": 4.0, "fused": 40.0})


def test_a_plan_with_a_wrong_number_is_refused_and_says_so(monkeypatch):
    """One part in fifty of the update is off, twenty times what the rule allows."""

    def wrong(rule):
        def advance(one, batches):
            before = clone(one.net.params)
            one, reports = eager(rule.step)(one, batches)
            with torch.no_grad():
                for name, p in one.net.params.items():
                    p.add_(p - before[name], alpha=0.02)
            return one, reports

        return advance

    planted(monkeypatch, lambda plan: plan.channels_last, wrong)
    choice = decide(precision="fp32")
    assert choice.plan.name == "eager"
    refused = {r["plan"]: r["reason"] for r in choice.rejected}
    assert re.match(r"disagrees with eager by [12]\.\de-02 of the update; allowed 1e-03", refused["eager+channels-last"])


def test_a_plan_that_loses_the_optimizers_state_is_refused(monkeypatch):
    """Every single step from eager's state is right, so the state after it must be looked at too."""
    rule = descend(momentum=0.02)

    def forgetting(rule):
        def advance(one, few):
            for i in range(len(few)):
                one, reports = eager(rule.step)(one, few.rows(i, i + 1))
                for t in leaves(one.state):
                    if t.is_floating_point():
                        t.zero_()
            return one, reports

        return advance

    planted(monkeypatch, lambda plan: plan.channels_last, forgetting)
    with pytest.raises(PlanRejected, match="disagrees"):
        trial.measure(rule, learner(convolutional(), rule), chunk(6, rows=3, shape=(2, 6, 6)), Plan(channels_last=True), 0,
                      agree_with=Plan())


def test_a_plan_that_gives_nan_is_refused(monkeypatch):
    def nan(rule):
        def advance(one, batches):
            one, reports = eager(rule.step)(one, batches)
            with torch.no_grad():
                one.net.params["0.weight"].fill_(float("nan"))
            return one, reports

        return advance

    planted(monkeypatch, lambda plan: plan.channels_last, nan)
    choice = decide(precision="fp32")
    assert choice.plan.name == "eager"
    assert "disagrees with eager by nan" in str(choice.rejected)


def test_a_plan_that_raises_is_refused_and_says_so(monkeypatch):
    def broken(rule):
        raise RuntimeError("no kernel for this\nsecond line")

    planted(monkeypatch, lambda plan: plan.channels_last, broken)
    choice = decide(precision="fp32")
    assert choice.plan.name == "eager"
    assert {"plan": "eager+channels-last", "reason": "failed: RuntimeError: no kernel for this"} in choice.rejected


def test_where_eager_itself_raises_the_user_hears_of_it(monkeypatch):
    def broken(rule):
        raise RuntimeError("the rule is wrong")

    planted(monkeypatch, lambda plan: True, broken)
    with pytest.raises(RuntimeError, match="the rule is wrong"):
        decide(steps_left=1)


def test_a_signal_during_a_trial_is_no_reason_to_refuse_a_plan(monkeypatch):
    """A handler raises Interrupted wherever the program happens to be."""

    def interrupted(rule):
        raise Interrupted("Stopped.")

    planted(monkeypatch, lambda plan: plan.channels_last, interrupted)
    with pytest.raises(Interrupted):
        decide()


@pytest.mark.parametrize("asked", ["auto", "eager", "eager+channels-last"])
def test_weights_state_and_random_numbers_are_left_as_they_were(asked):
    net, rule = convolutional(), descend()
    one = learner(net, rule)
    before = clone([net.tensors, one.state])
    drawn = torch.get_rng_state(), np.random.get_state()[1].copy(), random.getstate()
    choose(rule, one, chunk(3, shape=(2, 6, 6)), Planning(1e9, 100, plan=asked, precision="fp32", threads=1))
    for kept, now in zip(leaves(before), leaves([net.tensors, one.state]), strict=True):
        assert torch.equal(kept, now)
        assert now.is_contiguous()
    assert torch.equal(drawn[0], torch.get_rng_state())
    assert (drawn[1] == np.random.get_state()[1]).all()
    assert drawn[2] == random.getstate()
    assert net.module.training


def test_the_fastest_plan_is_taken_and_the_others_are_named(monkeypatch):
    times(monkeypatch, {"eager": 3e-3, "eager+channels-last": 1e-3, "fused": 2e-3})
    choice = decide(precision="fp32")
    assert choice.plan.name == "eager+channels-last"
    assert [r["plan"] for r in choice.rejected] == ["eager", "native", "fused"]
    assert choice.rejected[0]["reason"] == "slower: 3.0 ms a step against 1.0 ms a step"
    assert choice.reason == "fastest of 3 measured"


@pytest.mark.parametrize(("long_step", "passed"), [(0.0, []), (1e9, [3, 3])])
def test_a_plan_far_behind_is_not_tried_any_further_where_steps_are_long(monkeypatch, long_step, passed):
    """Where they are short, a single one says nothing: all three batches are run, once to compare and once to time."""
    ran = []

    def counting(rule):
        def advance(one, few):
            ran.append(len(few))
            return eager(rule.step)(one, few)

        return advance

    planted(monkeypatch, lambda plan: plan.channels_last, counting)
    monkeypatch.setattr(trial, "_step_seconds", lambda rule, one, few, plan, *_, **__: (99.0 if plan.channels_last else 1e-3, None))
    monkeypatch.setattr(trial, "LONG_STEP_SECONDS", long_step)
    choice = decide(precision="fp32", batches=chunk(3, rows=3, shape=(2, 6, 6)))
    assert ran == passed
    assert ("slower: 99000.0 ms a step" in str(choice.rejected)) == (not passed)


@pytest.mark.parametrize(("seconds", "batches"), [(5.0, 3), (0.2, 5), (1e-3, 10)])
def test_a_trial_passes_as_many_batches_as_a_second_holds(monkeypatch, seconds, batches):
    monkeypatch.setattr(trial, "_step_seconds", lambda *_, **__: (seconds, None))
    assert len(trial.enough(descend(), learner(dense(), descend()), chunk(10), 0)) == batches


def test_compiling_is_not_tried_where_it_cannot_pay(monkeypatch):
    times(monkeypatch, {"eager": 1e-3, "eager+channels-last": 2e-3, "fused": 1e-9})
    assert decide(precision="fp32").plan.name == "fused"
    short = decide(precision="fp32", steps_left=20_000)
    assert short.plan.name == "eager"
    assert "making it takes about 40 s and all steps 20 s" in str(short.rejected)
    times(monkeypatch, {"eager": 10e-3, "eager+channels-last": 20e-3, "fused": 1e-9})
    assert "10 ms of arithmetic" in str(decide(precision="fp32").rejected)


def test_fusing_is_not_tried_where_too_few_steps_pass_at_once(monkeypatch):
    """It would be measured without ever being run, and win or lose by chance."""
    times(monkeypatch, {"eager": 1e-3, "eager+channels-last": 2e-3, "fused": 1e-9})
    choice = decide(precision="fp32", batches=chunk(9, rows=3, shape=(2, 6, 6)))
    assert choice.plan.name == "eager"
    assert "it fuses 10 steps, and only 9 pass at once" in str(choice.rejected)


def test_a_short_run_tries_nothing(monkeypatch):
    times(monkeypatch, {"eager": 1e-3})
    choice = decide(steps_left=100)
    assert choice.plan.name == "eager"
    assert choice.rejected == []
    assert "all steps take about 0.1 s" in choice.reason


def test_threads_are_measured_and_recorded(monkeypatch):
    """One thread unless all of them save a tenth; the number is in the plan, whatever was asked for."""
    for seconds, threads in (({1: 1.0, 4: 0.95}, 1), ({1: 1.0, 4: 0.5}, 4)):
        used = []

        def build(plan, rule, one, few, written=None, used=used):
            used.append(plan.threads)
            return BUILD(replace(plan, threads=0), rule, one, few)

        monkeypatch.setattr(Plan, "build", build)
        monkeypatch.setattr(torch, "set_num_threads", lambda n: None)
        monkeypatch.setattr(trial, "_seconds_per_step", lambda *_, seconds=seconds, used=used: 1e-6 * seconds[used[-1]])
        assert decide(threads=None, steps_left=10, most_threads=4).plan.threads == threads
    for given in ({"plan": "eager"}, {"plan": "auto", "threads": 3}, {"plan": "eager", "threads": 3}):
        monkeypatch.setattr(trial, "_seconds_per_step", lambda *_: 1e-6)
        assert decide(steps_left=10, most_threads=4, **{"threads": None, **given}).plan.threads == given.get("threads", 4)


@pytest.mark.parametrize(("alone", "together", "threads"), [(1.0, 0.8, 1), (1.0, 0.6, 4), (2.0, 1.0, 4)])
def test_a_native_program_takes_all_threads_only_where_they_save_a_quarter(monkeypatch, alone, together, threads):
    """Whatever eager was best with, and however many threads a trial has left set."""
    used = []

    def build(plan, rule, one, few, written=None):
        used.append((plan.name, plan.threads))
        torch.set_num_threads(1)
        return BUILD(replace(plan, native=False, threads=0), rule, one, few)

    def seconds(*_):
        plan, count = used[-1] if used[-1][0] == "native" else used[-2] if len(used) > 1 and used[-2][0] == "native" else used[-1]
        return 1e-3 * (10.0 if plan == "eager" else alone if count == 1 else together)

    monkeypatch.setattr(cache, "COMPILE_SECONDS", {"native": 1.0, "fused": math.inf, "compiled": math.inf})
    monkeypatch.setattr(Plan, "build", build)
    monkeypatch.setattr(trial, "_seconds_per_step", seconds)
    choice = decide(dense(), batches=chunk(10), threads=None, most_threads=4)
    assert choice.plan.native
    assert choice.plan.threads == threads
    assert {"native", "native, 4 threads", "native, 1 thread"} & {r["plan"] for r in choice.rejected}


def test_a_plan_asked_for_is_taken_even_if_slow_but_not_if_wrong(monkeypatch):
    choice = decide(plan="eager+channels-last")
    assert (choice.plan.name, choice.reason, choice.rejected) == ("eager+channels-last", "asked for", [])

    def broken(rule):
        raise RuntimeError("no")

    planted(monkeypatch, lambda plan: plan.channels_last, broken)
    choice = decide(plan="eager+channels-last")
    assert choice.plan.name == "eager"
    assert choice.plan.threads == 1
    assert "was asked for and refused" in choice.reason
    assert choice.rejected[0]["plan"] == "eager+channels-last"


def test_low_precision_is_offered_only_where_the_processor_has_it(monkeypatch):
    def processor_has(bf16):
        for module in (planner, candidates):
            monkeypatch.setattr(module, "native_bf16", lambda device: bf16)

    processor_has(False)
    with pytest.raises(InputError, match="native bfloat16"):
        decide(precision="bf16")
    with pytest.raises(InputError, match=r"Leave out \+bf16"):
        decide(plan="eager+bf16")
    assert "this processor has no native bfloat16" in str(decide().rejected)
    processor_has(True)
    assert decide(plan="eager", precision="bf16").plan.bf16
    assert "bf16" not in str(decide(precision="fp32").rejected)
    refused = {r["plan"]: r["reason"] for r in decide().rejected}
    assert "rounds by up to 2e-03, and this rule allows 1e-03" in refused["eager+channels-last+bf16"]


@pytest.mark.parametrize(("given", "message"), [({"plan": "egaer"}, "Did you mean eager"), ({"precision": "fp16"}, "auto, fp32 or bf16")])
def test_words_that_mean_nothing_are_refused(given, message):
    with pytest.raises(InputError, match=message):
        decide(**given)


def test_a_chunk_is_about_a_tenth_of_a_second(monkeypatch):
    times(monkeypatch, {"eager": 2e-3})
    assert decide(steps_left=1).plan.chunk == 50
    times(monkeypatch, {"eager": 1.0})
    assert decide(steps_left=1).plan.chunk == 1
    times(monkeypatch, {"eager": 1e-6})
    assert decide(steps_left=1).plan.chunk == 100, "the feed allows no more"


def test_disagreement_is_relative_to_the_distance_moved():
    """Second derivation: a rule that moves every weight by exactly 1; what is off by 0.01 disagrees by 0.01."""

    class Climb(Bare):
        def step(self, net, state, batch):
            with torch.no_grad():
                for p in net.params.values():
                    p.add_(1.0)
            return net, state, {"loss": torch.zeros(())}

    net, rule = Net.of(nn.Linear(3, 2)), Climb()
    there = net.clone()
    for t in there.params.values():
        t.add_(1.0)
    assert disagreement(rule, Learner(net, {}), Learner(there, {}), chunk(1), Plan(), 0) == Gaps(0.0, 0.0, "")
    there.params["weight"].add_(0.01)
    there.params["bias"].add_(0.01)
    assert disagreement(rule, Learner(net, {}), Learner(there, {}), chunk(1), Plan(), 0).total == pytest.approx(0.01, rel=1e-4)


def test_plans_that_draw_random_numbers_are_compared_under_one_seed():
    """Dropout of a half would disagree by far more than the tolerance under two seeds."""
    choice = decide(dense(0.5), batches=chunk(3), plan="eager+channels-last")
    assert choice.reason == "asked for"
