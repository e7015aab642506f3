"""Back-propagation against differences, torch's own backward pass, worked numbers, and a real set."""

import pytest
import torch
from torch import nn

from chainrule.core.batch import Batch
from chainrule.core.criterion import Supervised
from chainrule.core.descend import Descend
from chainrule.core.errors import InputError
from chainrule.core.net import Net
from chainrule.core.registry import optimizers
from chainrule.core.tree import clone, dot, norm
from chainrule.losses.classic import cross_entropy, squared
from chainrule.rules.backprop import backprop


def problem(members: int = 0) -> tuple[nn.Module, Batch]:
    torch.manual_seed(members)
    module = nn.Sequential(nn.Linear(3, 4), nn.Tanh(), nn.Linear(4, 5)).double()
    return module, Batch(torch.randn(7, 3, dtype=torch.double), torch.randint(0, 5, (7,)))


@pytest.mark.parametrize("options", [{}, {"l2": 0.3}, {"l1": 0.2}, {"l1": 0.1, "l2": 0.05}], ids=str)
def test_is_the_slope_of_differences(options):
    """Central differences of the mean loss and its penalties, along twenty random directions."""
    module, batch = problem()
    net = Net.of(module)
    slope, _ = backprop(net, batch, criterion=Supervised(cross_entropy()), **options)

    def height(params):
        weights = [p for p in params.values() if p.dim() == 2]
        penalty = sum(options.get("l1", 0) * w.abs().sum() + options.get("l2", 0) * w.square().sum() / 2 for w in weights)
        return nn.functional.cross_entropy(net.at(params)(batch.x), batch.y) + penalty

    for _ in range(20):
        way, small = {k: torch.randn_like(p) for k, p in net.params.items()}, 1e-5
        up, down = ({k: p.detach() + sign * small * way[k] for k, p in net.params.items()} for sign in (1, -1))
        torch.testing.assert_close(dot(slope, way), (height(up) - height(down)) / (2 * small), rtol=1e-6, atol=1e-8)


@pytest.mark.parametrize("options", [{}, {"l2": 0.3, "l1": 0.1, "clip": 0.1}], ids=str)
def test_is_the_same_bound_swapped_and_stacked(options):
    (module, batch), (other, _) = problem(0), problem(1)

    def run(net, batch):
        return backprop(net, batch, criterion=Supervised(cross_entropy()), **options)

    bound, swapped = run(Net.of(module), batch), run(Net.of(module).clone(), batch)
    torch.testing.assert_close(swapped, bound)
    together = torch.vmap(run, in_dims=(0, None))(Net.stack([Net.of(module), Net.of(other)]), batch)
    for i, alone in enumerate((bound, run(Net.of(other), batch))):
        torch.testing.assert_close(({k: g[i] for k, g in together[0].items()}, {"loss": together[1]["loss"][i]}), alone)


def test_the_report_is_the_loss_without_the_penalty_and_carries_no_graph():
    module, batch = problem()
    slope, report = backprop(Net.of(module), batch, criterion=Supervised(cross_entropy()), l2=10.0, l1=1.0)
    torch.testing.assert_close(report["loss"], nn.functional.cross_entropy(module(batch.x), batch.y).detach())
    assert not report["loss"].requires_grad
    assert not any(g.requires_grad for g in slope.values())


def test_a_long_gradient_is_cut_to_the_length_torch_would_cut_it_to():
    module, batch = problem()
    whole, _ = backprop(Net.of(module), batch, criterion=Supervised(cross_entropy()))
    nn.functional.cross_entropy(module(batch.x), batch.y).backward()
    nn.utils.clip_grad_norm_(module.parameters(), 0.1)
    cut, _ = backprop(Net.of(module), batch, criterion=Supervised(cross_entropy()), clip=0.1)
    torch.testing.assert_close(cut, {k: p.grad for k, p in module.named_parameters()}, rtol=1e-4, atol=1e-8)
    torch.testing.assert_close(norm(cut), torch.tensor(0.1, dtype=torch.double))
    spared, _ = backprop(Net.of(module), batch, criterion=Supervised(cross_entropy()), clip=float(norm(whole)) + 1)
    torch.testing.assert_close(spared, whole, rtol=0, atol=0)


