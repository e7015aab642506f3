"""Pocket and averaged perceptrons against plain loops, the ratchet, and the fewest mistakes that any plane makes."""

import itertools

import pytest
import torch
from torch import nn

from chainrule.core.batch import Batch
from chainrule.core.errors import InputError
from chainrule.core.net import Net
from chainrule.core.registry import rules
from chainrule.core.tree import clone

np = pytest.importorskip("numpy")


def zero(inputs: int, outputs: int = 1) -> Net:
    module = nn.Linear(inputs, outputs, dtype=torch.double)
    for p in module.parameters():
        nn.init.zeros_(p)
    return Net.of(module)


def overlapping(n: int = 30, d: int = 2, seed: int = 0) -> tuple[torch.Tensor, torch.Tensor]:
    torch.manual_seed(seed)
    x = torch.randn(n, d, dtype=torch.double)
    y = (x[:, 0] + 0.7 * torch.randn(n, dtype=torch.double)).sign()
    return x, y


def learned(name: str, net: Net, batches: list[Batch]) -> tuple[Net, dict, list[dict]]:
    rule, told = rules.choose(name).make(), []
    state = clone(rule.init(net))
    for batch in batches:
        net, state, report = rule.step(net, state, batch)
        told.append(report)
    return net, state, told


def mistakes(net: Net, x: torch.Tensor, y: torch.Tensor) -> int:
    return int((net(x).squeeze(1) * y <= 0).sum())


def fewest(x: torch.Tensor, y: torch.Tensor) -> int:
    """The fewest mistakes of any line: it can be turned until it touches two points, which may then lie on either side."""
    best = len(x)
    for i, j in itertools.combinations(range(len(x)), 2):
        (a, b), (c, d) = x[i].tolist(), x[j].tolist()
        height = ((d - b) * (x[:, 0] - a) - (c - a) * (x[:, 1] - b)).numpy()
        rest = np.delete(np.arange(len(x)), [i, j])
        wrong = int((height[rest] * y.numpy()[rest] <= 0).sum())
        best = min(best, wrong, len(rest) - wrong)
    return best


def test_the_pocket_only_ever_gets_better_and_ends_within_one_of_the_fewest_mistakes_that_are_possible():
    x, y = overlapping()
    net, rule = zero(2), rules.choose("pocket").make()
    state, counts, wandering = clone(rule.init(net)), [], []
    for _ in range(400):
        net, state, report = rule.step(net, state, Batch(x, y))
        counts.append(int(report["mistakes"]))
        wandering.append(mistakes(net.at(state["wandering"]), x, y))
        assert counts[-1] == mistakes(net, x, y) == min(wandering)
    assert all(a >= b for a, b in itertools.pairwise(counts))
    assert 0 < fewest(x, y) <= counts[-1] <= fewest(x, y) + 1
    assert max(wandering[200:]) > counts[-1]  # the wandering weights go on making more


def test_what_wanders_is_the_perceptron_rule_itself():
    x, y = overlapping()
    order = torch.arange(90) % 30
    batches = [Batch(x[i : i + 1], y[i : i + 1]) for i in order]
    _, state, _ = learned("pocket", zero(2), batches)
    w = np.zeros(3)
    for i in order.tolist():
        point = np.append(x[i].numpy(), 1.0)
        if float(y[i]) * (w @ point) <= 0:
            w += float(y[i]) * point
    np.testing.assert_allclose(torch.cat([state["wandering"]["weight"][0], state["wandering"]["bias"]]).numpy(), w, rtol=1e-12)


def test_averaged_is_the_mean_of_the_weights_after_every_sample():
    x, y = overlapping()
    order = (torch.arange(75) % 30).tolist()
    net, state, _ = learned("averaged", zero(2), [Batch(x[i : i + 1], y[i : i + 1]) for i in order])
    w, every = np.zeros(3), []
    for i in order:
        point = np.append(x[i].numpy(), 1.0)
        if float(y[i]) * (w @ point) <= 0:
            w = w + float(y[i]) * point
        every.append(w)
    np.testing.assert_allclose(torch.cat([net.params["weight"][0], net.params["bias"]]).detach().numpy(), np.mean(every, 0), rtol=1e-12)
    assert int(state["seen"]) == 75


def test_averaged_counts_samples_and_not_batches():
    """A batch of three counts three times what a batch of one does."""
    x, y = overlapping(4)
    net, _, _ = learned("averaged", zero(2), [Batch(x[:3], y[:3]), Batch(x[3:], y[3:])])
    first = (y[:3, None] * x[:3]).sum(0)
    bias = y[:3].sum()
    height = x[3] @ first + bias
    second = first + (y[3] * x[3] if y[3] * height <= 0 else 0)
    torch.testing.assert_close(net.params["weight"][0].detach(), (3 * first + second) / 4)


@pytest.mark.parametrize("name", ["pocket", "averaged"])
def test_several_classes_that_overlap_are_learned_better_than_by_the_plain_rule(name):
    torch.manual_seed(0)
    centres = torch.tensor([[0.0, 2], [2, -1], [-2, -1]], dtype=torch.double)
    y = torch.arange(150) % 3
    x = centres[y] + torch.randn(150, 2, dtype=torch.double)
    order = torch.cat([torch.randperm(150) for _ in range(3)]).tolist()
    net, rule, plain = zero(2, 3), rules.choose(name).make(), []
    state = clone(rule.init(net))
    for batch in [Batch(x, y)] * 300 if name == "pocket" else [Batch(x[i : i + 1], y[i : i + 1]) for i in order]:
        net, state, _ = rule.step(net, state, batch)
        plain.append(int((net.at(state["wandering"])(x).argmax(1) != y).sum()))
    ours = int((net(x).argmax(1) != y).sum())
    assert ours < sum(plain[-150:]) / 150 - 1
    assert ours <= 14


def test_weights_count_in_the_pocket():
    """One sample that weighs as much as all others decides which side of the line is kept."""
    x = torch.tensor([[1.0], [1.0], [1.0]], dtype=torch.double)
    y = torch.tensor([1.0, 1.0, -1.0], dtype=torch.double)
    heavy, _, told = learned("pocket", zero(1), [Batch(x, y, torch.tensor([0.1, 0.1, 2.8], dtype=torch.double))] * 5)
    assert heavy(x[:1]).item() < 0
    assert float(told[-1]["mistakes"]) == pytest.approx(0.2)


@pytest.mark.parametrize("name", ["pocket", "averaged"])
def test_a_deep_net_is_refused(name):
    deep = Net.of(nn.Sequential(nn.Linear(5, 4), nn.Linear(4, 1)))
    with pytest.raises(InputError, match=f"{name} trains a single layer of weights; this Sequential has 2 of them"):
        rules.choose(name).make().init(deep)
