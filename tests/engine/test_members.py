"""Members of a stack learn what each learns alone, end when each would, and do not notice one another."""

from __future__ import annotations

import shutil
from functools import partial

import pytest
import torch
from tiny import convolutional, part
from torch import Tensor, nn

from chainrule.core.errors import InputError, PlanRejected
from chainrule.core.events import Diagnosed, Evaluated, Finished, Planned
from chainrule.core.losses import cross_entropy, squared
from chainrule.core.net import Net
from chainrule.core.rule import Batch, Budget, Descend, Learner, Stage
from chainrule.core.tree import clone, leaves
from chainrule.data.feed import Feed
from chainrule.engine import joint as joint_module
from chainrule.engine import members as of_members
from chainrule.engine.beside import said, tried
from chainrule.engine.eager import eager
from chainrule.engine.joint import Joint, Member, Seat
from chainrule.engine.members import Grouping, Kin, kindred, train_members
from chainrule.engine.plan import Plan
from chainrule.engine.planner import Choice, Later
from chainrule.engine.store import Store
from chainrule.engine.together import Abreast, Together, disagreement, draws, side_by_side, stack
from chainrule.engine.train import Settings, Stop, Training
from chainrule.optim.optimizers import adam, adamw, sgd
from chainrule.optim.schedules import cosine
from chainrule.rules.backprop import backprop

DEFAULTS = {"rate": 0.1, "momentum": 0.9, "decay": 0.0, "l1": 0.0, "l2": 0.0}


def make_rule(optimizer=sgd, schedule=False, **own):
    """A rule as a job makes it: by the numbers of its optimizer and its penalties."""
    given = {**DEFAULTS, **own}

    def make(numbers):
        n = {**given, **numbers}
        options = {"rate": n["rate"], "decay": n["decay"]} | ({"momentum": n["momentum"]} if optimizer is sgd else {})
        return Descend(partial(backprop, loss=cross_entropy(), l1=n["l1"], l2=n["l2"]), optimizer(**options),
                       schedule=cosine() if schedule else None, steps=30)

    return make, given


def module(seed, hidden=6, dropout=0.0):
    torch.manual_seed(seed)
    return nn.Sequential(nn.Linear(3, hidden), nn.Tanh(), nn.Dropout(dropout), nn.Linear(hidden, 2))


def member(seed=0, *, epochs=3, steps=None, rows=30, batch=7, patience=None, net=None, store=None, stop=None, hidden=6, dropout=0.0,
           optimizer=sgd, schedule=False, data=None, settings=None, **numbers):
    make, given = make_rule(optimizer, schedule, **numbers)
    net = Net.of(net or module(seed, hidden, dropout))
    data = data or part(rows)
    feed = Feed(data, Tensor.float, batch=batch, seed=seed)

    def loss(_):
        return {"loss": float(cross_entropy().each(net(feed.x), feed.y).mean())}

    told = Settings(**{"seed": seed, "plan": "eager", "threads": 1, "patience": patience, "save_every": 0.0 if store else None,
                       **(settings or {})})
    training = Training([Stage(make({}), Budget(epochs=epochs, steps=steps))], net, lambda _: feed, loss, told, store, stop or Stop(), 0)
    return Member(training, make, given)


@pytest.fixture(autouse=True)
def _always_worth_a_trial(monkeypatch):
    monkeypatch.setattr(of_members, "WORTH_STACKING_SECONDS", 0.0)


@pytest.fixture
def together(monkeypatch):
    """Stacks of all, whatever a busy machine measures; returns how often a grouping was asked for."""
    asked = []

    def grouped(members, kin):
        asked.append(kin)
        return Grouping(len(kin.numbers), f"{len(kin.numbers)} together", [])

    monkeypatch.setattr(of_members, "grouped", grouped)
    return asked


def run(members):
    """The events of each member, and its weights."""
    told: list[list] = [[] for _ in members]
    for i, event in train_members(members):
        told[i].append(event)
    return told, [{k: t.detach().clone() for k, t in m.training.net.tensors.items()} for m in members]


def alone(*members):
    told, weights = [], []
    for m in members:
        told.append(list(m.training.run()))
        weights.append({k: t.detach().clone() for k, t in m.training.net.tensors.items()})
    return told, weights


