"""The benchmark of faulty programs: programs train as they say, what is counted is counted rightly, rivals fire where they should."""

import json
import math
from dataclasses import replace

import pytest
import torch

from chainrule.bench.faults import report, rivals
from chainrule.bench.faults.report import chosen, lines_of
from chainrule.core.errors import InputError
from chainrule.core.events import Diagnosed, Evaluated, Finished, Looked, Started
from chainrule.engine import looking
from chainrule.recipes.faults import runs, user_code
from chainrule.recipes.faults.data import SOURCES, source
from chainrule.recipes.faults.faulty import FAULTY
from chainrule.recipes.faults.healthy import HEALTHY
from chainrule.recipes.faults.history import Alarm, History, first_cause
from chainrule.recipes.faults.judging import Share, Verified, harm, judged, ours, remedied, restored, verified
from chainrule.recipes.faults.listed import PROGRAMS
from chainrule.recipes.faults.programs import HALVES_SEED, half_of
from chainrule.recipes.faults.runs import Outcome, Task, execute, outcomes, score

FAMILIES = {"mlp", "convolutional", "recurrent", "autoencoder", "gan", "rbm"}


def outcome(name, reached, *alarms, seed=0, ended="budget"):
    return Outcome(Task(name, seed), reached, History(alarms=alarms, ended=ended, steps=400))


def alarm(code, step=10, first=True, **options):
    return Alarm(step, (code,), first=first, options=options)


# Programs


def test_there_are_as_many_programs_as_were_asked_for():
    assert len(FAULTY) >= 60
    assert sum(program.judged for program in HEALTHY.values()) >= 120
    assert 2 * sum(program.hard for program in HEALTHY.values()) >= len(HEALTHY)
    for some in (FAULTY, HEALTHY):
        assert {program.family for program in some.values()} == FAMILIES


def test_a_faulty_program_is_its_twin_with_something_else():
    for program in FAULTY.values():
        twin = HEALTHY[program.twin]
        assert program.cause
        assert not twin.cause
        assert (program.measure, program.family) == (twin.measure, twin.family)
        assert (program.data, program.options, program.net, program.loss) != (twin.data, twin.options, twin.net, twin.loss)


def test_halves_are_halves_and_follow_from_the_seed():
    halves = half_of(PROGRAMS.values())
    assert halves == half_of(reversed(PROGRAMS.values()))
    for some in (FAULTY.values(), [p for p in HEALTHY.values() if p.hard], [p for p in HEALTHY.values() if not p.hard]):
        tune = sum(halves[program.name] == "tune" for program in some)
        assert abs(2 * tune - len(list(some))) <= 1
    assert {p.name for p in chosen("tune")} | {p.name for p in chosen("report")} == {p.name for p in PROGRAMS.values() if p.judged}
    assert HALVES_SEED == 15


@pytest.mark.parametrize("name", [name for name in SOURCES if name != "mnist"])
def test_data_are_the_same_every_time_and_keep_the_rows_that_judge(name):
    one = source(name)
    again = SOURCES[name.partition(":")[0]]()
    assert one.fingerprint == again.fingerprint
    fewer = source(f"{name}:rows=50")
    for part in ("valid", "test"):
        torch.testing.assert_close(one.inputs[one.parts[part]], fewer.inputs[fewer.parts[part]])
    assert len(one) - len(one.parts["valid"]) - len(one.parts["test"]) > 50 == len(fewer) - len(one.parts["valid"]) - len(one.parts["test"])


def test_copied_rows_are_in_both_parts():
    whole = source("copied:share=0.5")
    training = {tuple(row) for row in whole.inputs[: len(whole) - 600].tolist()}
    held_out = [tuple(row) in training for row in whole.inputs[whole.parts["valid"]].tolist()]
    assert sum(held_out) == 150


def test_an_unknown_option_of_data_is_refused_with_the_nearest():
    with pytest.raises(InputError, match=r"no option 'row'.*rows"):
        source("digits:row=3")
    with pytest.raises(InputError, match=r"no program called 'mlp-dep'.*mlp-deep"):
        chosen("tune", only="mlp-dep")
    with pytest.raises(InputError, match="tune, report or both"):
        chosen("first")


