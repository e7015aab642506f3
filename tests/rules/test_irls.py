"""IRLS against scikit-learn and statsmodels, by its vanishing gradient, and where the likelihood has no maximum."""

import itertools

import pytest
import torch
from torch import nn

from chainrule.core.batch import Batch
from chainrule.core.errors import InputError
from chainrule.core.net import Net
from chainrule.core.registry import rules

np = pytest.importorskip("numpy")


def data(classes: int = 2, n: int = 200, d: int = 4, seed: int = 0) -> tuple[torch.Tensor, torch.Tensor]:
    torch.manual_seed(seed)
    x = torch.randn(n, d, dtype=torch.double)
    scores = x @ torch.randn(d, classes, dtype=torch.double)
    x = x * torch.tensor([1.0, 3.0, 0.2, 10.0][:d], dtype=torch.double) + 1
    return x, torch.distributions.Categorical(logits=scores).sample()


def fitted(batch: Batch, classes: int, *, steps: int = 30, spec: str = "irls", bias: bool = True) -> tuple[Net, list[dict]]:
    module = nn.Linear(batch.x.shape[1], classes, bias=bias, dtype=batch.x.dtype)
    for p in module.parameters():
        nn.init.zeros_(p)
    net, rule, told = Net.of(module), rules.choose(spec).make(), []
    state = rule.init(net)
    for _ in range(steps):
        net, state, report = rule.step(net, state, batch)
        told.append({k: float(v) for k, v in report.items()})
    return net, told


def odds(net: Net) -> torch.Tensor:
    """The log-odds of class 1 against class 0 for each input, and its constant last."""
    w, b = net.params["weight"].detach(), net.params["bias"].detach()
    return torch.cat([w[1] - w[0], (b[1] - b[0])[None]])


@pytest.mark.parametrize("classes", [2, 4])
def test_is_scikit_learns_to_a_millionth(classes):
    linear_model = pytest.importorskip("sklearn.linear_model")
    x, y = data(classes)
    net, told = fitted(Batch(x, y), classes)
    model = linear_model.LogisticRegression(C=np.inf, tol=1e-12, max_iter=10_000, solver="newton-cg").fit(x.numpy(), y.numpy())
    w = net.params["weight"].detach()
    theirs = torch.tensor(model.coef_)
    if classes == 2:
        torch.testing.assert_close(odds(net), torch.cat([theirs[0], torch.tensor(model.intercept_)]), rtol=1e-6, atol=1e-6)
    else:
        torch.testing.assert_close(w - w.mean(0), theirs - theirs.mean(0), rtol=1e-6, atol=1e-6)
    assert told[-1]["separated"] == 0


@pytest.mark.parametrize("weighted", [False, True])
def test_ridge_is_scikit_learns(weighted):
    linear_model = pytest.importorskip("sklearn.linear_model")
    x, y = data(3)
    weight = torch.rand(200, dtype=torch.double) + 0.1 if weighted else None
    net, _ = fitted(Batch(x, y, weight), 3, spec="irls:ridge=0.5")
    model = linear_model.LogisticRegression(C=2.0, tol=1e-12, max_iter=10_000, solver="newton-cg")
    model.fit(x.numpy(), y.numpy(), sample_weight=None if weight is None else weight.numpy())
    torch.testing.assert_close(net.params["weight"].detach(), torch.tensor(model.coef_), rtol=1e-6, atol=1e-6)


