"""Contacts from data to answer: costs, what the constant answers, what is written down, and a net that learns to read the chain."""

import math

import pytest
import torch
from torch.nn import functional as F

import chainrule as cr
from chainrule.core.batch import Batch
from chainrule.core.criterion import Pairwise
from chainrule.core.errors import InputError
from chainrule.core.registry import losses
from chainrule.evaluate.contacts import precision, residues
from chainrule.job.build import build
from chainrule.job.options import Options
from chainrule.plots.contacts import contact_maps, hits
from chainrule.tasks.contacts import brier


@pytest.fixture(scope="module")
def job():
    return build(cr.load("chains:count=40"), Options(net="contactnet:hidden=8,depth=2,pairs=4,pair_depth=2", epochs=1, plan="eager",
                                                     threads=1, batch=8))


def test_the_cost_of_a_residue_is_the_mean_over_the_pairs_it_is_in():
    torch.manual_seed(0)
    outputs, y = torch.randn(2, 2, 9, 9), torch.randint(-1, 2, (2, 9, 9))
    y[1, 4] = -1
    costs = Pairwise(losses.choose("cross-entropy").make()).costs(outputs, Batch(outputs, y))
    for n in range(2):
        for i in range(9):
            each = [F.cross_entropy(outputs[n, :, i, j], y[n, i, j]) for j in range(9) if y[n, i, j] >= 0]
            expected = torch.stack(each).mean() if each else torch.zeros(())
            torch.testing.assert_close(costs[n, i], expected)


def test_outputs_that_are_no_square_are_refused():
    with pytest.raises(InputError, match="Use --net contactnet"):
        Pairwise(losses.choose("cross-entropy").make()).costs(torch.zeros(2, 2, 9), Batch(torch.zeros(2, 1), torch.zeros(2, 9, 9)))


def test_validation_counts_what_the_criterion_counts_over_all_chains_at_once(job):
    part = job.data.valid
    learner, batch = job_learner(job), Batch(part.x, part.y, mask=part.mask)
    mask = torch.ones(part.x.shape[:2], dtype=torch.bool) if part.mask is None else part.mask
    with torch.no_grad():
        costs = job.criterion.costs(job.net(job.data.ready(part.x)), batch)
    assert math.isclose(job.validate(learner)["loss"], float(costs[mask].mean()), rel_tol=1e-4)


def job_learner(job):
    from chainrule.core.rule import Learner

    job.net.module.eval()
    return Learner(job.net, job.rule.init(job.net))


def test_the_constant_is_how_often_pairs_so_far_apart_touch(job):
    train = job.data.train.y
    touch, number = job.task.constant(job.net, job.data.train, job.data.ready)
    for apart in (6, 15, 40):
        diagonal = train.diagonal(apart, 1, 2)
        assert 2 * int((diagonal == 1).sum()) == int(touch[apart])
        assert 2 * int((diagonal >= 0).sum()) == int(number[apart])
    baseline = job.task.baseline(torch.stack([touch, number]), job.data.valid, job.data.ready, seed=0)
    assert baseline.name == "how far apart they are"
    assert 0 < baseline.measures["brier"].value < 0.2


def test_what_is_written_down_are_the_likeliest_pairs_of_each_chain(job):
    part = job.data.valid
    answer = job.trained.predictions(part)
    columns = job.task.columns(answer, part.mask)
    lengths = part.mask.sum(1).tolist()
    for row in range(len(part)):
        own = columns["sequence"] == row + 1
        assert own.sum() == 2 * lengths[row]
        i, j, chance = (columns[name][own] for name in ("i", "j", "probability"))
        assert (j - i >= 6).all()
        assert j.max() <= lengths[row]
        assert (chance[:-1] >= chance[1:]).all()
        best = answer[row, : lengths[row], : lengths[row]].triu(6).max()
        assert math.isclose(chance[0], float(best), rel_tol=1e-6)


def test_the_truth_itself_is_measured_as_right_throughout(job):
    truth = job.task.truth(job.data.valid, job.data.ready)
    result = job.task.measure((truth == 1).float(), truth, seed=0)
    assert result.measures["brier"].value == 0
    few = precision((truth == 1).float(), truth, 1 / 5)
    assert math.isclose(result.measures["precision_l5"].value, float(few[~few.isnan()].mean()))
    assert float(few.nanmean()) > 0.8, "nearly every chain has as many contacts far apart as a fifth of its residues"
    assert bool((brier(torch.full(truth.shape, 0.5), truth) == 0.25).all())


def test_contacts_are_drawn_each_chain_as_long_as_it_is(job):
    truth = job.task.truth(job.data.valid, job.data.ready)
    figure = contact_maps((truth == 1).float(), truth, ())
    images = [axes.images[0].get_array() for axes in figure.axes if axes.images]
    assert [len(image) for image in images] == residues(truth[:6]).tolist()
    assert all(torch.equal(torch.as_tensor(image.data), torch.as_tensor(image.data).T) for image in images), "the truth on both sides"
    number = int(torch.triu(truth[0] == 1).sum())
    assert hits((truth[0] == 1).float(), truth[0]) == (number, number)


def test_a_net_learns_which_residues_touch():
    """On 80 chains in a few epochs it orders all pairs better than their distance along the chain does."""
    job = build(cr.load("chains:count=120,noise=0"), Options(net="contactnet:hidden=16,depth=2,pairs=8,pair_depth=2", epochs=6, batch=8,
                                                             optimizer="adam:rate=0.01", plan="eager", threads=1))
    list(job.events())
    part = job.data.valid
    ours = job.trained.measure(part).measures["brier"].value
    baseline = job.task.baseline(job.task.constant(job.net, job.data.train, job.data.ready), part, job.data.ready, seed=0)
    assert ours < 0.9 * baseline.measures["brier"].value