def assert_near(mine, theirs, tolerance=1e-5):
    for a, b in zip(mine, theirs, strict=True):
        for name in a:
            torch.testing.assert_close(a[name], b[name], rtol=tolerance, atol=tolerance)


def finished(told):
    return [next(e for e in events if isinstance(e, Finished)) for events in told]


ONE = part(30)
VARIANTS = {
    "seeds": [{"seed": s} for s in range(3)],
    "seeds that read one part": [{"seed": s, "data": ONE} for s in range(2)],
    "rates": [{"rate": r} for r in (0.01, 0.1, 0.5)],
    "penalties": [{"l1": a, "l2": b} for a, b in ((0.0, 0.0), (0.01, 0.0), (0.003, 0.1))],
    "decays": [{"decay": d} for d in (0.0, 0.1)],
    "momenta": [{"momentum": m} for m in (0.5, 0.9)],
    "adam rates": [{"rate": r, "decay": d, "optimizer": adam} for r, d in ((0.01, 0.0), (0.1, 0.1))],
    "adamw": [{"rate": r, "decay": d, "optimizer": adamw} for r, d in ((0.01, 0.0), (0.1, 0.1))],
    "scheduled rates": [{"rate": r, "schedule": True, "seed": s} for s, r in enumerate((0.05, 0.2))],
}


@pytest.mark.parametrize("variants", VARIANTS.values(), ids=VARIANTS)
def test_members_learn_what_each_learns_alone(variants, together):
    told, weights = run([member(**v) for v in variants])
    apart, expected = alone(*(member(**v) for v in variants))
    assert [len(kin.numbers) for kin in together] == [len(variants)]
    assert_near(weights, expected)
    assert all(not torch.equal(weights[0]["0.weight"], w["0.weight"]) for w in weights[1:])
    for mine, theirs in zip(told, apart, strict=True):
        ours, others = ([e.valid["loss"] for e in events if isinstance(e, Evaluated)] for events in (mine, theirs))
        assert ours == pytest.approx(others, rel=1e-4)
        assert [e.at for e in mine] == list(range(len(mine)))
    assert next(e for e in told[0] if isinstance(e, Planned)).name == f"{len(variants)} together, eager"


def test_a_stack_is_a_hand_written_loop_over_its_members():
    """Second derivation, in float64: softmax regression with its gradient written out, w -= rate (x^T (p - y) / n + l2 w)."""
    rates, penalties = (0.1, 0.7), (0.0, 0.3)
    x = torch.randn(4, 2, 5, 3, dtype=torch.float64, generator=torch.Generator().manual_seed(0))  # (steps, members, n, features)
    y = torch.arange(40).reshape(4, 2, 5) % 2
    nets = [Net.of(nn.Linear(3, 2).double()) for _ in rates]
    by_hand = [(n.params["weight"].detach().clone(), n.params["bias"].detach().clone()) for n in nets]
    make, _ = make_rule(momentum=0.0)
    rule = Together(make, [{"rate": r, "l2": p} for r, p in zip(rates, penalties, strict=True)])
    learner = stack([Learner(n, make({}).init(n)) for n in nets], rule)
    learner, report = eager(rule.step)(learner, Batch(x, y))
    for i, (w, b) in enumerate(by_hand):
        for t in range(4):
            scores = x[t, i] @ w.T + b
            p = scores.exp() / scores.exp().sum(1, keepdim=True)
            assert float(report["loss"][t, i]) == pytest.approx(float(-p[range(5), y[t, i]].log().mean()), rel=1e-12)
            p[range(5), y[t, i]] -= 1
            slope_w, slope_b = p.T @ x[t, i] / 5 + penalties[i] * w, p.mean(0)
            w, b = w - rates[i] * slope_w, b - rates[i] * slope_b
        torch.testing.assert_close(learner.net.params["weight"][i], w, rtol=1e-12, atol=1e-12)
        torch.testing.assert_close(learner.net.params["bias"][i], b, rtol=1e-12, atol=1e-12)


