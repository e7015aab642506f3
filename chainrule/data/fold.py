"""Which fold of how many, as `2/5`; imports nothing slow."""

from __future__ import annotations

from chainrule.core.errors import InputError


def parse_fold(text: str) -> tuple[int, int]:
    """Fold and number of folds from `2/5`. Raises InputError."""
    number, _, folds = str(text).partition("/")
    if not (number.isdecimal() and folds.isdecimal()) or int(folds) < 2 or not 1 <= int(number) <= int(folds):
        raise InputError(f"--fold names one of at least 2 folds, as in 1/5 to 5/5; got '{text}'.")
    return int(number), int(folds)
