"""The doctor on made histories: each fault is named, with its remedy; healthy ones are silent; one fault has one first cause."""

import json
import math
import shlex
from dataclasses import replace

import pytest
from histories import FACTS, LAYERS, evaluated, falling, finished, healthy, judged, look, looked, planned, progressed

from chainrule.core.errors import InputError
from chainrule.core.events import Diagnosed, Joined, from_json
from chainrule.core.registry import diagnoses
from chainrule.core.traits import DiagnosisTraits
from chainrule.observe.doctor import doctor as doctors
from chainrule.observe.doctor.case import quantile
from chainrule.observe.doctor.doctor import Doctor, diagnosed, order, ranked
from chainrule.observe.doctor.facts import Facts
from chainrule.observe.doctor.not_learning import slope_t
from chainrule.observe.doctor.remedy import READ_BY, at_rate, remedy, rounded

EARLY = [0, 1, 2, 3, 4, 6, 8]
LOST = Diagnosed(0, 0.0, "D21", "hidden2", "its input is finite and its output is not (epoch 1, batch 3)", "lower the rate", step=2,
                 numbers={"step": 2})
GAME = {"coverage": 0.9, "precision": 0.8, "clusters": 1.0, "spread": 1.1, "discriminator_accuracy": 0.55}


def stuck(step):
    return 2.302


def games(**odd):
    return [evaluated(epoch, 1.0, 1.0, **{**GAME, **odd}) for epoch in range(1, 6)]


def overfitted():
    losses = [(1.5, 1.4), (1.0, 1.0), (0.5, 0.9), (0.2, 1.2), (0.05, 1.5), (0.01, 1.8)]
    return [evaluated(e, t, v, accuracy=0.7) for e, (t, v) in enumerate(losses, 1)]


