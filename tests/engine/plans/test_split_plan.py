"""The plan whose kernels compute products as three of bfloat16: named, admitted like any other, and taken only where asked or allowed."""

from dataclasses import asdict, replace

import pytest
import torch
from tiny import chunk, dense, descend, learner, part, running

from chainrule.core import kernels
from chainrule.core.errors import ChainruleError, InputError, MachineFailed
from chainrule.core.events import Planned
from chainrule.core.net import Net
from chainrule.core.tree import leaves
from chainrule.engine.plans import trial
from chainrule.engine.plans.eager import copied
from chainrule.engine.plans.plan import Plan, splits
from chainrule.engine.plans.planner import Planning, choose
from chainrule.engine.plans.trial import disagreement
from chainrule.nets.lstm import LSTM

SPLIT = Plan(bf16x3=True, threads=1)


def recurrent():
    torch.manual_seed(0)
    return Net.of(LSTM((4, 6), 2, hidden=40, answer="last"))


def batches(k=4):
    return chunk(k, rows=7, shape=(4, 6))


here = pytest.mark.skipif(not splits(recurrent()), reason="this machine has no kernel that splits products")


def test_it_has_a_name_and_goes_with_eager_steps_alone():
    assert Plan.parse("eager+bf16x3") == Plan(bf16x3=True)
    assert Plan.parse("eager+bf16x3").name == "eager+bf16x3"
    assert Plan.parse("eager+bf16x3").precision == "bf16x3"
    assert Plan(**asdict(SPLIT)) == SPLIT
    for name in ("native+bf16x3", "fused+bf16x3", "compiled+bf16x3", "graph+bf16x3", "eager+bf16+bf16x3"):
        with pytest.raises(InputError, match="only kernels that eager steps call"):
            Plan.parse(name)


def test_where_no_kernel_splits_products_it_cannot_be_made_and_is_not_tried(monkeypatch):
    monkeypatch.setattr(kernels, "_offered", {name: kernels.Offer(one.kernel) for name, one in kernels._offered.items()})
    with pytest.raises(MachineFailed, match="has no kernel on this machine"):
        SPLIT.build(descend(), learner(recurrent(), descend()), batches())
    with pytest.raises(ChainruleError, match="has no kernel on this machine"):
        list(running(recurrent(), descend(), under=SPLIT, data=data()).run())
    choice = choose(descend(), learner(recurrent(), descend()), batches(), Planning(1e9, 100, "eager+bf16x3", threads=1))
    assert choice.plan.name == "eager"
    assert "asked for and refused" in choice.reason
    assert "bf16x3" not in str(choose(descend(), learner(recurrent(), descend()), batches(), Planning(1e9, 100, threads=1)).rejected)


def test_a_net_without_such_a_kernel_is_not_tried_with_it():
    assert not splits(dense())


def data():
    return part(shape=(4, 6))


@here
def test_it_agrees_with_eager_by_the_rules_tolerance_and_is_not_the_same():
    rule, some = descend(), batches()
    one = copied(learner(recurrent(), rule))
    one, _ = SPLIT.build(rule, one, some)(one, some)
    gaps = disagreement(rule, learner(recurrent(), rule), one, some, Plan(threads=1), seed=0)
    assert 0 < gaps.total < rule.tolerance / 10
    assert gaps.worst < rule.tolerance


@here
@pytest.mark.parametrize("precision", ["auto", "fp32"])
def test_it_is_tried_where_the_planner_may_choose_the_precision(monkeypatch, precision):
    monkeypatch.setattr(trial, "TRIAL_SECONDS", 0.0)
    choice = choose(descend(), learner(recurrent(), descend()), batches(), Planning(1e9, 100, threads=1, precision=precision))
    tried = {choice.plan.name, *(one["plan"] for one in choice.rejected)}
    assert ("eager+bf16x3" in tried) == (precision == "auto")


@here
def test_a_wrong_product_is_refused(monkeypatch):
    build = Plan.build

    def off(plan, rule, one, few, written=None):
        advance = build(plan, rule, one, few, written)

        def wrong(one, some):
            before = [p.detach().clone() for p in one.net.params.values()]
            one, reports = advance(one, some)
            with torch.no_grad():
                for p, b in zip(one.net.params.values(), before, strict=True):
                    p.copy_(b + 1.05 * (p - b))
            return one, reports

        return wrong if plan.bf16x3 else advance

    monkeypatch.setattr(Plan, "build", off)
    choice = choose(descend(), learner(recurrent(), descend()), batches(), Planning(1e9, 100, threads=1))
    refused = {one["plan"]: one["reason"] for one in choice.rejected}
    assert "disagrees with eager" in refused["eager+bf16x3"]


@here
def test_a_run_repeats_it_to_the_same_bits_and_validates_in_single_precision():
    def trained(under):
        net, inside = recurrent(), []
        seat = running(net, descend(), under=under, data=data(), validate=lambda _: inside.append(kernels.split()) or {"loss": 1.0})
        events = list(seat.run())
        assert not any(isinstance(event, Planned) for event in events)
        assert not any(inside)
        assert inside
        return [p.detach().clone() for p in leaves(net.params)]

    first, again, exact = trained(SPLIT), trained(replace(SPLIT, chunk=3)), trained(Plan(threads=1))
    assert all(torch.equal(a, b) for a, b in zip(first, again, strict=True))
    assert not all(torch.equal(a, b) for a, b in zip(first, exact, strict=True))
