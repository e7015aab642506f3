"""What a text is made of: characters, words with the blank before them, or pieces of such words."""

from __future__ import annotations

import re
from typing import Literal

from chainrule.data.byte_pairs import Merges, learned, pieces

Unit = Literal["characters", "words", "pairs"]
WORDS = re.compile(r" ?\w+|\s|[^\w\s]")
MOST_WORDS = 5000  # of a vocabulary of words, where the user names no number
MOST_PAIRS = 1000  # of one of pieces of words


def tokens(text: str, unit: Unit = "characters", merges: Merges = ()) -> list[str]:
    """Its characters, or its words, each with the blank before it, other blanks and punctuation marks; joined they are the text again.

    Of `pairs` they are the pieces that `merges` make of the characters of each of these.

    >>> tokens("To be, or not", "words")
    ['To', ' be', ',', ' or', ' not']
    """
    if unit == "characters":
        return list(text)
    words: list[str] = WORDS.findall(text)
    return pieces(words, merges) if unit == "pairs" else words


def merges_of(text: str, most: int = MOST_PAIRS) -> Merges:
    """The merges by which the first half of a text has at most so many symbols, so that what tests it is not read."""
    return learned(WORDS.findall(text[: len(text) // 2]), most)
