"""D33: a validation part too small to tell which net is better."""

from __future__ import annotations

import math
from collections.abc import Iterator

from chainrule.core.registry import diagnoses
from chainrule.observe.doctor.case import Case
from chainrule.observe.doctor.finding import Finding
from chainrule.observe.doctor.remedy import Remedy, remedy

MOST = 0.4                 # of all rows that are not test, which a remedy has validate


@diagnoses("interval-too-wide", source="Guyon, Makhoul, Schwartz & Vapnik (1998), https://doi.org/10.1109/34.655649", code="D33",
           reads=("Judged",), after=("linear-stack",), note=True, outcome=True,
           cause="What is measured on few rows is known but roughly: of two nets, or two epochs, the better one is chosen by chance.",
           remedy="More rows that validate, `--split valid=.3`; several nets that each validate on other rows, `--folds 5`.")
def interval_too_wide(case: Case, *, points: float = 0.25, wide: float = 1.0) -> Iterator[Finding]:
    """The 95 % interval of the difference to the constant answer, which does not reach zero, is wider than `points` of the rows.

    Where answers are no classes, than `wide` times that difference.
    """
    answers = case.judged.answers if case.judged else {}
    if "low" not in answers or not answers["high"] < 0:
        return
    width, difference, n = answers["high"] - answers["low"], -(answers["high"] + answers["low"]) / 2, int(answers["n"])
    limit = points if case.facts.classes else wide * difference
    if not width > limit:
        return
    needed = math.ceil(n * (width / limit) ** 2)
    yield Finding("validation", f"{n:,} validation rows leave an interval {width:.3g} wide about a difference of {difference:.3g} to the "
                  f"constant answer ({answers['sentence']}): nets that differ by less cannot be told apart; {needed:,} rows would "
                  f"narrow it to {limit:.3g}", more_rows(case, needed),
                  {"n": n, "width": width, "difference": difference, "needed": needed})


def more_rows(case: Case, needed: int) -> Remedy:
    """A division in which so many rows validate, where there are enough of them that the net can spare."""
    rows = case.facts.rows + case.facts.validating
    share = math.ceil(100 * needed / rows) / 100 if rows else math.inf
    if share <= MOST:
        return remedy("of all rows; or --folds 5", split=f"valid={share:g}")
    return Remedy({}, f"more rows: {needed:,} to validate; or --folds 5, by which each row validates one of several nets")
