"""The doctor beside real trainings: what it knows before the first step, what it says of faulty ones, silence on healthy ones, policies."""

import json
import math

import pytest
import torch
from stops import After
from torch import nn

import chainrule as cr
from chainrule.core.errors import ChainruleError
from chainrule.core.events import Diagnosed, Evaluated, Finished, Judged, Started, Warned, first_cause
from chainrule.core.registry import nets, optimizers
from chainrule.job.build import build
from chainrule.job.options import Options
from chainrule.job.own import Own
from chainrule.observe.doctor.facts import Facts
from chainrule.workflows.facts import alike, bits, facts_of, merged

PLAIN = {"plan": "eager", "progress": False, "seed": 0}


def trained(tmp_path, data="digits", name="run", **options):
    return cr.train(data, out=tmp_path / name, **{**PLAIN, **options})


def diagnoses(run):
    return [e for e in run.events if isinstance(e, Diagnosed)]


def facts(data="digits", own=None, **options):
    return facts_of(build(cr.load(data) if isinstance(data, str) else data, Options(**options), Own(own) if own is not None else Own()))


# What is known before the first step


def test_the_prior_and_the_loss_of_the_constant_answer_are_those_of_the_training_part():
    job = build(cr.load("digits"), Options(net="mlp"))
    known, y = facts_of(job), job.data.train.y
    shares = torch.bincount(y).double() / len(y)
    assert known.shares == pytest.approx(shares.tolist(), abs=1e-6)
    assert known.constant_loss == pytest.approx(float(torch.distributions.Categorical(shares).entropy()), rel=1e-4)
    assert known.chance == pytest.approx(float(shares.max()), abs=1e-6)
    assert known.constant_loss == pytest.approx(float(nn.functional.cross_entropy(shares.log().expand(len(y), -1).float(), y)), rel=1e-4)


@pytest.mark.parametrize("loss", ["squared"])
def test_of_numbers_it_is_half_their_variance(loss):
    job = build(cr.load("diabetes"), Options(net="mlp", loss=loss))
    y = job.data.train.y
    assert facts_of(job).constant_loss == pytest.approx(float(0.5 * (y - y.mean(0)).square().sum(1).mean()), rel=1e-5)


@pytest.mark.parametrize(("loss", "lost"), [
    ("squared", lambda mean, x: 0.5 * (x - mean).square().sum(1)),
    ("binary-cross-entropy", lambda mean, x: nn.functional.binary_cross_entropy(mean.expand_as(x), x, reduction="none").sum(1))])
def test_of_rows_that_are_given_back_it_is_what_their_mean_costs(loss, lost):
    job = build(cr.load("digits"), Options(net="autoencoder:hidden=8,code=2", loss=loss, scale="unit"))
    x = job.data.ready(job.data.train.x).flatten(1)
    assert facts_of(job).constant_loss == pytest.approx(float(lost(x.mean(0).clamp(1e-6, 1 - 1e-6), x).mean()), rel=0.02)


def test_options_are_read_as_they_are_spelled():
    known = facts(net="mlp:hidden=8x8,activation=tanh,dropout=0.3", rule="backprop:l2=0.5",
                  optimizer="sgd:rate=0.2,momentum=0.9,decay=0.01")
    assert (known.rate, known.momentum, known.decay, known.activation, known.dropout) == (0.2, 0.9, 0.51, "tanh", 0.3)
    assert (known.init, known.loss, known.classes, known.task) == ("he", "cross-entropy", 10, "classification")
    assert set(known.weights) == {"hidden1", "hidden2", "output"}
    assert facts(net="mlp", optimizer="kfac:decay=0.9").decay == 0


def test_rows_that_are_in_both_parts_are_counted():
    x = torch.randn(300, 20, generator=torch.Generator().manual_seed(0))
    y = (x[:, 0] > 0).long()
    assert facts(cr.load((x, y)), net="mlp").duplicates == 0
    twice = facts(cr.load((torch.cat([x, x]), torch.cat([y, y]))), net="mlp")
    assert twice.duplicates > 20
    assert twice.inputs["bits"] > 100


def test_bits_are_the_logarithm_of_how_many_rows_the_columns_could_tell_apart():
    x = torch.tensor([[i % 4, i % 8, 0] for i in range(64)])
    assert bits(x) == pytest.approx(math.log2(4) + math.log2(8))


