"""A value of JSON is the type that a dataclass names, or is refused by its key, what was expected and what came."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Annotated, Any, Literal

import pytest

from chainrule.core.errors import CorruptFile
from chainrule.core.schema import Count, Misfit, Within, as_type, conform, intelligible


@dataclass(frozen=True)
class Inner:
    name: str
    share: float = 0.5


@dataclass(frozen=True)
class Whole:
    n: Count
    how: Literal["one", "two"]
    inner: Inner
    several: tuple[Inner, ...] = ()
    pair: tuple[int, float] = (0, 0.0)
    maybe: str | int | None = None
    by: dict[str, list[bool]] = field(default_factory=dict)
    any: Any = None
    from_: str = ""
    more: Annotated[tuple[str, ...], Within(1)] = ("x",)
    again: Whole | None = None


GOOD = {"n": 3, "how": "one", "inner": {"name": "a"}}


def test_lists_become_tuples_objects_dataclasses_and_what_nobody_names_is_passed_over():
    stored = {**GOOD, "several": [{"name": "b", "share": 1}], "pair": [1, 2], "maybe": 7, "by": {"k": [True]}, "any": {"x": [1]},
              "from": "there", "strange": 1, "again": GOOD}
    assert as_type(Whole, stored) == Whole(3, "one", Inner("a"), (Inner("b", 1.0),), (1, 2.0), 7, {"k": [True]}, {"x": [1]}, "there",
                                           again=Whole(3, "one", Inner("a")))
    assert str(as_type(Inner, {"name": "a", "share": "nan"}).share) == "nan"


@pytest.mark.parametrize(("changed", "sentence"), [
    ({"n": -1}, "n expects a whole number, at least 0; got -1"),
    ({"n": 2.0}, "n expects a whole number; got 2.0"),
    ({"n": True}, "n expects a whole number; got True"),
    ({"n": "3"}, "n expects a whole number; got the text '3'"),
    ({"how": "three"}, "how expects one of 'one', 'two'; got the text 'three'"),
    ({"inner": []}, "inner expects an object with name; got []"),
    ({"inner": {}}, "inner.name expects text; got nothing"),
    ({"inner": {"name": "a", "share": "much"}}, "inner.share expects a number; got the text 'much'"),
    ({"inner": {"name": "a", "share": 10**400}}, "inner.share expects a number; got 1000"),
    ({"several": [{"name": "a"}, {"name": None}]}, "several[1].name expects text; got None"),
    ({"several": {"0": {}}}, "several expects a list; got {'0': {}}"),
    ({"pair": [1]}, "pair expects a list of 2; got [1]"),
    ({"pair": [1, "x"]}, "pair[1] expects a number; got the text 'x'"),
    ({"maybe": 0.5}, "maybe expects text or a whole number or null; got 0.5"),
    ({"by": {"k": [True, 1]}}, "by.k[1] expects true or false; got 1"),
    ({"more": []}, "more expects a list, at least 1; got []"),
    ({"again": {**GOOD, "n": None}}, "again.n expects a whole number; got None"),
])
def test_what_does_not_fit_is_named(changed, sentence):
    with pytest.raises(Misfit) as refused:
        as_type(Whole, {**GOOD, **changed})
    assert str(refused.value).startswith(sentence)
    with pytest.raises(CorruptFile, match=r"^file\.json: .*expects .*; got .*\. Delete it\.$"):
        conform(Whole, {**GOOD, **changed}, "file.json", "Delete it.")


@pytest.mark.parametrize("value", [None, 3, "x", [], True])
def test_a_record_that_is_no_object(value):
    with pytest.raises(Misfit, match="it expects an object with n, how, inner"):
        as_type(Whole, value)


def test_what_cannot_be_put_together_is_a_corrupt_file():
    for bad in (lambda: {}["x"], lambda: [][1], lambda: 1 / 0, lambda: int("x"), lambda: None.x):
        with pytest.raises(CorruptFile, match=r"^f says what does not go together"), intelligible("f", "Delete it."):
            bad()
    with pytest.raises(CorruptFile, match=r"^f: n expects"), intelligible("f", "Delete it."):
        as_type(Whole, {**GOOD, "n": None})
