"""Remedies are aimed by what was measured, and what looks like a fault in passing is none: the doctor on made histories."""

from dataclasses import replace

import pytest
from histories import FACTS, evaluated, falling, judged, look, looked, progressed

from chainrule.core.events import Diagnosed
from chainrule.observe.doctor.doctor import Doctor
from chainrule.observe.doctor.remedy import READ_BY

GAME = {"precision": 0.8, "clusters": 0.1, "coverage": 0.02, "spread": 7.0, "discriminator_accuracy": 0.55}


def stuck(step):
    return 2.302


def games():
    """A game in which all samples are of one kind, far from the rows."""
    return [evaluated(epoch, 1.0, 1.0, **GAME) for epoch in range(1, 6)]


def names(facts, events):
    doctor = Doctor(facts)
    for event in events:
        doctor.consume(event)
    return [one.entry.name for one in doctor.diagnoses], doctor


def remedies(facts, events):
    _, doctor = names(facts, events)
    return {one.entry.name: one.finding.remedy for one in doctor.diagnoses}


@pytest.mark.parametrize(("losses", "amount"), [
    ([2.30, 2.29, 2.28], "30"),           # it falls by .01 in 40 steps: half of 2.3 is far away
    ([2.30, 2.00, 1.70], "6"),            # by .3 in 40: twice the steps reach it
    ([2.30, 2.31, 2.32], None), ([2.30, 2.28, 2.29], None)])
def test_a_short_run_that_was_still_getting_better_is_to_go_on(losses, amount):
    events = [*(evaluated(e, loss, loss, accuracy=0.1) for e, loss in enumerate(losses, 1)), judged(high=0.01, score=178)]
    cure = remedies(FACTS, events)["no-better-than-constant"]
    assert cure.options == ({} if amount is None else {"epochs": amount})
    assert ("inputs" in str(cure)) is (amount is None)


def test_how_much_longer_is_said_by_the_option_that_ended_training():
    events = [evaluated(1, 2.3, 2.3, accuracy=0.1), evaluated(2, 2.2, 2.2, accuracy=0.1), judged(high=0.01, score=178)]
    assert remedies(replace(FACTS, budget="steps"), events)["no-better-than-constant"].options == {"steps": "560"}     # 420 more to 1.15
    assert str(remedies(replace(FACTS, budget="seconds"), events)["no-better-than-constant"]) == "more --seconds"


def test_within_the_first_epoch_the_losses_of_its_steps_say_whether_the_net_was_getting_better():
    for slope, options in ((-0.01, True), (0.0, False)):
        events = [*(progressed(step, 2.3 + slope * step + 0.01 * (step % 3)) for step in range(0, 40, 2)),
                  evaluated(1, 2.2, 2.2, accuracy=0.1), judged(high=0.01, score=178)]
        assert bool(remedies(FACTS, events)["no-better-than-constant"].options) is options


@pytest.mark.parametrize(("optimizer", "rate", "moved", "wanted"), [
    ("sgd", 1e-5, 1e-6, 0.2),            # eight lengths of the weights in 400 steps are a step of .02
    ("sgd", 1e-7, 1e-8, 0.2), ("adam", 1e-8, 5e-8, 0.004), ("sgd", 1e-3, 1.5e-5, 1.0)])
def test_a_rate_is_raised_by_what_its_steps_fall_short_of(optimizer, rate, moved, wanted):
    facts = replace(FACTS, optimizer=f"{optimizer}:rate={rate}", rate=rate, steps=400)
    events = looked([0, 1, 2, 4, 8, 16, 64, 128, 210, 300], lambda s: look(update=[moved] * 4, loss=2.3))
    chosen = READ_BY["optimizer"].choose(remedies(facts, events)["rate-too-low"].options["optimizer"])
    assert chosen.values()["rate"] == pytest.approx(wanted)


def test_steps_that_are_lost_when_rounded_are_too_small_and_those_that_are_cut_off_are_not():
    facts, steps = replace(FACTS, optimizer="adam:rate=1e-13", rate=1e-13), [0, 1, 2, 4, 8, 16, 64, 128, 210, 300]
    known, doctor = names(facts, looked(steps, lambda s: look(update=[0.0] * 4, loss=2.3)))
    assert known == ["rate-too-low"]
    assert doctor.diagnoses[0].finding.remedy.options == {"optimizer": "adam:rate=0.001"}
    cut = look(update=[0.0, 0.0, 0.0, 1e-3], weight_gradient=[0.0, 0.0, 0.0, 1e-3], loss=2.3)
    assert "rate-too-low" not in names(facts, looked(steps, lambda s: cut))[0]


@pytest.mark.parametrize(("steep", "known"), [({100}, []), (set(range(60, 200, 10)), ["rate-above-curvature"])])
def test_a_steep_place_that_is_passed_is_no_rate_above_the_curvature(steep, known):
    facts = replace(FACTS, optimizer="sgd:rate=0.1", rate=0.1)

    def make(step):
        loss = 9.0 if step in steep else falling(step)
        return look(loss=loss, evaluated_loss=loss, curvature=500.0 if step == 100 else None)

    assert names(facts, looked(range(0, 200, 10), make))[0] == known