CASES = {                                                               # name: facts, events
    "vanishing-gradient": (FACTS, looked(EARLY, lambda s: look(weight_gradient=[1e-9, 1e-7, 1e-5, 1e-2], loss=2.3))),
    "symmetry": (replace(FACTS, alike=("hidden1", "hidden2"), init="zeros"), [planned()]),
    "init-scale": (replace(FACTS, init="normal:1"), looked([0], lambda s: look(norm=2e4, loss=300.0))),
    "dead-units": (FACTS, looked([5, 10, 20, 40, 80], lambda s: look(dead=[0.1, 0.99, 0.2, None]))),
    "saturated": (replace(FACTS, activation="tanh"), looked([5, 10, 20, 40, 80], lambda s: look(
        kinds=["Dense + Tanh"] * 3 + ["Dense"], saturated=[0.2, 0.95, 0.3, None]))),
    "rate-too-high": (replace(FACTS, optimizer="sgd:rate=500", rate=500.0), looked([0, 1, 2, 3, 4, 8, 16, 32], lambda s: look(
        update=[40.0] * 4, loss=2.3 if not s else 9.0))),
    "rate-too-low": (replace(FACTS, optimizer="sgd:rate=1e-06", rate=1e-6), looked([0, 1, 2, 4, 8, 16, 64, 128, 210, 300], lambda s: look(
        update=[1e-8] * 4, loss=2.3))),
    "exploding-gradient": (FACTS, [*healthy([0, 1, 2, 3, 4, 8]), *looked([16], lambda s: look(norm=5e3, loss=1.0))]),
    "exploding-through-time": (FACTS, looked([1, 2, 3, 4, 6], lambda s: look(through_time=[2.0**i for i in range(20)]))),
    "vanishing-through-time": (replace(FACTS, net="rnn:hidden=32"), looked(EARLY, lambda s: look(through_time=[0.3**i
                                                                                                               for i in range(30)]))),
    "data-invalid": (replace(FACTS, inputs={**FACTS.inputs, "not_finite": 3.0}), [planned()]),
    "input-scale": (replace(FACTS, inputs={"mean": 33.0, "sd": 79.0, "low": 0.0, "high": 255.0}), [planned()]),
    "output-range": (replace(FACTS, classes=0, shares=(), task="regression", loss="squared", last="relu", net="mlp:hidden=50,output=relu",
                             targets={"low": -2.0, "high": 2.0, "sd": 1.0}), [planned()]),
    "leak": (replace(FACTS, duplicates=100), [planned()]),
    "class-collapse": (replace(FACTS, shares=(0.95, 0.05), classes=2), [judged(recall={"a": 1.0, "b": 0.1}, counts={"a": 190, "b": 10})]),
    "output-activation": (replace(FACTS, last="softmax", net="mlp:hidden=50,output=softmax"), [planned()]),
    "loss-sign": (replace(FACTS, own_loss=True, loss="minus"), [*looked([0, 1], lambda s: look(loss=-2.3)),
                                                               evaluated(1, -40.0, -50.0, accuracy=0.08)]),
    "never-updated": (FACTS, looked(range(0, 24, 2), lambda s: look(update=[0.0, 0.0, 1e-3, 1e-3], weight_gradient=[0.0, 0.0, 1e-3, 1e-3],
                                                                  loss=falling(s)))),
    "linear-stack": (replace(FACTS, merged=("hidden1",)), [judged(high=0.02)]),
    "not-finite": (FACTS, [*healthy(EARLY), LOST]),
    "too-much-dropout": (replace(FACTS, dropout=0.95, net="mlp:hidden=50,dropout=0.95"), [evaluated(5, 2.2, 2.2, accuracy=0.2)]),
    "over-regularised": (replace(FACTS, decay=0.3, optimizer="sgd:rate=0.1,decay=0.3"), looked([0, 10, 20, 50, 100, 200], lambda s: look(
        weight=[5.0 * 0.9**s] * 4, loss=2.3))),
    "train-evaluation-mismatch": (FACTS, looked([100, 150, 200, 250, 300], lambda s: look(loss=0.2, evaluated_loss=2.4))),
    "overfitting": (FACTS, overfitted()),
    "label-noise": (FACTS, [evaluated(40, 0.01, 9.0, accuracy=0.11)]),
    "not-learning": (FACTS, [*looked(range(0, 700, 50), lambda s: look(loss=2.302 + 0.001 * (s % 100 > 0))),
                             evaluated(16, 2.303, 2.303, accuracy=0.1, step=700)]),
    "posterior-collapse": (FACTS, looked([60, 80, 100, 150, 200], lambda s: look(divergence=[1e-4] * 19 + [0.5]))),
    "generator-collapse": (replace(FACTS, net="gan"), games(clusters=0.3, coverage=0.15)),
    "no-better-than-constant": (FACTS, [judged(high=0.01, score=178)]),
    "one-class-only": (FACTS, [judged(answered={"0": 1.0, "1": 0.0}, counts={"0": 20, "1": 20}, high=-0.1)]),
    "still-improving": (FACTS, [finished(best_epoch=10)]),
    "rate-above-curvature": (replace(FACTS, curvature=1174.0, optimizer="sgd:rate=0.01", rate=0.01), [planned()]),
    "interval-too-wide": (replace(FACTS, rows=300, validating=20), [judged(n=20, low=-0.9, high=-0.3, score=4, constant_score=16)]),
    "rounded-away": (FACTS, looked([50, 60, 70, 80, 90], lambda s: look(rounded=[0.99, 0.95, 0.6, 0.2], loss=2.2))),
    "members-agree": (FACTS, [Joined(0, 0.0, 5, 0.97, 40, True)]),
    "does-not-mix": (replace(FACTS, rule="divergence"), looked([250, 300, 350, 400, 450], lambda s: look(
        reconstruction=5.0, free_energy_gap=s / 10))),
}


def names(facts, events):
    doctor = Doctor(facts)
    for event in events:
        doctor.consume(event)
    return [one.entry.name for one in doctor.diagnoses], doctor


def test_inputs_that_are_all_one_number_get_no_remedy_that_divides_by_zero():
    _, doctor = names(replace(FACTS, inputs={"mean": 0.0, "sd": 0.0, "low": 0.0, "high": 0.0}), [planned()])
    (one,) = [one for one in doctor.diagnoses if one.entry.name == "input-scale"]
    assert "in every column of every row" in one.finding.evidence
    assert "/ 0" not in str(one.finding.remedy)


def test_every_diagnosis_has_a_case():
    assert set(CASES) == set(diagnoses.names())


@pytest.mark.parametrize("name", CASES)
def test_a_fault_is_named_first(name):
    known, doctor = names(*CASES[name])
    assert known[0] == name
    one = doctor.diagnoses[0]
    assert one.first != one.note
    assert one.finding.numbers
    assert all(isinstance(value, int | float) for value in one.finding.numbers.values())
    assert str(one.finding.remedy)


