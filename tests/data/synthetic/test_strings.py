"""Strings backwards and days in many ways: what is asked for follows from what is read, and no pair is there twice."""

import datetime
import re

import pytest

import chainrule as cr
from chainrule.core.errors import InputError
from chainrule.data.synthetic.dates import MONTHS, WAYS, WEEKDAYS


def pairs(source):
    targets = ["".join(source.classes[k] for k in row if k >= 0) for row in source.targets.tolist()]
    return list(zip(source.labels["source"], targets, strict=True))


def test_strings_are_written_backwards_at_every_length():
    source = cr.load("reversal:length=7,fewest=3,count=500,letters=4")
    assert all(b == a[::-1] for a, b in pairs(source))
    sources = [a for a, _ in pairs(source)]
    assert len(set(sources)) == 500
    assert {len(a) for a in sources} == set(range(3, 8))
    assert set("".join(sources)) == set("abcd")
    assert {len(a) for a, _ in pairs(cr.load("reversal:12,count=50"))} == {12}
    assert cr.load("reversal:count=50").fingerprint == cr.load("reversal:count=50").fingerprint
    assert cr.load("reversal:count=50").fingerprint != cr.load("reversal:count=50,seed=1").fingerprint


def read(text):
    """The day that a text means, by rules that know nothing of how it was written."""
    words = re.findall(r"[A-Za-z]+|\d+|[./]", text)
    numbers = [int(w) for w in words if w.isdigit()]
    named = [w for w in words if any(m.lower().startswith(w.lower()) and len(w) >= 3 for m in MONTHS)]
    if named:
        day, year = numbers
        month = next(i for i, m in enumerate(MONTHS, 1) if m.lower().startswith(named[0].lower()))
    elif len(numbers) == 1:
        day, month, year = numbers[0] % 100, numbers[0] // 100 % 100, numbers[0] // 10_000
    else:
        (day, month, year) = numbers if "." in words else (numbers[1], numbers[0], numbers[2])
    year = year if year >= 100 else 1900 + year if year >= 50 else 2000 + year
    return datetime.date(year, month, day), next((w for w in WEEKDAYS for word in words if len(word) >= 3 and w.startswith(word)), None)


def test_every_way_of_writing_a_day_means_that_day():
    source = cr.load("dates:count=3000")
    used = set()
    for text, iso in pairs(source):
        day, weekday = read(text)
        assert day.isoformat() == iso, text
        assert weekday in (None, WEEKDAYS[day.weekday()])
        used |= {i for i, way in enumerate(WAYS) if way(day) == text}
    assert used == set(range(len(WAYS)))
    assert len({iso for _, iso in pairs(source)}) == 3000


@pytest.mark.parametrize("what", ["reversal:length=0", "reversal:fewest=11", "reversal:length=2,count=1000", "reversal:letters=27",
                                  "dates:count=1", "dates:count=40000"])
def test_options_that_allow_no_set_are_refused(what):
    with pytest.raises(InputError, match=what.split(":")[0]):
        cr.load(what)
