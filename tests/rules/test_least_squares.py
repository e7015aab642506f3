"""Least squares against numpy and scikit-learn, by the orthogonality of its residuals, and where inputs repeat each other."""

import pytest
import torch
from torch import nn

from chainrule.core.batch import Batch
from chainrule.core.errors import InputError
from chainrule.core.net import Net
from chainrule.core.registry import rules
from chainrule.rules import least_squares
from chainrule.rules.least_squares import ClosedForm, dependent_columns, singular

np = pytest.importorskip("numpy")


def data(n: int = 40, d: int = 5, outputs: int = 2, dtype: torch.dtype = torch.double) -> tuple[torch.Tensor, torch.Tensor]:
    torch.manual_seed(0)
    return torch.randn(n, d, dtype=dtype) + 3, torch.randn(n, outputs, dtype=dtype)


def fitted(batch: Batch, outputs: int, *, bias: bool = True, ridge: float = 0.0) -> tuple[Net, dict[str, torch.Tensor]]:
    net, rule = Net.of(nn.Linear(batch.x.shape[1], outputs, bias=bias, dtype=batch.x.dtype)), ClosedForm(ridge=ridge)
    net, _, report = rule.step(net, rule.init(net), batch)
    return net, report


def solution(net: Net) -> torch.Tensor:
    columns = [net.params["weight"]] + ([net.params["bias"][:, None]] if "bias" in net.params else [])
    return torch.cat(columns, 1).detach().T


@pytest.mark.parametrize("bias", [True, False])
def test_is_numpys(bias):
    x, y = data()
    net, report = fitted(Batch(x, y), 2, bias=bias)
    design = np.hstack([x.numpy(), np.ones((40, 1))]) if bias else x.numpy()
    theirs, residual, *_ = np.linalg.lstsq(design, y.numpy(), rcond=None)
    torch.testing.assert_close(solution(net), torch.tensor(theirs), rtol=1e-9, atol=1e-11)
    assert float(report["loss"]) == pytest.approx(residual.sum() / 80)
    assert report["rank"] == 5


@pytest.mark.parametrize("ridge", [0.0, 0.5, 30.0])
@pytest.mark.parametrize("weighted", [False, True])
def test_is_scikit_learns(ridge, weighted):
    linear_model = pytest.importorskip("sklearn.linear_model")
    x, y = data()
    weight = torch.rand(40, dtype=torch.double) if weighted else None
    net, _ = fitted(Batch(x, y, weight), 2, ridge=ridge)
    model = linear_model.Ridge(alpha=ridge) if ridge else linear_model.LinearRegression()
    model.fit(x.numpy(), y.numpy(), sample_weight=None if weight is None else weight.numpy())
    torch.testing.assert_close(net.params["weight"].detach(), torch.tensor(model.coef_), rtol=1e-8, atol=1e-10)
    torch.testing.assert_close(net.params["bias"].detach(), torch.tensor(model.intercept_), rtol=1e-8, atol=1e-10)


def test_residuals_are_orthogonal_to_the_inputs_and_sum_to_zero():
    x, y = data()
    net, _ = fitted(Batch(x, y), 2)
    residual = (net(x) - y).detach()
    torch.testing.assert_close(x.T @ residual, torch.zeros(5, 2, dtype=torch.double), atol=1e-10, rtol=0)
    torch.testing.assert_close(residual.sum(0), torch.zeros(2, dtype=torch.double), atol=1e-11, rtol=0)


def test_ridge_is_where_the_gradient_of_error_and_penalty_vanishes():
    x, y = data()
    net, _ = fitted(Batch(x, y), 2, ridge=0.7)

    def height(params):
        return 0.5 * (net.at(params)(x) - y).square().sum() + 0.35 * params["weight"].square().sum()

    slope = torch.func.grad(height)({k: p.detach() for k, p in net.params.items()})
    torch.testing.assert_close(slope, {k: torch.zeros_like(p) for k, p in slope.items()}, atol=1e-10, rtol=0)


