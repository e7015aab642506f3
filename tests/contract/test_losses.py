"""Every registered loss keeps the contract: a value and a slope of each sample by itself, finite far out, and its link."""

import pytest
import torch

from chainrule.core.loss import Loss
from chainrule.core.registry import losses
from chainrule.tasks.classification import probabilities

ROWS, OUTPUTS = 20, 4
torch.manual_seed(0)
SCORES = torch.randn(ROWS, OUTPUTS, dtype=torch.float64)
FRAMES = torch.randn(ROWS, 6, OUTPUTS, dtype=torch.float64)                                # of strings, the last output being the blank
TARGETS = {"class": torch.randint(OUTPUTS, (ROWS,)), "pairs": torch.randint(OUTPUTS, (ROWS,)),
           "real": torch.randn(ROWS, OUTPUTS, dtype=torch.float64), "share": torch.rand(ROWS, OUTPUTS, dtype=torch.float64),
           "labels": torch.where(torch.rand(ROWS, 3) < 0.7, torch.randint(OUTPUTS - 1, (ROWS, 3)), -1).sort(1, descending=True).values,
           "sign": torch.randint(2, (ROWS,)).double() * 2 - 1}
CASES = [(name, kind) for name in losses.names() for kind in losses.choose(name).make().targets]
ALONE = [(name, kind) for name, kind in CASES if kind != "pairs"]
case = pytest.mark.parametrize(("name", "kind"), CASES)


def scores_for(kind: str) -> torch.Tensor:
    return SCORES[:, :1] if kind == "sign" else FRAMES if kind == "labels" else SCORES


def test_every_loss_reads_some_targets():
    assert {name for name, _ in CASES} == set(losses.names())


@case
def test_it_says_what_it_is_and_where_it_comes_from(name, kind):
    entry = losses.find(name)
    loss = losses.choose(name).make()
    assert isinstance(loss, Loss)
    assert loss.name == name
    assert kind in TARGETS
    assert entry.source
    assert entry.summary.endswith(".")


@case
def test_its_slope_is_that_of_differences(name, kind):
    loss, scores = losses.choose(name).make(), scores_for(kind).clone().requires_grad_()
    assert loss.each(scores, TARGETS[kind]).shape == (ROWS,)
    assert torch.autograd.gradcheck(lambda o: loss.each(o, TARGETS[kind]), scores, eps=1e-7, atol=1e-5)


@pytest.mark.parametrize(("name", "kind"), ALONE)
def test_each_sample_counts_by_itself(name, kind):
    """In another order, in parts, and one at a time through vmap, as sample weights and members need it."""
    loss, scores, y = losses.choose(name).make(), scores_for(kind), TARGETS[kind]
    whole, order = loss.each(scores, y), torch.randperm(ROWS)
    torch.testing.assert_close(loss.each(scores[order], y[order]), whole[order])
    torch.testing.assert_close(torch.cat([loss.each(scores[:7], y[:7]), loss.each(scores[7:], y[7:])]), whole)
    one_by_one = torch.vmap(lambda o, t: loss.each(o[None], t[None])[0])(scores, y)
    torch.testing.assert_close(one_by_one, whole)


@case
def test_it_is_never_below_zero_and_finite_far_out(name, kind):
    """A certain answer that is wrong has a value and a slope, in single precision too."""
    loss, y = losses.choose(name).make(), TARGETS[kind]
    for scale in (1.0, 1e3):
        scores = (scores_for(kind) * scale).float().requires_grad_()
        values = loss.each(scores, y.float() if y.is_floating_point() else y)
        slope, = torch.autograd.grad(values.sum(), scores)
        assert bool((values >= 0).all() & values.isfinite().all() & slope.isfinite().all())


@pytest.mark.parametrize(("name", "kind"), ALONE)
def test_what_it_predicts_agrees_with_its_scores(name, kind):
    """Shares of classes that sum to one and are largest where the score is; numbers as they are; a share for each output."""
    loss = losses.choose(name).make()
    scores = scores_for(kind).abs() if name == "margin" else scores_for(kind)                  # lengths of capsules
    if kind == "share":
        torch.testing.assert_close(loss.link(scores), 1 / (1 + (-scores).exp()))
    elif kind == "real":
        assert torch.equal(loss.link(scores), scores) or "class" in loss.targets
    else:
        shares = probabilities(scores, kind == "sign", loss.link)
        torch.testing.assert_close(shares.sum(-1), torch.ones_like(shares[..., 0]), rtol=1e-5, atol=1e-6)
        assert torch.equal(shares.argmax(-1), (scores[:, 0] > 0).long() if kind == "sign" else scores.argmax(-1))
