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


@pytest.mark.parametrize(("optimizer", "moved", "slope", "options"), [
    ("sgd:rate=0.00001", 1e-6, 1e-3, {"optimizer": "sgd:rate=0.7,momentum=0.9", "rule": "backprop:clip=2.0"}),   # .007 over .001 * 50 / 5
    ("sgd:rate=0.00001", 1e-6, 1e-2, {"optimizer": "sgd:rate=0.07,momentum=0.9", "rule": "backprop:clip=2.0"}),
    ("sgd:rate=0.00001,momentum=0.95", 1e-6, 1e-3, {"optimizer": "sgd:rate=0.7,momentum=0.95", "rule": "backprop:clip=2.0"}),
    ("adam:rate=0.00000001", 1e-7, 1e-3, {"optimizer": "adam:rate=0.004"}),         # weights of .1, and 16 lengths of them in 400 steps
    ("adam:rate=0.00000001,beta1=0.8", 1e-7, 1e-2, {"optimizer": "adam:rate=0.004,beta1=0.8"}),
    ("rmsprop:rate=0.00000001", 1e-7, 1e-3, {"optimizer": "rmsprop:rate=0.004"})])
def test_a_rate_is_raised_to_what_the_untouched_net_asks_for(optimizer, moved, slope, options):
    chosen = READ_BY["optimizer"].choose(optimizer).values()
    facts = replace(FACTS, optimizer=optimizer, rate=chosen["rate"], momentum=chosen.get("momentum") or 0.0, steps=400)
    events = looked([0, 1, 2, 4, 8, 16, 64, 128, 210, 300], lambda s: look(update=[moved] * 4, weight_gradient=[slope] * 4, loss=2.3))
    assert remedies(facts, events)["rate-too-low"].options == options


def test_a_longer_run_takes_shorter_steps_of_adam():
    facts = replace(FACTS, optimizer="adam:rate=1e-8", rate=1e-8, steps=20_000)
    events = looked([0, 1, 2, 4, 8, 16, 64, 128, 210, 300], lambda s: look(update=[1e-7] * 4, loss=2.3))
    assert remedies(facts, events)["rate-too-low"].options == {"optimizer": "adam:rate=0.0001"}


def test_a_rule_that_descends_no_gradient_goes_back_to_its_own_optimizer():
    facts = replace(FACTS, optimizer="sgd:rate=1e-6", rate=1e-6, net="rbm", rule="divergence", usual="sgd:rate=0.1,momentum=0.5")
    events = looked([0, 1, 2, 4, 8, 16, 64, 128, 210, 300], lambda s: look(update=[1e-6] * 4, loss=2.3, direction="divergence"))
    assert remedies(facts, events)["rate-too-low"].options == {"optimizer": "sgd:rate=0.1,momentum=0.9"}


def test_steps_that_are_lost_when_rounded_are_too_small_and_those_that_are_cut_off_are_not():
    facts, steps = replace(FACTS, optimizer="adam:rate=1e-13", rate=1e-13), [0, 1, 2, 4, 8, 16, 64, 128, 210, 300]
    known, doctor = names(facts, looked(steps, lambda s: look(update=[0.0] * 4, loss=2.3)))
    assert known == ["rate-too-low"]
    assert doctor.diagnoses[0].finding.remedy.options == {"optimizer": "adam:rate=0.004"}
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


@pytest.mark.parametrize(("generator", "discriminator", "rates"), [
    (0.5, 5e-3, ("0.002", "0.002")), (2e-5, 0.1, ("40.0", "8e-05")), (0.02, 0.02, None)])