@pytest.mark.parametrize(("spec", "classes", "bias"), [("irls", 3, True), ("irls", 2, False), ("irls:ridge=2", 3, True)])
def test_the_gradient_vanishes(spec, classes, bias):
    """Second derivation: autograd of the mean loss and its penalty.

    It vanishes as far as the rule can see, which goes on while the loss falls in double precision: what one more step of Newton's would
    gain, g' pinv(H) g / 2, is below what the loss is rounded by. How far below, the last step that fell decides by luck.
    """
    x, y = data(classes)
    net, _ = fitted(Batch(x, y), classes, spec=spec, bias=bias)
    ridge = 2 / 200 if "ridge" in spec else 0.0
    params = {k: p.detach() for k, p in net.params.items()}

    def height(flat):
        parts = flat.split([p.numel() for p in params.values()])
        at = {k: part.view_as(p) for (k, p), part in zip(params.items(), parts, strict=True)}
        return nn.functional.cross_entropy(net.at(at)(x), y) + ridge / 2 * at["weight"].square().sum()

    flat = torch.cat([p.flatten() for p in params.values()])
    slope = torch.func.grad(height)(flat)
    gain = float(slope @ torch.linalg.pinv(torch.func.hessian(height)(flat), hermitian=True, rtol=1e-10) @ slope) / 2
    assert gain < 8 * torch.finfo(torch.double).eps * float(height(flat))
    assert float(slope.abs().max()) < 1e-7


def test_a_step_is_newtons_with_autograds_hessian():
    x, y = data(3)
    net, _ = fitted(Batch(x, y), 3, steps=2)
    flat = torch.cat([p.detach().flatten() for p in net.params.values()])

    def height(flat):
        return nn.functional.cross_entropy(x @ flat[:12].reshape(3, 4).T + flat[12:], y)

    slope, bend = torch.func.grad(height)(flat), torch.func.hessian(height)(flat)
    expected = flat - torch.linalg.pinv(bend, rtol=1e-12) @ slope
    rule = rules.choose("irls").make()
    rule.step(net, {}, Batch(x, y))
    torch.testing.assert_close(torch.cat([p.detach().flatten() for p in net.params.values()]), expected, rtol=1e-9, atol=1e-11)


def test_the_loss_falls_from_every_start_because_steps_are_halved():
    x, y = data(2)
    module = nn.Linear(4, 2, dtype=torch.double)
    net, rule = Net.of(module), rules.choose("irls").make()
    with torch.no_grad():
        module.weight.copy_(torch.tensor([[0.0, 2, 0, 0], [0, -2, 0, 0]]))  # far off: a full step makes it worse
    told = [float(rule.step(net, {}, Batch(x, y))[2]["loss"]) for _ in range(40)]
    assert all(b <= a for a, b in itertools.pairwise(told))
    best, _ = fitted(Batch(x, y), 2)
    torch.testing.assert_close(odds(net), odds(best), rtol=1e-7, atol=1e-8)


def test_separated_classes_are_told_and_not_run_after():
    x = torch.tensor([[-2.0], [-1.0], [1.0], [2.0]], dtype=torch.double)
    y = torch.tensor([0, 0, 1, 1])
    net, told = fitted(Batch(x, y), 2, steps=60)
    assert told[-1]["separated"] == 1
    assert float(net.params["weight"].detach().abs().max()) < 5
    held, told = fitted(Batch(x, y), 2, steps=60, spec="irls:ridge=1")
    assert told[-1]["separated"] == 1
    assert told[-1]["loss"] == pytest.approx(told[-2]["loss"])
    assert (held(x).argmax(1) == y).all()


def test_a_repeated_input_shares_its_weight():
    x, y = data(2)
    once, _ = fitted(Batch(x, y), 2)
    twice, _ = fitted(Batch(torch.cat([x, x[:, :1]], 1), y), 2)
    both = odds(twice)
    assert float(both[0]) == pytest.approx(float(both[4]), rel=1e-6)
    assert float(both[0] + both[4]) == pytest.approx(float(odds(once)[0]), rel=1e-6)


def test_what_does_not_fit_is_refused():
    with pytest.raises(InputError, match="ridge to be a number of at least 0; got -1"):
        rules.choose("irls:ridge=-1").make()
    with pytest.raises(InputError, match=r"takes at most 4,000; this net has 7,850. Use --rule backprop --optimizer lbfgs"):
        rules.choose("irls").make().init(Net.of(nn.Linear(784, 10)))
    with pytest.raises(InputError, match="one output for each class"):
        rules.choose("irls").make().step(Net.of(nn.Linear(2, 1)), {}, Batch(torch.randn(4, 2), torch.tensor([0, 1, 0, 1])))
