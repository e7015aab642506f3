"""The errors a user can meet; each message says what was expected, what came, and what to do."""

from __future__ import annotations

import difflib
from collections.abc import Iterable


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
    """The part of an error message that offers the nearest of `choices`: ` Did you mean a or b?` or the whole list."""
    known = sorted(choices)
    near = difflib.get_close_matches(name, known, n=3, cutoff=0.5)
    if near:
        return f"Did you mean {' or '.join(near)}?"
    return f"Known: {', '.join(known)}." if known else "None are known."
