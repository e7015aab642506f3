"""The training generator: it does what the loop on paper does, in the order it says, and nobody's looking or drawing disturbs it."""

import random

import numpy as np
import pytest
import torch
from tiny import Bare, chunk, dense, descend, part, running
from torch import Tensor, nn

from chainrule.core.batch import Batch
from chainrule.core.descend import set_pace
from chainrule.core.errors import Interrupted
from chainrule.core.events import Evaluated, Finished, Planned, Saved
from chainrule.core.net import Net
from chainrule.core.stage import Budget, Stage
from chainrule.core.stage import part as part_of
from chainrule.core.tree import clone
from chainrule.data.feed.shuffled import Feed
from chainrule.engine import seat as seat_module
from chainrule.engine.plans.plan import Plan
from chainrule.engine.position import Settings
from chainrule.engine.seat import SAVE_SHARE
from chainrule.engine.stop import Stop
from chainrule.engine.store import LAST, Store
from chainrule.engine.train import train


def by_hand(net, rule, epochs, batch=7):
    """The loop on paper: rows in the feed's order, seven at a time; per epoch the mean over rows of the losses."""
    data, feed, state, means = part(), Feed(part(), Tensor.float, batch=batch, seed=3), rule.init(net), []
    torch.set_num_threads(1)
    torch.manual_seed(4)
    done, whole = 0, epochs * -(-len(data) // batch) - 1
    for epoch in range(epochs):
        losses = []
        for rows in feed.order(epoch).split(batch):
            set_pace(state, {"done": done / whole, "each": 0.0, "whole": 1.0})
            done += 1
            net, state, report = rule.step(net, state, Batch(data.x[rows], data.y[rows]))
            losses += [float(report["loss"])] * len(rows)
        means.append(sum(losses) / len(losses))
    return net, means


def same(a, b):
    return a.keys() == b.keys() and all(torch.equal(a[k], b[k]) for k in a)


@pytest.mark.parametrize("size", [1, 2, 50])
def test_it_is_the_loop_on_paper(size):
    """Bit for bit, dropout, batch norm and schedule included; in chunks of any size."""
    net = dense(0.3, norm=True)
    epoch = iter(range(100))
    training = running(net, descend(schedule=True), under=Plan(chunk=size, threads=1), validate=lambda _: {"loss": -next(epoch)})
    events = list(training.run())
    there, means = by_hand(dense(0.3, norm=True), descend(schedule=True), epochs=3)
    assert same(net.tensors, there.tensors)
    assert [e.train["loss"] for e in events if isinstance(e, Evaluated)] == pytest.approx(means, rel=1e-12)


class Reporting(Bare):
    """Moves nothing; its loss is the mean of the batch's inputs."""

    def step(self, net, state, batch):
        return net, state, {"loss": batch.x.mean()}


@pytest.mark.parametrize(("rows", "size"), [(30, 1), (30, 3), (29, 2), (35, 5), (3, 1)])
def test_the_loss_of_an_epoch_is_the_mean_over_all_rows_whatever_the_last_batch(rows, size):
    """Batches of seven: a last one of two rows, of eight, of seven, and one of three alone."""
    data = part(rows)
    events = running(dense(), Reporting(), data=data, epochs=2, under=Plan(chunk=size, threads=1)).run()
    means = [e.train["loss"] for e in events if isinstance(e, Evaluated)]
    assert means == pytest.approx([float(data.x.double().mean())] * 2, rel=1e-5)


def test_the_events_come_in_order_and_say_where():
    events = list(running(dense(), descend(), plan="eager", threads=1).run())
    assert [e.at for e in events] == list(range(len(events)))
    assert isinstance(events[0], Planned)
    evaluated = [e for e in events if isinstance(e, Evaluated)]
    assert [(e.epoch, e.step) for e in evaluated] == [(1, 5), (2, 10), (3, 15)]  # 30 rows in batches of 7: four, and one of two
    assert isinstance(events[-1], Finished)
    assert (events[-1].reason, events[-1].epochs, events[-1].steps) == ("budget", 3, 15)


def test_the_best_weights_are_what_the_net_holds_in_the_end():
    scores, seen, net = [0.9, 0.5, 0.7, 0.6], [], dense(norm=True)

    def validate(learner):
        assert not net.module.training
        seen.append(clone(learner.net.tensors))
        return {"loss": scores[len(seen) - 1]}

    events = list(running(net, descend(), epochs=4, validate=validate).run())
    assert same(net.tensors, seen[1])
    assert [e.best for e in events if isinstance(e, Evaluated)] == [True, True, False, False]
    assert (events[-1].best_epoch, events[-1].best) == (2, {"loss": 0.5})
    assert not net.module.training


def test_accuracy_counts_upward_and_the_loss_breaks_ties():
    several = iter([{"accuracy": a, "loss": loss} for a, loss in ((0.5, 1.0), (0.6, 3.0), (0.6, 2.0), (0.5, 0.1))])
    events = list(running(dense(), descend(), epochs=4, validate=lambda _: next(several), monitor=("accuracy", "loss")).run())
    assert [e.best for e in events if isinstance(e, Evaluated)] == [True, True, True, False]


@pytest.mark.parametrize("patience", [1, 2, 4])
def test_patience_counts_epochs_without_improvement(patience):
    scores = iter([3.0, 2.0, 2.5, 1.0, 1.5, 1.0, 1.2, 1.3, 1.4, 1.5])
    events = list(running(dense(), descend(), epochs=10, patience=patience, validate=lambda _: {"loss": next(scores)}).run())
    assert events[-1].reason == "patience"
    assert events[-1].epochs == {1: 3, 2: 6, 4: 8}[patience]  # the same score again is no improvement


@pytest.mark.parametrize(("steps", "size"), [(1, 4), (5, 4), (7, 4), (13, 3), (13, 100)])
def test_a_budget_of_steps_is_met_exactly_also_within_a_chunk(steps, size):
    net = dense()
    epoch = iter(range(100))
    under = Plan(chunk=size, threads=1)
    training = running(net, descend(), epochs=None, steps=steps, under=under, validate=lambda _: {"loss": -next(epoch)})
    events = list(training.run())
    assert (events[-1].reason, events[-1].steps) == ("budget", steps)
    assert [e.step for e in events if isinstance(e, Evaluated)] == [*range(5, steps, 5), steps]
    whole, rule = dense(), descend()
    state, feed, done = rule.init(whole), Feed(part(), Tensor.float, batch=7, seed=3), 0
    while done < steps:
        for rows in feed.order(done // 5).split(7)[: steps - done]:
            whole, state, _ = rule.step(whole, state, Batch(part().x[rows], part().y[rows]))
            done += 1
    assert same(net.tensors, whole.tensors)


def test_a_budget_of_seconds_ends_by_the_clock(monkeypatch):
    """Every look at the clock takes a second; the budget of forty is met after some steps, not after none and not after all."""
    clock = iter(range(10**6))
    monkeypatch.setattr(seat_module.time, "perf_counter", lambda: float(next(clock)))
    events = list(running(dense(), descend(), epochs=10_000, seconds=40.0).run())
    assert events[-1].reason == "budget"
    assert 1 < events[-1].steps < 40


def test_what_the_caller_draws_between_events_changes_nothing_and_the_other_way_round():
    quiet, noisy = dense(0.5), dense(0.5)
    torch.manual_seed(11)
    np.random.seed(11)
    random.seed(11)
    drawn = [(float(torch.rand(1)), np.random.rand(), random.random()) for _ in range(8)]
    list(running(quiet, descend()).run())
    torch.manual_seed(11)
    np.random.seed(11)
    random.seed(11)
    again = [(float(torch.rand(1)), np.random.rand(), random.random()) for _ in running(noisy, descend()).run()]
    assert len(again) >= 3
    assert again[:8] == drawn[: len(again)]
    assert same(quiet.tensors, noisy.tensors)


def test_a_validation_that_draws_or_differentiates_changes_nothing():
    plain, watched, better = dense(0.5), dense(0.5), iter(range(100))
    list(running(plain, descend(), validate=lambda _: {"loss": -next(better)}).run())

    def validate(learner):
        torch.rand(100), np.random.rand(), random.random()
        assert not torch.is_grad_enabled()
        return {"loss": -next(better)}

    list(running(watched, descend(), validate=validate).run())
    assert same(plain.tensors, watched.tensors)


def stopped_and_resumed(tmp_path, at, make, **given):
    """The outcomes of a run that never stopped, and of one stopped after `at` steps by its rule and gone on with by a new process."""
    whole, half, again = make(), make(), make()
    (tmp_path / "whole").mkdir()
    (tmp_path / "half").mkdir()
    list(running(whole, given["rule"](), store=Store(tmp_path / "whole", "x"), **{k: v for k, v in given.items() if k != "rule"}).run())
    stop, rule, seen = Stop(), given["rule"](), 0
    step = rule.step

    def counted(net, state, batch):
        nonlocal seen
        seen += not stop.at_once  # trials do not count
        if seen == at:
            stop.request("test")
        return step(net, state, batch)

    rule.step = counted
    rest = {k: v for k, v in given.items() if k != "rule"}
    events = list(running(half, rule, store=Store(tmp_path / "half", "x"), stop=stop, **rest).run())
    assert events[-1].reason == "interrupted"
    torch.manual_seed(99)
    resumed = list(running(again, given["rule"](), store=Store(tmp_path / "half", "x"), **rest).run())
    assert resumed[-1].reason == "budget"
    assert same(whole.tensors, again.tensors)
    return events, resumed


@pytest.mark.parametrize("at", [1, 4, 5, 8])
def test_it_resumes_bit_for_bit(tmp_path, at):
    stopped_and_resumed(tmp_path, at, lambda: dense(0.3, norm=True), rule=lambda: descend(schedule=True))


class Drawn:
    """A rule whose init draws random numbers, as chains of a sampler do, and whose steps draw more."""

    reads, target, tolerance = "batch", "class", 1e-3

    def init(self, net):
        return {"chain": torch.rand(3)}

    def step(self, net, state, batch):
        with torch.no_grad():
            for p in net.params.values():
                p.add_(torch.randn_like(p), alpha=0.01)
        return net, {"chain": state["chain"] + torch.rand(3)}, {"loss": state["chain"].sum()}


def test_a_rule_whose_init_draws_resumes_bit_for_bit_too(tmp_path):
    """Making the state anew, only to fill it from the checkpoint, must not move the restored random numbers on."""
    stopped_and_resumed(tmp_path, 7, dense, rule=Drawn)


def test_the_plan_that_was_chosen_is_the_one_that_is_resumed_under(tmp_path):
    """Whatever this machine would choose today: what runs under another plan is not the same, bit for bit."""
    asked = {"plan": "eager+channels-last", "threads": 1}
    events, resumed = stopped_and_resumed(tmp_path, 8, dense, rule=descend, **asked)
    planned = [e for e in events if isinstance(e, Planned)]
    assert [e.name for e in planned] == ["eager+channels-last"]
    assert planned[0].made[0]["made"]["threads"] == 1
    assert not any(isinstance(e, Planned) for e in resumed), "it planned again"


@pytest.mark.slow
def test_a_compiled_run_resumes_bit_for_bit(tmp_path):
    under = Plan(compiled=True, fused=2, chunk=2, threads=1)
    stopped_and_resumed(tmp_path, 8, lambda: dense(0.3), rule=lambda: descend(schedule=True), under=under)


def test_resuming_a_finished_run_only_puts_the_best_weights_back(tmp_path):
    first, again = dense(), dense()
    list(running(first, descend(), store=Store(tmp_path, "x")).run())
    before = (tmp_path / LAST).read_bytes()
    events = list(running(again, descend(), store=Store(tmp_path, "x")).run())
    assert [type(e) for e in events] == [Finished]
    assert same(first.tensors, again.tensors)
    assert (tmp_path / LAST).read_bytes() == before


def two_stages(epochs=(2, 3)):
    rules = descend(), descend(schedule=True)
    return [Stage(rules[0], Budget(epochs=epochs[0]), view=lambda net: net, name="all"),
            Stage(OnlyLast(rules[1]), Budget(epochs=epochs[1]), view=part_of("3"), name="last")]


class OnlyLast:
    """Trains a linear layer on the features in front of it: here on fixed random ones, since only the view matters."""

    reads, target, tolerance = "batch", "class", 1e-3

    def __init__(self, inner):
        self.inner = inner

    def init(self, net):
        return self.inner.init(net)

    def step(self, net, state, batch):
        features = batch.x.repeat(1, 2)  # (n, 6)
        return self.inner.step(net, state, Batch(features, batch.y))


def test_stages_train_their_view_and_nothing_else():
    net, after_first = dense(), {}
    training = running(net, descend(), stages=two_stages(), validate=lambda _: {"loss": float(-training.position.step)})
    for event in training.run():
        if isinstance(event, Evaluated) and event.epoch == 2 and training.position.stage == 0:
            after_first = clone(net.tensors)
    assert torch.equal(net.params["0.weight"], after_first["0.weight"])
    assert not torch.equal(net.params["3.weight"], after_first["3.weight"])
    assert [(h["stage"], h["epoch"]) for h in training.position.history] == [(0, 1), (0, 2), (1, 1), (1, 2), (1, 3)]


@pytest.mark.parametrize("at", [3, 10, 12, 20])
def test_stages_resume_bit_for_bit_in_either_one_and_between(tmp_path, at):
    whole, half, again = dense(), dense(), dense()
    list(running(whole, descend(), stages=two_stages()).run())
    training = running(half, descend(), stages=two_stages(), store=Store(tmp_path, "x"), save_every=0.0)
    for event in training.run():
        if isinstance(event, Saved) and event.step >= at:
            break  # as a kill would
    list(running(again, descend(), stages=two_stages(), store=Store(tmp_path, "x")).run())
    assert same(whole.tensors, again.tensors)


def test_seconds_are_counted_by_stage(monkeypatch):
    clock = iter(range(10**6))
    monkeypatch.setattr(seat_module.time, "perf_counter", lambda: float(next(clock)))
    stages = [Stage(descend(), Budget(seconds=100.0)), Stage(descend(), Budget(seconds=100.0))]
    training = running(dense(), descend(), stages=stages)
    list(training.run())
    assert {h["stage"] for h in training.position.history} == {0, 1}, "the second stage found its time already spent"


class Anew(Bare):
    """A rule that returns a net of new tensors instead of writing the ones it was given."""

    def step(self, net, state, batch):
        with torch.no_grad():
            return net.at({k: p + 1 for k, p in net.params.items()}), state, {"loss": batch.x.sum()}


def test_a_rule_may_return_its_net_anew():
    net, before = dense(), clone(dense().params)
    step = iter(range(100))
    list(running(net, Anew(), epochs=2, validate=lambda _: {"loss": -next(step)}).run())
    for name, p in net.params.items():
        torch.testing.assert_close(p.detach(), before[name] + 10)


def test_stopping_while_the_plan_is_chosen_ends_at_once():
    class Slow(Bare):
        def step(self, net, state, batch):
            stop.request("SIGINT")
            raise AssertionError("the trial went on")

    stop, net = Stop(), dense()
    before = clone(net.tensors)
    with pytest.raises(Interrupted) as interrupted:
        list(running(net, Slow(), plan="auto", stop=stop).run())
    assert interrupted.value.signal == "SIGINT"
    assert same(net.tensors, before)


def test_a_stop_asked_for_before_the_first_step_needs_no_plan():
    """A signal may come while the data are read; compiling first would keep its sender waiting."""
    stop = Stop()
    stop.request("SIGTERM")
    with pytest.raises(Interrupted):
        list(running(dense(), Drawn(), plan="auto", stop=stop).run())


def test_saving_takes_its_share_of_time_and_no_more(tmp_path, monkeypatch):
    training = running(dense(), descend(), store=Store(tmp_path, "x"))
    training.saving, training.last_saved = 0.9, 0.0
    assert not training.due(0.9 / SAVE_SHARE - 0.1)
    assert training.due(0.9 / SAVE_SHARE + 0.1)
    training.saving = 1e-6
    assert not training.due(0.9)
    assert training.due(1.1)
    assert not running(dense(), descend()).due(1e9), "there is nowhere to save"


def test_everything_at_once_is_one_step_an_epoch():
    net = dense()
    feed = Feed(part(), Tensor.float, batch=7, everything=True)
    events = list(train([Stage(descend(), Budget(epochs=2))], net, lambda _: feed, lambda _: {"loss": 1.0},
                        Settings(plan="eager", threads=1)))
    assert events[-1].steps == 2


def test_a_net_of_ones_own_keeps_its_module():
    module = nn.Sequential(nn.Linear(3, 2))
    net = Net.of(module)
    list(running(net, descend()).run())
    assert torch.equal(module(torch.ones(1, 3)), net(torch.ones(1, 3)))
    assert next(module.parameters()).requires_grad
    assert chunk().x.shape == (5, 7, 3)
