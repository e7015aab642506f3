"""Members of a stack learn what each learns alone, end when each would, and do not notice one another."""

from __future__ import annotations

import pytest
import torch
from made_members import VARIANTS, alone, assert_near, finished, member, run
from tiny import convolutional, part
from torch import nn

from chainrule.core.errors import InputError
from chainrule.core.events import Diagnosed, Evaluated, Finished, Planned
from chainrule.core.tree import clone
from chainrule.engine.group import Lone
from chainrule.engine.loop import Loop
from chainrule.engine.members.grouping import train_members
from chainrule.engine.members.groups import Stack
from chainrule.engine.stop import Stop
from chainrule.engine.store import Store
from chainrule.engine.train import train_seat

pytestmark = pytest.mark.usefixtures("worth_a_trial")


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


def looped(members):
    """The loop of a stack of all of these, before its first step."""
    stack = Stack(members, [], f"{len(members)} together")
    stack.enter()
    return Loop(stack)


def test_a_member_that_ends_is_left_out_of_the_stack_and_frozen():
    members = [member(seed=s, epochs=e) for s, e in enumerate((1, 4, 4))]
    loop, sizes, ended = looped(members), [], None
    for seat, event in loop.run():
        if isinstance(event, Evaluated):
            sizes.append(len(loop.group.seats))
        if isinstance(event, Finished) and seat is members[0].seat:
            ended = clone(seat.net.params)
    assert sizes == [3, 3, 3, 2, 2, 2, 2, 2, 2]
    for name, t in members[0].seat.net.params.items():
        assert torch.equal(t, ended[name])


def test_the_last_one_left_goes_on_by_its_own_rule():
    members = [member(seed=s, epochs=e) for s, e in enumerate((1, 4))]
    loop = looped(members)
    list(loop.run())
    assert isinstance(loop.group, Lone)
    assert loop.group.rule is members[1].seat.stages[0].rule
    assert_near([dict(members[1].seat.net.params)], alone(member(seed=1, epochs=4))[1])


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
    assert all(p.plan[-1]["together"] == 3 and not p.finished for p in positions)
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
    list(train_seat(one.seat))
    assert_near([dict(one.seat.net.params)], alone(member(seed=1))[1])


def test_a_mistake_in_an_option_is_told_as_it_is_alone():
    with pytest.raises(InputError, match="rate"):
        run([member(seed=0, rate=0.1), member(seed=0, rate=-1.0)])
