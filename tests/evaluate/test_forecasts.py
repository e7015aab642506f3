"""Measures of forecasts by hand, by scikit-learn, and by simulation; blocks by enumeration."""

import math

import numpy as np
import pytest
import torch
from sklearn.metrics import mean_absolute_error, root_mean_squared_error

from chainrule.core.errors import InputError
from chainrule.evaluate.blocks import block_means
from chainrule.evaluate.forecasts import forecast, half_widths, quick_forecast, scaled_errors
from chainrule.evaluate.significance import Cases, compare

N, HORIZON = 40, 3


def numbers(k: int = 1, seed: int = 0) -> tuple[torch.Tensor, torch.Tensor]:
    rng = np.random.default_rng(seed)
    y = torch.from_numpy(rng.normal(size=(N, HORIZON * k)))
    return y + torch.from_numpy(rng.normal(size=y.shape)), y


def test_measures_by_step_are_scikit_learns_and_the_published_formulas():
    p, y = numbers()
    result = forecast(p, y, (2.0,), widths=torch.tensor([1.0, 0.5, 0.0]))
    for step in range(HORIZON):
        a, b = p[:, step].numpy(), y[:, step].numpy()
        assert result.measures[f"mase[{step + 1}]"].value == pytest.approx(mean_absolute_error(b, a) / 2)
        assert result.measures[f"rmse[{step + 1}]"].value == pytest.approx(root_mean_squared_error(b, a))
        assert result.measures[f"smape[{step + 1}]"].value == pytest.approx(np.mean(2 * abs(a - b) / (abs(a) + abs(b))))
        assert result.measures[f"coverage[{step + 1}]"].value == pytest.approx(np.mean(abs(a - b) <= [1.0, 0.5, 0.0][step]))
    for name in ("mase", "smape", "coverage"):
        assert result.measures[name].value == pytest.approx(np.mean([result.measures[f"{name}[{s + 1}]"].value for s in range(HORIZON)]))
    assert result.measures["rmse"].value == pytest.approx(root_mean_squared_error(y.flatten(), p.flatten()))
    quick = quick_forecast(p, y, (2.0,))
    assert quick == {name: pytest.approx(result.measures[name].value) for name in quick}
    assert float(scaled_errors(p, y, (2.0,)).mean()) == pytest.approx(result.measures["mase"].value)


def test_several_targets_are_scaled_by_their_own_errors():
    p, y = numbers(2)
    units = torch.tensor([1.0, 100.0]).repeat(HORIZON)
    one, other = forecast(p, y, (0.5, 0.25)), forecast(p * units, y * units, (0.5, 25.0))
    assert other.measures["mase"].value == pytest.approx(one.measures["mase"].value)
    assert other.measures["mase[2]"].value == pytest.approx(one.measures["mase[2]"].value)
    by_hand = ((p - y).abs().view(N, HORIZON, 2) / torch.tensor([0.5, 0.25])).mean()
    assert one.measures["mase"].value == pytest.approx(float(by_hand))


def test_the_naive_forecast_of_a_walk_scores_its_own_error_at_one_step():
    walk = torch.from_numpy(np.random.default_rng(1).normal(size=500).cumsum())
    errors = (float(walk.diff().abs().mean()),)
    ahead = walk[1:].unfold(0, HORIZON, 1)
    naive = walk[: len(ahead), None].expand(-1, HORIZON)
    result = forecast(naive, ahead, errors)
    assert result.measures["mase[1]"].value == pytest.approx(1, abs=0.01)
    assert result.measures["mase[3]"].value == pytest.approx(math.sqrt(3), abs=0.15)


def test_half_widths_cover_what_they_say_on_new_cases():
    """Exchangeable residuals: at least 95 % and at most 1 / (n + 1) more, on average over many calibrations."""
    rng = np.random.default_rng(2)
    shares = []
    for _ in range(400):
        known, new = (torch.from_numpy(rng.standard_t(3, size=(60, 2))) for _ in range(2))
        widths = half_widths(known, torch.zeros_like(known))
        shares.append(float((new.abs() <= widths).double().mean()))
    assert 0.945 <= np.mean(shares) <= 0.95 + 1 / 61 + 0.005
    few = torch.tensor([[1.0], [3.0], [-2.0]])
    assert half_widths(few, torch.zeros(3, 1)).tolist() == [3.0]


def test_too_few_origins_have_no_interval_and_what_does_not_fit_is_refused():
    p, y = numbers()
    short = forecast(p[:5], y[:5], (1.0,))
    assert short.measures["mase"].low is None
    assert "fewer than two blocks of 3" in short.notes[0]
    assert forecast(p, y, (1.0,)).measures["mase"].low is not None
    with pytest.raises(InputError, match="one shape"):
        forecast(p[:, :2], y, (1.0,))
    with pytest.raises(InputError, match="Row 3 of the forecasts is not finite"):
        forecast(p.index_fill(0, torch.tensor([2]), math.nan), y, (1.0,))


def test_what_does_not_change_has_no_scaled_error():
    p, y = numbers()
    assert "mase" not in forecast(p, y, (0.0,)).measures


@pytest.mark.parametrize(("n", "size"), [(10, 3), (12, 3), (2, 5), (7, 1)])
def test_block_means_keep_the_mean(n, size):
    values = torch.from_numpy(np.random.default_rng(n).normal(size=n))
    blocks = block_means(values, size)
    assert len(blocks) == max(1, n // size)
    assert float(blocks.mean()) == pytest.approx(float(values.mean()))
    if n % size == 0:
        torch.testing.assert_close(blocks, values.view(-1, size).mean(1))


def test_neighbours_that_depend_on_one_another_are_no_more_evidence_than_their_block():
    """Costs that repeat ten times have the p of one of each, when blocks say so."""
    a, b = (torch.from_numpy(np.random.default_rng(s).normal(size=8)) + s for s in (0, 1))
    once = compare(["a", "b"], [Cases(torch.arange(8), "x", costs=c, measure="m") for c in (a, b)])
    tenfold = [Cases(torch.arange(80), "x", costs=c.repeat_interleave(10), measure="m", block=10) for c in (a, b)]
    assert compare(["a", "b"], tenfold).pairs[0].p == once.pairs[0].p
    assert "blocks of 10 neighbours" in compare(["a", "b"], tenfold).test
    loose = [Cases(c.rows, "x", costs=c.costs, measure="m") for c in tenfold]
    assert compare(["a", "b"], loose).pairs[0].p < once.pairs[0].p
