"""Stages without labels: what each moves, reads and measures, resumption within them, and nets unrolled from what they learned."""

import pytest
import torch
from stops import After

import chainrule as cr
from chainrule.core.batch import Batch
from chainrule.core.errors import InputError, Interrupted
from chainrule.core.events import Entered, Evaluated
from chainrule.core.rule import Learner
from chainrule.core.tree import clone
from chainrule.engine.train import train_seat
from chainrule.job.build import build
from chainrule.job.options import Options
from chainrule.job.pretraining import OWN

BELIEF = {"net": "dbn:hidden=12x9", "stage_epochs": 2, "epochs": 2, "plan": "eager", "batch": 50}
DENSE = {"net": "mlp:hidden=12x9,activation=sigmoid", "stages": "divergence", "stage_epochs": 2, "epochs": 2, "plan": "eager", "batch": 50}
CODES = {"net": "autoencoder:hidden=12x9,code=4", "stages": "divergence", "stage_epochs": 2, "epochs": 2, "plan": "eager", "batch": 50,
         "loss": "binary-cross-entropy"}


@pytest.fixture(autouse=True)
def _one_thread():
    torch.set_num_threads(1)


def job_of(options, **more):
    return build(cr.load("digits"), Options(**{**options, **more}))


def moved_by_stage(job):
    """The tensors that each stage moved."""
    seat = job.seat()
    before, moved = clone(job.net.tensors), {}
    for event in train_seat(seat):
        if isinstance(event, Evaluated):
            for name, t in job.net.tensors.items():
                if not torch.equal(t, before[name]):
                    moved.setdefault(seat.position.stage, set()).add(name)
            before = clone(job.net.tensors)
    return moved


def test_each_stage_of_a_belief_net_moves_its_machine_alone():
    moved = moved_by_stage(job_of(BELIEF))
    machine = {"weight", "visible_bias", "hidden_bias"}
    assert moved[0] == {f"layers.0.{name}" for name in machine}
    assert moved[1] == {f"top.{name}" for name in machine}
    assert moved[2] == moved[0] | moved[1] | {"generative.0"}


def test_each_stage_of_dense_layers_moves_its_layer_alone():
    moved = moved_by_stage(job_of(DENSE))
    assert moved[0] == {"hidden1.weight", "hidden1.bias"}
    assert moved[1] == {"hidden2.weight", "hidden2.bias"}
    assert {"output.weight", "hidden1.weight"} <= moved[2]


def test_what_a_stage_learns_is_what_a_machine_alone_learns_of_the_same_rows():
    """The first of two dense layers against a machine by itself under the same seed: the same weights, bit for bit."""
    job = job_of({**DENSE, "stage_optimizer": "sgd:rate=0.05"})
    stages, _ = job.stages()
    net, stage = job.net, stages[0]
    view = stage.view(net)
    twin = {name: p.detach().clone() for name, p in view.params.items()} | {"visible_bias": torch.zeros(64)}
    rows = job.data.ready(job.data.train.x[:50]).flatten(1)
    state = stage.rule.init(view)
    torch.manual_seed(5)
    stage.rule.step(view, state, Batch(rows))
    torch.manual_seed(5)
    up = torch.sigmoid(rows @ twin["weight"].T + twin["hidden_bias"])
    h = (torch.rand_like(up) < up).float()
    down = torch.sigmoid(h @ twin["weight"] + twin["visible_bias"])
    v = (torch.rand_like(down) < down).float()
    again = torch.sigmoid(v @ twin["weight"].T + twin["hidden_bias"])
    gain = (up.T @ rows - again.T @ v) / 50 - job.stage_rule(1.0).cost * twin["weight"]
    torch.testing.assert_close(net.params["hidden1.weight"].detach(), twin["weight"] + 0.05 * gain, rtol=1e-4, atol=1e-6)
    torch.testing.assert_close(state[OWN]["visible_bias"], 0.05 * (rows - v).mean(0), rtol=1e-4, atol=1e-6)


def test_a_stage_reads_what_the_machines_below_make_of_the_rows_once():
    job, calls = job_of(BELIEF), []
    module = job.net.module
    encode = module.stage_inputs
    module.stage_inputs = lambda x, stage: (calls.append((stage, len(x))), encode(x, stage))[1]
    seat = job.seat()
    for event in train_seat(seat):
        if isinstance(event, Entered) and seat.position.stage == 1:
            read = next(seat.feed.chunks(0, 0, 1))[0].x
            x = job.data.ready(job.data.train.x[seat.feed.order(0)[:50]])
            torch.testing.assert_close(read, torch.sigmoid(x.flatten(1) @ module.layers[0].weight.T + module.layers[0].hidden_bias))
    counted = {stage: sum(rows for one, rows in calls if one == stage and rows != len(job.data.valid)) for stage in (0, 1)}
    assert counted == {0: len(job.data.train), 1: len(job.data.train)}