@pytest.mark.parametrize(("init", "names"), [("zeros", ["hidden1", "hidden2"]), ("he", [])])
def test_units_that_begin_alike_are_known(init, names):
    assert alike(build(cr.load("digits"), Options(net="mlp:hidden=8x8", init=init)).net.module) == names


@pytest.mark.parametrize("net", ["rnn:hidden=4", "gru:hidden=4", "lstm:hidden=4"])
def test_units_with_memory_that_begin_alike_are_known(net):
    module = nets.choose(net).make((5, 3), 2)
    assert alike(module) == []
    for p in module.parameters():
        nn.init.zeros_(p)
    assert alike(module)


def test_units_that_begin_alike_stay_alike_and_others_do_not():
    """The claim behind D12, by training: rows of a layer that is named are equal after steps, those of another are not."""
    torch.manual_seed(0)
    module = nn.Sequential(nn.Flatten(), nn.Linear(64, 6), nn.Tanh(), nn.Linear(6, 5), nn.Tanh(), nn.Linear(5, 10))
    for layer in (module[1], module[3]):
        nn.init.constant_(layer.weight, 0.05)
        nn.init.zeros_(layer.bias)
    assert alike(module) == ["1"]
    x, y = torch.randn(32, 64), torch.arange(32) % 10
    for _ in range(20):
        slopes = torch.autograd.grad(nn.functional.cross_entropy(module(x), y), list(module.parameters()))
        with torch.no_grad():
            for p, slope in zip(module.parameters(), slopes, strict=True):
                p -= 0.1 * slope
    assert float((module[1].weight - module[1].weight[:1]).abs().max()) < 1e-6
    assert float((module[3].weight - module[3].weight[:1]).abs().max()) > 1e-3


def test_layers_with_nothing_between_them_are_named_unless_they_are_a_bottleneck():
    assert merged(nn.Sequential(nn.Linear(8, 8), nn.Dropout(), nn.Linear(8, 3))) == ["0"]
    assert merged(nn.Sequential(nn.Linear(8, 2), nn.Linear(2, 8))) == []
    assert merged(nn.Sequential(nn.Linear(8, 8), nn.ReLU(), nn.Linear(8, 3))) == []


def test_the_curvature_of_one_row_is_its_squared_length_and_one():
    """x = (34, 1, 4): 2 / (34^2 + 1 + 16 + 1) = .0017, by automatic differentiation twice."""
    x, y = torch.tensor([34.0, 1.0, 4.0]), torch.tensor(3.0)
    curvature = torch.linalg.eigvalsh(torch.autograd.functional.hessian(
        lambda w: 0.5 * ((w[:3] @ x + w[3]) - y).square(), torch.zeros(4)))[-1]
    assert float(curvature) == pytest.approx(1174.0)
    job = build(cr.load("diabetes"), Options(net="linear", rule="adaline", batch=1))
    rows = job.data.ready(job.data.train.x).double()
    assert facts_of(job).curvature == pytest.approx(float(rows.square().sum(1).mean()) + 1)
    assert facts(net="mlp", data="diabetes").curvature is None


def test_an_activation_behind_the_output_layer_is_known():
    assert facts(net="mlp:hidden=8,output=sigmoid").last == "sigmoid"
    assert facts(own=nn.Sequential(nn.Flatten(), nn.Linear(64, 10), nn.Softmax(1))).last == "softmax"
    assert facts(net="mlp").last == ""


# Trainings


def test_facts_are_in_the_log_and_a_healthy_run_is_silent(tmp_path):
    run = trained(tmp_path, net="mlp:hidden=64x64", optimizer="sgd:rate=0.1", epochs=8)
    assert [d for d in diagnoses(run) if d.first] == []
    started = next(e for e in run.events if isinstance(e, Started))
    assert Facts.from_json(started.data["facts"]).classes == 10
    assert [e.at for e in run.events] == list(range(len(run.events)))
    answers = next(e for e in run.events if isinstance(e, Judged)).answers
    assert answers["score"] == run.valid.errors
    assert sum(answers["counts"].values()) == answers["n"] == run.valid.n
    assert sum(k * r for k, r in zip(answers["counts"].values(), answers["recall"].values(), strict=True)) == pytest.approx(
        run.valid.n - run.valid.errors)
    assert cr.doctor(run).to_json()["diagnoses"] == run.summary()["diagnoses"] or not diagnoses(run)


