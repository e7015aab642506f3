"""The readout solved in one pass: against scikit-learn on collected states, in pieces, along a carried series, step by step."""

import numpy as np
import pytest
import torch
from torch import nn

import chainrule as cr
from chainrule.core.batch import Batch
from chainrule.core.errors import InputError
from chainrule.core.net import Net
from chainrule.nets.esn import EchoState
from chainrule.nets.feedforward import mlp
from chainrule.rules import ridge_readout
from chainrule.rules.ridge_readout import RidgeReadout

N, T, UNITS, K = 60, 9, 12, 2


def reservoir(**options) -> Net:
    torch.manual_seed(0)
    return Net.of(EchoState((T, 1), K, **{"units": UNITS, "connections": 3, "drive": 0.5, "answer": "last", **options}).double())


def windows(n: int = N) -> tuple[torch.Tensor, torch.Tensor]:
    """Windows of one series, and what is asked of each."""
    generator = torch.Generator().manual_seed(1)
    series = torch.randn(n + T - 1, generator=generator, dtype=torch.float64)
    x = series.unfold(0, T, 1)[:, :, None]
    return x, torch.stack([x[:, -3, 0] * x[:, -1, 0], x[:, -2, 0]], 1) + 0.1 * torch.randn(n, K, generator=generator, dtype=torch.float64)


def fitted(net: Net, batch: Batch, **options):
    rule = RidgeReadout(**options)
    net, _, report = rule.step(net, rule.init(net), batch)
    return net, report


def solution(net: Net) -> torch.Tensor:
    return torch.cat([net.params["output.weight"], net.params["output.bias"][:, None]], 1).detach()


@pytest.mark.parametrize("ridge", [1e-6, 0.5])
@pytest.mark.parametrize("weighted", [False, True])
def test_is_scikit_learns_on_the_collected_states(ridge, weighted):
    linear_model = pytest.importorskip("sklearn.linear_model")
    x, y = windows()
    weight = torch.rand(N, generator=torch.Generator().manual_seed(2), dtype=torch.float64) if weighted else None
    net, report = fitted(reservoir(), Batch(x, y, weight), ridge=ridge)
    states = net.module.features(x).numpy()
    model = linear_model.Ridge(alpha=ridge).fit(states, y.numpy(), sample_weight=None if weight is None else weight.numpy())
    torch.testing.assert_close(net.params["output.weight"].detach(), torch.tensor(model.coef_), rtol=1e-5, atol=1e-7)
    torch.testing.assert_close(net.params["output.bias"].detach(), torch.tensor(model.intercept_), rtol=1e-5, atol=1e-7)
    batch = Batch(x, y, weight)
    assert float(report["loss"]) == pytest.approx(float(batch.mean(0.5 * (net(x) - y).square().sum(1)).detach()), rel=1e-6)


def test_without_a_ridge_of_its_own_it_takes_the_nets():
    x, y = windows()
    ours, _ = fitted(reservoir(ridge=3.0), Batch(x, y))
    named, _ = fitted(reservoir(), Batch(x, y), ridge=3.0)
    other, _ = fitted(reservoir(), Batch(x, y))
    torch.testing.assert_close(solution(ours), solution(named), rtol=0, atol=0)
    assert not torch.allclose(solution(ours), solution(other))


@pytest.mark.parametrize("carry", [False, True])
def test_in_pieces_it_is_what_it_is_whole(carry, monkeypatch):
    x, y = windows()
    whole, _ = fitted(reservoir(), Batch(x, y), carry=carry)
    monkeypatch.setattr(ridge_readout, "ROWS", 7)
    pieces, _ = fitted(reservoir(), Batch(x, y), carry=carry)
    torch.testing.assert_close(solution(pieces), solution(whole), rtol=1e-7, atol=1e-9)


def test_a_carried_series_is_fitted_to_the_states_of_one_pass_along_it():
    linear_model = pytest.importorskip("sklearn.linear_model")
    x, y = windows()
    net, _ = fitted(reservoir(), Batch(x, y), carry=True, ridge=1e-3)
    series = torch.cat([x[0], x[1:, -1]])[None]
    module = net.module
    states = module.echo(series, module.initial(1))[0][0, T - 1 :].numpy()
    model = linear_model.Ridge(alpha=1e-3).fit(states, y.numpy())
    torch.testing.assert_close(net.params["output.weight"].detach(), torch.tensor(model.coef_), rtol=1e-6, atol=1e-8)


