"""The errors a user can meet; each message says what was expected, what came, and what to do."""

from __future__ import annotations

import re
from collections.abc import Iterable

from chainrule.core.text import natural

SHOWN = 40                            # names in one message
BEGINNING = 4                         # letters of a name that may be the beginning of another
WORD = re.compile(r"[^\W_]+")


class ChainruleError(Exception):
    """A failure with a message meant for the user; `exit_code` is what the command line returns."""

    exit_code = 1


class InputError(ChainruleError):
    """The user's input is wrong: a file, an option, a name, a value."""

    exit_code = 2


class CorruptFile(InputError):
    """A file of ours, or of the user's, is not what its header or its hash says."""


class PlanRejected(ChainruleError):
    """An execution plan failed to build or disagreed with the eager one."""


class NotNow(PlanRejected):
    """A refusal that is true of this net or this machine as they are now, and so is not remembered."""


class MachineFailed(NotNow):
    """The machine could not make a program: no compiler, no space, a process that was killed."""


class Diverged(ChainruleError):
    """The loss stopped being finite; the last good weights were restored."""


class Interrupted(ChainruleError):
    """A signal asked the run to stop; everything is saved. `signal` is its name."""

    exit_code = 130

    def __init__(self, message: str, signal: str = "SIGINT"):
        super().__init__(message)
        self.signal = signal


def suggest(name: str, choices: Iterable[str]) -> str:
    """The part of an error message that offers those of `choices` that may be meant: ` Did you mean a or b?` or the list."""
    known = sorted(choices, key=natural)
    near = nearest(name, known)
    if near:
        return f"Did you mean {' or '.join(near)}?"
    return f"Known: {', '.join(known[:SHOWN])}{', ...' if len(known) > SHOWN else '.'}" if known else "None are known."


def nearest(name: str, choices: Iterable[str]) -> list[str]:
    """At most three of `choices` that differ from `name` as typing errors do, the nearest first.

    They differ in case alone, in one letter of three to five, two of six to eight, three of more; or one begins with all words of the
    other, as `age_years` does with `age`, or with the other itself, of four letters at least, as `backpropagation` does with `backprop`.

    >>> nearest("mnst", ["runs", "mnist", "kmnist"]), nearest("age", ["Garage", "Age", "age_years"]), nearest("a", ["b"])
    (['mnist'], ['Age', 'age_years'], [])
    """
    ranked = []
    for choice in choices:
        low, other = name.casefold(), choice.casefold()
        errors = typing_errors(low, other)
        ours, theirs = WORD.findall(low), WORD.findall(other)
        shared = min(len(ours), len(theirs))
        if errors <= (0 if len(low) < 3 else min(3, len(low) // 3)):
            ranked.append((0, errors, choice))
        elif shared and len(low) > 1 and len(other) > 1 and ours[:shared] == theirs[:shared]:
            ranked.append((1, errors, choice))
        elif min(len(low), len(other)) >= BEGINNING and (low.startswith(other) or other.startswith(low)):
            ranked.append((2, errors, choice))
    return [choice for *_, choice in sorted(ranked)[:3]]


def typing_errors(a: str, b: str) -> int:
    """Letters added, left out, changed or swapped with the next between two words. Damerau (1964), https://doi.org/10.1145/363958.363994"""
    before: list[int] = []
    row = list(range(len(b) + 1))
    for i in range(1, len(a) + 1):
        older, before, row = before, row, [i] + [0] * len(b)
        for j in range(1, len(b) + 1):
            row[j] = min(before[j] + 1, row[j - 1] + 1, before[j - 1] + (a[i - 1] != b[j - 1]))
            if i > 1 and j > 1 and a[i - 1] == b[j - 2] and a[i - 2] == b[j - 1]:
                row[j] = min(row[j], older[j - 2] + 1)
    return row[-1]