@pytest.mark.parametrize(("options", "name"), [
    ({"net": "mlp:hidden=32x32", "init": "zeros"}, "symmetry"),
    ({"net": "mlp:hidden=32,output=softmax"}, "output activation"),
    ({"data": "diabetes", "net": "mlp:hidden=16,output=sigmoid"}, "output range"),
    ({"net": "mlp:hidden=64x64,dropout=0.95", "optimizer": "sgd:rate=0.1"}, "too much dropout"),
    ({"data": "diabetes", "net": "linear", "optimizer": "sgd:rate=5", "batch": 16}, "rate above curvature")])
def test_what_needs_no_look_is_said(tmp_path, options, name):
    try:
        run = trained(tmp_path, epochs=6, **options)
    except ChainruleError:
        run = cr.Run(tmp_path / "run")
    cause = first_cause(run.events)
    assert cause is not None
    assert cause.name == name
    listed = cr.doctor(run).listed
    assert listed[0]["name"] == name
    assert [one["first"] for one in listed] == [True] + [False] * (len(listed) - 1)
    assert run.summary()["diagnoses"][0]["name"] == name
    for option, value in cause.options.items():
        assert option not in ("net", "optimizer") or {"net": nets, "optimizer": optimizers}[option].choose(value)


def test_a_constant_answer_that_is_as_good_is_a_fault_and_one_class_its_consequence(tmp_path):
    x = torch.randn(300, 2, generator=torch.Generator().manual_seed(0))
    y = (torch.arange(300) % 10 == 0).long()
    run = trained(tmp_path, cr.load((x, y)), net="softmax", epochs=8)
    codes = {d.code: d for d in diagnoses(run)}
    assert codes["D30"].numbers["high"] >= 0
    assert "always 0" in codes["D30"].evidence
    assert first_cause(run.events).code in ("D06", "D30")


@pytest.mark.parametrize(("policy", "reason"), [("report", "budget"), ("stop", "diagnosed")])
def test_stop_ends_training_at_the_first_cause(tmp_path, policy, reason):
    options = {"net": "mlp:hidden=32x32", "init": "zeros", "epochs": 4, "doctor": policy}
    if policy == "stop":
        with pytest.raises(ChainruleError, match="Ended by --doctor stop: symmetry"):
            trained(tmp_path, **options)
    else:
        trained(tmp_path, **options)
    run = cr.Run(tmp_path / "run")
    end = next(e for e in run.events if isinstance(e, Finished))
    assert end.reason == reason
    assert cr.repeat(run, progress=False) == (True, 0.0)


def test_mend_trains_again_with_the_remedy_and_says_so(tmp_path):
    run = trained(tmp_path, net="mlp:hidden=32x32", init="zeros", epochs=4, doctor="mend")
    assert run.path.name == "run-mended-1"
    assert run.record["mends"]["code"] == "D12"
    assert run.options.init == "he"
    assert any(isinstance(e, Warned) and e.message.startswith("Mends ") and "--init he" in e.message for e in run.events)
    assert [d for d in diagnoses(run) if d.first] == []
    assert run.valid.accuracy > 0.8
    assert cr.repeat(run, progress=False) == (True, 0.0)
    assert cr.Run(tmp_path / "run").events[-1].reason == "diagnosed"


def test_a_run_that_is_resumed_says_nothing_twice(tmp_path):
    stop = After(2)
    with pytest.raises(ChainruleError):
        trained(tmp_path, net="mlp:hidden=32x32", init="zeros", epochs=6, stop=stop, sinks=[stop], save_every=0)
    run = cr.resume(tmp_path / "run", progress=False)
    assert [d.code for d in diagnoses(run)].count("D12") == 1
    assert [e.at for e in run.events] == list(range(len(run.events)))


def test_a_log_cut_off_is_diagnosed_up_to_there(tmp_path):
    run = trained(tmp_path, net="mlp:hidden=32x32", init="zeros", epochs=3)
    log = run.path / "log.jsonl"
    lines = log.read_bytes().splitlines(keepends=True)
    at = next(i for i, line in enumerate(lines) if json.loads(line)["event"] == "diagnosed")
    log.write_bytes(b"".join(lines[: at + 3]) + lines[at + 3][:10])
    assert cr.doctor(run.path).listed[0]["name"] == "symmetry"


