"""The perceptron rule: the gradient of its criterion, Kesler's construction, Novikoff's bound, AND, OR, NOT and not XOR."""

import pytest
import torch
from torch import nn

from chainrule.core.batch import Batch
from chainrule.core.descend import Descend
from chainrule.core.errors import InputError
from chainrule.core.net import Net
from chainrule.core.registry import optimizers
from chainrule.losses import classic
from chainrule.rules.perceptron import perceptron

RULE = Descend(perceptron, optimizers.choose("sgd:rate=1").make())


def separable(n: int = 60, d: int = 5, seed: int = 0) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
    """Points at least 0.3 from a plane, their signs, and the plane (d + 1,), the offset last, of length one."""
    torch.manual_seed(seed)
    plane = torch.randn(d + 1, dtype=torch.double)
    plane /= plane.norm()
    x = torch.randn(20 * n, d, dtype=torch.double)
    height = x @ plane[:-1] + plane[-1]
    kept = height.abs() > 0.3
    return x[kept][:n], height[kept][:n].sign(), plane


def zero(inputs: int, outputs: int = 1, **options) -> Net:
    module = nn.Linear(inputs, outputs, dtype=torch.double, **options)
    for p in module.parameters():
        nn.init.zeros_(p)
    return Net.of(module)


def test_perceptron_is_the_gradient_of_its_criterion():
    """Second derivation: autograd of mean(max(0, -y f(x)))."""
    x, y, _ = separable()
    net = Net.of(nn.Linear(5, 1, dtype=torch.double))

    def criterion(params):
        return (-y * net.at(params)(x).squeeze(-1)).relu().mean()

    by_hand, report = perceptron(net, Batch(x, y))
    torch.testing.assert_close(by_hand, torch.func.grad(criterion)(net.params))
    torch.testing.assert_close(report["loss"], criterion(net.params).detach())
    assert report["mistakes"] == (net(x).squeeze(-1).sign() != y).sum()


@pytest.mark.parametrize("weighted", [False, True])
def test_several_classes_follow_the_gradient_of_their_criterion(weighted):
    torch.manual_seed(0)
    x, y = torch.randn(40, 5, dtype=torch.double), torch.randint(0, 4, (40,))
    batch = Batch(x, y, torch.rand(40, dtype=torch.double) if weighted else None)
    net = Net.of(nn.Linear(5, 4, dtype=torch.double))

    def criterion(params):
        return batch.mean(classic.perceptron().each(net.at(params)(x), y))

    by_hand, report = perceptron(net, batch)
    torch.testing.assert_close(by_hand, torch.func.grad(criterion)(net.params))
    torch.testing.assert_close(report["loss"], criterion(net.params).detach())


def test_two_outputs_turn_as_one_does_in_keslers_construction():
    """A sample x of class y against class r is the one point with x in block y and -x in block r, to be put on the positive side."""
    torch.manual_seed(0)
    x, y, classes = torch.randn(30, 4, dtype=torch.double), torch.randint(0, 3, (30,)), 3
    several, one = zero(4, classes, bias=False), zero(4 * classes, bias=False)
    states = RULE.init(several), RULE.init(one)
    for row, label in zip(x.repeat(3, 1), y.repeat(3), strict=True):
        scores = several(row).detach()
        rival = max((r for r in range(classes) if r != label), key=lambda r: float(scores[r]))
        point = torch.zeros(classes, 4, dtype=torch.double)
        point[label], point[rival] = row, -row
        RULE.step(several, states[0], Batch(row[None], label[None]))
        RULE.step(one, states[1], Batch(point.reshape(1, -1), torch.ones(1)))
        torch.testing.assert_close(several.params["weight"].flatten(), one.params["weight"].flatten())
    assert several.params["weight"].any()


@pytest.mark.parametrize("seed", range(5))
def test_makes_no_more_mistakes_than_novikoff_allows(seed):
    """Novikoff (1962): online, from zero, at most (R / gamma)^2 mistakes, the offset counted as an input that is always one."""
    x, y, plane = separable(seed=seed)
    extended = torch.cat([x, torch.ones(len(x), 1, dtype=torch.double)], 1)
    bound = float(extended.norm(dim=1).max() / (y * (extended @ plane)).min()) ** 2
    net = zero(5)
    state, mistakes, clean = RULE.init(net), 0, False
    for _ in range(int(bound) + 2):
        wrong = 0
        for row, sign in zip(x, y, strict=True):
            net, state, report = RULE.step(net, state, Batch(row[None], sign[None]))
            wrong += int(report["mistakes"])
        mistakes += wrong
        clean = wrong == 0
        if clean:
            break
    assert clean
    assert 0 < mistakes <= bound
    assert (net(x).squeeze(-1) * y > 0).all()


@pytest.mark.parametrize(("name", "targets"), [("and", [-1, -1, -1, 1]), ("or", [-1, 1, 1, 1]), ("not", [1, -1]), ("xor", [-1, 1, 1, -1])])
def test_learns_and_or_not_but_never_xor(name, targets):
    x = torch.tensor([[0.0], [1]] if name == "not" else [[0.0, 0], [0, 1], [1, 0], [1, 1]], dtype=torch.double)
    y, net = torch.tensor(targets), zero(x.shape[1])
    state = RULE.init(net)
    for _ in range(50):
        for row, sign in zip(x, y, strict=True):
            net, state, _ = RULE.step(net, state, Batch(row[None], sign[None]))
    learned = (net(x).squeeze(-1).sign() == y).all()
    assert learned == (name != "xor")


def test_three_separable_classes_are_learned():
    torch.manual_seed(0)
    centres = torch.tensor([[0.0, 4], [4, -2], [-4, -2]], dtype=torch.double)
    y = torch.arange(60) % 3
    x, net = centres[y] + torch.rand(60, 2, dtype=torch.double), zero(2, 3)
    state = RULE.init(net)
    for _ in range(200):
        net, state, report = RULE.step(net, state, Batch(x, y))
    assert report["mistakes"] == 0
    assert report["loss"] == 0
    assert (net(x).argmax(1) == y).all()


def test_a_member_of_a_stack_turns_as_it_does_alone():
    x, y, _ = separable()
    members = [Net.of(nn.Linear(5, outputs, dtype=torch.double)) for outputs in (1, 1)]
    together, report = torch.vmap(perceptron, in_dims=(0, None))(Net.stack(members), Batch(x, y))
    for i, net in enumerate(members):
        alone, its_report = perceptron(net, Batch(x, y))
        torch.testing.assert_close({k: t[i] for k, t in together.items()}, alone)
        torch.testing.assert_close({k: t[i] for k, t in report.items()}, its_report)


def test_what_does_not_fit_is_refused():
    deep = Net.of(nn.Sequential(nn.Linear(5, 4), nn.ReLU(), nn.Linear(4, 1)))
    with pytest.raises(InputError, match=r"perceptron trains a single layer of weights; this Sequential has 2 of them.*--rule backprop"):
        perceptron(deep, Batch(torch.randn(3, 5), torch.ones(3)))
    with pytest.raises(InputError, match="perceptron with 3 outputs needs class numbers"):
        perceptron(Net.of(nn.Linear(5, 3)), Batch(torch.randn(3, 5), torch.ones(3)))
