"""Events: every kind goes through one line of JSON and comes back; what is torn or foreign does not."""

import dataclasses
import json
import typing

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from chainrule.core.events import KINDS, Event, Finished, Progressed, Warned, from_json

TEXT = st.text(max_size=20)
NUMBERS = st.integers(-10**9, 10**9)
FLOATS = st.floats(allow_nan=False, allow_infinity=False)
VALUES = {int: NUMBERS, float: FLOATS, str: TEXT, bool: st.booleans(), int | None: NUMBERS | st.none(), float | None: FLOATS | st.none(),
          dict[str, float]: st.dictionaries(TEXT, FLOATS, max_size=3), dict[str, str]: st.dictionaries(TEXT, TEXT, max_size=3),
          dict[str, typing.Any]: st.dictionaries(TEXT, NUMBERS | TEXT, max_size=3),
          list[dict[str, typing.Any]]: st.lists(st.dictionaries(TEXT, NUMBERS | TEXT, max_size=2), max_size=2),
          list[dict[str, str]]: st.lists(st.dictionaries(TEXT, TEXT, max_size=2), max_size=2),
          list[str]: st.lists(TEXT, max_size=2), list[int]: st.lists(NUMBERS, max_size=3),
          list[list[int]]: st.lists(st.lists(NUMBERS, max_size=3), max_size=3),
          list[list[float]]: st.lists(st.lists(NUMBERS, max_size=3), max_size=3)}


def events():
    kinds = []
    for kind in KINDS.values():
        hints = typing.get_type_hints(kind)
        kinds.append(st.builds(kind, **{f.name: VALUES[hints[f.name]] for f in dataclasses.fields(kind)}))
    return st.one_of(kinds)


@settings(max_examples=150, deadline=None)
@given(events())
def test_a_line_of_json_holds_the_event(event):
    line = event.to_json()
    assert "\n" not in line
    json.loads(line, parse_constant=pytest.fail)  # NaN and Infinity are no JSON
    assert from_json(line) == event


def test_every_kind_of_event_is_known_by_its_name():
    def below(kind):
        return {kind, *(k for sub in kind.__subclasses__() for k in below(sub))}

    assert set(KINDS.values()) == below(Event) - {Event}


def test_numbers_that_are_not_finite_become_words():
    event = Finished(at=1, seconds=2.0, reason="diverged", epochs=1, steps=2, best_epoch=0, best={"loss": float("nan")},
                     timing={"x": float("inf")})
    record = json.loads(event.to_json())
    assert record["best"] == {"loss": "nan"}
    assert record["timing"] == {"x": "inf"}


def test_what_a_later_version_adds_is_passed_over():
    line = json.dumps({**json.loads(Warned(at=1, seconds=0.0, message="m").to_json()), "colour": "red"})
    assert from_json(line) == Warned(at=1, seconds=0.0, message="m")


@pytest.mark.parametrize("line", ["", "{", "[]", '{"event": "exploded", "at": 1}', '{"at": 1}', '{"event": "warned", "at": 1}'])
def test_what_is_no_event_is_refused(line):
    with pytest.raises((ValueError, TypeError, AttributeError)):
        from_json(line)


def test_a_torn_line_is_never_taken_for_whole():
    line = Progressed(at=3, seconds=1.5, epoch=1, step=20, steps=None, loss=0.25, steps_per_second=10.0, remaining=None).to_json()
    for length in range(len(line)):
        with pytest.raises(ValueError):
            from_json(line[:length])


def test_events_cannot_be_changed():
    with pytest.raises(dataclasses.FrozenInstanceError):
        Warned(at=1, seconds=0.0, message="m").message = "n"
