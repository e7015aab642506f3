"""What a text is made of: characters, or words with the blank before them."""

from __future__ import annotations

import re
from typing import Literal

Unit = Literal["characters", "words"]
WORDS = re.compile(r" ?\w+|\s|[^\w\s]")
MOST_WORDS = 5000  # of a vocabulary of words, where the user names no number


def tokens(text: str, unit: Unit = "characters") -> list[str]:
    """Its characters, or its words, each with the blank before it, other blanks and punctuation marks; joined they are the text again.

    >>> tokens("To be, or not", "words")
    ['To', ' be', ',', ' or', ' not']
    """
    return list(text) if unit == "characters" else WORDS.findall(text)