def test_planted_code_does_what_it_says():
    assert all((layer.bias == -3).all() for layer in user_code.weighted(user_code.biased(user_code.dense(), -3.0))[:-1])
    cut = user_code.detached(user_code.dense())
    cut(torch.randn(4, 64)).sum().backward()
    assert [p.grad is None for p in cut.parameters()] == [True] * 4 + [False] * 2
    y = torch.tensor([0, 1, 2])
    assert float(user_code.minus_cross_entropy(torch.zeros(3, 10), y)) == pytest.approx(-math.log(10))
    assert math.isinf(float(user_code.shares_by_hand(torch.tensor([[1.0, -1.0]]), torch.tensor([1]))))
    lstm = user_code.forgetful(-6.0)
    assert (lstm.layer.bias_ih_l0 + lstm.layer.bias_hh_l0)[32:64].tolist() == [-6.0] * 32
    grown = user_code.rectified(2.0, 8).layer.weight_hh_l0
    torch.testing.assert_close(grown @ grown.T, 4 * torch.eye(32))


# Running


def test_a_program_trains_and_its_outcome_is_read_back(tmp_path, monkeypatch):
    short = replace(PROGRAMS["mlp"], options={**PROGRAMS["mlp"].options, "steps": 5})
    monkeypatch.setitem(PROGRAMS, "mlp", short)
    task = Task("mlp", 3)
    first = outcomes([task], tmp_path, say=False)[task]
    assert first.history.ended == "budget"
    assert first.history.steps == 5
    assert 0 < first.score < 1
    assert first.history.settings["seed"] == 3
    (tmp_path / task.file).write_text((tmp_path / task.file).read_text().replace(f'"score": {first.score}', '"score": 0.123'))
    assert outcomes([task], tmp_path, say=False)[task].score == 0.123          # taken from the file
    monkeypatch.setitem(PROGRAMS, "mlp", replace(short, options={**short.options, "steps": 6}))
    assert outcomes([task], tmp_path, say=False)[task].history.steps == 6      # another program of that name


def test_a_remedy_replaces_options():
    short = execute(Task("mlp", 0, (("optimizer", "adam:rate=0.02"), ("steps", "3"))))
    assert short.history.settings["optimizer"].startswith("adam")
    assert short.history.steps == 3


def test_what_does_not_train_is_an_outcome():
    failed = execute(Task("mlp", 0, (("optimizer", "adm:rate=1"), ("steps", "3"))))
    assert "InputError" in failed.error
    assert failed.score == 0


@pytest.mark.parametrize(("measure", "values", "wanted"), [
    ("accuracy", {"accuracy": 0.8}, 0.8), ("r2", {"r2": -3.0}, 0.0), ("squared_error", {"squared_error": 4.7 / 4}, 0.75),
    ("accuracy", {"accuracy": math.nan}, 0.0), ("pseudo_likelihood", {"pseudo_likelihood": -24.5 / 2}, 0.5)])
def test_scores(measure, values, wanted):
    assert score(measure, History(evaluations=((10, 1.0, {}), (20, 0.5, values)), ended="budget")) == pytest.approx(wanted)
    assert score(measure, History(evaluations=((10, 1.0, values),), ended="diverged")) == 0


def test_a_history_is_what_the_events_say():
    events = [Started(0, 0.0, "", "mlp", "backprop", 10, {"classes": ["a", "b"]}, {"optimizer": "sgd:rate=0.1"}),
              Looked(1, 0.1, 4, {"layers": ["hidden1"], "zero": [0.5], "histograms": {"gradient": [[1] * 32]}}),
              Evaluated(2, 0.2, 1, 40, {"loss": 0.5}, {"accuracy": 0.7}, True),
              Diagnosed(3, 0.3, "D21", "hidden1", "not finite", "--optimizer sgd:rate=0.01"),
              Finished(4, 0.4, "diverged", 1, 41, 1, {}, {})]
    history = History.of(events)
    assert history.looks == ((4, {"layers": ["hidden1"], "zero": [0.5]}),)
    assert history.evaluations == ((40, 0.5, {"accuracy": 0.7}),)
    assert (history.classes, history.steps, history.ended, history.seconds) == (2, 41, "diverged", 0.4)
    assert history.alarms[0].codes == ("D21",)
    assert History.from_record(json.loads(json.dumps(history.record()))) == history


# Judging


def test_harm_is_measured_beside_the_twin():
    program = FAULTY["vanishing-sigmoid-small"]
    twin = outcome("mlp-deep", 0.9)
    assert harm(program, outcome(program.name, 0.85), twin)
    assert not harm(program, outcome(program.name, 0.86), twin)
    assert not harm(program, outcome(program.name, 0.1), outcome("mlp-deep", 0.2))       # the twin did not learn either
    known = {o.task: o for o in (twin, outcome(program.name, 0.1), outcome("mlp", 0.1), outcome("rate-5", 0.85), outcome("cosine", 0.9))}
    counted = verified(known, list(known))
    assert [o.task.program for o in counted.faulty] == [program.name]
    assert {task.program for task in counted.harmless} == {"rate-5"}
    assert {task.program for task in counted.unhealthy} == {"mlp"}
    assert {o.task.program for o in counted.healthy} == {"mlp-deep", "cosine"}