@pytest.mark.parametrize("ridge", [0.0, 2.0])
def test_a_second_step_changes_nothing(ridge):
    x, y = data(dtype=torch.float32)
    net, report = fitted(Batch(x, y), 2, ridge=ridge)
    before = net.clone()
    rule = ClosedForm(ridge=ridge)
    _, state, again = rule.step(net, {}, Batch(x, y))
    assert state == {}
    torch.testing.assert_close(net.clone().params, before.params, rtol=0, atol=0)
    torch.testing.assert_close(again, report, rtol=0, atol=0)


@pytest.mark.parametrize("dtype", [torch.float32, torch.double])
@pytest.mark.parametrize("n", [40, 4])
def test_where_inputs_repeat_each_other_the_shortest_solution_is_taken_and_the_rank_told(n, dtype):
    x, y = data(n, dtype=dtype)
    x = torch.cat([x, x[:, :2], x[:, :1] - 3 * x[:, 1:2], torch.full((n, 1), 2.0, dtype=dtype)], 1)
    net, report = fitted(Batch(x, y), 2)
    assert report["rank"] == min(5, n - 1)
    wide = x.double().numpy()
    theirs = np.linalg.pinv(wide - wide.mean(0), rcond=1e-6) @ (y.double().numpy() - y.double().numpy().mean(0))
    close = {"rtol": 1e-3, "atol": 1e-4} if dtype is torch.float32 else {"rtol": 1e-8, "atol": 1e-9}
    torch.testing.assert_close(net.params["weight"].detach().double(), torch.tensor(theirs.T), **close)


def test_is_the_same_in_pieces_that_fit_in_memory(monkeypatch):
    x, y = data()
    batch = Batch(x, y, torch.rand(40, dtype=torch.double))
    whole, _ = fitted(batch, 2)
    monkeypatch.setattr(least_squares, "ROWS", 7)
    pieces, _ = fitted(batch, 2)
    torch.testing.assert_close(solution(pieces), solution(whole), rtol=1e-10, atol=1e-12)


def test_classes_are_fitted_as_one_hot_rows_and_signs_as_they_are():
    x, _ = data()
    classes = torch.arange(40) % 3
    by_class, _ = fitted(Batch(x, classes), 3)
    by_row, _ = fitted(Batch(x, nn.functional.one_hot(classes).double()), 3)
    torch.testing.assert_close(solution(by_class), solution(by_row), rtol=0, atol=0)
    signs = (classes == 0) * 2 - 1
    by_sign, _ = fitted(Batch(x, signs), 1)
    expected = 2 * solution(by_class)[:, :1] - torch.tensor([0.0] * 5 + [1])[:, None]
    torch.testing.assert_close(solution(by_sign), expected, rtol=1e-9, atol=1e-11)


def test_members_of_a_stack_are_fitted_as_they_are_alone():
    x, y = data()
    rule, members = ClosedForm(ridge=0.1), [Net.of(nn.Linear(5, 2, dtype=torch.double)) for _ in range(2)]
    stack = Net.stack(members)
    xs, ys = torch.stack([x, x.flip(1) * x]), torch.stack([y, y + x[:, :2]])

    def step(net, x, y):
        net, _, report = rule.step(net, {}, Batch(x, y))
        return net, report

    together, reports = torch.vmap(step)(stack, xs, ys)
    for i, net in enumerate(members):
        alone, report = step(net, xs[i], ys[i])
        torch.testing.assert_close(solution(together.member(i)), solution(alone), rtol=1e-9, atol=1e-11)
        torch.testing.assert_close({k: r[i] for k, r in reports.items()}, report)


