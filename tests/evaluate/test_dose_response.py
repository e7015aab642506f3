"""Standard errors against statsmodels and against simulation's twin, the information by autograd; doses by a published example."""

import math

import pytest
import torch

from chainrule.core.errors import InputError
from chainrule.evaluate.dose_response import coefficients, effective_dose, logistic_covariance

# Bliss (1935): log10 dose, exposed, killed; slope, intercept and their errors as in Dobson (2002), tables 7.2 and 7.3
LOG_DOSE = (1.6907, 1.7242, 1.7552, 1.7842, 1.8113, 1.8369, 1.8610, 1.8839)
EXPOSED = (59, 60, 62, 56, 63, 59, 62, 60)
KILLED = (6, 13, 18, 28, 52, 53, 61, 60)


def fitted(x, y, weight=None, steps=30):
    design = torch.cat([x, torch.ones(len(x), 1, dtype=torch.double)], 1)
    w = torch.zeros(design.shape[1], dtype=torch.double)
    weight = torch.ones(len(x), dtype=torch.double) if weight is None else weight
    for _ in range(steps):
        p = torch.sigmoid(design @ w)
        w = w + torch.linalg.solve(design.T @ (design * (weight * p * (1 - p))[:, None]), design.T @ (weight * (y - p)))
    return w[:-1], w[-1]


def test_coefficients_are_statsmodels():
    sm = pytest.importorskip("statsmodels.api")
    torch.manual_seed(0)
    x = torch.randn(150, 3, dtype=torch.double)
    y = (torch.rand(150) < torch.sigmoid(x @ torch.tensor([1.0, -0.5, 0.0], dtype=torch.double))).double()
    slopes, intercept = fitted(x, y)
    theirs = sm.Logit(y.numpy(), sm.add_constant(x.numpy(), prepend=False)).fit(disp=0)
    ours = coefficients(x, slopes, intercept, ["a", "b", "c"], level=0.9)
    assert [c.name for c in ours] == ["a", "b", "c", "intercept"]
    for i, (low, high) in enumerate(theirs.conf_int(alpha=0.1)):
        assert ours[i].value == pytest.approx(theirs.params[i], rel=1e-6)
        assert ours[i].error == pytest.approx(theirs.bse[i], rel=1e-6)
        assert ours[i].p == pytest.approx(theirs.pvalues[i], rel=1e-5)
        assert (ours[i].interval.low, ours[i].interval.high) == pytest.approx((low, high), rel=1e-5)


def test_the_covariance_is_the_inverse_of_the_losss_second_derivative():
    torch.manual_seed(1)
    x, weight = torch.randn(20, 2, dtype=torch.double), torch.rand(20, dtype=torch.double)
    w = torch.tensor([0.5, -1.0, 0.3], dtype=torch.double)
    y = (torch.rand(20) < 0.5).double()

    def loss(w):
        return torch.nn.functional.binary_cross_entropy_with_logits(x @ w[:2] + w[2], y, weight=weight, reduction="sum")

    expected = torch.linalg.inv(torch.func.hessian(loss)(w))
    torch.testing.assert_close(logistic_covariance(x, w[:2], w[2], weight), expected)


def test_the_beetles_of_bliss():
    dose = torch.tensor(LOG_DOSE, dtype=torch.double)
    killed, exposed = torch.tensor(KILLED, dtype=torch.double), torch.tensor(EXPOSED, dtype=torch.double)
    x = dose.repeat(2)[:, None]
    y = torch.arange(2).flip(0).repeat_interleave(8).double()
    weight = torch.cat([killed, exposed - killed])
    slopes, intercept = fitted(x, y, weight)
    table = coefficients(x, slopes, intercept, ["log10 dose"], weight=weight)
    assert (table[0].value, table[0].error) == pytest.approx((34.27, 2.91), abs=0.01)
    assert (table[1].value, table[1].error) == pytest.approx((-60.72, 5.18), abs=0.01)
    half = effective_dose(table[0].value, table[1].value, logistic_covariance(x, slopes, intercept, weight))
    assert half.value == pytest.approx(60.717 / 34.270, abs=1e-4)
    assert half.error == pytest.approx(0.00386, abs=2e-5)  # what MASS::dose.p prints for this fit
    assert half.interval.low < half.value < half.interval.high
    most = effective_dose(table[0].value, table[1].value, logistic_covariance(x, slopes, intercept, weight), share=0.9)
    assert 1 / (1 + math.exp(-(table[0].value * most.value + table[1].value))) == pytest.approx(0.9)
    assert most.error > half.error


@pytest.mark.parametrize("share", [0.2, 0.5, 0.9])
def test_the_delta_method_is_the_gradient_of_the_dose(share):
    covariance = torch.tensor([[0.3, -0.1], [-0.1, 0.2]], dtype=torch.double)

    def dose(p):
        return (math.log(share / (1 - share)) - p[1]) / p[0]

    tilt = torch.func.grad(dose)(torch.tensor([1.7, -0.4], dtype=torch.double))
    assert effective_dose(1.7, -0.4, covariance, share=share).error == pytest.approx(float(tilt @ covariance @ tilt) ** 0.5)


def test_an_interval_of_the_dose_covers_as_often_as_it_says():
    torch.manual_seed(0)
    x, covered = torch.linspace(-3, 3, 120, dtype=torch.double)[:, None], 0
    for _ in range(200):
        y = (torch.rand(120) < torch.sigmoid(1.5 * x[:, 0] - 0.75)).double()
        slopes, intercept = fitted(x, y, steps=12)
        found = effective_dose(float(slopes), float(intercept), logistic_covariance(x, slopes, intercept), level=0.9)
        covered += found.interval.low <= 0.5 <= found.interval.high
    assert 165 <= covered <= 194  # 180 expected, standard deviation 4.2


def test_what_has_no_answer_is_refused():
    x = torch.tensor([[0.0], [1.0]], dtype=torch.double)
    with pytest.raises(InputError, match="their information is singular"):
        logistic_covariance(x, torch.tensor([500.0]), -250.0)
    with pytest.raises(InputError, match="their information is singular"):
        logistic_covariance(torch.cat([x, x], 1), torch.tensor([1.0, 1.0]), 0.0)
    with pytest.raises(InputError, match="a share between 0 and 1 and a slope that is not 0; got share=1, slope=2"):
        effective_dose(2, 1, torch.eye(2), share=1)
    with pytest.raises(InputError, match="a name for each of 1 inputs; got 2"):
        coefficients(x, torch.tensor([1.0]), 0.0, ["a", "b"])