def test_the_state_of_a_stack_shares_no_memory():
    make, _ = make_rule(adam)
    state = Together(make, [{}, {}]).init(Net.stack([Net.of(module(s)) for s in range(2)]))
    for t in leaves(state):
        t[0] += 1
        assert float(t[1].abs().sum()) == 0, "writing one member's state wrote the other's"


def test_a_rule_that_returns_its_net_and_state_anew():
    class Anew:
        reads, target, tolerance = "batch", "any", 1e-3

        def init(self, net):
            return {"sum": {"weight": torch.zeros_like(net.params["weight"])}}

        def step(self, net, state, batch):
            moved = {k: p + batch.x.mean() for k, p in net.params.items()}
            loss = net(batch.x).square().mean()
            return net.at(moved), {"sum": {"weight": state["sum"]["weight"] + moved["weight"]}}, {"loss": loss}

    rule = Anew()
    nets = [Net.of(nn.Linear(3, 2)) for _ in range(2)]
    together = Together(lambda numbers: rule, [{}, {}])
    learner = stack([Learner(n, rule.init(n)) for n in nets], together)
    held = learner.net.params["weight"]
    x = torch.randn(4, 2, 5, 3, generator=torch.Generator().manual_seed(0))
    with torch.no_grad():
        learner, _ = eager(together.step)(learner, Batch(x))
    assert learner.net.params["weight"] is held
    for i, net in enumerate(nets):
        steps = x[:, i].mean((1, 2)).cumsum(0)                                     # what has been added after each step
        torch.testing.assert_close(held[i], net.params["weight"].detach() + steps[-1])
        torch.testing.assert_close(learner.state["rule"]["sum"]["weight"][i], 4 * net.params["weight"].detach() + steps.sum())


def test_its_own_early_stop_leaves_the_best_weights_it_would_have_alone(together):
    """One overfits at a high rate and stops; the others go on, and are what they are alone."""
    several = [{"seed": 0, "rate": 0.7, "patience": 2}, {"seed": 1, "rate": 0.01, "patience": 2}, {"seed": 2, "rate": 0.02}]
    told, weights = run([member(epochs=12, **v) for v in several])
    apart, expected = alone(*(member(epochs=12, **v) for v in several))
    mine, theirs = finished(told), finished(apart)
    assert [e.reason for e in mine] == [e.reason for e in theirs] == ["patience", "budget", "budget"]
    assert [e.epochs for e in mine] == [e.epochs for e in theirs]
    assert [e.best_epoch for e in mine] == [e.best_epoch for e in theirs]
    assert mine[0].epochs < 12
    assert_near(weights, expected, 1e-4)


def test_a_member_that_ends_is_left_out_of_the_stack_and_frozen():
    members = [member(seed=s, epochs=e) for s, e in enumerate((1, 4, 4))]
    seats = [Seat(i, m) for i, m in enumerate(members)]
    for seat in seats:
        list(seat.begin())
    joint, sizes, kept = Joint(seats, [], "3 together"), [], None
    for i, event in joint.run():
        if isinstance(event, Evaluated):
            sizes.append(len(joint.seats))
        if isinstance(event, Finished) and i == 0:
            kept = clone(members[0].training.net.params)
    assert sizes == [3, 3, 3, 2, 2, 2, 2, 2, 2]
    for name, t in members[0].training.net.params.items():
        assert torch.equal(t, kept[name])


def test_the_last_one_left_goes_on_by_its_own_rule():
    members = [member(seed=s, epochs=e) for s, e in enumerate((1, 4))]
    seats = [Seat(i, m) for i, m in enumerate(members)]
    for seat in seats:
        list(seat.begin())
    joint = Joint(seats, [], "2 together")
    list(joint.run())
    assert joint.alone
    assert joint.rule is members[1].training.stages[0].rule
    assert_near([dict(members[1].training.net.params)], alone(member(seed=1, epochs=4))[1])


@pytest.mark.parametrize("steps", [(5, 13, 13), (13, 5, 8)])
def test_budgets_of_steps_that_end_within_an_epoch(steps, together):
    several = [{"seed": s, "steps": n} for s, n in enumerate(steps)]
    told, weights = run([member(**v) for v in several])
    assert [e.steps for e in finished(told)] == list(steps)
    assert_near(weights, alone(*(member(**v) for v in several))[1])