def test_a_sample_of_weight_three_counts_as_three_samples():
    module, batch = problem()
    times = torch.tensor([1, 3, 0, 1, 2, 1, 1])
    repeated = Batch(batch.x.repeat_interleave(times, 0), batch.y.repeat_interleave(times))
    weighted = Batch(batch.x, batch.y, times.double() * 7 / 9)
    for options in ({}, {"l2": 0.1}):
        expected = backprop(Net.of(module), repeated, criterion=Supervised(cross_entropy()), **options)
        torch.testing.assert_close(backprop(Net.of(module), weighted, criterion=Supervised(cross_entropy()), **options), expected)


@pytest.mark.parametrize(("x", "w", "b", "target", "after"), [
    ((34, 1, 4), (5, 4, 8), 2, 206, (4.32, 3.98, 7.92)),
    ((1, 5, 1, 2), (2, -1, 4, 8), 0, 10, (1.93, -1.35, 3.93, 7.86)),
])
def test_the_lectures_worked_numbers(x, w, b, target, after):
    module = nn.Linear(len(x), 1).double()
    module.load_state_dict({"weight": torch.tensor([w]), "bias": torch.tensor([b])})
    rule = Descend(lambda net, batch: backprop(net, batch, criterion=Supervised(squared())), optimizers.choose("sgd:rate=0.01").make())
    net = Net.of(module)
    batch = Batch(torch.tensor([x], dtype=torch.double), torch.tensor([target], dtype=torch.double))
    _, _, report = rule.step(net, rule.init(net), batch)
    assert module.weight[0].tolist() == pytest.approx(after)
    residual = sum(a * c for a, c in zip(x, w, strict=True)) + b - target
    assert float(report["loss"]) == pytest.approx(residual**2 / 2)


def test_learns_xor_which_no_single_layer_can():
    torch.manual_seed(0)
    module = nn.Sequential(nn.Linear(2, 8), nn.Tanh(), nn.Linear(8, 2))
    batch, net = Batch(torch.tensor([[0.0, 0], [0, 1], [1, 0], [1, 1]]), torch.tensor([0, 1, 1, 0])), Net.of(module)
    criterion = Supervised(cross_entropy())
    rule = Descend(lambda net, batch: backprop(net, batch, criterion=criterion), optimizers.choose("sgd:rate=0.5,momentum=0.9").make())
    state = rule.init(net)
    for _ in range(200):
        net, state, report = rule.step(net, state, batch)
    assert report["loss"] < 0.01
    assert module(batch.x).argmax(1).tolist() == [0, 1, 1, 0]


def test_softmax_regression_reads_the_digits():
    datasets = pytest.importorskip("sklearn.datasets")
    x, y = datasets.load_digits(return_X_y=True)
    x, y = torch.tensor(x / 16, dtype=torch.float32), torch.tensor(y)
    torch.manual_seed(0)
    net = Net.of(nn.Linear(64, 10))
    rule = Descend(lambda net, batch: backprop(net, batch, criterion=Supervised(cross_entropy())), optimizers.choose("sgd:rate=0.5").make())
    state = rule.init(net)
    for _ in range(20):
        for rows in torch.randperm(1400).split(50):
            net, state, _ = rule.step(net, state, Batch(x[rows], y[rows]))
    assert (net(x[1400:]).argmax(1) == y[1400:]).float().mean() > 0.88


@pytest.mark.parametrize("options", [{"l1": -1.0}, {"l2": -0.1}, {"clip": 0.0}, {"clip": float("nan")}], ids=str)
def test_nonsense_is_refused(options):
    module, batch = problem()
    with pytest.raises(InputError, match="backprop expects"):
        backprop(Net.of(module), batch, criterion=Supervised(cross_entropy()), **options)


def test_leaves_the_net_as_it_was():
    module, batch = problem()
    before = clone(dict(module.named_parameters()))
    backprop(Net.of(module), batch, criterion=Supervised(cross_entropy()), l2=0.1, clip=0.1)
    torch.testing.assert_close(dict(module.named_parameters()), before, rtol=0, atol=0)
