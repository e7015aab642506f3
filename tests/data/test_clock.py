"""Steps of stamps against pandas' date ranges: found, counted, gone on with."""

import numpy as np
import pandas as pd
import pytest
import torch

from chainrule.core.schema import as_type
from chainrule.data.clock import Clock

EPOCH = pd.Timestamp("1970-01-01")


def days(index) -> torch.Tensor:
    return torch.tensor([(one - EPOCH) / pd.Timedelta(days=1) for one in index], dtype=torch.float64)


CASES = [("2020-01-31", "ME", "month", 1, 12), ("2020-01-01", "MS", "month", 1, 12), ("2019-02-15", pd.DateOffset(months=3), "month", 3, 4),
         ("2020-02-29", "D", "day", 1, 7), ("2020-02-27", "W-SAT", "day", 7, 52), ("2020-01-01", "h", "day", 1 / 24, 24),
         ("2020-01-01", "15min", "day", 1 / 96, 96), ("2001-06-30", pd.DateOffset(years=1), "month", 12, 1)]


@pytest.mark.parametrize(("start", "step", "unit", "size", "season"), CASES)
def test_regular_stamps_are_known_counted_and_continued_as_pandas_does(start, step, unit, size, season):
    index = pd.date_range(start, periods=60, freq=step)
    stamps = days(index)
    clock = Clock.of("when", stamps[:40], True)
    assert (clock.unit, clock.season) == (unit, season)
    assert clock.step == pytest.approx(size)
    torch.testing.assert_close(clock.places(stamps).diff(), torch.ones(59, dtype=torch.float64), atol=1e-6, rtol=0)
    torch.testing.assert_close(clock.after(float(stamps[39]), 20), stamps[40:], atol=1e-6, rtol=0)
    torch.testing.assert_close(clock.between(float(stamps[0]), float(stamps[-1])), stamps, atol=1e-6, rtol=0)
    again = as_type(Clock, clock.to_json())
    assert again == clock


def test_the_most_frequent_distance_is_the_step_although_some_stamps_are_missing():
    index = pd.date_range("2020-01-01", periods=90, freq="D").delete([7, 8, 30])
    clock = Clock.of("day", days(index), True)
    assert (clock.unit, clock.step) == ("day", 1)
    apart = clock.places(days(index)).diff()
    assert apart[[6, 27]].tolist() == [3.0, 2.0]
    months = pd.date_range("2020-01-01", periods=30, freq="MS").delete([5])
    assert Clock.of("month", days(months), True).step == 1


def test_numbers_have_steps_too():
    years = torch.arange(1700.0, 1760.0, dtype=torch.float64)
    clock = Clock.of("year", years, False)
    assert (clock.unit, clock.step, clock.season, clock.parts(years)) == ("number", 1, 1, ())
    assert clock.after(1759.0, 3).tolist() == [1760, 1761, 1762]
    assert clock.word(1760.0) == "1760"


@pytest.mark.parametrize(("step", "count", "parts"), [("D", 800, ("month", "weekday")), ("h", 100, ("hour",)), ("MS", 30, ("month",)),
                                                      ("MS", 20, ()), ("h", 24 * 20, ("weekday", "hour"))])
def test_only_turns_that_come_back_are_read(step, count, parts):
    stamps = days(pd.date_range("2020-01-01", periods=count, freq=step))
    assert Clock.of("when", stamps, True).parts(stamps) == parts


def test_a_stamp_is_written_as_a_date():
    assert Clock.of("when", torch.arange(5.0, dtype=torch.float64), True).word(18321.5) == str(np.datetime64("2020-02-29T12:00:00"))
