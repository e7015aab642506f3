"""Pieces of words between characters and words: the pair of neighbours that is there most often becomes one symbol, again and again.

Gage (1994), The C Users Journal 12(2):23; Sennrich, Haddow & Birch (2016), https://doi.org/10.18653/v1/P16-1162
"""

from __future__ import annotations

import json
from collections.abc import Iterable
from itertools import pairwise

from chainrule.core.errors import InputError

Merges = tuple[tuple[str, str], ...]    # pairs of symbols that become one, the first to be joined first


def learned(words: Iterable[str], most: int) -> Merges:
    """The merges that bring the characters of words to a vocabulary of at most so many symbols.

    Raises InputError where the package that learns them is not installed.
    """
    try:
        from tokenizers import Tokenizer, models, trainers
    except ImportError:
        raise InputError("--tokens pairs needs the package tokenizers to learn them. Run: pip install 'chainrule[tokens]', or use --tokens "
                         "words.") from None
    model = Tokenizer(models.BPE())
    model.train_from_iterator(words, trainers.BpeTrainer(vocab_size=most, special_tokens=[], show_progress=False))
    return tuple((first, second) for first, second in json.loads(model.to_str())["model"]["merges"])


def pieces(words: Iterable[str], merges: Merges) -> list[str]:
    """Words as the symbols that merges make of their characters; joined they are the words again.

    >>> pieces(["lower", "low"], (("l", "o"), ("lo", "w"), ("e", "r")))
    ['low', 'er', 'low']
    """
    ranks = {pair: rank for rank, pair in enumerate(merges)}
    known: dict[str, list[str]] = {}
    every: list[str] = []
    for word in words:
        if word not in known:
            known[word] = _joined(list(word), ranks)
        every += known[word]
    return every


def _joined(symbols: list[str], ranks: dict[tuple[str, str], int]) -> list[str]:
    """Symbols of a word with the pairs joined that have a rank, the first of them first."""
    while len(symbols) > 1:
        first = min(pairwise(symbols), key=lambda pair: ranks.get(pair, len(ranks)))
        if first not in ranks:
            break
        joined, at = list[str](), 0
        while at < len(symbols):
            pair = at + 1 < len(symbols) and (symbols[at], symbols[at + 1]) == first
            joined.append("".join(first) if pair else symbols[at])
            at += 2 if pair else 1
        symbols = joined
    return symbols
