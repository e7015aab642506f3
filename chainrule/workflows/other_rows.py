"""What is wrong with further rows for a net that was trained, said without the options of its training, which is over."""

from __future__ import annotations

import re
from collections.abc import Iterator
from contextlib import contextmanager

from chainrule.core.errors import InputError

OPTION = re.compile(r"--[a-z]")
SENTENCE = re.compile(r"(?<=[.?!]) (?=[A-Z])")
ANEW = "Train "             # how advice begins that is about another training, where its options are
ADVICE = "Give rows such as the net was trained on."


@contextmanager
def reading_other_rows() -> Iterator[None]:
    """Readers serve trainings too, and advise what one could do otherwise: inside, their InputErrors advise nothing of that kind."""
    try:
        yield
    except InputError as error:
        message = without_options(str(error))
        if message == str(error):
            raise
        raise type(error)(message) from error


def without_options(message: str) -> str:
    """A message whose advice names no option: of several ways those before the first that does, of none another sentence.

    >>> without_options("t.txt has 9 symbols; a window needs 17. Give more text, or a smaller window, e.g. --rule bptt:window=8.")
    't.txt has 9 symbols; a window needs 17. Give more text.'
    >>> without_options("t.csv is no table. Leave out --horizon.")
    't.csv is no table. Give rows such as the net was trained on.'
    """
    first, *others = SENTENCE.split(message)
    advice = []
    for sentence in others:
        ways = sentence.removesuffix(".").split(", or ")
        wanted = next((i for i, way in enumerate(ways) if OPTION.search(way)), None)
        if wanted is None or sentence.startswith(ANEW):
            advice.append(sentence)
        elif wanted:
            advice.append(", or ".join(ways[:wanted]) + ".")
        elif ADVICE not in advice:
            advice.append(ADVICE)
    return " ".join([first, *advice])