def test_one_that_diverges_is_put_back_and_diagnosed_and_the_others_go_on(together):
    several = [{"seed": 0}, {"seed": 1, "rate": 3e38}, {"seed": 2, "rate": 0.05}]
    told, weights = run([member(**v) for v in several])
    apart, expected = alone(*(member(**v) for v in several))
    assert [e.reason for e in finished(told)] == ["budget", "diverged", "budget"]
    found = [next(e for e in events[1] if isinstance(e, Diagnosed)) for events in (told, apart)]
    assert found[0].code == found[1].code == "D21"
    assert (found[0].layer, found[0].evidence) == (found[1].layer, found[1].evidence)
    assert all(bool(t.isfinite().all()) for t in weights[1].values())
    assert_near([weights[0], weights[2]], [expected[0], expected[2]])


def test_a_bad_row_of_one_member_is_named_as_alone_and_harms_no_other(together):
    bad = part(30)
    bad.x[11] = float("nan")
    several = [{"seed": 0}, {"seed": 1, "data": bad}]
    told, weights = run([member(**v) for v in several])
    assert "rows 11 of the data" in next(e for e in told[1] if isinstance(e, Diagnosed)).evidence
    assert_near(weights[:1], alone(member(seed=0))[1])


@pytest.mark.parametrize("rows", [(30, 31), (28, 29), (29, 35)])
def test_parts_of_other_sizes(rows, together):
    """A last batch that is larger or smaller than the others' goes alone; other numbers of batches make other stacks."""
    several = [{"seed": s, "rows": n} for s, n in enumerate((*rows, rows[0]))]
    told, weights = run([member(**v) for v in several])
    apart, expected = alone(*(member(**v) for v in several))
    assert [e.steps for e in finished(told)] == [e.steps for e in finished(apart)]
    assert_near(weights, expected)


def test_nets_of_other_shapes_and_other_kinds_make_other_stacks(together):
    members = [member(seed=0), member(seed=1), member(seed=0, hidden=9), member(seed=2, hidden=9), member(seed=0, batch=10),
               member(seed=0, momentum=0.0), member(net=nn.Sequential(nn.Linear(3, 6), nn.ReLU(), nn.Dropout(0.0), nn.Linear(6, 2)))]
    kin = kindred(members, range(len(members)))
    assert sorted(sorted(k.numbers) for k in kin) == [[0, 1], [2, 3], [4], [5], [6]]
    _, weights = run(members)
    assert all(len(w) == 4 for w in weights)
    assert_near(weights[3:4], alone(member(seed=2, hidden=9))[1])


def test_what_a_stack_cannot_hold_makes_a_stack_for_each_value(together):
    def make_with(branch):
        def make(numbers):
            power = numbers.get("power", branch)
            if power > 1.5:                                               # no transformation can branch on a tensor of members
                return Descend(partial(backprop, loss=cross_entropy()), sgd(rate=0.1))
            return Descend(partial(backprop, loss=cross_entropy()), sgd(rate=0.2))

        return make

    members = []
    for seed, power in enumerate((1.0, 2.0, 1.0, 2.0)):
        one = member(seed=seed)
        make = make_with(power)
        one.training.stages[0] = Stage(make({}), Budget(epochs=2))
        members.append(Member(one.training, make, {"power": power}))
    kin = kindred(members, range(4))
    assert [k.numbers for k in kin] == [[0, 2], [1, 3]]
    assert all(k.lifted == [] for k in kin)


def test_steps_that_draw_go_in_turn_and_say_so():
    told, weights = run([member(seed=s, dropout=0.5) for s in range(2)])
    planned = [next(e for e in events if isinstance(e, Planned)) for events in told]
    assert all("in turn: a step draws random numbers" in e.reason for e in planned)
    expected = alone(*(member(seed=s, dropout=0.5) for s in range(2)))[1]
    for mine, theirs in zip(weights, expected, strict=True):
        assert all(torch.equal(mine[k], theirs[k]) for k in mine)
    make, _ = make_rule()
    for dropout, found in ((0.5, True), (0.0, False)):
        net = Net.of(module(0, dropout=dropout))
        assert draws(make({}), Learner(net, make({}).init(net)), Batch(part(5).x, part(5).y), 0) is found