def test_recall_precision_and_first_cause_by_hand():
    """Five faulty runs: right first; right but second; wrong; silent; right by another code. Three healthy: one alarm, one note."""
    deep, wide = "vanishing-sigmoid-small", "scale-normal-1"
    faulty = (outcome(deep, 0, alarm("D14", 8), alarm("D20", 300, first=False)),
              outcome(deep, 0, alarm("D19", 4), alarm("D14", 30, first=False), seed=1),
              outcome(deep, 0, alarm("D26", 400), seed=2), outcome(deep, 0, seed=3), outcome(wide, 0, alarm("D16", 0)))
    healthy = (outcome("mlp", 0.9), outcome("cosine", 0.9, alarm("D20", 400)), outcome("slow", 0.9, alarm("D11", 5, first=False)))
    one = judged(Verified(faulty, healthy, (), ()), ours)
    assert one.recall == Share(3, 5)
    assert one.right_first == Share(2, 5)
    assert one.precision == Share(2, 5)          # of the first alarms of four faulty runs and a healthy one
    assert one.false_alarms == Share(1, 3)
    assert sorted(one.steps) == [0, 8, 30]
    assert one.waited() == "8, 30"
    twins = [outcome(name, 0.9, seed=seed) for name in ("mlp", "mlp-deep") for seed in range(4)]
    text = "\n".join(lines_of(Verified(faulty, healthy, (), ()), {o.task: o for o in (*faulty, *twins)}, remedies=False))
    assert "vanishing-sigmoid-small 0.00 of 0.90; scale-normal-1 0.00 of 0.90" in text
    assert "recall 60.0 % (3 of 5; 23.1 to 88.2); target 95 %: MISSED" in text
    assert "cosine 0 (healthy, 0.90): D20* at 400" in text


def test_the_last_that_says_so_is_the_first_cause():
    assert first_cause([alarm("D20", 5), alarm("D14", 9), alarm("D26", 400, first=False)]).codes == ("D14",)
    assert first_cause([alarm("D11", first=False)]) is None


def test_remedies_are_tried_and_held_against_the_twin():
    faulty = (outcome("rate-5", 0.1, alarm("D19", optimizer="sgd:rate=0.1")),
              outcome("rate-5", 0.1, alarm("D19", optimizer="sgd:rate=9"), seed=1),
              outcome("rate-5", 0.1, alarm("D19"), seed=2))
    again = [remedied(o.task, first_cause(o.history.alarms)) for o in faulty]
    assert again[0] == Task("rate-5", 0, (("optimizer", "sgd:rate=0.1"),))
    assert again[2] is None
    known = {Task("mlp", seed): outcome("mlp", 0.9, seed=seed) for seed in range(3)}
    known |= {again[0]: Outcome(again[0], 0.86, History()), again[1]: Outcome(again[1], 0.2, History())}
    assert restored(known, Verified(faulty, (), (), ())) == (Share(1, 2), 1)
    assert remedied(Task("rate-5", 0), alarm("D06", **{"class-weights": "balanced"})).remedy == (("class_weights", "balanced"),)


# Rivals

FINE = {"layers": ["a", "b", "c"], "kinds": ["Linear + ReLU", "Linear + ReLU", "Linear"], "weight_gradient": [0.02, 0.03, 0.05],
        "activation_sd": [0.9, 0.8, 1.2], "zero": [0.5, 0.5, None], "dead": [0.0, 0.1, None], "saturated": [None, None, None],
        "update": [0.002, 0.003, 0.004], "loss": 2.3, "evaluated_loss": 2.3, "norm": 1.0}
STEPS = (0, 1, 2, 3, 4, 8, 16, 32, 64, 100, 200, 300)


def history(optimizer="sgd:rate=0.01", net="mlp", accuracies=(0.6, 0.7, 0.8, 0.85), **changed):
    """Twelve looks at a loss that falls by a tenth each time, with some rows changed."""
    looks = tuple((step, {**FINE, "loss": 2.3 * 0.9**at, "evaluated_loss": 2.3 * 0.9**at, **changed}) for at, step in enumerate(STEPS))
    checks = tuple((100 * (at + 1), 2.0 - 0.4 * at, {"accuracy": a, "loss": 1.05 * (2.0 - 0.4 * at)}) for at, a in enumerate(accuracies))
    return History(net, {"optimizer": optimizer}, 10, looks, checks, (), (), 400, 1.0, "budget")


