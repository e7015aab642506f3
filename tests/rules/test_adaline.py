"""The delta rule: worked numbers, the gradient of the squared error, one-sample corrections, convergence to least squares."""

import pytest
import torch
from torch import nn

from chainrule.core.batch import Batch
from chainrule.core.descend import Descend
from chainrule.core.errors import InputError
from chainrule.core.net import Net
from chainrule.core.registry import optimizers
from chainrule.losses.classic import squared
from chainrule.rules.adaline import adaline


@pytest.mark.parametrize(("x", "w", "b", "target", "after"), [
    ((34, 1, 4), (5, 4, 8), 2, 206, (4.32, 3.98, 7.92)),
    ((1, 5, 1, 2), (2, -1, 4, 8), None, 10, (1.93, -1.35, 3.93, 7.86)),
])
def test_the_lectures_worked_numbers(x, w, b, target, after):
    module = nn.Linear(len(x), 1, bias=b is not None, dtype=torch.double)
    module.load_state_dict({"weight": torch.tensor([w])} | ({} if b is None else {"bias": torch.tensor([b])}))
    net = Net.of(module)
    rule = Descend(adaline, optimizers.choose("sgd:rate=0.01").make())
    _, _, report = rule.step(net, rule.init(net), Batch(torch.tensor([x], dtype=torch.double), torch.tensor([float(target)])))
    assert module.weight[0].tolist() == pytest.approx(after)
    residual = {206: 2, 10: 7}[target]
    assert float(report["loss"]) == pytest.approx(residual**2 / 2)
    if b is not None:
        assert float(module.bias.detach()) == pytest.approx(b - 0.01 * residual)


TARGETS = {
    "real": lambda: torch.randn(12, 4, dtype=torch.double),
    "class": lambda: torch.randint(0, 4, (12,)),
    "sign": lambda: torch.randn(12).sign().long(),
    "one real": lambda: torch.randn(12, dtype=torch.double),
}


@pytest.mark.parametrize("weighted", [False, True])
@pytest.mark.parametrize("kind", TARGETS)
def test_is_the_gradient_of_half_the_mean_squared_error(kind, weighted):
    torch.manual_seed(0)
    y = TARGETS[kind]()
    batch = Batch(torch.randn(12, 2, 3, dtype=torch.double), y, torch.rand(12, dtype=torch.double) if weighted else None)
    module = nn.Sequential(nn.Flatten(), nn.Linear(6, 4 if kind in ("real", "class") else 1, dtype=torch.double))
    net = Net.of(module)

    def error(params):
        return batch.mean(squared().each(net.at(params)(batch.x), y.double() if kind == "sign" else y))

    by_hand, report = adaline(net, batch)
    torch.testing.assert_close(by_hand, torch.func.grad(error)(net.params))
    torch.testing.assert_close(report["loss"], error(net.params).detach())


@pytest.mark.parametrize("bias", [True, False])
@pytest.mark.parametrize("rate", [1.0, 0.25])
def test_the_normalised_rule_corrects_one_sample_by_exactly_its_rate(bias, rate):
    torch.manual_seed(0)
    net = Net.of(nn.Linear(5, 2, bias=bias, dtype=torch.double))
    x, y = 100 * torch.randn(1, 5, dtype=torch.double), torch.randn(1, 2, dtype=torch.double)
    before = (net(x) - y).detach()
    rule = Descend(lambda net, batch: adaline(net, batch, normalised=True), optimizers.choose(f"sgd:rate={rate}").make())
    rule.step(net, rule.init(net), Batch(x, y))
    torch.testing.assert_close((net(x) - y).detach(), (1 - rate) * before, rtol=1e-9, atol=1e-11)


def test_comes_to_rest_at_least_squares():
    numpy = pytest.importorskip("numpy")
    torch.manual_seed(0)
    x, y = torch.randn(50, 3, dtype=torch.double), torch.randn(50, 2, dtype=torch.double)
    net = Net.of(nn.Linear(3, 2, dtype=torch.double))
    rule = Descend(adaline, optimizers.choose("sgd:rate=0.3").make())
    state = rule.init(net)
    for _ in range(300):
        net, state, report = rule.step(net, state, Batch(x, y))
    design = numpy.hstack([x.numpy(), numpy.ones((50, 1))])
    solution, residual, *_ = numpy.linalg.lstsq(design, y.numpy(), rcond=None)
    ours = torch.cat([net.params["weight"], net.params["bias"][:, None]], 1).detach()
    torch.testing.assert_close(ours, torch.tensor(solution.T), rtol=1e-8, atol=1e-10)
    assert float(report["loss"]) == pytest.approx(residual.sum() / 100)


@pytest.mark.parametrize("normalised", [False, True])
def test_a_member_of_a_stack_moves_as_it_does_alone(normalised):
    torch.manual_seed(0)
    batch = Batch(torch.randn(9, 5), torch.randint(0, 3, (9,)))
    members = [Net.of(nn.Linear(5, 3)) for _ in range(3)]

    def direct(net, batch):
        return adaline(net, batch, normalised=normalised)

    together, report = torch.vmap(direct, in_dims=(0, None))(Net.stack(members), batch)
    for i, net in enumerate(members):
        alone = direct(net, batch)
        torch.testing.assert_close(({k: t[i] for k, t in together.items()}, {"loss": report["loss"][i]}), alone)


def test_more_than_one_layer_is_refused():
    deep = Net.of(nn.Sequential(nn.Linear(5, 4), nn.Linear(4, 4), nn.Linear(4, 1)))
    with pytest.raises(InputError, match="adaline trains a single layer of weights; this Sequential has 3 of them"):
        adaline(deep, Batch(torch.randn(3, 5), torch.randn(3)))
