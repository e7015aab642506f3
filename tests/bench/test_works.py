"""Every side of a race does the same work: the same nets, the same losses, the same descent, from the same start."""

import math
import os
from dataclasses import replace
from importlib.util import find_spec

import numpy as np
import pytest
import torch
from torch.nn import functional as F

from chainrule.bench import models, works
from chainrule.bench.sides import SIDES
from chainrule.bench.sides.chainrule import Ours
from chainrule.bench.sides.loops import Eager
from chainrule.bench.works import Setting, Work
from chainrule.core.batch import Batch
from chainrule.core.errors import InputError

WITH_NETS = [w for w in works.WORKS.values() if w.module is not None and not w.cuda and w.sides and not w.whole]
TRAINED = [w for w in WITH_NETS if w.kind == "train"]


def whole_batches(work: Work) -> Work:
    """The quick form with all rows in one batch, so that no side's shuffling matters, and a rate at which rounding stays small."""
    return replace(work.shortened(), batch=work.quick_rows, rate=min(work.rate, 0.05))


@pytest.mark.parametrize("work", WITH_NETS, ids=lambda w: w.name)
def test_the_plain_net_computes_what_ours_does(work):
    setting = Setting(work.shortened(), "")
    ours = setting.job.net.module.eval()
    rows = setting.job.data.valid.x[:20]
    with torch.no_grad():
        torch.testing.assert_close(setting.start.eval()(setting.eval_x[:20]), ours(setting.job.data.ready(rows)), rtol=1e-5, atol=1e-6)


def test_nets_have_the_published_numbers_of_parameters():
    """ResNet-20 by hand: 3 x 3 maps 432 + 6 x 2,304 + 4,608 + 5 x 9,216 + 18,432 + 5 x 36,864, norms 2 x 688, 650 at the end: 0.27 M."""
    counts = {make.__name__: sum(p.numel() for p in make(shape, 10).parameters()) for make, shape in (
        (models.digit_mlp, (784,)), (models.lenet, (1, 28, 28)), (models.resnet20, (3, 32, 32)))}
    assert counts == {"digit_mlp": 784 * 30 + 30 + 300 + 10, "lenet": 3_274_634, "resnet20": 269_722}


def test_a_residual_block_of_nothing_is_its_shortcut():
    """Without convolutions what is left is every second pixel, the new maps zero on both sides of the old: He et al., option A."""
    block = models.Residual(4, 8, 2).eval()
    for conv in (block.conv1, block.conv2):
        torch.nn.init.zeros_(conv.weight)
    x = torch.randn(2, 4, 6, 6)
    with torch.no_grad():
        y = block(x)
    torch.testing.assert_close(y[:, 2:6], x[:, :, ::2, ::2].relu())
    assert not y[:, :2].any()
    assert not y[:, 6:].any()


def trained_by(name: str, work: Work) -> np.ndarray:
    setting = Setting(work, "")
    side = Ours(setting) if name == "chainrule" else SIDES[name].make(setting)
    marks = side.run(2, {"threads": torch.get_num_threads()})
    assert marks == sorted(marks)
    assert len(marks) in (2, 3)
    return side.outputs()


@pytest.mark.parametrize("work", TRAINED, ids=lambda w: w.name)
def test_every_installed_torch_side_and_scikit_learn_descend_as_ours_does(work):
    """Two epochs of one batch each from one start: the same outputs on rows held out, and other ones than at the start.

    Torch's LSTM has two biases where ours has one, which so move twice as far, and does not learn what is before a sequence.
    """
    loose = work.name == "lstm"
    work = whole_batches(work)
    ours = trained_by("chainrule", work)
    before = Setting(work, "")
    with torch.no_grad():
        at_first = before.start.eval()(before.eval_x)
    assert np.abs(ours - (at_first if work.squared else at_first.softmax(-1)).numpy()).max() > 1e-4
    for name in work.sides:
        if not SIDES[name].absent and "Keras" not in name and not (name == "scikit-learn" and work.squared):
            np.testing.assert_allclose(trained_by(name, work), ours, rtol=0.02 if loose else 2e-3, atol=2e-3 if loose else 2e-5,
                                       err_msg=name)


@pytest.mark.parametrize("name", ["mlp", "tabular", "lenet"])
def test_what_sides_have_learned_is_compared_after_the_same_steps_over_the_same_batches(name):
    """Two epochs of several batches and a smaller one: in every order but ours the outputs are others, by more than rounding."""
    work = replace(works.WORKS[name].shortened(), batch=24, budget=20)
    ours = Ours(Setting(work, ""))
    assert ours.learn(2)
    for peer in ("torch eager", "torch + DataLoader", "scikit-learn"):
        if peer not in work.sides or (peer == "scikit-learn" and work.squared):
            continue
        side = SIDES[peer].make(Setting(work, ""))
        assert side.learn(2)
        np.testing.assert_allclose(side.outputs(), ours.outputs(), rtol=5e-3, atol=1e-4, err_msg=peer)
        if peer == "torch eager":
            side.run(2, {})
            assert np.abs(side.outputs() - ours.outputs()).max() > 1e-3