def test_the_memory_reads_the_classes_behind_its_units():
    job = job_of(BELIEF)
    stages, _ = job.stages()
    seen = []
    rule = stages[1].rule.rule
    step = rule.step
    rule.step = lambda net, state, batch: (seen.append(batch.x), step(net, state, batch))[1]
    view = stages[1].view(job.net)
    stages[1].rule.step(view, stages[1].rule.init(view), Batch(torch.rand(3, 12), torch.tensor([4, 0, 9])))
    assert torch.equal(seen[0][:, 12:], torch.eye(10)[[4, 0, 9]])


def test_a_stage_is_measured_by_its_rule_on_validation_rows():
    job = job_of(BELIEF)
    stages, validate = job.stages()
    view = stages[0].view(job.net)
    torch.manual_seed(0)
    measured = validate(Learner(view, stages[0].rule.init(view)))
    assert set(measured) == {"loss"}
    x = job.data.ready(job.data.valid.x).flatten(1)
    assert measured["loss"] == pytest.approx(float((x - 0.5).square().sum(1).mean()), rel=0.1)           # of weights near zero
    assert "accuracy" in validate(Learner(job.net, job.rule.init(job.net)))


@pytest.mark.parametrize("options", [BELIEF, DENSE, CODES], ids=["belief", "dense", "codes"])
def test_it_resumes_bit_for_bit_within_stages_and_between(options, tmp_path):
    options = {**options, "save_every": 0.0, "progress": False, "schedule": "linear"}
    whole = cr.train("digits", **options, out=tmp_path / "whole")
    stages = 4 if options["net"].startswith("auto") else 3
    assert len(whole.history) == 2 * stages
    for evaluations in range(1, 2 * stages):
        stop = After(evaluations)
        with pytest.raises(Interrupted):
            cr.train("digits", **options, out=tmp_path / f"half-{evaluations}", stop=stop, sinks=[stop])
        again = cr.resume(tmp_path / f"half-{evaluations}", progress=False)
        assert all(torch.equal(t, again.job.net.tensors[name]) for name, t in whole.job.net.tensors.items())
        assert whole.history == again.history


def test_it_repeats_from_its_record(tmp_path):
    run = cr.train("digits", **{**BELIEF, "plan": "auto"}, progress=False, out=tmp_path / "run")
    assert sorted({one["stage"] for one in run.record["plan"]}) == [0, 1, 2]
    assert cr.repeat(run, progress=False) == (True, 0.0)
    assert [row["stage"] for row in run.history] == [1, 1, 2, 2, 3, 3]
    assert run.record["options"]["stages"] == "divergence"


def test_an_autoencoder_begins_its_last_stage_as_what_the_machines_do_up_and_down():
    """By the machines' own means, layer by layer; the code's units are numbers."""
    job = job_of(CODES)
    seat = job.seat()
    biases = {}
    for event in train_seat(seat):
        if isinstance(event, Entered) and event.stage == 3:
            module = job.net.module.eval()
            x = job.data.ready(job.data.train.x[:5]).flatten(1)
            tensors = clone(job.net.tensors)
            up = [name for name in tensors if name.startswith("encoder") and name.endswith("weight")]
            rows = x
            for k, name in enumerate(up):
                rows = rows @ tensors[name].T + tensors[name.replace("weight", "bias")]
                rows = torch.sigmoid(rows) if k + 1 < len(up) else rows
            torch.testing.assert_close(module.encode(x), rows)
            back = [name for name in tensors if name.startswith("decoder") and name.endswith("bias")]
            for k, (name, bias) in enumerate(zip(reversed(up), back, strict=True)):
                rows = rows @ tensors[name] + tensors[bias]
                biases[bias] = tensors[bias]
                rows = torch.sigmoid(rows) if k + 1 < len(up) else rows
            torch.testing.assert_close(module(x), rows)
    assert len(biases) == 3
    assert all(bool(bias.abs().max() > 0) for bias in biases.values())                                  # the machines' visible biases