@pytest.mark.parametrize("name", CASES)
def test_a_remedy_is_an_option_that_reads(name):
    _, doctor = names(*CASES[name])
    for one in doctor.diagnoses:
        words = shlex.split(str(one.finding.remedy).split(" (")[0]) if one.finding.remedy.options else []
        assert words == [word for k, v in one.finding.remedy.options.items() for word in (f"--{k}", v)]
        for option, value in one.finding.remedy.options.items():
            if option in READ_BY:
                for each in value.split("+"):
                    READ_BY[option].choose(each)
            else:
                assert option in ("class-weights", "patience", "epochs", "steps", "batch", "split")


@pytest.mark.parametrize("name", CASES)
def test_a_stored_log_says_the_same(name):
    facts, events = CASES[name]
    _, doctor = names(facts, events)
    again = [from_json(event.to_json()) for event in events]
    assert [one["name"] for one in diagnosed(again, facts)] == [one.name for one in doctor.diagnoses]
    assert Facts.from_json(json.loads(json.dumps(facts.to_json()))) == facts


BENT = {"kinds": ["Dense + Sigmoid"] * 3 + ["Dense"]}
ZEROS = replace(FACTS, zero=tuple(LAYERS[-1:]))
SILENT = {
    "healthy": (FACTS, [planned(), *healthy(), *(evaluated(e, falling(40 * e), falling(40 * e), accuracy=0.9) for e in range(1, 11)),
                        judged(), finished()]),
    "converged": (FACTS, [*healthy(), *looked([500, 700, 1000, 1500, 2000], lambda s: look(loss=1e-4, evaluated_loss=1e-4,
                                                                                           update=[1e-9] * 4))]),
    "from a trained net": (FACTS, looked([0, 1, 2, 4, 8, 100, 300, 600], lambda s: look(loss=0.05, evaluated_loss=0.05,
                                                                                        update=[1e-6] * 4))),
    "sparse": (FACTS, healthy(dead=[0.55, 0.6, 0.5, None])),
    "sigmoid that learns": (FACTS, [*healthy(**BENT, saturated=[0.45, 0.4, 0.3, None])[:1],
                                    *healthy(**BENT, saturated=[0.61, 0.6, 0.3, None])[1:]]),
    "zero head": (ZEROS, [*looked([0], lambda s: look(weight=[5, 5, 5, 0.0], update=[0.0, 0.0, 0.0, None], weight_gradient=[0.0, 0.0, 0.0,
                                                                                                                            1e-2],
                                                     loss=2.3)), *healthy([1, 2, 3, 4, 8, 16, 32])]),
    "linear net begun at zero": (replace(FACTS, zero=("output",)), looked([0, 1, 2, 4, 8, 16, 32, 64], lambda s: look(
        layers=["output"], weight=[1.0], update=[1.5 / (s + 1)], weight_gradient=[1e-2], loss=2.3))),
    "frozen backbone": (replace(FACTS, frozen=("hidden1", "hidden2")), healthy(
        update=[0.0, 0.0, 1e-3, 1e-3], weight_gradient=[0.0, 0.0, 1e-3, 1e-3])),
    "warm-up": (FACTS, looked([0, 1, 2, 4, 8, 16, 32, 64, 128, 200, 256, 400], lambda s: look(
        update=[1e-7 * (1 + s)] * 4, loss=falling(s), evaluated_loss=falling(s)))),
    "residual, begun at 2.3 ln C": (FACTS, healthy(loss=2.3 * math.log(10), evaluated_loss=5.0)),
    "steep": (FACTS, healthy(norm=36.0)),
    "statistics that arrive": (replace(FACTS, statistics=0.1, steps=400), [evaluated(5, 0.1, 0.4, accuracy=0.9)]),
    "dropout": (replace(FACTS, dropout=0.5), healthy(loss=1.4, evaluated_loss=0.9)),
    "pixels": (replace(FACTS, inputs={"mean": 0.13, "sd": 0.31}), [planned()]),
    "words": (replace(FACTS, inputs={"mean": 1e-4, "sd": 0.005}, spread=False), [planned()]),
    "few equal rows of few bits": (replace(FACTS, duplicates=10, inputs={"mean": 0.0, "sd": 1.0, "bits": 20.0}), [planned()]),
    "two equal rows": (replace(FACTS, duplicates=2), [planned()]),
    "noisy validation loss of a good net": (FACTS, [evaluated(e, t, v, accuracy=0.966) for e, (t, v) in enumerate(
        [(0.3, 0.2), (0.1, 0.12), (0.05, 0.12), (0.02, 0.14), (0.01, 0.147), (0.005, 0.15), (0.002, 0.152)], 1)]),
    "rate below the curvature": (replace(FACTS, curvature=1174.0, optimizer="sgd:rate=0.0015", rate=0.0015), [planned()]),
    "at the edge of stability": (FACTS, healthy(curvature=22.0)),
    "good game": (FACTS, games()),
    "sure discriminator": (FACTS, games(discriminator_accuracy=0.99)),
    "far samples": (FACTS, games(clusters=0.3, coverage=0.1, spread=8.0)),
    "a part of the rows for a while": (FACTS, games(clusters=0.4, coverage=0.3)),
    "lstm through time": (FACTS, looked(EARLY, lambda s: look(through_time=[0.9**i for i in range(60)]))),
    "rare but recognised": (replace(FACTS, shares=(0.98, 0.02), classes=2), [judged(recall={"a": 1.0, "b": 0.8}, counts={"a": 190,
                                                                                                                         "b": 10})]),
    "ended under a schedule": (replace(FACTS, schedule="cosine"), [finished(best_epoch=10)]),
    "enough rows": (FACTS, [judged(low=-0.9, high=-0.66)]),
    "rounded late": (FACTS, [*healthy([0, 1, 2]), *looked([500, 600, 700, 800, 900], lambda s: look(
        rounded=[0.99] * 4, loss=1e-3, evaluated_loss=1e-3))]),
    "rounded in part": (FACTS, looked([50, 60, 70, 80, 90], lambda s: look(rounded=[0.6] * 4, loss=2.2))),
    "another rule": (FACTS, looked(EARLY, lambda s: look(direction="difference of correlations", weight_gradient=[1e-9, 1e-5, 1e-5, 1.0]))),
}


