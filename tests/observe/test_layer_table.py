import dataclasses
import math

import pytest
from torch import nn

from chainrule.core.registry import nets
from chainrule.observe.layer_table import collapsed, layer_table
from chainrule.observe.layers import Layer, layers


def rows_of(spec, shape=(3, 32, 32)):
    return layers(nets.choose(spec).make(shape, 10), shape)


def row(name, parameters=6, output=(3,)):
    return Layer(name, "Linear", (2,), output, parameters, 6, 8)


def shown(*rows):
    return [(r.layer.name, r.times) for r in collapsed(rows)]


def test_the_table_lines_up_and_sums_up():
    lines = layer_table([row("a", 30), row("b", 10, None)]).splitlines()
    assert lines[0].split() == ["layer", "kind", "input", "output", "parameters", "share", "%", "multiply-adds"]
    assert lines[2].split() == ["a", "Linear", "2", "3", "30", "75.0", "6"]
    assert lines[3].split() == ["b", "Linear", "2", "-", "10", "25.0", "6"]
    assert lines[-1].split() == ["total", "40", "100.0", "12"]
    assert {len(line) for line in lines} == {len(lines[0])}
    assert layer_table([row("a", 0)]).splitlines()[-1].split() == ["total", "0", "0.0", "6"]


@pytest.mark.parametrize("depth", [20, 56])
def test_a_residual_net_is_three_blocks_and_three_that_widen(depth):
    """By hand: n = (depth - 2) / 6 blocks a stage, of which the first of the later stages is another one, as it halves the maps."""
    n = (depth - 2) // 6
    rows = rows_of(f"resnet:depth={depth}")
    blocks = [r for r in collapsed(rows) if r.layer.name.endswith("convolutions.0")]
    assert [(r.layer.name, r.times) for r in blocks] == [
        (f"stages.0.0-{n - 1}.convolutions.0", n), ("stages.1.0.convolutions.0", 1), (f"stages.1.1-{n - 1}.convolutions.0", n - 1),
        ("stages.2.0.convolutions.0", 1), (f"stages.2.1-{n - 1}.convolutions.0", n - 1)]
    assert sum(r.times * r.layer.parameters for r in collapsed(rows)) == sum(r.parameters for r in rows)
    assert sum(r.times * r.layer.multiply_adds for r in collapsed(rows)) == sum(r.multiply_adds for r in rows)
    text, full = layer_table(rows), layer_table(rows, full=True)
    assert f"x {n}" in text
    assert len(full.splitlines()) == len(rows) + 4
    assert full.splitlines()[-1].split() == text.splitlines()[-1].split()


def test_blocks_that_differ_in_anything_stand_apart():
    """Layers that each read more than the one before, of a dense net, and rows that differ in a single field."""
    assert all(r.times == 1 for r in collapsed(rows_of("densenet:depth=10,growth=4")) if "layers" in r.layer.name)
    first = row("m.0.a")
    for name, value in {"kind": "Conv2d", "input": (9,), "output": (9,), "parameters": 9, "multiply_adds": 9}.items():
        assert shown(first, dataclasses.replace(first, name="m.1.a", **{name: value})) == [("m.0.a", 1), ("m.1.a", 1)]
    assert shown(first, dataclasses.replace(first, name="m.1.a", memory=99)) == [("m.0-1.a", 2)]


def test_blocks_in_blocks_are_multiplied():
    rows = [row(f"m.{i}.{j}.{k}") for i in range(2) for j in range(3) for k in ("a", "b")]
    assert shown(*rows) == [("m.0-1.0-2.a", 6), ("m.0-1.0-2.b", 6)]


def test_only_parts_of_one_module_that_follow_one_another_stand_together():
    assert shown(row("m.0.a"), row("n.1.a")) == [("m.0.a", 1), ("n.1.a", 1)]
    assert shown(row("m.0.a"), row("m.1.b")) == [("m.0.a", 1), ("m.1.b", 1)]
    assert shown(row("m.0"), row("m.0.a"), row("m.1.a")) == [("m.0", 1), ("m.0.a", 1), ("m.1.a", 1)]
    assert shown(row("left"), row("right")) == [("left", 1), ("right", 1)]
    assert shown(row("a1"), row("a2", 7), row("a3", 7)) == [("a1", 1), ("a2-3", 2)]


def test_a_users_own_module_is_shown_as_every_other():
    module = nn.Sequential(nn.Linear(5, 4), *(nn.Sequential(nn.Linear(4, 4), nn.ReLU()) for _ in range(4)))
    rows = layers(module, (5,))
    assert [(r.layer.name, r.times) for r in collapsed(rows)] == [("0", 1), ("1-4.0", 4), ("1-4.1", 4)]
    assert math.isclose(sum(r.times * r.layer.parameters for r in collapsed(rows)), 24 + 4 * 20)
