"""Looking at a training while it goes on: who looks, how often a user may ask for it, and the words for that. Imports nothing slow."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Protocol

from chainrule.core.errors import InputError

if TYPE_CHECKING:
    from chainrule.core.batch import Batch
    from chainrule.core.rule import Learner, Rule

OFF, AUTO = "off", "auto"
NEVER = 0
BEGINNING = (0, 1, 2, 3, 4, 5, 6, 8, 10, 13, 16, 20, 25, 32, 40, 50, 64, 80, 100)   # steps of a stage that looks are wanted of in any case


class Observer(Protocol):
    """Who looks: what a step of `rule` from here would be on a batch of fixed training rows, as the record of an event.

    The learner is that of the training itself: an observer reads it, and does what it likes with copies. Random numbers that it draws are
    nobody else's. `number` counts the looks of a run from 0.
    """

    def look(self, learner: Learner, rule: Rule, batch: Batch, number: int) -> dict[str, Any]: ...


def steps_between(look: str | None) -> int | None:
    """How many steps lie between two looks as `every=N` or `off` asks for; 0 for never, None where the time decides.

    Raises InputError for other words.

    >>> steps_between("every=50"), steps_between("off"), steps_between(None)
    (50, 0, None)
    """
    words = (look or AUTO).strip()
    if words in (OFF, AUTO):
        return NEVER if words == OFF else None
    name, _, number = words.partition("=")
    if name.strip() == "every" and number.strip().isdecimal() and int(number) >= 1:
        return int(number)
    raise InputError(f"--look expects every=N, with a whole number of steps of at least 1, or off; got '{look}'. Write --look every=100, "
                     "or leave it out to look as often as costs 2 % of the time, or half a second in all.")
