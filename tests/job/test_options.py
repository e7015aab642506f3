"""What is chosen where the user says nothing, and that it is said."""

from __future__ import annotations

import pytest

from chainrule.data.load import load
from chainrule.job.build import build
from chainrule.job.options import Options


def chosen(data: str, **options):
    return build(load(data), Options(**options))


@pytest.mark.parametrize(("data", "options", "net", "rule", "loss"), [
    ("digits", {}, "mlp", "backprop", "cross-entropy"),
    ("iris", {}, "mlp:hidden=32", "backprop", "cross-entropy"),
    ("diabetes", {}, "mlp:hidden=32", "backprop", "squared"),
    ("digits", {"net": "rbm:hidden=10"}, "rbm:hidden=10", "divergence", None),
    ("digits", {"rule": "divergence"}, "rbm", "divergence", None),
    ("iris", {"rule": "expectation"}, "mixture", "expectation", None),
    ("digits", {"net": "gan"}, "gan", "adversarial", None),
    ("digits", {"net": "perceptron", "classes": "3,8"}, "perceptron", "perceptron", "perceptron"),
    ("diabetes", {"rule": "closedform"}, "linear", "closedform", "squared"),
])
def test_net_rule_and_loss_pick_each_other(data, options, net, rule, loss):
    job = chosen(data, **options)
    assert job.net_name == net
    assert job.rule_name == rule
    assert (job.loss.name if job.loss else None) == loss


def test_what_is_chosen_is_said_and_what_is_asked_for_is_not():
    said = " ".join(chosen("digits").choices)
    for word in ("net mlp", "epochs", "batch 32", "optimizer adam", "loss cross-entropy"):
        assert word in said
    asked = chosen("digits", net="mlp", epochs=3, batch=10, optimizer="sgd", loss="cross-entropy")
    assert asked.choices == []


def test_the_options_come_back_from_json_as_they_were():
    options = Options(net="mlp:hidden=30x10", epochs=3, seed=5, split="train=.5,valid=.5")
    assert Options.from_json(options.to_json()) == options


def test_one_hot_targets_made_ahead_leave_the_same_weights():
    """The squared loss reads class numbers or their rows; the feed makes the rows many batches at a time."""
    import torch

    job, twin = (chosen("digits", net="mlp:hidden=5", loss="squared", epochs=1, optimizer="sgd", plan="eager") for _ in range(2))
    assert job.one_hot == 10
    assert next(job.feed().chunks(0, 0, 2)).y.shape == (2, 32, 10)
    twin.one_hot = 0
    assert next(twin.feed().chunks(0, 0, 2)).y.shape == (2, 32)
    for each in (job, twin):
        list(each.events())
    for name, t in job.net.tensors.items():
        assert torch.equal(t, twin.net.tensors[name])


def test_rules_that_read_class_numbers_get_them():
    assert chosen("digits", rule="perceptron", loss="squared").one_hot == 0
    assert chosen("digits", loss="cross-entropy").one_hot == 0
    assert chosen("diabetes", loss="squared").one_hot == 0