@pytest.mark.parametrize("name", SILENT)
def test_what_is_healthy_is_silent(name):
    assert names(*SILENT[name])[0] == []


def test_statistics_that_never_arrive_are_told_by_validation():
    facts = replace(FACTS, statistics=1e-4, steps=400)
    assert names(facts, [evaluated(5, 0.1, 1.4, accuracy=0.6)])[0] == ["train-evaluation-mismatch"]
    assert names(facts, [evaluated(5, 0.1, 0.11, accuracy=0.96)])[0] == []


def test_a_rate_that_is_strong_is_too_high_only_where_nothing_is_learned():
    def make(end):
        return looked([0, 1, 2, 3, 4, 16, 32], lambda s: look(update=[0.5] * 4 if s < 5 else [1e-3] * 4, loss=2.3 if s < 5 else end))
    assert names(FACTS, make(2.29))[0] == ["rate-too-high"]
    assert names(FACTS, make(1.0))[0] == []


def test_a_fault_that_shows_in_many_ways_has_one_first_cause():
    """A rate of 500: steps larger than the weights, dead units, and a net that answers one class."""
    facts = replace(FACTS, optimizer="sgd:rate=500", rate=500.0)
    events = [*looked([0, 1, 2, 3, 4, 8, 16, 32, 64], lambda s: look(update=[40.0] * 4, loss=2.3 if not s else 9.0, norm=1.0 if not s
                                                                     else 900.0,
                                                                    dead=[0.1 if not s else 1.0] * 3 + [None])),
              judged(high=0.0, score=180, answered={"0": 1.0}, counts={"0": 20, "1": 180})]
    known, doctor = names(facts, events)
    assert known[0] == "rate-too-high"
    assert {"dead-units", "no-better-than-constant", "one-class-only"} <= set(known)
    assert [one.first for one in doctor.diagnoses] == [True] + [False] * (len(known) - 1)
    live = [one.first for one in doctor._diagnoses]
    assert doctor._diagnoses[max(i for i, first in enumerate(live) if first)].entry.name == "rate-too-high"


def test_a_cause_that_is_known_late_takes_the_place_of_its_consequence():
    doctor = Doctor(replace(FACTS, optimizer="sgd:rate=500", rate=500.0))
    events = looked([0, 1, 2, 3, 4, 8, 16, 32], lambda s: look(update=[40.0] * 4, loss=2.3 if not s else 9.0,
                                                                          dead=[0.1 if not s else 1.0] * 3 + [None]))
    said = [one for event in events for one in doctor.consume(event)]
    assert [(one.entry.name, one.first) for one in said] == [("dead-units", True), ("rate-too-high", True)]


def test_nothing_is_said_twice_nor_again_after_a_resumption():
    facts, events = CASES["dead-units"]
    doctor = Doctor(facts)
    said = [one for event in [*events, *events] for one in doctor.consume(event)]
    assert len(said) == 1
    again = Doctor(facts)
    again.remember([*events, Diagnosed(9, 1.0, **said[0].fields())])
    assert [one for event in events for one in again.consume(event)] == []


