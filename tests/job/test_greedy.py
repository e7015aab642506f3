"""Layer by layer: what each stage trains and leaves alone, its gradient by hand, exact resumption, and a published small net."""

import os
import shutil
from pathlib import Path

import pytest
import torch
from stops import After
from torch import nn

import chainrule as cr
from chainrule.core.batch import Batch
from chainrule.core.errors import InputError, Interrupted
from chainrule.core.events import Evaluated, Saved
from chainrule.core.net import Net
from chainrule.core.rule import Learner
from chainrule.core.stage import Budget
from chainrule.core.tree import clone
from chainrule.engine.train import train_seat
from chainrule.job.build import build
from chainrule.job.greedy import HEAD, layers_of, share
from chainrule.job.options import Options
from chainrule.job.own import Own

DATA = os.environ.get("CHAINRULE_DATA")
LAYERED = {"net": "mlp:hidden=7x5,activation=tanh", "stages": "layers", "epochs": 6, "plan": "eager", "batch": 32}


@pytest.fixture(autouse=True)
def _one_thread():
    torch.set_num_threads(1)


def job_of(data="digits", **options):
    return build(cr.load(data), Options(**{**LAYERED, **options}))


def test_each_stage_moves_its_layer_alone_bit_for_bit():
    job = job_of()
    seat = job.seat()
    before, moved = clone(job.net.tensors), {}
    for event in train_seat(seat):
        if isinstance(event, Evaluated):
            for name, t in job.net.tensors.items():
                if not torch.equal(t, before[name]):
                    moved.setdefault(seat.position.stage, set()).add(name.split(".")[0])
            before = clone(job.net.tensors)
    assert moved == {0: {"hidden1"}, 1: {"hidden2", "output"}, 2: {"hidden1", "hidden2", "output"}}


def test_normalisation_and_dropout_below_do_not_stir():
    """Statistics of a fixed layer are fixed too, and its dropout is off: the layer above reads the same numbers in every epoch."""
    torch.manual_seed(0)
    module = nn.Sequential(nn.Flatten(), nn.Linear(64, 6), nn.BatchNorm1d(6), nn.Dropout(0.5), nn.ReLU(), nn.Linear(6, 5), nn.Tanh(),
                           nn.Linear(5, 10))
    job = build(cr.load("digits"), Options(stages="layers", epochs=3, plan="eager"), Own(net=module))
    under = job.stages()[0][1].rule.rule
    x = torch.rand(9, 64)
    state = under.init(job.net)
    module.train()
    buffers = clone(job.net.buffers)
    read = [under.seen(under.fixed, job.net, state)(x) for _ in range(2)]
    assert torch.equal(*read)
    under.step(job.net, state, Batch(x, torch.randint(10, (9,))))
    assert all(torch.equal(t, buffers[name]) for name, t in job.net.buffers.items())


def test_a_step_under_a_temporary_head_is_gradient_descent_by_hand():
    job = job_of(optimizer="sgd:rate=0.3")
    under = job.stages()[0][0].rule.rule
    net, x, y = job.net, torch.rand(12, 64), torch.randint(10, (12,))
    state = under.init(net)
    weight, bias = (net.params[f"hidden1.{k}"].detach().clone().requires_grad_() for k in ("weight", "bias"))
    head = {k: t.clone().requires_grad_() for k, t in state[HEAD].items()}
    said = torch.tanh(x @ weight.T + bias) @ head["weight"].T + head["bias"]
    loss = nn.functional.cross_entropy(said, y)
    slopes = torch.autograd.grad(loss, [weight, bias, *head.values()])
    _, state, report = under.step(net, state, Batch(x, y))
    after = [net.params["hidden1.weight"], net.params["hidden1.bias"], *state[HEAD].values()]
    for was, slope, now in zip([weight, bias, *head.values()], slopes, after, strict=True):
        torch.testing.assert_close(now.detach(), (was - 0.3 * slope).detach())
    torch.testing.assert_close(report["loss"], loss.detach())


def test_the_second_layer_learns_on_top_of_the_first_under_the_nets_own_output():
    job = job_of(optimizer="sgd:rate=0.3")
    under = job.stages()[0][1].rule.rule
    net, x, y = job.net, torch.rand(12, 64), torch.randint(10, (12,))
    state = under.init(net)
    assert state[HEAD] == {}
    twin = {name: p.detach().clone().requires_grad_() for name, p in net.params.items()}
    loss = nn.functional.cross_entropy(torch.func.functional_call(net.module, twin, (x,)), y)
    slopes = dict(zip(twin, torch.autograd.grad(loss, list(twin.values())), strict=True))
    under.step(net, state, Batch(x, y))
    for name, p in net.params.items():
        rate = 0.0 if name.startswith("hidden1") else 0.3
        torch.testing.assert_close(p.detach(), (twin[name] - rate * slopes[name]).detach())


