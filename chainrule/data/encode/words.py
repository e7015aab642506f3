"""A column of sentences as the words in it: a vocabulary of the training rows, each word weighed by how often and how rare it is.

Weights as in Salton & Buckley (1988), https://doi.org/10.1016/0306-4573(88)90021-0: (1 + log of how often a word is in the row) times the
inverse document frequency of Spaerck Jones (1972), https://doi.org/10.1108/eb026526, smoothed, and each row brought to one length.
"""

from __future__ import annotations

import math
import re
from collections import Counter
from collections.abc import Iterable, Sequence

import torch
from torch import Tensor

from chainrule.data.encode.columns import Column
from chainrule.data.encode.vocabulary import Symbols
from chainrule.data.tokens import MOST_WORDS

IDEOGRAPHS = "\u3040-\u30ff\u3400-\u9fff"     # of scripts without blanks: each is a word
WORD = re.compile(rf"[{IDEOGRAPHS}]|[^\W_{IDEOGRAPHS}]+(?:['\u2019][^\W_{IDEOGRAPHS}]+)*")
FEWEST_ROWS = 2                              # in which a word must be to have an input of its own
FEWEST_INPUTS, MOST_INPUTS = 1024, 16_384    # of a column: as many as its memory allows, within these bounds
BYTES = 2**29
SENTENCE = 4                                 # words of a sentence, on average
FEWEST_SENTENCES = 10
LONGEST = 200                                # words of a text that is read word by word
LENGTH = 3.0                                 # of a row of weights: its numbers are then about as large as those of other columns


def words_of(text: str) -> list[str]:
    """The words of a text in lower case, without punctuation.

    >>> words_of("It isn't 10 o'clock: see p.7!")
    ['it', "isn't", '10', "o'clock", 'see', 'p', '7']
    """
    return WORD.findall(text.lower())


def holds_sentences(texts: Sequence[str], rows: int) -> bool:
    """Whether distinct texts of so many rows are sentences, not names or categories.

    That is so where most rows have a text of their own, of four words or more on average, and most words do not begin with a capital.
    """
    if len(texts) < FEWEST_SENTENCES or 2 * len(texts) <= rows:
        return False
    some = texts[:: max(1, len(texts) // 1000)]
    words = [word for text in some for word in text.split()]
    capital = sum(word[:1].isupper() for word in words)
    ideographs = sum(bool(re.match(f"[{IDEOGRAPHS}]", word)) for text in some for word in WORD.findall(text))
    return len(words) + ideographs >= SENTENCE * len(some) and 2 * capital <= len(words)


def inputs_for(rows: int) -> int:
    """How many words of a column of so many training rows may have an input of their own."""
    return max(FEWEST_INPUTS, min(MOST_INPUTS, BYTES // (4 * rows)))


def vocabulary(texts: Sequence[str], counts: Iterable[int], most: int) -> tuple[list[tuple[str, int]], list[str], int]:
    """Words with an input of their own, by letter, and the number of rows that have each; the other words; and how often these are there.

    `counts` says how many rows hold each text. Those in at least two rows have an input, at most `most`, the most frequent ones.
    """
    rows: Counter[str] = Counter()
    uses: Counter[str] = Counter()
    for text, count in zip(texts, counts, strict=True):
        if count:
            for word, times in Counter(words_of(text)).items():
                rows[word] += count
                uses[word] += count * times
    frequent = sorted(((word, n) for word, n in rows.items() if n >= FEWEST_ROWS), key=lambda one: (-one[1], one[0]))[:most]
    own = dict(frequent)
    others = sorted(word for word in rows if word not in own)
    return sorted(own.items()), others, sum(uses[word] for word in others)


def weights(column: Column, known: Sequence[str], counts: Sequence[int], rows: int, out: Tensor) -> None:
    """Fill `out` (n, words + 1) with the weights of the words in each row, the last of them that of all unknown ones together.

    `counts` says in how many of `rows` training rows each word was; a row without words stays zero.
    """
    place = {word: i for i, word in enumerate(known)}
    rarity = [math.log((1 + rows) / (1 + n)) + 1 for n in (*counts, FEWEST_ROWS - 1)]
    present, inverse = column.values.unique(return_inverse=True)
    at, inputs, values = [], [], []
    for i, code in enumerate(present.tolist()):
        if code < 0:
            continue
        counted = Counter(place.get(word, len(known)) for word in words_of(column.categories[code]))
        own = [(1 + math.log(times)) * rarity[word] for word, times in counted.items()]
        size = math.sqrt(sum(value * value for value in own))
        at += [i] * len(own)
        inputs += list(counted)
        values += [LENGTH * value / size for value in own]
    distinct = torch.zeros(len(present), out.shape[1], dtype=out.dtype) if len(present) < len(column) else out
    order = torch.arange(len(present)) if distinct is not out else inverse.argsort()
    distinct[order[torch.tensor(at, dtype=torch.int64)], torch.tensor(inputs, dtype=torch.int64)] = torch.tensor(values, dtype=out.dtype)
    if distinct is not out:
        out.copy_(distinct[inverse])


def word_by_word(column: Column) -> tuple[Symbols, str]:
    """The words of each text in their order, at most LONGEST, and in a sentence how many texts were cut; empty where none was."""
    texts = [[] if code < 0 else words_of(column.categories[code]) for code in column.values.tolist()]
    alphabet = tuple(sorted({word for text in texts for word in text}))
    place = {word: i for i, word in enumerate(alphabet)}
    longest = max(1, min(LONGEST, max(map(len, texts))))
    codes = torch.full((len(texts), longest), len(alphabet), dtype=torch.int32)
    for row, text in zip(codes, texts, strict=True):
        row[: len(text)] = torch.tensor([place[word] for word in text[:longest]], dtype=torch.int32)
    cut = sum(len(text) > longest for text in texts)
    note = f"{cut:,} texts in '{column.name}' have more than {longest} words, of which the first are read." if cut else ""
    return Symbols(codes, alphabet, "words", most=MOST_WORDS, column=column.name), note


def unknown(text: str, known: frozenset[str]) -> list[str]:
    """The words of a text that are not known, in its order."""
    return [word for word in words_of(text) if word not in known]