def test_the_machine_of_scikit_learn_begins_with_our_weights():
    setting = Setting(works.WORKS["rbm"].shortened(), "")
    side = SIDES["scikit-learn"].make(setting)
    side.learn(0)
    weight = side.outputs()[0]
    for ours, theirs in zip(setting.machine, (weight, side.model.intercept_visible_, side.model.intercept_hidden_), strict=True):
        np.testing.assert_array_equal(ours.numpy(), theirs)


def test_the_first_of_the_members_ends_where_the_lone_net_does():
    work = whole_batches(works.WORKS["members"])
    one, many = (Ours(Setting(work, variant)) for variant in work.variants)
    for side in (one, many):
        marks = side.run(2, {})
        assert marks == sorted(marks)
        assert len(marks) in (2, 3)
    np.testing.assert_allclose(many.outputs(), one.outputs(), rtol=1e-3, atol=1e-5)


@pytest.mark.skipif(find_spec("keras") is None, reason="needs keras, of bench/requirements.txt")
@pytest.mark.parametrize("work", TRAINED, ids=lambda w: w.name)
def test_keras_descends_as_ours_does(work):
    """The same, through a net written anew layer by layer. Its LSTM has one bias where torch has two, so it moves half as far."""
    os.environ.setdefault("KERAS_BACKEND", "torch")
    work = whole_batches(work)
    loose = work.name == "lstm"
    np.testing.assert_allclose(trained_by("Keras (torch)", work), trained_by("chainrule", work), rtol=0.02 if loose else 2e-3,
                               atol=2e-3 if loose else 2e-5)


def test_the_boltzmann_machine_by_hand_takes_our_step():
    """With weights so large that every draw is certain, one step of the loop is one step of our rule."""
    work = replace(works.WORKS["rbm"].shortened(), batch=500)
    setting = Setting(work, "")
    net, generator = setting.job.net, torch.Generator().manual_seed(0)
    with torch.no_grad():
        signs = torch.randint(0, 2, net.params["weight"].shape, generator=generator)
        net.params["weight"].copy_(80.0 * signs - 40)
        net.params["visible_bias"].fill_(20.0)
        net.params["hidden_bias"].fill_(20.0)
    setting.x = setting.x.round()
    side = Eager(setting)
    side.run(1, {})
    by_hand = side.machine
    rule, batch = setting.job.rule, Batch(setting.x)
    rule.step(net, rule.init(net), batch)
    for hand, name in zip(by_hand, ("weight", "visible_bias", "hidden_bias"), strict=True):
        torch.testing.assert_close(hand, net.params[name].detach(), rtol=0, atol=1e-4)
    assert (by_hand[0] - (80.0 * signs - 40)).abs().max() > 1e-3


def test_losses_reached_by_another_road():
    """Squared error by hand; cross-entropy against torch's; both in float64 from what a side returns."""
    said = np.array([[0.9, 0.1, 0.0], [0.2, 0.3, 0.5]], dtype=np.float32)
    loss, right = works.reached(works.WORKS["mlp"], said, torch.tensor([0, 1]))
    assert loss == pytest.approx(0.5 * ((0.01 + 0.01) + (0.04 + 0.49 + 0.25)) / 2)
    assert right == 0.5
    scores, y = torch.randn(20, 10, dtype=torch.float64), torch.arange(20) % 10
    loss, right = works.reached(works.WORKS["tabular"], scores.softmax(1).numpy(), y)
    assert loss == pytest.approx(float(F.cross_entropy(scores, y)))
    assert right == pytest.approx(float((scores.argmax(1) == y).double().mean()))
    sure = works.reached(works.WORKS["tabular"], np.array([[1.0, 0.0]]), torch.tensor([1]))
    assert math.isfinite(sure[0])


def test_the_reconstruction_of_a_machine_is_that_of_our_net():
    setting = Setting(works.WORKS["rbm"].shortened(), "")
    weight, visible, hidden = (t.numpy() for t in setting.machine)
    module, v = setting.job.net.module, setting.eval_x
    with torch.no_grad():
        expected = (module.visible(module.hidden(v)) - v).square().sum(1).mean()
    assert works.rebuilt(weight, visible, hidden, v) == pytest.approx(float(expected), rel=1e-5)


@pytest.mark.parametrize("work", [w for w in works.WORKS.values() if not w.cuda], ids=lambda w: w.name)
def test_parts_have_the_rows_they_say_and_no_row_twice(work):
    short = work.shortened()
    data = Setting(short, short.variants[0]).job.data
    assert len(data.train) == pytest.approx(short.rows, rel=0.1)
    rows = torch.cat([data.train.rows, data.valid.rows, data.door.rows])
    assert len(rows.unique()) == len(rows)
    assert len(data.valid) >= 4


def test_nets_that_differ_are_refused():
    with pytest.raises(InputError, match="same parameters"):
        works.alike(torch.nn.Linear(3, 2), torch.nn.Linear(2, 3))


def test_an_unknown_work_gets_the_nearest_offered():
    with pytest.raises(InputError, match=r"Did you mean .*tabular"):
        works.find("tabluar")
