"""The models before nets, against statsmodels at fixed rates, numpy and by hand."""

import numpy as np
import pytest
import torch
from statsmodels.tsa.ar_model import AutoReg
from statsmodels.tsa.holtwinters import ExponentialSmoothing, Holt, SimpleExpSmoothing

from chainrule.core.batch import Batch
from chainrule.core.errors import InputError
from chainrule.core.net import Net
from chainrule.core.registry import nets
from chainrule.rules.least_squares import ClosedForm

STEPS, HORIZON = 40, 15
T = np.arange(STEPS)
Y = 20 + 0.3 * T + 4 * np.sin(T * np.pi / 3) + np.random.default_rng(0).normal(size=STEPS)
WINDOW = torch.from_numpy(Y)[None, :, None]


def made(spec: str, outputs: int = HORIZON, columns: int = 1, rates: list[float] | None = None):
    net = nets.choose(spec).make((STEPS, columns), outputs).double()
    if rates is not None:
        with torch.no_grad():
            net.rates.copy_(torch.tensor(rates, dtype=torch.float64).logit()[:, None])
    return net


def said(net) -> np.ndarray:
    with torch.no_grad():
        return net(WINDOW)[0].numpy()


@pytest.mark.parametrize("rate", [0.1, 0.5, 0.9])
def test_simple_smoothing_is_statsmodels(rate):
    oracle = SimpleExpSmoothing(Y, initialization_method="known", initial_level=Y[0]).fit(smoothing_level=rate, optimized=False)
    np.testing.assert_allclose(said(made("exponential", rates=[rate])), oracle.forecast(HORIZON), rtol=1e-6)


@pytest.mark.parametrize("damping", [1.0, 0.9])
def test_holts_line_is_statsmodels(damping):
    trend = (Y[9] - Y[0]) / 9
    oracle = Holt(Y, damped_trend=damping < 1, initialization_method="known", initial_level=Y[0] - damping * trend,
                  initial_trend=trend).fit(smoothing_level=0.4, smoothing_trend=0.2, damping_trend=damping if damping < 1 else None,
                                           optimized=False)
    np.testing.assert_allclose(said(made(f"holt:damping={damping}", rates=[0.4, 0.2])), oracle.forecast(HORIZON), rtol=1e-6)


@pytest.mark.parametrize("damping", [1.0, 0.9])
def test_holt_winters_is_statsmodels(damping):
    m, first = 6, Y[:6].mean()
    trend = (Y[6:12].mean() - first) / m
    seasons = Y[:m] - first - (np.arange(m) - 2.5) * trend
    oracle = ExponentialSmoothing(Y, trend="add", damped_trend=damping < 1, seasonal="add", seasonal_periods=m,
                                  initialization_method="known", initial_level=first - trend * 3.5, initial_trend=trend,
                                  initial_seasonal=seasons)
    oracle = oracle.fit(smoothing_level=0.4, smoothing_trend=0.2, smoothing_seasonal=0.3,
                        damping_trend=damping if damping < 1 else None, optimized=False)
    net = made(f"holt-winters:season=6,damping={damping}", rates=[0.4, 0.2, 0.3])
    others = np.arange(1, HORIZON + 1) % m != 0     # of the place that the last value has just moved, statsmodels takes what it was before
    np.testing.assert_allclose(said(net)[others], oracle.forecast(HORIZON)[others], rtol=1e-6)


def test_autoregression_by_least_squares_is_statsmodels():
    lags = 4
    windows = torch.from_numpy(Y).unfold(0, lags, 1)[:-1, :, None]
    net = Net.of(nets.choose("ar").make((lags, 1), 1).double())
    rule = ClosedForm()
    rule.step(net, rule.init(net), Batch(windows, torch.from_numpy(Y[lags:])[:, None]))
    oracle = AutoReg(Y, lags=lags, trend="c").fit()
    weights = [float(net.params["output.bias"].detach()), *net.params["output.weight"][0].flip(0).tolist()]
    np.testing.assert_allclose(weights, oracle.params, rtol=1e-6)


def test_naive_ones_repeat_and_average_what_they_say():
    y = Y.tolist()
    assert said(made("naive")).tolist() == [y[-1]] * HORIZON
    assert said(made("naive:period=6")).tolist() == [*y[-6:], *y[-6:], *y[-6:-3]]
    np.testing.assert_allclose(said(made("moving-average:width=5")), np.full(HORIZON, Y[-5:].mean()), rtol=1e-6)
    net = made("mean")
    net.level.data.fill_(7.5)
    assert said(net).tolist() == [7.5] * HORIZON


@pytest.mark.parametrize("spec", ["naive:period=3", "moving-average", "exponential", "holt", "holt-winters:season=4", "mean"])
def test_several_targets_are_foretold_each_as_if_alone_and_other_columns_are_passed_over(spec):
    x = torch.from_numpy(np.random.default_rng(1).normal(size=(5, STEPS, 3)))
    both = made(f"{spec}{',' if ':' in spec else ':'}targets=2", outputs=8, columns=3)
    alone = made(spec, outputs=4)
    together = both(x).view(5, 4, 2)
    for i in range(2):
        torch.testing.assert_close(together[..., i], alone(x[..., i : i + 1]))


def test_taps_read_changes_and_give_the_level_back():
    torch.manual_seed(0)
    net = nets.choose("tdnn:taps=6,hidden=5").make((STEPS, 2), 3).double()
    x = torch.from_numpy(np.random.default_rng(2).normal(size=(4, STEPS, 2)))
    raised = x + torch.tensor([100.0, 0.0], dtype=torch.float64)
    torch.testing.assert_close(net(raised), net(x) + 100)
    again = x.clone()
    again[:, : STEPS - 6] = 0
    torch.testing.assert_close(net(again), net(x))


@pytest.mark.parametrize(("spec", "says"), [("holt-winters", "season of at least 2"), ("naive:period=99", "period=99"),
                                            ("moving-average:width=0", "width=0"), ("holt:damping=2", "damping above 0"),
                                            ("exponential:targets=2", "targets=2 of 1 columns"), ("tdnn:taps=99", "taps=99")])
def test_what_a_window_cannot_hold_is_refused(spec, says):
    with pytest.raises(InputError, match=says):
        made(spec)