def test_players_of_a_game_are_to_move_alike(generator, discriminator, rates):
    """In 1,000 steps by .016 of their weights at first; where both do already, the game is to have another form."""
    facts = replace(FACTS, net="gan", rule="adversarial:generator=adam:rate=0.05,discriminator=adam:rate=0.0005", loss="", steps=1000)
    first = looked([0], lambda s: look(layers=["generator.0", "generator.1", "discriminator.0", "discriminator.1"],
                                       update=[generator, generator, discriminator, discriminator]))
    cure = remedies(facts, [*first, *games()])["generator-collapse"].options
    if rates is None:
        assert cure == {"net": "gan:form=wgan-gp"}
        return
    chosen = READ_BY["rule"].choose(cure["rule"]).values()
    assert (str(chosen["generator.rate"]), str(chosen["discriminator.rate"])) == rates
    assert chosen["generator.beta1"] == chosen["discriminator.beta1"] == 0.5


def test_players_that_follow_one_optimizer_are_slowed_by_it():
    facts = replace(FACTS, net="gan", rule="adversarial", optimizer="adam:rate=0.05", rate=0.05, loss="", steps=1000)
    first = looked([0], lambda s: look(layers=["generator.0", "discriminator.0"], update=[0.5, 0.5], weight=[5.0] * 2,
                                       weight_gradient=[1e-3] * 2))
    assert remedies(facts, [*first, *games()])["generator-collapse"].options == {"optimizer": "adam:rate=0.002,beta1=0.5"}


@pytest.mark.parametrize(("slope", "options"), [
    (1e-3, {"optimizer": "sgd:rate=0.7,momentum=0.9", "rule": "backprop:clip=2.0"}), (1e-5, {"optimizer": "sgd:rate=0.5"})])
def test_a_rate_that_is_too_high_is_lowered_to_what_the_untouched_net_asks_for(slope, options):
    """To a tenth of it where that net asked for no lower one."""
    facts = replace(FACTS, optimizer="sgd:rate=5.0", rate=5.0)
    events = looked([0, 1, 2, 3, 4, 8, 16, 32], lambda s: look(update=[0.1 if not s else 2.0] * 4, loss=2.3 if not s else 9.0,
                                                               weight_gradient=[slope] * 4))
    assert remedies(facts, events)["rate-too-high"].options == options


def test_a_gradient_that_is_limited_already_stays_so():
    facts = replace(FACTS, optimizer="sgd:rate=5.0", rate=5.0, rule="backprop:clip=0.5")
    events = looked([0, 1, 2, 3, 4, 8, 16, 32], lambda s: look(update=[2.0] * 4, loss=2.3 if not s else 9.0))
    assert remedies(facts, events)["rate-too-high"].options == {"optimizer": "sgd:rate=0.7,momentum=0.9"}


def test_inputs_that_grow_inside_the_net_are_no_fault_of_its_weights():
    """What a layer gives is at most the length of its weights times what it reads: 500 of weights of length 5 are inputs of 100."""
    grown = looked([0], lambda s: look(activation_sd=[500.0, 500.0, 500.0, 500.0], norm=900.0))
    cure = remedies(replace(FACTS, init=""), grown)["init-scale"]
    assert cure.options == {}
    assert "hidden1" in cure.words
    assert "100" in cure.words
    weights = looked([0], lambda s: look(activation_sd=[50.0, 500.0, 500.0, 500.0], weight=[40.0] * 4, norm=900.0))
    assert remedies(replace(FACTS, init=""), weights)["init-scale"].options == {"init": "he"}


def test_a_module_of_ones_own_that_reads_itself_begins_with_weights_that_keep_lengths():
    wild = looked([0], lambda s: look(norm=900.0))
    assert remedies(replace(FACTS, net="Memory", init="", recurrent=True), wild)["init-scale"].options == {"init": "orthogonal"}


@pytest.mark.parametrize(("accuracy", "known"), [(0.12, "label-noise"), (0.6, "overfitting")])
def test_what_was_never_right_about_other_rows_cannot_be_lost(accuracy, known):
    events = [evaluated(e, 0.05 if e > 4 else 2.2, 2.3 if e == 1 else 9.0, accuracy=accuracy) for e in range(1, 9)]
    assert names(FACTS, events)[0] == [known]


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