def test_few_steps_are_not_worth_a_trial(monkeypatch):
    monkeypatch.setattr(of_members, "WORTH_STACKING_SECONDS", 1e6)
    told, _ = run([member(seed=s, epochs=1) for s in range(2)])
    assert "trying stacks would not pay" in next(e for e in told[0] if isinstance(e, Planned)).reason


@pytest.mark.parametrize("quickest", [1, 2, 4])
def test_the_fastest_grouping_is_taken_and_the_others_are_named(monkeypatch, quickest):
    """The clock of the trials is replaced: what is measured decides, not what this machine happens to do."""
    def seconds(advance, learner, batches, bound=0.0):
        size = len(next(iter(learner.net.params.values()))) if next(iter(learner.net.params.values())).dim() > 2 else 1
        return 1e-3 * size * (0.5 if size == quickest else 1.0)

    monkeypatch.setattr(of_members, "_seconds", seconds)
    told, weights = run([member(seed=s) for s in range(4)])
    planned = next(e for e in told[0] if isinstance(e, Planned))
    said = {1: "in turn", 2: "2 groups of 2", 4: "4 together"}
    assert (planned.name if quickest > 1 else planned.reason).startswith(said[quickest])
    assert {r["plan"] for r in planned.rejected} == set(said.values()) - {said[quickest]}
    assert all("slower" in r["reason"] for r in planned.rejected)
    assert_near(weights, alone(*(member(seed=s) for s in range(4)))[1])


def test_a_larger_stack_is_not_tried_where_it_cannot_win(monkeypatch):
    tried = []

    def seconds(advance, learner, batches, bound=0.0):
        weight = next(iter(learner.net.params.values()))
        tried.append(len(weight) if weight.dim() > 2 else 1)
        return 1e-3 if tried[-1] == 1 else 1.0

    monkeypatch.setattr(of_members, "_seconds", seconds)
    run([member(seed=s) for s in range(4)])
    assert tried == [1, 2]


def test_a_step_that_cannot_be_vectorised_goes_in_turn_with_the_reason():
    class Awkward(nn.Module):
        def __init__(self):
            super().__init__()
            self.line = nn.Linear(3, 2)

        def forward(self, x):
            return self.line(x) * (2.0 if float(self.line.weight.detach().sum()) > 0 else 1.0)  # reads a number on the host

    told, _ = run([member(seed=s, net=Awkward()) for s in range(2)])
    planned = next(e for e in told[0] if isinstance(e, Planned))
    assert "failed" in planned.rejected[0]["reason"]
    assert finished(told)[1].reason == "budget"


def test_normalisation_by_the_batch_and_its_running_means_stay_apart(together):
    def net(seed):
        made = convolutional().module
        torch.manual_seed(seed)
        for p in made.parameters():
            nn.init.normal_(p, std=0.2)
        return made

    several = [{"net": net(s), "data": part(20, (2, 6, 6)), "seed": s, "epochs": 2} for s in range(2)]
    twins = [{**v, "net": net(s)} for s, v in enumerate(several)]
    _, weights = run([member(**v) for v in several])
    _, expected = alone(*(member(**v) for v in twins))
    assert_near(weights, expected, 1e-4)
    assert not torch.equal(weights[0]["1.running_mean"], weights[1]["1.running_mean"])
    assert int(weights[0]["1.num_batches_tracked"]) == int(expected[0]["1.num_batches_tracked"]) > 0


@pytest.fixture
def beside(monkeypatch):
    """All members beside one another, two at a time, each by steps as they are written: what a program in C does, done slowly."""

    def grouped(members, kin):
        seats = [Seat(i, members[i]) for i in kin.numbers]
        rule = Together(members[kin.numbers[0]].make, [{n: members[i].numbers[n] for n in kin.lifted} for i in kin.numbers])
        probes = [of_members._probe(members[i]) for i in kin.numbers]
        feed = Abreast([seat.feed for seat in seats], apart=True)
        choice = tried(rule, stack(probes, rule), [seat.stage.rule for seat in seats], feed, Plan(), 2, 0)
        return Grouping(len(seats), said(len(seats), 2), [], choice, apart=True)

    monkeypatch.setattr(of_members, "grouped", grouped)


