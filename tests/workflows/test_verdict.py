"""A run that was still improving says so, and one that knows no more than a constant; others say nothing of the kind."""

import re

import pytest
import torch

import chainrule as cr
from chainrule.core.events import Diagnosed, Finished, Judged


def said(x, y, tmp_path, **options):
    run = cr.train(cr.load((x, y)), **{"plan": "eager", "seed": 0, "out": tmp_path / "run", "progress": False, **options})
    assert isinstance(run.events[-1], Finished)
    assert [e.at for e in run.events] == list(range(len(run.events)))
    return [e.evidence for e in run.events if isinstance(e, Diagnosed)], run


def line(n=200):
    x = torch.randn(n, 3, generator=torch.Generator().manual_seed(0))
    return x, x @ torch.tensor([[1.0], [2.0], [-1.0]])


def test_a_run_that_ends_at_its_best_epoch_was_still_improving(tmp_path):
    messages, run = said(*line(), tmp_path, net="linear", optimizer="sgd:rate=0.001", epochs=4)
    assert [m for m in messages if m.startswith("still improving: the last of 4 epochs was the best")]
    assert run.summary()["best"]["epoch"] == 4


@pytest.mark.parametrize("options", [{"epochs": 40, "optimizer": "sgd:rate=1.9"}, {"epochs": 1, "optimizer": "sgd:rate=0.001"},
                                     {"epochs": 4, "optimizer": "sgd:rate=0.001", "schedule": "cosine"}])
def test_one_whose_best_epoch_came_before_or_whose_rate_came_down_does_not_say_so(tmp_path, options):
    messages, _ = said(*line(), tmp_path, net="linear", **options)
    assert not any("still improving" in m for m in messages)


def test_noise_is_predicted_no_better_than_by_the_mean(tmp_path):
    x = torch.randn(200, 3, generator=torch.Generator().manual_seed(0))
    y = torch.randn(200, 1, generator=torch.Generator().manual_seed(1))
    messages, _ = said(x, y, tmp_path, net="mlp:hidden=8", epochs=5)
    assert any(m.startswith("no better than the constant answer, always the mean: a mean squared error of") for m in messages)


@pytest.mark.parametrize("labels", [1, None])
def test_classes_are_held_against_the_most_frequent(tmp_path, labels):
    """90 % are of one class whatever the inputs are: the net that always says so is no better; where inputs tell, nothing is said."""
    x = torch.randn(300, 2, generator=torch.Generator().manual_seed(0))
    y = (torch.arange(300) % 10 == 0).long() if labels else (x[:, 0] > 0).long()
    messages, run = said(x, y, tmp_path, net="softmax", epochs=8)
    constant = [m for m in messages if m.startswith("no better than the constant answer")]
    assert bool(constant) == bool(labels)
    if constant:
        ours, theirs = map(int, re.search(r"always 0: (\d+) errors against (\d+) on 45 validation cases", constant[0]).groups())
        assert (ours, theirs) == (run.valid.errors, int((y[run.validation.rows] == 1).sum()))


def rare(n=400, learnable=True):
    """Two overlapping clouds, of which one has a tenth of the rows."""
    generator = torch.Generator().manual_seed(0)
    y = (torch.arange(n) % 10 == 0).long()
    x = 1.2 * torch.randn(n, 4, generator=generator) + (y[:, None] if learnable else 0)
    return x, y


def test_errors_count_what_training_has_their_class_count(tmp_path):
    """Rare rows are found at the price of more errors than the constant answer makes, as was asked; where none are found, that is said."""
    options = {"net": "softmax", "epochs": 30, "class_weights": "balanced", "split": "train=.4,valid=.5,test=.1"}
    messages, run = said(*rare(), tmp_path, **options)
    assert run.valid.errors > int((rare()[1][run.validation.rows] == 1).sum())
    assert not any("no better than the constant answer" in m for m in messages)
    judged = next(e for e in run.events if isinstance(e, Judged)).answers
    misses = sum(1 - share for share in judged["recall"].values()) / 2
    assert judged["score"] == pytest.approx(misses, abs=0.02)         # shares of classes differ a little between the parts
    assert judged["constant_score"] == pytest.approx(0.5, abs=0.05)
    blind, _ = said(*rare(learnable=False), tmp_path / "blind", **options)
    assert any("a class-weighted error of" in m for m in blind)
