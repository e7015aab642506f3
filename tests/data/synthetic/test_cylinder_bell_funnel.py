"""Made-up series: what happens in them by its formula, and nothing by chance."""

import pytest
import torch

import chainrule as cr
from chainrule.core.errors import InputError


def test_the_events_have_the_means_that_their_formulas_have():
    """At a share s of an event of level 6: 6, 6 s and 6 (1 - s). Seen over many rows from a + 2 = 34 to b - 2 at the least, 46."""
    data = cr.load("cylinder-bell-funnel:train=3000,test=3")
    x, classes = data.inputs[:3000].double(), data.targets[:3000]
    before, certain = x[:, :14], x[:, 33:46]
    assert abs(float(before.mean())) < 4 / before.numel() ** 0.5
    assert float(before.std()) == pytest.approx(1, abs=0.02)
    mean = {name: float(certain[classes == i].mean()) for i, name in enumerate(data.classes)}
    assert mean["cylinder"] == pytest.approx(6, abs=0.15)
    assert mean["bell"] + mean["funnel"] == pytest.approx(6, abs=0.3)
    rise = {name: float((certain[classes == i][:, -1] - certain[classes == i][:, 0]).mean()) for i, name in enumerate(data.classes)}
    assert rise["bell"] > 0.5
    assert rise["funnel"] < -0.5
    assert abs(rise["cylinder"]) < 0.2


def test_rows_are_functions_of_seed_and_number_and_the_rest_tests():
    few, more = cr.load("cylinder-bell-funnel:train=6,test=9"), cr.load("cylinder-bell-funnel:train=12,test=9")
    assert torch.equal(few.inputs, more.inputs[:15])
    assert few.parts["test"].tolist() == list(range(6, 15))
    assert not torch.equal(few.inputs, cr.load("cylinder-bell-funnel:train=6,test=9,seed=1").inputs)
    assert torch.bincount(few.targets).tolist() == [5, 5, 5]


def test_too_few_rows_for_the_classes_are_refused():
    with pytest.raises(InputError, match="at least 3 rows"):
        cr.load("cylinder-bell-funnel:train=2")


def test_a_net_of_series_trains_on_them(tmp_path):
    run = cr.train("cylinder-bell-funnel:train=12,test=6", net="resnet1d:filters=2", epochs=1, batch=6, plan="eager", progress=False,
                   out=tmp_path / "s")
    assert run.test().n == 6
