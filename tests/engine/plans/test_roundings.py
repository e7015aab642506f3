"""How far a plan may be from eager: as far as roundings of the weights take eager itself, which are drawn, and in few steps further."""

import pytest
import torch
from tiny import Bare, chunk, convolutional, descend, learner, planted
from torch import nn

from chainrule.core.errors import PlanRejected
from chainrule.core.net import Net
from chainrule.core.tree import clone
from chainrule.engine.plans import reference, trial
from chainrule.engine.plans.eager import copied, eager
from chainrule.engine.plans.plan import Plan


class Chaotic(Bare):
    """Every step the logistic map, which doubles a difference: what a rounding does depends on how many steps there are."""

    def step(self, net, state, batch):
        with torch.no_grad():
            for p in net.params.values():
                p.copy_(4 * p * (1 - p))
        return net, state, {"loss": batch.x.sum()}


def round_off(one, roundings):
    with torch.no_grad():
        for p in one.net.params.values():
            p.mul_(1 + roundings * (torch.rand_like(p) - 0.5) * torch.finfo(p.dtype).eps)


def rounded(roundings):
    """A plan that takes the rule's own steps from weights that are off by so many roundings."""

    def making(rule):
        def advance(one, batches):
            round_off(one, roundings)
            return eager(rule.step)(one, batches)

        return advance

    return making


def admitted_on_the_map(steps):
    """Whether a plan with its channels last is admitted over so many steps of the logistic map."""
    torch.manual_seed(0)
    net = Net.of(nn.Conv2d(2, 40, 2))
    with torch.no_grad():
        for p in net.params.values():
            p.uniform_(0.1, 0.9)
    one, chaotic, batches = learner(net, Chaotic()), Chaotic(), chunk(steps, rows=3, shape=(2, 6, 6))
    try:
        return trial.measure(chaotic, one, batches, Plan(channels_last=True), 0, agree_with=Plan()).plan.channels_last
    except PlanRejected as error:
        assert "disagrees" in str(error)
        return False


@pytest.mark.parametrize(("roundings", "steps", "admitted"), [(2, 16, True), (2, 4, True), (100, 10, False), (1000, 6, False)])
def test_a_plan_may_differ_by_what_a_rounding_of_the_weights_does(monkeypatch, roundings, steps, admitted):
    """The same arithmetic from weights that are off by so many roundings, which sixteen steps magnify to more than is allowed."""
    planted(monkeypatch, lambda plan: plan.channels_last, rounded(roundings))
    assert admitted_on_the_map(steps) == admitted


@pytest.mark.parametrize(("most", "admitted"), [(3, False), (9, True)])
def test_a_step_that_is_not_close_has_more_draws(monkeypatch, most, admitted):
    """Of eager's draws the fifth alone goes far, as where it crosses a kink; a plan that goes so far in every step agrees with it."""
    seeds = []

    def draw(before, seed):
        seeds.append(seed)
        far = copied(before)
        round_off(far, 40 if seed == 4 else 1)
        return far

    planted(monkeypatch, lambda plan: plan.channels_last, rounded(60))
    monkeypatch.setattr(reference, "_rounded", draw)
    monkeypatch.setattr(reference, "MOST_DRAWS", most)
    assert admitted_on_the_map(16) == admitted
    assert set(seeds) <= set(range(most))


@pytest.mark.parametrize(("off", "wrong", "admitted"),
                         [(0.01, {1}, True), (0.01, {0, 3}, True), (0.01, {0, 2, 3}, False), (0.05, {1}, False)])
def test_a_plan_may_stand_out_in_few_steps_as_where_a_rounding_moves_a_unit_across_its_kink(monkeypatch, off, wrong, admitted):
    """Five steps of which some are off by a hundredth of the step, and one by a twentieth."""
    rule, batches = descend(momentum=0.0), chunk(5, rows=3, shape=(2, 6, 6))
    marked = {float(batches[i].x.sum()) for i in wrong}

    def now_and_then(rule):
        def advance(one, few):
            for i in range(len(few)):
                before = clone(one.net.params)
                one, reports = eager(rule.step)(one, few.rows(i, i + 1))
                with torch.no_grad():
                    for name, p in one.net.params.items():
                        p.add_(p - before[name], alpha=off * (float(few[i].x.sum()) in marked))
            return one, reports

        return advance

    planted(monkeypatch, lambda plan: plan.channels_last, now_and_then)
    one = learner(convolutional(), rule)
    if admitted:
        assert trial.measure(rule, one, batches, Plan(channels_last=True), 0, agree_with=Plan()).plan.channels_last
    else:
        with pytest.raises(PlanRejected, match="disagrees"):
            trial.measure(rule, one, batches, Plan(channels_last=True), 0, agree_with=Plan())