def test_what_a_generator_comes_to_stands_before_the_units_that_died_of_it():
    known, _ = names(replace(FACTS, net="gan"), [*looked([5, 10, 20, 40, 80], lambda s: look(dead=[0.1, 0.99, 0.2, None])),
                                                 *games()])
    assert known[0] == "generator-collapse"
    assert "dead-units" in known


@pytest.mark.parametrize(("step", "options"), [
    (0.5, {"rule": "adversarial:generator=adam:rate=0.001,discriminator=adam:rate=0.0005"}), (0.01, {"net": "gan:form=wgan-gp"})])
def test_a_generator_that_has_leapt_away_is_to_go_slower(step, options):
    facts = replace(FACTS, net="gan", rule="adversarial:generator=adam:rate=0.05,discriminator=adam:rate=0.0005", loss="")
    first = looked([0], lambda s: look(layers=["generator.0", "generator.1", "discriminator.0", "discriminator.1"],
                                       update=[step, step, 1e-3, 1e-3]))
    assert remedies(facts, [*first, *games()])["generator-collapse"].options == options


def test_a_rate_that_is_too_high_is_lowered_by_what_momentum_makes_of_it():
    wild = [0, 1, 2, 3, 4, 8, 16, 32]
    for momentum, rate in ((0.0, 0.1), (0.9, 0.01)):
        facts = replace(FACTS, optimizer=f"sgd:rate=1.0,momentum={momentum}", rate=1.0, momentum=momentum)
        events = looked(wild, lambda s: look(update=[0.1 if not s else 2.0] * 4, loss=2.3 if not s else 9.0))
        chosen = READ_BY["optimizer"].choose(remedies(facts, events)["rate-too-high"].options["optimizer"])
        assert chosen.values()["rate"] == pytest.approx(rate)


def test_hidden_states_of_a_recurrent_layer_that_begin_at_their_ends_are_saturated():
    facts = replace(FACTS, net="rnn:hidden=32", init="normal:2")
    events = looked([0], lambda s: look(layers=["layers.0", "output"], kinds=["ElmanLayer", "Linear"], saturated=[0.8, None], norm=600.0))
    assert names(facts, events)[0] == ["saturated", "init-scale"]


@pytest.mark.parametrize(("ratio", "loss", "known"), [
    (1e-6, falling, []), (5e-10, falling, ["vanishing-through-time"]), (1e-6, stuck, ["vanishing-through-time"])])
def test_a_gradient_that_begins_small_at_the_beginning_of_a_sequence_and_grows_is_no_fault(ratio, loss, known):
    """A net of orthogonal weights read 64 steps at a ratio of 1e-6 and learned; one that forgets half at each has 5e-10."""
    events = looked([0, 1, 2, 4, 8, 16, 64, 128, 210, 300], lambda s: look(
        through_time=[ratio ** (i / 40) for i in range(48)], loss=loss(s), evaluated_loss=loss(s)))
    assert names(replace(FACTS, net="rnn:hidden=32"), events)[0] == known


def test_steps_that_are_small_since_the_first_have_leapt_too_far_are_no_low_rate():
    facts = replace(FACTS, optimizer="sgd:rate=30", rate=30.0)
    events = looked([0, 1, 2, 3, 4, 8, 16, 32, 64, 128, 200, 300, 400], lambda s: look(
        update=[3.0 if s < 3 else 1e-7] * 4, loss=9.0 if s else 2.3))
    known, _ = names(facts, events)
    assert known[0] == "rate-too-high"
    assert "rate-too-low" not in known


@pytest.mark.parametrize(("net", "init", "options"), [
    ("rnn:hidden=32", "normal:0.05", {"init": "orthogonal"}), ("rnn:hidden=32", "orthogonal:gain=0.5", {"init": "orthogonal"}),
    ("rnn:hidden=32", "orthogonal", {"net": "lstm:hidden=32"}), ("rnn", "", {"net": "lstm"}),
    ("gru", "normal:0.01", {"init": "orthogonal"})])
def test_what_forgets_is_to_begin_with_weights_that_keep_lengths_then_to_have_gates(net, init, options):
    facts = replace(FACTS, net=net, init=init)
    events = looked([0, 1, 2, 4, 8], lambda s: look(through_time=[0.3**i for i in range(40)]))
    assert remedies(facts, events)["vanishing-through-time"].options == options


@pytest.mark.parametrize(("step", "options"), [(0, {}), (3, {"optimizer": "sgd:rate=0.01"})])
def test_a_lower_rate_is_no_remedy_of_what_broke_before_the_first_step(step, options):
    lost = Diagnosed(0, 0.0, "D21", "loss", "not finite", "lower the rate", step=step, numbers={"step": step})
    assert remedies(FACTS, [*looked(range(step + 1), lambda s: look()), lost])["not-finite"].options == options