@pytest.mark.parametrize("variants", VARIANTS.values(), ids=VARIANTS)
def test_members_beside_one_another_learn_what_each_learns_alone(variants, beside):
    told, weights = run([member(**v) for v in variants])
    apart, expected = alone(*(member(**v) for v in variants))
    assert_near(weights, expected)
    assert [e.steps for e in finished(told)] == [e.steps for e in finished(apart)]
    planned = next(e for e in told[0] if isinstance(e, Planned))
    assert planned.name == f"{len(variants)} beside one another, 2 at a time, eager"
    assert planned.made[-1]["apart"]


def test_beside_one_another_ends_diverges_and_goes_on(beside, tmp_path):
    def several(stop=None, stores=True):
        made = []
        for s, (rate, epochs, rows) in enumerate(((0.1, 5, 30), (3e38, 5, 31), (0.2, 2, 30), (0.05, 5, 31))):
            (tmp_path / str(s)).mkdir(exist_ok=True)
            store = Store(tmp_path / str(s), str(s)) if stores else None
            made.append(member(seed=s, rate=rate, epochs=epochs, rows=rows, store=store, stop=stop))
        return made

    stop = Stop()
    told = [[], [], [], []]
    for i, event in train_members(several(stop)):
        told[i].append(event)
        if i == 0 and isinstance(event, Evaluated) and event.epoch == 3:
            stop.request("SIGTERM")
    assert [e.reason for e in finished(told)] == ["interrupted", "diverged", "budget", "interrupted"]
    again, weights = run(several(Stop()))
    assert not any(isinstance(e, Planned) for e in again[0])
    apart, expected = alone(*several(stores=False))
    assert [e.reason for e in finished(again)] == [e.reason for e in finished(apart)]
    for i in (0, 2, 3):
        assert_near([weights[i]], [expected[i]])


def test_a_stack_changes_over_to_members_beside_one_another(monkeypatch):
    """Where nobody knew how long it would last, the program is made in mid-run; here it is steps as they are written."""
    made = []

    def quickly(*given):
        choice = tried(*given[:4], Plan(), *given[5:])
        made.append(given[4])
        choice.seconds_per_step = 0.0 if len(made) == 1 else 1.0
        return choice

    monkeypatch.setattr(joint_module, "tried", quickly)
    members = [member(seed=s, rate=0.05 * (s + 1), epochs=4) for s in range(3)]
    seats = [Seat(i, m) for i, m in enumerate(members)]
    for seat in seats:
        list(seat.begin())
    joint = Joint(seats, ["rate"], "3 together", threads=2)
    later = Later(Plan(native=True), 0.0)
    told = list(joint.run(Choice(Plan(threads=1, chunk=2), eager(joint.rule.step), 1e3, "given", later=[later])))
    names = [e.name for i, e in told if isinstance(e, Planned) and i == 0]
    assert names == ["3 together, eager", "3 beside one another, 2 at a time, eager"]
    assert made == [later.plan]
    assert joint.apart
    assert members[2].training.position.plan[-1]["since"] == 5
    expected = alone(*(member(seed=s, rate=0.05 * (s + 1), epochs=4) for s in range(3)))[1]
    assert_near([dict(m.training.net.tensors) for m in members], expected)


def test_a_program_that_disagrees_with_the_members_is_refused():
    members = [member(seed=s, rate=0.05 * (s + 1), momentum=0.0) for s in range(2)]
    rule = Together(members[0].make, [{"rate": m.numbers["rate"]} for m in members][::-1])
    probes = [of_members._probe(m) for m in members]
    feed = Abreast([m.training.feed_for(0) for m in members], apart=True)
    with pytest.raises(PlanRejected, match="disagrees with a member alone"):
        tried(rule, stack(probes, rule), [m.training.stages[0].rule for m in members], feed, Plan(), 2, 0)


@pytest.mark.skipif(not any(map(shutil.which, ("cc", "gcc", "clang"))), reason="there is no C compiler on this machine")
def test_native_programs_run_members_beside_one_another():
    several = [{"seed": s, "rate": 0.05 * (s + 1), "settings": {"plan": "native"}} for s in range(3)]
    told, weights = run([member(**v) for v in several])
    expected = alone(*(member(seed=s, rate=0.05 * (s + 1)) for s in range(3)))[1]
    planned = next(e for e in told[0] if isinstance(e, Planned))
    assert planned.made[-1]["made"]["native"]
    assert_near(weights, expected)