def test_validation_of_a_stage_is_under_its_head():
    job = job_of()
    stages, validate = job.stages()
    state = stages[0].rule.init(job.net)
    measured = validate(Learner(job.net, state))
    part = job.data.valid
    hidden = torch.tanh(job.net.module.hidden1(job.data.ready(part.x))).detach()
    said = hidden @ state[HEAD]["weight"].T + state[HEAD]["bias"]
    assert measured["loss"] == pytest.approx(float(nn.functional.cross_entropy(said, part.y)), rel=1e-5)
    assert measured["accuracy"] == pytest.approx(float((said.argmax(1) == part.y).float().mean()))


SAVED = {**LAYERED, "schedule": "cosine", "save_every": 0.0, "progress": False}


@pytest.fixture(scope="module")
def whole(tmp_path_factory):
    """A run that nothing interrupts."""
    torch.set_num_threads(1)
    return cr.train("iris", **SAVED, out=tmp_path_factory.mktemp("runs") / "whole")


@pytest.mark.parametrize("evaluations", [1, 2, 3, 4, 5])
def test_it_resumes_bit_for_bit_within_stages_and_between(whole, tmp_path, evaluations):
    stop = After(evaluations)
    with pytest.raises(Interrupted):
        cr.train("iris", **SAVED, out=tmp_path / "half", stop=stop, sinks=[stop])
    again = cr.resume(tmp_path / "half", progress=False)
    assert all(torch.equal(t, again.job.net.tensors[name]) for name, t in whole.job.net.tensors.items())
    assert whole.history == again.history


def test_a_checkpoint_of_every_moment_leads_to_the_same_end(tmp_path):
    """As after kill -9: each checkpoint that was ever written, put back, goes on to the same weights."""
    kept = []

    def keep(event):
        if isinstance(event, Saved):
            folder = tmp_path / f"at{len(kept)}"
            shutil.copytree(tmp_path / "whole", folder)
            kept.append(folder)

    options = {**LAYERED, "epochs": 3, "save_every": 0.0, "progress": False}
    whole = cr.train("iris", **options, out=tmp_path / "whole", sinks=[keep])
    assert len(kept) >= 6
    for folder in kept[:: len(kept) // 6]:
        again = cr.resume(folder, progress=False)
        assert all(torch.equal(t, again.job.net.tensors[name]) for name, t in whole.job.net.tensors.items())


def test_it_repeats_from_its_record(tmp_path):
    run = cr.train("iris", **{**LAYERED, "plan": "auto"}, progress=False, out=tmp_path / "run")
    assert sorted({one["stage"] for one in run.record["plan"]}) == [0, 1, 2]
    assert cr.repeat(run, progress=False) == (True, 0.0)


def test_the_layers_of_a_convolutional_net():
    job = job_of(net="lenet:filters=4x6,hidden=10", epochs=4)
    names = layers_of(job.net.module, job.data.ready(job.data.train.x[:2]))
    assert [layer[0].split(".")[-1] for layer in names] == ["conv1", "conv2", "hidden", "output"]
    stages, _ = job.stages()
    net, state = job.net, stages[0].rule.init(job.net)
    _, state, report = stages[0].rule.step(net, state, Batch(job.data.train.x[:8], job.data.train.y[:8]))
    assert report["loss"].isfinite()
    assert state[HEAD]["weight"].shape == (10, 4 * 4 * 4)


def test_the_budget_is_divided_evenly():
    assert [share(Budget(epochs=11, seconds=6.0), 3, at) for at in range(3)] == [
        Budget(3, None, 2.0), Budget(3, None, 2.0), Budget(5, None, 2.0)]
    assert [share(Budget(steps=100), 3, at).steps for at in range(3)] == [33, 33, 34]


@pytest.mark.parametrize(("options", "words"), [
    ({"net": "softmax"}, "has none"), ({"net": "linear"}, "has none"), ({"epochs": 2}, "at least 3"),
    ({"stages": "towers"}, "--stages is layers"), ({"net": "experts"}, "follow one another"),
])
def test_what_cannot_be_learned_by_layers_is_refused(options, words):
    with pytest.raises(InputError, match=words):
        job_of(**options)


def test_a_failed_try_leaves_the_net_in_its_mode():
    module = nn.Sequential(nn.Linear(3, 2), nn.Dropout(0.5), nn.Linear(2, 2)).train()
    layers_of(module, torch.rand(2, 3))
    assert module.training
    assert Net.of(module).module.training


@pytest.mark.skipif(not DATA or not Path(DATA, "train-images-idx3-ubyte.gz").exists(), reason="needs MNIST under CHAINRULE_DATA")
def test_one_against_five_by_a_6_2_1_net(tmp_path):
    """784-6-2-1 on '1' against '5', learned layer by layer: each stage does better than chance and the end is nearly free of errors."""
    run = cr.train("mnist", net="mlp:hidden=6x2,activation=tanh", rule="backprop", stages="layers", classes="1,5", epochs=3, batch=50,
                   optimizer="adam:rate=0.003", plan="eager", progress=False, out=tmp_path / "run")
    assert [h["valid_accuracy"] > 0.97 for h in run.history] == [True, True, True]
    assert run.valid.accuracy > 0.99
