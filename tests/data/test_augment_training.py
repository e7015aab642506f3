"""Training reads altered samples, validation its samples as they are, and a run goes on and repeats with the same draws."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from altering import altered, shifts

import chainrule as cr
from chainrule.core.batch import Batch
from chainrule.core.errors import Interrupted
from chainrule.core.events import Evaluated
from chainrule.core.rule import Learner
from chainrule.data.load import load
from chainrule.engine.stop import Stop
from chainrule.job.build import build
from chainrule.job.options import Options
from chainrule.workflows.train import repeat


def learner(job):
    return Learner(job.net, job.rule.init(job.net))


@pytest.mark.parametrize(("data", "net"), [("digits", "mlp:hidden=9"), ("iris", "mlp:hidden=9"), ("digits", "rbm:hidden=9")])
def test_validation_reads_its_samples_as_they_are(data, net):
    """With everything dropped, a net that saw altered samples would see zeros alone."""
    plain, dark = (build(load(data), Options(net=net, augment=augment)) for augment in (None, "drop:1"))
    before = dark.data.valid.x.clone()
    told = []
    for job in (plain, dark):
        torch.manual_seed(0)                                                               # a Boltzmann machine's loss is drawn
        told.append(job.validate(learner(job)))
    assert told[0] == told[1]
    next(event for event in dark.events() if isinstance(event, Evaluated))
    assert torch.equal(dark.data.valid.x, before)


def test_training_reads_altered_samples():
    """With everything dropped no gradient reaches the first layer."""
    options = Options(net="mlp:hidden=9,activation=sigmoid", augment="drop:1", epochs=1, optimizer="sgd", plan="eager")
    job = build(load("digits"), options)
    before = {name: t.detach().clone() for name, t in job.net.params.items()}
    list(job.events())
    unmoved = [name for name, t in job.net.params.items() if torch.equal(t, before[name])]
    assert [before[name].shape for name in unmoved] == [(9, 64)]


def test_samples_are_altered_once_they_are_what_a_net_reads():
    """Pixels are stored from 0 to 16; noise is added to what they are in [0, 1]."""
    seen = []

    class Looking:
        reads, target, tolerance = "batch", "any", 0.0

        def step(self, net, state, batch):
            seen.append(batch.x)
            return net, state, {}

    job = build(load("digits"), Options(net="mlp:hidden=9", augment="noise"))
    stored = job.data.train.x[:30]
    assert stored.max() == 16
    torch.manual_seed(0)
    job.reading(Looking()).step(job.net, {}, Batch(stored))
    assert torch.equal(seen[0], altered("noise", stored / 16))


def test_rules_that_read_flat_pictures_see_them_moved():
    job = build(load("digits"), Options(rule="perceptron", classes="3,8", augment="shift:1", epochs=1, plan="eager"))
    assert job.data.train.x.shape[1:] == (64,)
    x = job.data.ready(job.data.train.x[:30])
    made = job.augment(x)
    for one, before in zip(made.reshape(-1, 1, 8, 8), x.reshape(-1, 1, 8, 8).numpy(), strict=True):
        assert any(np.array_equal(one, could) for could in shifts(1)(before))


def test_an_interrupted_run_goes_on_bit_for_bit_and_repeats(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    options = {"net": "mlp:hidden=20", "epochs": 3, "batch": 50, "plan": "eager", "augment": "shift:1+noise", "progress": False}
    whole, plain = cr.train("digits", **options), cr.train("digits", **{**options, "augment": None})
    stop = Stop()

    def sink(event):
        if isinstance(event, Evaluated) and event.epoch == 1:
            stop.request("SIGINT")

    with pytest.raises(Interrupted):
        cr.train("digits", **options, out="part", sinks=[sink], stop=stop)
    resumed = cr.resume("part", progress=False)
    for name, t in whole.net.state_dict().items():
        assert torch.equal(t, resumed.net.state_dict()[name])
    assert any(not torch.equal(t, plain.net.state_dict()[name]) for name, t in whole.net.state_dict().items())
    assert repeat(whole, progress=False) == (True, 0.0)
