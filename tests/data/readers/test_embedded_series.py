"""The carried series are statsmodels', gaps filled as pandas fills them; other horizons and lags can be asked for."""

import numpy as np
import statsmodels.api as sm

import chainrule as cr
from chainrule.data.prepare import prepare
from chainrule.data.reading import Reading


def test_sunspots_are_statsmodels():
    source = cr.load("sunspots")
    theirs = sm.datasets.sunspots.load_pandas().data
    np.testing.assert_allclose(source.inputs.values[:, 0], theirs["SUNACTIVITY"])
    np.testing.assert_allclose(source.inputs.stamps, theirs["YEAR"])
    assert (source.inputs.form.horizon, source.inputs.form.lags) == (12, 24)
    other = cr.load("sunspots", reading=Reading(horizon=3, lags=9))
    assert prepare(other).train.x.shape[1:] == (9, 1)
    assert other.targets.shape[1] == 3


def test_carbon_dioxide_is_statsmodels_with_its_gaps_filled_in_lines():
    source = cr.load("co2")
    theirs = sm.datasets.co2.load_pandas().data["co2"]
    assert theirs.isna().sum() == 59
    np.testing.assert_allclose(source.inputs.values[:, 0], theirs.interpolate("linear"))
    form = source.inputs.form
    assert (form.lags, form.clock.season, form.parts) == (104, 52, ("month",))
    assert any("59 of 2,284 steps" in note for note in source.notes)