def test_a_wrong_answer_of_the_stack_is_noticed():
    """`disagreement` is the guard of every trial: a rule that mixes its members is found out."""
    make, _ = make_rule(momentum=0.0)
    nets = [Net.of(module(s)) for s in range(2)]
    learners = [Learner(n, make({}).init(n)) for n in nets]
    batches = [Batch(part(7).x, part(7).y), Batch(part(9).x[2:], part(9).y[2:])]
    rules, numbers = [make({"rate": r}) for r in (0.1, 0.2)], [{"rate": 0.1}, {"rate": 0.2}]
    assert disagreement(learners, rules, Together(make, numbers), batches, 0) < 1e-5
    assert disagreement(learners, rules, Together(make, numbers[::-1]), batches, 0) > 0.4
    assert side_by_side(batches, axis=0).x.shape == (2, 7, 3)


def test_interrupted_members_go_on_where_they_were(tmp_path, together):
    """A signal in mid-epoch saves all; the stack is made again from the checkpoints and ends where an uninterrupted one does."""
    def several(stop):
        made = []
        for s in range(3):
            (tmp_path / str(s)).mkdir(exist_ok=True)
            made.append(member(seed=s, epochs=4, rows=60, batch=2, store=Store(tmp_path / str(s), str(s)), stop=stop, rate=0.1 * (s + 1)))
        return made

    stop = Stop()
    told = [[], [], []]
    for i, event in train_members(several(stop)):
        told[i].append(event)
        if isinstance(event, Evaluated) and event.epoch == 2:
            stop.request("SIGTERM")
    assert [e.reason for e in finished(told)] == ["interrupted"] * 3
    positions = [Store(tmp_path / str(s), str(s)).position() for s in range(3)]
    assert all(p["plan"][-1]["together"] == 3 and not p["finished"] for p in positions)
    again, weights = run(several(Stop()))
    assert not any(isinstance(e, Planned) for e in again[0])
    whole = alone(*(member(seed=s, epochs=4, rows=60, batch=2, rate=0.1 * (s + 1)) for s in range(3)))
    assert_near(weights, whole[1])
    assert [e.steps for e in finished(again)] == [e.steps for e in finished(whole[0])]


def test_a_member_on_its_own_goes_on_from_a_checkpoint_of_the_stack(tmp_path, together):
    stop = Stop()
    for s in range(2):
        (tmp_path / str(s)).mkdir()

    def several(stop):
        return [member(seed=s, store=Store(tmp_path / str(s), str(s)), stop=stop) for s in range(2)]

    for _, event in train_members(several(stop)):
        if isinstance(event, Evaluated):
            stop.request("SIGINT")
    one = several(Stop())[1]
    list(one.training.run())
    assert_near([dict(one.training.net.params)], alone(member(seed=1))[1])


def test_a_mistake_in_an_option_is_told_as_it_is_alone():
    with pytest.raises(InputError, match="rate"):
        run([member(seed=0, rate=0.1), member(seed=0, rate=-1.0)])


def test_regression_nets_of_a_rule_without_momentum_share_one_feed(monkeypatch):
    """Members that read the same rows in the same order read them once."""
    gathered = []
    members = []
    data = part(20)
    for rate in (0.01, 0.02):
        one = member(seed=5, data=data, rate=rate, momentum=0.0)
        feed = one.training.feed_for(0)
        chunks = feed.chunks
        feed.chunks = lambda *a, chunks=chunks, rate=rate: (gathered.append(rate), chunks(*a))[1]
        members.append(one)
    monkeypatch.setattr(of_members, "grouped", lambda members, kin: Grouping(2, "2 together", []))
    _, weights = run(members)
    while_training = gathered[-3:]
    assert set(while_training) == {0.01}
    assert_near(weights, alone(*(member(seed=5, data=data, rate=r, momentum=0.0) for r in (0.01, 0.02)))[1])
    assert squared().each is not None
    assert Kin([0]).why_alone == ""