@pytest.mark.parametrize("rules", rivals.RIVALS.values(), ids=rivals.RIVALS.keys())
def test_rivals_are_silent_where_all_their_thresholds_are_kept(rules):
    assert rules(history(accuracies=(0.6, 0.7, 0.8, 0.85))) == []


@pytest.mark.parametrize(("rules", "name", "changed"), [
    (rivals.autotrainer, "vanishing", {"weight_gradient": [1e-6, 1e-4, 1e-2], "accuracies": (0.1, 0.2, 0.3, 0.4)}),
    (rivals.autotrainer, "exploding", {"weight_gradient": [71.0, 1.0, 1.0]}),
    (rivals.autotrainer, "dying ReLU", {"zero": [0.71, 0.5, None], "accuracies": (0.1, 0.2, 0.3, 0.4)}),
    (rivals.autotrainer, "slow convergence", {"accuracies": (0.1, 0.1, 0.1, 0.105)}),
    (rivals.autotrainer, "oscillating", {"accuracies": (0.5, 0.7, 0.5, 0.7, 0.5, 0.7)}),
    (rivals.umlaut, "rate", {"optimizer": "sgd:rate=0.1"}), (rivals.umlaut, "dropout", {"net": "mlp:hidden=9,dropout=0.6"}),
    (rivals.umlaut, "no activation", {"kinds": ["Linear", "Linear + ReLU", "Linear"]}),
    (rivals.umlaut, "high accuracy", {"accuracies": (0.6, 0.96)}),
    (rivals.sagemaker, "vanishing", {"weight_gradient": [9e-8, 0.1, 0.1]}), (rivals.sagemaker, "dead ReLU", {"dead": [0.51, 0.0, None]}),
    (rivals.sagemaker, "update ratio", {"update": [11.0, 0.1, 0.1]}), (rivals.sagemaker, "unchanged", {"update": [0.0, 0.1, 0.1]}),
    (rivals.sagemaker, "poor initialisation", {"weight_gradient": [3e-4, 0.1, 0.1]}),
    (rivals.sagemaker, "loss not decreasing", {"loss": 2.3}),
    (rivals.deepchecker, "initial loss", {"loss": 4.7}), (rivals.deepchecker, "saturated", {"saturated": [0.51, None, None]}),
    (rivals.deepchecker, "unstable activation", {"activation_sd": [0.4, 1.0, 1.0]}),
    (rivals.deepchecker, "update ratio high", {"update": [0.11, 0.01, 0.01]}),
    (rivals.deepchecker, "update ratio low", {"update": [9e-5, 0.01, 0.01]}), (rivals.deepchecker, "slow", {"loss": 2.3}),
    (rivals.deepchecker, "train and evaluation differ", {"evaluated_loss": 9.0})])
def test_each_rule_fires_beyond_its_threshold(rules, name, changed):
    alarms = rules(history(**changed))
    assert name in [one.name for one in alarms]
    assert [one.first for one in alarms] == [True] + [False] * (len(alarms) - 1)


def test_rivals_see_that_a_run_diverged():
    broken = replace(history(), ended="diverged")
    assert all("D21" in first_cause(rules(broken)).codes for rules in rivals.RIVALS.values())


def test_growth_and_turning_losses_are_seen():
    looks = tuple((step, {**FINE, "loss": 2.0 - 0.5 * (step % 2), "weight_gradient": [0.01 * 3.0**step, 0.03, 0.05]}) for step in range(30))
    names = {one.name for one in rivals.deepchecker(History(classes=10, looks=looks, ended="budget"))}
    assert {"exploding", "fluctuating"} <= names


# The doctor, in the short form: clear faults are named first, and healthy nets are left alone


@pytest.mark.parametrize("program", chosen("tune", short=True), ids=lambda program: program.name)
def test_the_short_form(program):
    history_of_it = execute(Task(program.name, 0)).history
    cause = first_cause(history_of_it.alarms)
    assert len(history_of_it.looks) > 5
    assert (cause is None) == program.healthy, report.in_short(history_of_it.alarms)
    assert program.healthy or set(cause.codes) & set(program.cause), report.in_short(history_of_it.alarms)


def test_the_schedule_of_looks_is_the_usual_one_afterwards():
    usual = [looking.FREE_SECONDS, looking.MOST]
    with runs.unhurried():
        assert usual[0] < looking.FREE_SECONDS
    assert usual == [looking.FREE_SECONDS, looking.MOST]
