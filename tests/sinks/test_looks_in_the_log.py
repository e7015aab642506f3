"""The log holds few looks however many there were, evenly spread, and never the half of anything."""

import json

import pytest

from chainrule.core.events import Looked, Progressed, Warned
from chainrule.core.looking import BEGINNING
from chainrule.sinks.runlog import MOST_LOOKS, RunLog, read

LAYERS = 50
LOOK = {"layers": [f"blocks.{i}.convolution" for i in range(LAYERS)], "kinds": ["Conv2d + BatchNorm2d + ReLU"] * LAYERS,
        **{name: [0.0123456] * LAYERS for name in ("activation_mean", "activation_sd", "zero", "dead", "saturated", "gradient",
                                                   "weight_gradient", "weight", "update", "spectrum", "drift")},
        "histograms": {name: [[88] * 32] * LAYERS for name in ("activation", "gradient", "weight_gradient", "update")},
        "loss": 2.30259, "evaluated_loss": 2.30259, "norm": 1.2345}
UNITS = {f"blocks.{i}.convolution": [[-0.0123] * 64] * 16 for i in range(16)}


def looked(at, step, number):
    return Looked(at, 0.0, step, {**LOOK, **({"units": UNITS} if number % 8 == 0 else {})}, number)


def small(number, step=None):
    units = {"units": {"a": [[1.0]]}} if number % 8 == 0 else {}
    return Looked(number, 0.0, number if step is None else step, {"loss": 1.0, **units}, number)


def numbers(path):
    return [e.number for e in read(path) if isinstance(e, Looked) and e.step not in BEGINNING]


@pytest.mark.parametrize("many", [100, 300, 1000, 5000])
def test_at_256_looks_every_second_goes(tmp_path, many):
    path = tmp_path / "log.jsonl"
    with RunLog(path) as log:
        for number in range(many):
            log(small(number))
            if number % 100 == 0:
                log(Warned(number, 0.0, f"beside {number}"))
    kept = numbers(path)
    assert len(kept) <= MOST_LOOKS
    assert many < 2 * MOST_LOOKS or len(kept) >= MOST_LOOKS / 2 - len(BEGINNING)
    stride = kept[-1] - kept[-2]
    assert stride & (stride - 1) == 0
    assert kept == [n for n in range(many) if n not in BEGINNING and n % stride == 0]
    assert [e.step for e in read(path) if isinstance(e, Looked) and e.step in BEGINNING] == [s for s in BEGINNING if s < many]
    assert [e.message for e in read(path) if isinstance(e, Warned)] == [f"beside {n}" for n in range(0, many, 100)]
    lines = [json.loads(line) for line in path.read_text().splitlines()]
    assert sum("units" in line["looks"] for line in lines if line["event"] == "looked") <= len(kept) / 8 + len(BEGINNING)


def test_a_log_that_is_opened_again_goes_on_at_its_pace(tmp_path):
    whole, halves = tmp_path / "whole.jsonl", tmp_path / "halves.jsonl"
    with RunLog(whole) as log:
        for number in range(1500):
            log(small(number))
    for begin, end in ((0, 700), (700, 1500)):
        with RunLog.resume(halves, keep_before=begin) as log:
            for number in range(begin, end):
                log(small(number))
    assert numbers(halves) == numbers(whole)


def test_a_hundred_thousand_steps_of_fifty_layers_fit_into_twenty_megabytes(tmp_path):
    """Looked at each hundred steps, and told of ten times a second for a hundredth of a second a step."""
    path = tmp_path / "log.jsonl"
    with RunLog(path) as log:
        for number in range(1000):
            log(looked(11 * number, 100 * number, number))
            for k in range(10):
                log(Progressed(11 * number + k, 1.0, 3, 100 * number + 10 * k, 100_000, 0.123456789, 99.87654321, 1234.56789))
    assert path.stat().st_size <= 20 * 10**6
    assert len(numbers(path)) >= 100
