"""What looks say of layers: the table, one scale, words that are the numbers, characters that are the levels."""

import math

import pytest

from chainrule.core.errors import InputError
from chainrule.core.events import Looked, from_json
from chainrule.core.flow import BLOCKS, READINGS, flow_of, line, lines, scale_of, sentence, share, sparkline, written


def looked(step, layers, **rows):
    return Looked(step, 0.0, step, {"layers": list(layers), **rows})


def vanishing(layers=8, steps=(0, 1, 2, 5, 10, 100), fall=1.2, last=1e-2):
    """A net whose gradient loses so many powers of ten a layer on its way down, the same at every look."""
    names = [f"layers.{i}" for i in range(layers)]
    row = [last * 10 ** (-fall * (layers - 1 - i)) for i in range(layers)]
    return [looked(step, names, gradient=row, update=[1e-3] * layers, dead=[0.0] * layers) for step in steps]


def test_the_table_has_a_row_a_layer_and_a_column_a_look():
    flow = flow_of(reversed(vanishing(layers=3, fall=2.0)))
    assert flow.layers == ("layers.0", "layers.1", "layers.2")
    assert flow.steps == (0, 1, 2, 5, 10, 100)                               # in order, whatever the order of the log
    assert flow.at() == pytest.approx([1e-6, 1e-4, 1e-2])
    assert flow_of([]) is None
    assert flow_of([looked(0, ["a"], gradient=[None])]) is None


def test_layers_of_stages_are_put_where_they_belong():
    flow = flow_of([looked(0, ["a", "c"], gradient=[1.0, 3.0]), looked(1, ["a", "b", "c", "d"], gradient=[1.0, 2.0, 3.0, 4.0])])
    assert flow.layers == ("a", "b", "c", "d")
    assert flow.values[1] == (None, 2.0)
    assert flow.values[3] == (None, 4.0)


def test_words_of_a_log_are_numbers_again():
    event = looked(3, ["a", "b"], gradient=[float("nan"), float("inf")])
    flow = flow_of([from_json(event.to_json())])
    assert math.isnan(flow.at()[0])
    assert flow.at()[1] == math.inf


def test_one_scale_holds_all_and_is_never_narrower():
    gentle, steep = flow_of(vanishing(fall=0.1)), flow_of(vanishing(layers=12, fall=1.5))
    assert scale_of([gentle]) == (-9, 3)
    assert scale_of([gentle, steep]) == (-19, 3)                             # 1e-2 * 10^-16.5 is below 1e-18
    assert scale_of([flow_of(vanishing(last=1e7))]) == (-9, 7)
    assert scale_of([flow_of(vanishing(), "dead")]) == (0, 1)
    assert share(1e-3, (-9, 3)) == pytest.approx(0.5)
    assert [share(v, (-9, 3)) for v in (0.0, None, math.nan)] == [None] * 3


def test_a_sparkline_has_the_level_of_each_value():
    """Second derivation: the block of a power of ten p on 12 powers is that of floor(8 (p + 9) / 12)."""
    drawn = sparkline([10.0**p for p in range(-9, 4)], (-9, 3))
    assert drawn == "".join(BLOCKS[min(math.floor(8 * (p + 9) / 12), 7)] for p in range(-9, 4))
    assert sparkline([1.0] * 100, (-9, 3), width=10) == BLOCKS[6] * 10
    assert len(sparkline([1.0] * 3, (-9, 3), width=10)) == 3
    assert sparkline([1e-9, 1.0], (-9, 3), blocks=".:#") == ".#"


def test_lines_have_the_output_on_top_and_the_last_value():
    text = lines(flow_of(vanishing(layers=3, fall=2.0)))
    assert [one.split()[0] for one in text] == ["layers.2", "layers.1", "layers.0"]
    assert [one.split()[-1] for one in text] == ["0.01", "1.0e-04", "1.0e-06"]
    assert len({one.rindex("  ") for one in text}) == 1
    assert max(map(len, lines(flow_of(vanishing(layers=3)), width=20))) <= 80


def test_one_line_names_both_ends():
    assert line(flow_of(vanishing(layers=2, fall=2.0))) == f"gradient {BLOCKS[3]}{BLOCKS[4]} 1.0e-04 at layers.0 to 0.01 at layers.1"


@pytest.mark.parametrize(("events", "reading", "words"), [
    (vanishing(), "gradient", "falls from 0.01 at layers.7 to 4.0e-11 at layers.0, 10^8.4 times less, on its way down."),
    (vanishing(fall=-1.0, last=1.0), "gradient", "grows from 1.0 at layers.7 to 1.0e+07 at layers.0, 10^7.0 times more, on its way down."),
    (vanishing(fall=0.05), "gradient", "is alike at every layer"),
    (vanishing(), "update", "the update over weights is alike at every layer"),
    (vanishing(), "dead", "no layer has a dead unit"),
    ([looked(4, ["a", "b"], dead=[0.25, 0.5])], "dead", "50 % of the units of b are dead, the most of any layer; 2 of 2 layers have some."),
    ([looked(4, ["a", "b"], gradient=[0.0, 0.0])], "gradient", "exactly zero at every layer"),
    ([looked(4, ["a", "b", "c"], gradient=[0.0, 1.0, 1.0])], "gradient", "It is exactly zero at a."),
    ([looked(4, ["a", "b"], gradient=[1.0, 1.0]), looked(9, ["a", "b"], gradient=[1.0, float("nan")])], "gradient",
     "The gradient is not finite from step 9 on, first at b."),
    ([looked(4, ["a", "b", "c", "d"], gradient=[1e-8, 1e-7, 1e-1, 1e-1])], "gradient", "most of it between c and b."),
    ([looked(4, ["a"], gradient=[0.5])], "gradient", "is 0.5 at a, the only layer that was read."),
])
def test_the_sentence_is_the_numbers(events, reading, words):
    assert words in sentence(flow_of(events, reading))


def test_a_thinned_table_keeps_its_ends():
    flow = flow_of(vanishing(steps=range(1000))).thinned(100)
    assert (flow.steps[0], flow.steps[-1]) == (0, 999)
    assert len(flow.steps) == 100
    assert all(len(row) == 100 for row in flow.values)


def test_readings_are_called_by_name():
    with pytest.raises(InputError, match="gradient"):
        flow_of([], "gradiant")
    assert written(None) == "not read"
    assert written(math.inf) == "not finite"
    assert written(12345.0) == "1.2e+04"
    assert set(READINGS) == {"gradient", "update", "activation-sd", "dead"}