def test_reads_most_digits_at_once():
    datasets = pytest.importorskip("sklearn.datasets")
    x, y = datasets.load_digits(return_X_y=True)
    x, y = torch.tensor(x, dtype=torch.float32), torch.tensor(y)
    net, report = fitted(Batch(x[:1400], y[:1400]), 10)
    assert report["rank"] == int(np.linalg.matrix_rank(np.cov(x[:1400].numpy().T)))  # some of the 64 pixels are always empty
    linear_model = pytest.importorskip("sklearn.linear_model")
    theirs = linear_model.LinearRegression().fit(x[:1400].double().numpy(), np.eye(10)[y[:1400]]).predict(x[1400:].double().numpy())
    torch.testing.assert_close(net(x[1400:]).detach(), torch.tensor(theirs).float(), rtol=1e-4, atol=1e-4)
    assert (net(x[1400:]).argmax(1) == y[1400:]).float().mean() > 0.84


def test_what_does_not_fit_is_refused():
    deep = Net.of(nn.Sequential(nn.Linear(5, 4), nn.Linear(4, 1)))
    with pytest.raises(InputError, match="closedform trains a single layer of weights; this Sequential has 2 of them"):
        rules.choose("closedform").make().init(deep)
    with pytest.raises(InputError, match="ridge to be a number of at least 0; got -1"):
        rules.choose("closedform:ridge=-1").make()


def repeated() -> tuple[torch.Tensor, list[str]]:
    torch.manual_seed(0)
    x = torch.randn(60, 3, dtype=torch.double) * torch.tensor([1.0, 1000, 0.01], dtype=torch.double) + 5
    made = [x[:, 0], x[:, 1], 2 * x[:, 0] - 0.5 * x[:, 1], torch.full((60,), 4.0, dtype=torch.double), x[:, 2], x[:, 1] + 7]
    return torch.stack(made, 1), ["a", "b", "twice a", "four", "c", "b again"]


def test_dependent_columns_are_named_with_what_they_repeat():
    x, names = repeated()
    found = dependent_columns(x, names)
    assert list(found) == ["twice a", "four", "b again"]
    assert found["twice a"] == pytest.approx({"a": 2.0, "b": -0.5})
    assert found["four"] == {}
    assert found["b again"] == pytest.approx({"b": 1.0})
    assert list(dependent_columns(x, names, bias=False)) == ["twice a", "b again"]  # four is then the constant that b again needs
    _, report = fitted(Batch(x, x[:, :1]), 1)
    assert report["rank"] == len(names) - len(found)


@pytest.mark.parametrize("seed", range(5))
def test_as_many_columns_are_dependent_as_numpys_rank_lacks(seed):
    torch.manual_seed(seed)
    x = torch.randn(40, 6, dtype=torch.double) @ torch.randint(-1, 2, (6, 9)).double()
    found = dependent_columns(x, [str(i) for i in range(9)], bias=False)
    assert 9 - len(found) == np.linalg.matrix_rank(x.numpy())
    for name, of in found.items():
        rebuilt = sum((factor * x[:, int(other)] for other, factor in of.items()), torch.zeros(40, dtype=torch.double))
        torch.testing.assert_close(rebuilt, x[:, int(name)])
        assert all(int(other) < int(name) for other in of)


def test_inputs_that_all_say_something_are_left_alone():
    x, _ = data()
    assert dependent_columns(x, list("abcde")) == {}
    assert singular(x, list("abcde")) is None
    nearly = torch.cat([x, x[:, :1] + 1e-6 * torch.randn(40, 1, dtype=torch.double)], 1)
    assert dependent_columns(nearly, list("abcdef")) == {}


def test_the_sentence_says_rank_columns_and_remedy():
    x, names = repeated()
    assert singular(x, names) == (
        "The inputs have rank 3, not 6: twice a = 2 a - 0.5 b; four = a constant; b again = 1 b. Of all weights that fit equally well the "
        "shortest are taken; leave these columns out, or use closedform:ridge=0.1, to have weights with a meaning.")
    with pytest.raises(InputError, match="a name for each of 6 columns; got 1"):
        dependent_columns(x, ["a"])
