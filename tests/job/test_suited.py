"""What follows from the rows where a net's units are left open, and the range of inputs that units ask for."""

import numpy as np
import pandas as pd
import pytest
import torch

import chainrule as cr
from chainrule.core.errors import InputError
from chainrule.core.registry import nets, rules
from chainrule.data.encode.decoding import unscaled
from chainrule.job.build import build
from chainrule.job.options import Options
from chainrule.job.suited import check_range, kind_of, range_of

QUICK = {"epochs": 1, "plan": "eager", "threads": 1}


def words(n: int = 60) -> pd.DataFrame:
    return pd.DataFrame({"colour": np.resize(["red", "green", "blue"], n), "size": np.resize(["large", "small", "large", "tiny"], n),
                         "sold": np.resize([True, False, True], n)})


def job(data, net: str = "rbm:hidden=4", target=None, **options):
    return build(cr.load(data, target=target), Options(net=net, **QUICK, **options))


def test_units_follow_from_what_the_rows_are_and_are_told():
    rng = np.random.default_rng(0)
    for data, units in (("digits", "binary"), ("iris", "gaussian"), (rng.normal(size=(40, 3)), "gaussian"),
                        (rng.random((40, 1, 4, 4)), "binary"), (words(), "multinomial"),
                        (words()[["sold"]].assign(new=words().sold), "binary")):
        made = job(data, target="none" if isinstance(data, pd.DataFrame) else None)
        assert made.net.module.units == units
        assert (f"units {units}" in made.choices) == (units != "binary")


def test_what_the_user_says_stays():
    made = job("iris", "rbm:hidden=4,units=binary")
    assert made.net.module.units == "binary"
    assert made.net_name == "rbm:hidden=4,units=binary"
    assert not [choice for choice in made.choices if choice.startswith("units")]
    assert job("digits").net_name == "rbm:hidden=4"


def test_each_kind_of_units_reads_its_range():
    binary, gaussian = (job("iris", f"rbm:hidden=4,units={units}").data for units in ("binary", "gaussian"))
    x = binary.ready(binary.train.x)
    assert (float(x.min()), float(x.max())) == (0, 1)
    y = gaussian.ready(gaussian.train.x)
    torch.testing.assert_close(y.mean(0), torch.zeros(4), rtol=0, atol=1e-5)
    torch.testing.assert_close(y.std(0, correction=0), torch.ones(4), rtol=0, atol=1e-4)


def test_gaussian_units_read_pictures_of_mean_0_and_deviation_1_in_each_channel():
    pictures = (np.random.default_rng(0).random((50, 3, 6, 6)) * [[[[250.0]], [[60.0]], [[9.0]]]]).astype(np.uint8)
    data = job(pictures, "rbm:hidden=4,units=gaussian").data
    x = data.ready(data.train.x)
    assert x.shape[1:] == (108,)
    planes = x.view(-1, 3, 36).movedim(1, 0).flatten(1)
    torch.testing.assert_close(planes.mean(1), torch.zeros(3), rtol=0, atol=1e-4)
    torch.testing.assert_close(planes.std(1, correction=0), torch.ones(3), rtol=0, atol=1e-4)
    raw = torch.from_numpy(pictures)[data.train.rows]
    torch.testing.assert_close(unscaled(data.encoder.inputs, x.double()), raw.double(), rtol=0, atol=1e-3)


def test_test_rows_change_nothing():
    """The leak test: pixels of other parts changed at will, the scale stays."""
    pictures = (np.random.default_rng(0).random((60, 1, 5, 5)) * 255).astype(np.uint8)
    first = job(pictures, "rbm:hidden=4,units=gaussian").data
    changed = pictures.copy()
    changed[torch.cat([first.door.rows, first.valid.rows]).numpy()] //= 3
    second = job(changed, "rbm:hidden=4,units=gaussian").data
    assert torch.equal(first.encoder.inputs.scale, second.encoder.inputs.scale)


def test_groups_are_those_of_the_columns():
    made = job(words(), target="none")
    assert made.net_name == "rbm:hidden=4,units=multinomial,groups=3x3x1"
    drawn = made.trained.sample(cr.core.sampling.Request(5, steps=3)).columns
    assert set(drawn["colour"]) <= {"red", "green", "blue"}
    assert set(drawn["size"]) <= {"large", "small", "tiny"}
    assert set(drawn["sold"]) <= {True, False}


def test_the_usual_rate_is_a_small_one_where_nothing_bounds_the_units():
    assert "optimizer sgd:rate=0.005,momentum=0.9" in job("iris").choices
    assert "optimizer sgd:rate=0.1,momentum=0.5" in job("digits").choices
    assert job("iris", optimizer="sgd:rate=0.01").options.optimizer == "sgd:rate=0.01"


def test_rows_read_for_another_net_are_refused_by_binary_units():
    source = job("iris", "rbm:hidden=4,units=gaussian")
    with pytest.raises(InputError, match=r"from 0 to 1; the rows of iris go from -[\d.]+ to [\d.]+ .* units=gaussian"):
        check_range(nets.choose("rbm"), rules.choose("divergence"), source.data)
    check_range(nets.choose("rbm"), rules.choose("divergence"), job("digits").data)


def test_the_range_is_the_rules_where_the_net_has_none():
    assert range_of(None, rules.choose("winner-take-all")) == "unit"
    assert range_of(nets.choose("mlp"), rules.choose("backprop")) == "standard"
    assert range_of(nets.choose("rbm:units=gaussian"), rules.choose("divergence")) == "standardised"


def test_kinds_are_told_by_types():
    assert kind_of(cr.load("digits")) == "pictures"
    assert kind_of(cr.load("iris")) == "numbers"
    assert kind_of(cr.load(words(), target="none")) == "categories"
