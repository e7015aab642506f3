"""Which fold of how many, as `2/5`; imports nothing slow."""

from __future__ import annotations

from chainrule.core.errors import InputError

MOST_SIGNS = 40


def parse_fold(text: str) -> tuple[int, int]:
    """Fold and number of folds from `2/5`. Raises InputError."""
    number, _, folds = str(text).partition("/")
    whole = len(str(text)) <= MOST_SIGNS and number.isdecimal() and folds.isdecimal()
    if not whole or int(folds) < 2 or not 1 <= int(number) <= int(folds):
        raise InputError(f"--fold names one of at least 2 folds, as in 1/5 to 5/5; got '{str(text)[:MOST_SIGNS]}'.")
    return int(number), int(folds)