def test_a_perceptron_and_an_autoencoder_start_from_a_belief_net(tmp_path):
    """Their hidden layers answer as its way up does, and the way back as its way down, before the first step."""
    run = cr.train("digits", **{**BELIEF, "net": "dbn:hidden=12x9"}, progress=False, out=tmp_path / "belief")
    belief, x = run.trained.net.module, run.job.data.ready(run.job.data.train.x[:6])
    job = build(cr.load("digits"), Options(net="mlp:hidden=12x9,activation=sigmoid", from_=str(tmp_path / "belief")))
    up = torch.sigmoid(belief.up(x) @ belief.top.weight[:, :12].T + belief.top.hidden_bias)
    torch.testing.assert_close(job.net.module[:4](x), up)
    assert job.start.about["anew"] == ["output"]
    with pytest.raises(InputError, match="does not fit"):
        build(cr.load("digits"), Options(net="mlp:hidden=12x8,activation=sigmoid", from_=str(tmp_path / "belief")))
    unlabelled = cr.train("digits", **{**BELIEF, "net": "dbn:hidden=12x9,labels=no"}, progress=False, out=tmp_path / "unlabelled")
    job = build(cr.load("digits"), Options(net="autoencoder:hidden=12,code=9", from_=str(tmp_path / "unlabelled"),
                                           loss="binary-cross-entropy"))
    belief = unlabelled.trained.net.module
    high = belief.up(x) @ belief.top.weight.T + belief.top.hidden_bias
    torch.testing.assert_close(job.net.module.encode(x), high)
    below = torch.sigmoid(high @ belief.top.weight + belief.top.visible_bias)
    torch.testing.assert_close(torch.sigmoid(job.net.module(x)), belief.down(below))
    assert job.start.about["anew"] == []


def test_the_options_of_a_class_choose_the_task_and_the_task_the_options():
    assert job_of(BELIEF).task.name == "classification"
    assert job_of(BELIEF, net="dbn:hidden=5,labels=no").task.name == "reconstruction"
    job = job_of(BELIEF, net="dbn:hidden=5", task="reconstruction")
    assert job.net_name == "dbn:labels=no,hidden=5"
    assert job.net.module.top.labels == 0


def test_the_budget_is_divided_where_nothing_says_how_long_a_stage_is():
    stages, _ = job_of({**BELIEF, "stage_epochs": None, "epochs": 7}).stages()
    assert [stage.budget.epochs for stage in stages] == [2, 2, 3]
    stages, _ = job_of({**BELIEF, "epochs": None, "steps": 1}).stages()
    assert [(stage.budget.epochs, stage.budget.steps) for stage in stages] == [(2, None), (2, None), (None, 1)]
    assert len(job_of(BELIEF, stages="none").stages()[0]) == 1


def test_units_that_are_numbers_learn_at_a_hundredth_of_the_rate():
    stages, _ = job_of(CODES, stage_optimizer="sgd:rate=0.2").stages()
    x = torch.rand(50, 9)
    view = stages[2].view(job_of(CODES).net)
    before = view.params["weight"].detach().clone()
    torch.manual_seed(0)
    stages[2].rule.step(view, stages[2].rule.init(view), Batch(x))
    assert 0 < float((view.params["weight"] - before).abs().max()) < 0.02


def test_denoising_layers_learn_through_the_same_stages(tmp_path):
    run = cr.train("digits", **{**DENSE, "stages": "denoising:noise=0.2", "stage_epochs": 5}, progress=False, out=tmp_path / "run")
    losses = [row["valid_loss"] for row in run.history if row["stage"] == 1]
    assert losses[-1] < losses[0]
    assert len(run.history) == 12


@pytest.mark.parametrize(("options", "words"), [
    ({"net": "mlp:hidden=8"}, "ReLU"), ({"net": "mlp:hidden=8,activation=sigmoid,norm=batch"}, "BatchNorm"),
    ({"net": "lenet:filters=4x6,hidden=10,activation=sigmoid"}, "dense layers"), ({"net": "softmax"}, "has none"),
    ({"stages": "backprop"}, "--stages is layers, none or a rule"), ({"stages": "divergance"}, "--stages is layers"),
    ({"net": "dbn:hidden=5", "task": "reconstruction", "stages": "divergence", "loss": "cross-entropy"}, "loss"),
    ({"net": "mlp:hidden=8x9,activation=sigmoid", "stage_epochs": None, "epochs": 2}, "at least 3"),
    ({"snapshots": 2}, "--stages does not keep to"),
])
def test_what_cannot_be_learned_so_is_refused(options, words):
    with pytest.raises(InputError, match=words):
        job_of({**DENSE, **options})


def test_a_label_unit_needs_a_class():
    with pytest.raises(InputError, match="labels=no"):
        job_of(BELIEF, net="dbn:hidden=5,labels=yes", task="reconstruction")