def test_steps_that_are_not_asked_for_do_not_count():
    linear_model = pytest.importorskip("sklearn.linear_model")
    x, _ = windows()
    generator = torch.Generator().manual_seed(3)
    y, mask = torch.randint(K, (N, T), generator=generator), torch.rand(N, T, generator=generator) < 0.6
    net, report = fitted(reservoir(answer="steps"), Batch(x, torch.where(mask, y, -1), mask=mask), ridge=0.1)
    states = net.module.features(x)[mask].numpy()
    model = linear_model.Ridge(alpha=0.1).fit(states, nn.functional.one_hot(y[mask], K).double().numpy())
    torch.testing.assert_close(net.params["output.weight"].detach(), torch.tensor(model.coef_), rtol=1e-6, atol=1e-8)
    left = (net(x)[mask] - nn.functional.one_hot(y[mask], K)).square().sum(1)
    assert float(report["loss"]) == pytest.approx(0.5 * float(left.detach().mean()), rel=1e-6)


def test_without_any_ridge_repeated_features_share_the_weight():
    torch.manual_seed(0)
    x = torch.randn(40, 3, dtype=torch.float64)
    net = Net.of(nn.Linear(6, 1, dtype=torch.float64))
    net, _ = fitted(net, Batch(torch.cat([x, x], 1), x @ torch.tensor([[1.0], [2.0], [3.0]], dtype=torch.float64)), ridge=0.0)
    torch.testing.assert_close(net.params["weight"].detach(), torch.tensor([[0.5, 1.0, 1.5, 0.5, 1.0, 1.5]], dtype=torch.float64))


def test_windows_that_do_not_follow_one_another_cannot_be_carried():
    x, y = windows()
    with pytest.raises(InputError, match="do not follow one another"):
        fitted(reservoir(), Batch(x.flip(0), y), carry=True)


def test_nets_without_a_state_or_with_several_layers_are_refused():
    with pytest.raises(InputError, match="carries the state"):
        RidgeReadout(carry=True).init(Net.of(nn.Linear(3, 1)))
    with pytest.raises(InputError, match="single layer"):
        RidgeReadout().init(Net.of(mlp((3,), 1)))
    with pytest.raises(InputError, match="ridge"):
        RidgeReadout(ridge=-1.0)


def test_a_run_follows_a_system_of_order_ten_better_than_the_mean_and_than_its_last_inputs(tmp_path):
    """In a run from data to test: as training says, and far better than a regression on the inputs alone, which miss the products."""
    options = {"plan": "eager", "threads": 1, "progress": False}
    run = cr.train("narma10:count=1500,lags=40", net="esn:units=100", out=tmp_path / "esn", **options)
    linear = cr.train("narma10:count=1500,lags=40", net="linear", rule="closedform:ridge=1e-3", out=tmp_path / "linear", **options)
    ours, theirs = run.test().measures["r2"].value, linear.test().measures["r2"].value
    assert ours > 0.9
    assert 1 - ours < (1 - theirs) / 1.5
    data = run.job.data
    answer = run.job.trained.predictions(data.train)
    away = (answer - data.encoder.target.unscale(data.train.y)).square().mean() / data.encoder.target.unscale(data.train.y).var()
    assert float(away) < 1 - ours + 0.1
    assert len(run.history) == 1


def test_gradients_train_the_same_readout(tmp_path):
    """Whoever goes down the squared error instead comes to rest at the same weights."""
    x, y = windows()
    net, _ = fitted(reservoir(), Batch(x, y), ridge=1e-9)
    slope = torch.autograd.grad(0.5 * (net.module(x) - y).square().sum(), list(net.module.parameters()))
    assert max(float(g.abs().max()) for g in slope) < 1e-6
    options = {"net": "esn:units=12,connections=3,drive=0.5", "plan": "eager", "threads": 1, "progress": False, "split": "train=1"}
    rows = (x.numpy().astype(np.float32), y.numpy())
    solved = cr.train(rows, **options, rule="ridge-readout:ridge=1e-6", out=tmp_path / "solved")
    descended = cr.train(rows, **options, rule="backprop", optimizer="lbfgs", epochs=60, out=tmp_path / "descended")
    exact, near = (run.predict(rows[0])[0] for run in (solved, descended))
    assert float((exact - near).square().mean()) < 0.02 * float(exact.var())