def test_the_order_is_that_of_the_causes():
    """The ranking that was measured, of those that are here: docs/diagnoses."""
    codes = [(diagnoses.find(place.split("/")[0]).traits.code, place.partition("/")[2]) for place in order()]
    assert [code for code, _ in codes] == [
        "D01", "D05", "D02", "D03", "D06", "D07", "D08", "D12", "D37", "D22", "D36", "D20", "D18", "D13", "D15", "D17", "D13", "D19", "D37",
        "D18", "D16", "D35", "D14", "D29", "D17", "D09", "D22", "D23", "D25", "D24", "D21", "D11", "D28", "D34", "D26", "D30", "D31", "D11",
        "D32", "D33", "D38"]
    assert [variant for _, variant in codes if variant] == ["start", "start", "loss", "measured", "outcome"]


def test_a_circle_and_an_unknown_name_are_found(monkeypatch):
    entries = dict(diagnoses._entries)
    for after, words in ((("leak",), "circle"), (("no-such",), "no-such")):
        broken = replace(entries["data-invalid"], traits=replace(entries["data-invalid"].traits, after=after))
        monkeypatch.setattr(diagnoses, "_entries", {**entries, "data-invalid": broken})
        order.cache_clear()
        with pytest.raises(ValueError, match=words):
            order()
    monkeypatch.undo()
    order.cache_clear()
    assert order()


def test_a_misspelt_trait_is_an_error_when_the_file_is_imported():
    with pytest.raises(TypeError):
        diagnoses("x", cod="D99")
    assert DiagnosisTraits().once


@pytest.mark.parametrize(("policy", "ends"), [("report", False), ("stop", True), ("mend", True)])
def test_training_is_to_end_at_a_first_cause_where_that_is_asked(policy, ends):
    facts, events = CASES["vanishing-gradient"]
    doctor = Doctor(facts, policy)
    for event in events:
        doctor.consume(event)
    assert doctor.ends == ends
    outcome = Doctor(FACTS, policy)
    outcome.consume(CASES["no-better-than-constant"][1][0])
    assert outcome.diagnoses
    assert not outcome.ends


@pytest.mark.parametrize(("x", "limit"), [((34.0, 1.0, 4.0), 2 / 1174)])
def test_the_delta_rule_of_the_lecture_diverges_above_two_over_the_curvature(x, limit):
    """One row, learned again and again: the error is multiplied by 1 - rate (|x|^2 + 1), whose size is above 1 from the limit on."""
    curvature = sum(v * v for v in x) + 1
    assert curvature == 1174
    for rate, diverges in ((0.01, True), (1.01 * limit, True), (0.99 * limit, False)):
        error = 1.0
        for _ in range(200):
            error *= 1 - rate * curvature
        assert (abs(error) > 1) == diverges
    _, doctor = names(*CASES["rate-above-curvature"])
    finding = doctor.diagnoses[0].finding
    assert finding.numbers["limit"] == pytest.approx(limit)
    assert "0.0017" in finding.evidence
    assert finding.remedy.options == {"optimizer": "sgd:rate=0.0009"}


def test_the_slope_of_noise_is_that_of_a_least_squares_line():
    stats = pytest.importorskip("scipy.stats")
    points = [(float(i), math.sin(7.0 * i) - 0.05 * i) for i in range(30)]
    line = stats.linregress(*zip(*points, strict=True))
    assert slope_t(points) == pytest.approx(line.slope / line.stderr)


def test_only_options_that_read_are_named():
    assert remedy(net="mlp:hidden=5,no_such=1", init="he").options == {"init": "he"}
    assert at_rate("sgd:rate=500,momentum=0.9", 0.0123) == "sgd:rate=0.01,momentum=0.9"
    assert at_rate("lbfgs", 0.1) is None
    assert rounded(0.0) == 0.0
    assert quantile([], 0.5) != quantile([], 0.5)
    with pytest.raises(InputError):
        READ_BY["net"].choose("mlp:no_such=1")


def test_logs_of_other_versions_are_read():
    assert Facts.from_json({"classes": 3, "unheard": 1}).classes == 3
    old = from_json('{"event": "diagnosed", "at": 3, "seconds": 1.0, "code": "D21", "layer": "loss", "evidence": "e", "remedy": "r"}')
    assert old == Diagnosed(3, 1.0, "D21", "loss", "e", "r")
    assert [one["code"] for one in diagnosed([old])] == ["D21"]
    assert ranked([]) == []
    assert doctors.diagnosed([progressed(3, 1.0)]) == []