def test_a_sweep_is_diagnosed_run_by_run(tmp_path):
    sweep = cr.sweep("digits", over={"init": ("zeros", "he")}, net="mlp:hidden=16x16", epochs=3, out=tmp_path / "sweep", plan="eager",
                     progress=False)
    several = cr.doctor(sweep.path).several
    assert sorted(one[0]["name"] if one else "" for one in several.values())[-1] == "symmetry"
    assert "nothing is wrong" in str(cr.doctor(sweep.path)) or "still improving" in str(cr.doctor(sweep.path))


DEEP = "mlp:hidden=" + "x".join(["50"] * 8)


@pytest.mark.parametrize(("name", "healthy", "broken"), [
    ("vanishing gradient", {"net": DEEP, "optimizer": "adam"}, {"net": f"{DEEP},activation=sigmoid", "init": "normal:0.01"}),
    ("rate too high", {"net": "mlp:hidden=50x50", "optimizer": "sgd:rate=0.1"}, {"optimizer": "sgd:rate=500"}),
    ("init scale", {"net": "mlp:hidden=50x50", "optimizer": "sgd:rate=0.1"}, {"init": "normal:1"})])
def test_a_planted_fault_is_named_within_the_first_epoch_its_remedy_trains_and_the_twin_is_silent(tmp_path, name, healthy, broken):
    """The acceptance of the doctor, on digits: the fault is seen by looks while the first epoch lasts."""
    options = {"epochs": 8, "look": "every=4"}
    events = list(cr.events("digits", plan="eager", seed=0, **{**options, **healthy, **broken}))
    cause = first_cause(events)
    assert cause is not None
    assert cause.name == name
    assert cause.numbers
    assert cause.step <= 40
    assert cause.options
    twin = trained(tmp_path, name="twin", **options, **healthy)
    mended = trained(tmp_path, name="mended", **{**options, **healthy, **broken, **cause.options})
    assert first_cause(twin.events) is first_cause(mended.events) is None
    assert mended.valid.accuracy >= 0.9 * twin.valid.accuracy


def test_mend_begins_anew_where_the_weights_so_far_are_worth_nothing(tmp_path):
    run = trained(tmp_path, net="mlp:hidden=50x50", optimizer="sgd:rate=500", epochs=4, look="every=4", doctor="mend")
    assert run.record["mends"]["code"] == "D19"
    assert run.options.from_ is None
    assert run.options.optimizer != "sgd:rate=500"
    assert run.valid.accuracy > 0.8


class Few(nn.Module):
    """A net of one's own whose weights have the digits of a type."""

    def __init__(self, dtype):
        super().__init__()
        torch.manual_seed(0)
        self.inside = nn.Sequential(nn.Flatten(), nn.Linear(64, 64), nn.ReLU(), nn.Linear(64, 10)).to(dtype)
        self.dtype = dtype

    def forward(self, x):
        return self.inside(x.to(self.dtype)).float()


@pytest.mark.parametrize(("dtype", "rate", "cause"), [(torch.bfloat16, 0.003, "rounded away"), (torch.float32, 0.003, None),
                                                      (torch.bfloat16, 0.1, None)])
def test_steps_are_rounded_away_where_weights_have_few_digits_and_the_rate_is_small(dtype, rate, cause):
    events = list(cr.events("digits", net=Few(dtype), optimizer=f"sgd:rate={rate}", steps=150, plan="eager", look="every=10"))
    named = first_cause(events)
    assert (named and named.name) == cause
    losses = [e.valid["loss"] for e in events if isinstance(e, Evaluated)]
    assert (losses[-1] < 2.295) is (cause is None)


@pytest.mark.parametrize(("data", "noted"), [("iris", True), ("digits", False)])
def test_few_validation_rows_are_noted_and_never_a_cause(tmp_path, data, noted):
    run = trained(tmp_path, data, net="mlp:hidden=8", optimizer="adam:rate=0.01", epochs=20)
    assert ("interval too wide" in [e.name for e in diagnoses(run)]) is noted
    assert first_cause(run.events) is None
