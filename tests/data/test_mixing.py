"""Mixed samples: the Beta distribution against scipy's, inputs and losses in loops, one step against torch, what is refused."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from altering import SHAPE, pictures
from scipy import stats
from torch.fx.experimental.proxy_tensor import make_fx
from torch.nn import functional as F

import chainrule as cr
from chainrule.core.batch import Batch, Mixed
from chainrule.core.criterion import Supervised
from chainrule.core.errors import InputError
from chainrule.core.rule import Learner
from chainrule.data.augment import augmentation
from chainrule.data.load import load
from chainrule.data.mixing import beta, covered, mixing
from chainrule.job.build import build
from chainrule.job.options import Options
from chainrule.losses.classic import cross_entropy, hinge, squared

SPECS = ["mixup", "mixup:1", "cutmix", "cutmix:0.4"]


def mixed(spec, x, seed=0):
    torch.manual_seed(seed)
    return mixing(spec, tuple(x.shape[1:]))(Batch(x, torch.arange(len(x))))


@pytest.mark.parametrize("alpha", [0.1, 0.2, 0.7, 1.0])
def test_shares_have_the_beta_distribution(alpha):
    """Below a half, where single precision is fine enough, by Kolmogorov and Smirnov; and as often below as above."""
    torch.manual_seed(0)
    drawn = beta(20_000, alpha, torch.empty(1)).double()
    lower = drawn[drawn < 0.5].numpy()
    assert stats.kstest(lower, lambda x: 2 * stats.beta(alpha, alpha).cdf(x)).pvalue > 1e-3
    assert stats.binomtest(len(lower), 20_000, 0.5).pvalue > 1e-3
    assert (drawn > 0).all()
    assert (drawn <= 1).all()


def test_mixup_is_the_mean_of_a_sample_and_the_one_before_it():
    x = pictures(6)
    batch = mixed("mixup:0.5", x)
    assert torch.equal(batch.y.second, torch.tensor([5, 0, 1, 2, 3, 4]))
    for i in range(6):
        share = float(batch.y.share[i])
        np.testing.assert_allclose(batch.x[i], share * x[i].numpy() + (1 - share) * x[i - 1].numpy(), rtol=1e-5)
    assert len(set(batch.y.share.tolist())) == 6                         # each sample in its own way


def test_cutmix_is_a_rectangle_of_the_one_before_and_its_share_the_area():
    x = pictures(400)
    batch = mixed("cutmix", x)
    for i, (one, share) in enumerate(zip(batch.x, batch.y.share, strict=True)):
        taken = (one != x[i]).all(0)
        assert torch.equal(one[:, taken], x[i - 1][:, taken])
        assert torch.equal(one[:, ~taken], x[i][:, ~taken])
        rows, columns = taken.any(1), taken.any(0)
        assert torch.equal(taken, rows[:, None] & columns[None, :])
        for axis in (rows, columns):
            places = axis.nonzero()[:, 0]
            assert len(places) == 0 or int(places[-1] - places[0]) + 1 == len(places)
        assert float(share) == pytest.approx(1 - float(taken.double().mean()), abs=1e-6)


def test_a_rectangles_area_away_from_borders_is_the_share_that_was_drawn():
    """With the corners inside, sides are those of the paper: ratio times height and width, rounded down."""
    x = pictures(4000)
    torch.manual_seed(0)
    ratio = (1 - beta(4000, 1.0, x)).sqrt()
    batch = mixed("cutmix", x)
    taken = (batch.x != x).all(1)
    for one, r in zip(taken, ratio.tolist(), strict=True):
        if not (one[0].any() or one[-1].any() or one[:, 0].any() or one[:, -1].any()) and one.any():
            assert (int(one.any(1).sum()), int(one.any(0).sum())) == (int(r * SHAPE[1]), int(r * SHAPE[2]))


def test_a_rectangle_lies_about_a_middle_that_is_anywhere():
    """Of every length, with its middle at each place in turn: half of it, rounded down, lies before."""
    for side in (8, 9):
        middles = torch.arange(side).repeat(side + 1)
        lengths = torch.arange(side + 1).repeat_interleave(side)
        made = covered((middles + 0.5) / side, (lengths + 0.01) / side, side)
        for one, middle, length in zip(made, middles.tolist(), lengths.tolist(), strict=True):
            first = middle - length // 2
            assert one.tolist() == [first <= at < first + length for at in range(side)]


@pytest.mark.parametrize("loss", [cross_entropy(), cross_entropy(smoothing=0.1), hinge(), squared()])
def test_the_loss_is_that_of_both_targets_in_their_shares(loss):
    torch.manual_seed(0)
    outputs, first, second, share = torch.randn(5, 3), torch.randint(3, (5,)), torch.randint(3, (5,)), torch.rand(5)
    costs = Supervised(loss).costs(outputs, Batch(outputs, Mixed(first, second, share)))
    expected = []
    for i in range(5):
        by_first, by_second = (loss.each(outputs[i : i + 1], y[i : i + 1]) for y in (first, second))
        expected.append(share[i] * by_first + (1 - share[i]) * by_second)
    torch.testing.assert_close(costs, torch.cat(expected))


def test_a_step_is_torchs_on_soft_labels():
    """Cross-entropy is linear in the labels: one step of gradient descent towards probabilities, by torch alone."""
    job = build(load("digits"), Options(net="softmax", augment="shift:1+mixup:0.5", optimizer="sgd:rate=0.5", plan="eager"))
    weight, bias = (p.detach().clone().requires_grad_() for p in job.net.params.values())
    rows = job.data.train.rows_at(0, 20)
    rule = job.reading(job.rule)
    assert not rule.additive
    learner = Learner(job.net, rule.init(job.net))
    torch.manual_seed(0)
    rule.step(*learner, Batch(rows.x, rows.y))
    torch.manual_seed(0)
    x = augmentation("shift:1", (1, 8, 8))(rows.x / 16)
    share = beta(20, 0.5, x)
    x = (share.view(-1, 1, 1, 1) * x + (1 - share.view(-1, 1, 1, 1)) * x.roll(1, 0)).flatten(1)
    soft = share[:, None] * F.one_hot(rows.y, 10) + (1 - share[:, None]) * F.one_hot(rows.y.roll(1, 0), 10)
    slopes = torch.autograd.grad(F.cross_entropy(F.linear(x, weight, bias), soft), [weight, bias])
    for p, start, slope in zip(job.net.params.values(), (weight, bias), slopes, strict=True):
        torch.testing.assert_close(p.detach(), (start - 0.5 * slope).detach(), rtol=1e-4, atol=1e-6)


@pytest.mark.parametrize("spec", SPECS)
def test_it_is_one_graph_of_what_can_be_drawn_ahead(spec):
    mix = mixing(spec, SHAPE)

    def tensors(x, y):
        batch = mix(Batch(x, y))
        return batch.x, *batch.y

    x, y = pictures(), torch.arange(5)
    graph = make_fx(tensors, tracing_mode="fake")(x, y)
    for node in graph.graph.nodes:
        tags = getattr(node.target, "tags", ())
        assert torch.Tag.data_dependent_output not in tags
        assert torch.Tag.dynamic_output_shape not in tags
        assert torch.Tag.nondeterministic_seeded not in tags or node.target is torch.ops.aten.rand.default
    torch.manual_seed(0)
    for one, other in zip(graph(pictures(seed=1), y), (mixed(spec, pictures(seed=1)).x, *mixed(spec, pictures(seed=1)).y), strict=True):
        assert torch.equal(one, other)


@pytest.mark.parametrize(("options", "net"), [({"augment": "flip+cutmix"}, "lenet:filters=4x6,hidden=16"),
                                              ({"augment": "mixup"}, "mlp:hidden=9"),
                                              ({"augment": "mixup", "loss": "squared"}, "mlp:hidden=9"),
                                              ({"augment": "cutmix"}, "capsnet:filters=4,capsules=1,hidden=8,kernel=3")])
def test_a_run_learns_repeats_and_validates_what_is_not_mixed(options, net, tmp_path):
    run = cr.train("digits", net=net, epochs=1, batch=50, plan="eager", progress=False, out=tmp_path / "run", **options)
    assert cr.repeat(run.path, progress=False) == (True, 0.0)
    rows = run.job.data.valid
    assert run.valid.errors == int((run.trained.predictions(rows).argmax(1) != rows.y).sum())


def test_values_are_mixed_like_classes(tmp_path):
    run = cr.train("diabetes", net="mlp:hidden=4", augment="mixup:1", epochs=2, plan="eager", progress=False, out=tmp_path / "run")
    assert run.record["options"]["augment"] == "mixup:1"


@pytest.mark.parametrize(("options", "words"), [
    ({"augment": "mixup+shift:2"}, r"mixup mixes samples that are altered already; it comes once, and last\. Write shift:pixels=2\+mixup"),
    ({"augment": "mixup+cutmix"}, "it comes once, and last"),
    ({"augment": "mixup:0"}, "mixup expects alpha to be above 0 and at most 1; got 0"),
    ({"augment": "cutmix:alpha=2"}, "cutmix expects alpha"),
    ({"augment": "mixup", "rule": "perceptron", "net": "softmax"}, "mixes samples and their targets, for a rule that goes down one loss"),
    ({"augment": "mixup", "optimizer": "lbfgs"}, "Use --rule backprop with --optimizer adam or sgd"),
    ({"augment": "mixup", "net": "ensemble"}, "mixes samples and their targets"),
    ({"augment": "mixup", "net": "rbm"}, "mixes samples and their targets"),
])
def test_what_cannot_be_mixed_is_refused(options, words):
    with pytest.raises(InputError, match=words):
        build(load("digits"), Options(**{"net": "mlp:hidden=5", **options}))


def test_rows_that_are_no_pictures_have_no_rectangles():
    with pytest.raises(InputError, match=r"cutmix mixes pictures .* iris has samples of shape \(4,\)\. Use mixup"):
        build(load("iris"), Options(net="mlp:hidden=5", augment="cutmix"))
