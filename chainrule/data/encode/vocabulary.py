"""Text and sequences as small whole numbers: raw symbols as read, the vocabulary fitted on training rows, one-hot rows for a net.

One column a symbol: Elman (1990), https://doi.org/10.1207/s15516709cog1402_1
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from functools import cached_property

import torch
from torch import Tensor

from chainrule.core.errors import InputError
from chainrule.core.symbols import TRACE
from chainrule.data.byte_pairs import Merges
from chainrule.data.tokens import Unit, tokens

UNKNOWN = "\N{REPLACEMENT CHARACTER}"
ROWS = 65_536  # recoded at once
SHARES = {"train": 0.765, "valid": 0.085, "test": 0.15}  # of a text: the first nine tenths of what is not test train


@dataclass(frozen=True)
class Symbols:
    """Raw sequences: `codes` (n, t) number the `alphabet`; `len(alphabet)` fills the end of short ones.

    With `next_symbol` the targets are codes of the same alphabet: what follows each row. Rows that are windows of one text begin `stride`
    symbols apart; None for sequences that have nothing to do with each other. A vocabulary of them has at `most` so many, the most
    frequent ones, or all. `column` is that of a table whose sentences they are; `merges` made pieces of words.
    """

    codes: Tensor
    alphabet: tuple[str, ...]
    unit: Unit = "characters"
    next_symbol: bool = False
    stride: int | None = None
    most: int | None = None
    column: str = ""
    merges: Merges = ()

    def __len__(self) -> int:
        return len(self.codes)

    @property
    def shape(self) -> tuple[int, ...]:
        return tuple(self.codes.shape)

    @property
    def of_text(self) -> bool:
        """Whether rows are windows of one text."""
        return self.stride is not None

    @property
    def mask(self) -> Tensor:
        """Which places hold a symbol, (n, t) bool."""
        return self.codes < len(self.alphabet)

    @property
    def lengths(self) -> Tensor:
        """Symbols in each row, (n,)."""
        return self.mask.sum(1)

    def __getitem__(self, row: int) -> str:
        return "".join(self.alphabet[c] for c in self.codes[row][self.mask[row]].tolist())


@dataclass(frozen=True)
class Vocabulary:
    """Known symbols, coded 0 to k - 1; k is the unknown symbol and k + 1 fills the end of short sequences. `merges` make pieces of
    words.
    """

    symbols: tuple[str, ...]
    unit: Unit = "characters"
    merges: Merges = ()

    @classmethod
    def fit(cls, text: str, unit: Unit = "characters", merges: Merges = ()) -> Vocabulary:
        """The symbols of a text, sorted."""
        return cls(tuple(sorted({*tokens(text, unit, merges)} - {UNKNOWN})), unit, merges)

    @classmethod
    def of_rows(cls, symbols: Symbols, rows: Tensor, following: Tensor | None = None) -> Vocabulary:
        """The symbols in these rows, and in `following` (n,) of these rows; in the order of the alphabet, the most frequent where they
        are limited.
        """
        counts = torch.zeros(len(symbols.alphabet) + 1, dtype=torch.int64)
        for some in rows.split(ROWS):
            counts += torch.bincount(symbols.codes[some].flatten().long(), minlength=len(counts))
            if following is not None:
                counts += torch.bincount(following[some].flatten().long(), minlength=len(counts))
        known = counts[:-1]
        if symbols.most is not None and int((known > 0).sum()) > symbols.most:
            least = known.argsort(descending=True, stable=True)[symbols.most :]
            known[least] = 0
        return cls(tuple(s for s, n in zip(symbols.alphabet, known.tolist()) if n and s != UNKNOWN), symbols.unit,
                   symbols.merges)

    def note(self, symbols: Symbols, rows: Tensor) -> list[str]:
        """In a sentence how many symbols of these rows are not known, where the vocabulary is limited; else nothing."""
        if symbols.most is None:
            return []
        codes = self.recode(symbols, rows)
        total, strange = int((codes != self.padding).sum()), int((codes == self.unknown).sum())
        return [f"the {len(self):,} most frequent {self.unit} are known; {strange / max(total, 1):.1%} of those in training count as "
                "unknown."]

    def rows_with_unknown(self, symbols: Symbols, rows: Tensor | None) -> dict[str, tuple[int, int, str]]:
        """How many rows have symbols that are not known, the first of them, and its symbol, by their column; {} where none has."""
        strange = self.recode(symbols, rows) == self.unknown                                                     # (n, t)
        if not bool(strange.any()):
            return {}
        row, step = strange.nonzero()[0].tolist()
        first = symbols.codes[row if rows is None else int(rows[row]), step]
        return {symbols.column: (int(strange.any(1).sum()), row, symbols.alphabet[int(first)])}

    def unknown_in(self, text: Symbols, where: str) -> list[str]:
        """In a sentence which symbols of a text are not known; nothing where all are."""
        missing = [s for s in text.alphabet if s not in self._places]
        if not missing:
            return []
        return [f"{where} holds {len(missing):,} of {len(text.alphabet):,} {self.unit} that training never saw ({few_of(missing)}); each "
                "is read as the unknown symbol."]

    def __len__(self) -> int:
        return len(self.symbols)

    @property
    def unknown(self) -> int:
        return len(self.symbols)

    @property
    def padding(self) -> int:
        return len(self.symbols) + 1

    @property
    def names(self) -> tuple[str, ...]:
        """What codes 0 to k are called."""
        return (*self.symbols, UNKNOWN)

    @property
    def dtype(self) -> torch.dtype:
        """The smallest in which every code fits."""
        return torch.uint8 if self.padding <= 255 else torch.int16 if self.padding < 2**15 else torch.int32

    @cached_property
    def _places(self) -> dict[str, int]:
        return {s: i for i, s in enumerate(self.symbols)}

    def encode(self, text: str) -> Tensor:
        """Codes (t,) int64 of a text; what is not known becomes the unknown symbol."""
        return self._codes(self.split(text))

    def split(self, text: str) -> list[str]:
        """The symbols of a text, known or not."""
        return tokens(text, self.unit, self.merges)

    def _codes(self, words: Iterable[str]) -> Tensor:
        return torch.tensor([self._places.get(w, self.unknown) for w in words], dtype=torch.int64)

    def decode(self, codes: Tensor) -> str:
        """The text of codes (t,), without what fills its end. Raises InputError for a code that is none."""
        numbers = codes.reshape(-1).tolist()
        wrong = [c for c in numbers if not 0 <= c <= self.padding]
        if wrong:
            raise InputError(f"expected symbol codes from 0 to {self.padding}; got {wrong[0]}. Decode with the vocabulary that encoded.")
        return "".join(self.names[c] for c in numbers if c != self.padding)

    def recode(self, symbols: Symbols, rows: Tensor | None = None) -> Tensor:
        """Raw rows as codes of this vocabulary, (n, t), in the smallest dtype."""
        lookup = torch.cat([self._codes(symbols.alphabet), torch.tensor([self.padding])]).to(self.dtype)  # (alphabet + 1,)
        rows = torch.arange(len(symbols)) if rows is None else rows
        out = torch.empty(len(rows), symbols.codes.shape[1], dtype=self.dtype)
        for into, some in zip(out.split(ROWS), rows.split(ROWS)):
            into.copy_(lookup[symbols.codes[some].long()])
        return out


def few_of(symbols: Sequence[str]) -> str:
    """The first five of some symbols, in quotation marks, and how many others there are.

    >>> few_of("abcdefg")
    "'a', 'b', 'c', 'd', 'e' and 2 others"
    """
    return ", ".join(map(repr, symbols[:5])) + (f" and {len(symbols) - 5:,} others" if len(symbols) > 5 else "")


def one_hot(codes: Tensor, count: int) -> Tensor:
    """Codes (n, t) as float32 (n, t, count); a trace for the unknown symbol, which is `count`, and zeros for filled ends."""
    columns = torch.arange(count, device=codes.device, dtype=codes.dtype)
    hot = (codes[..., None] == columns).to(torch.float32)
    return torch.where((codes == count)[..., None] & (columns == 0), TRACE, hot)


def widened(codes: Tensor, width: int, fill: int, where: str) -> Tensor:
    """Rows (n, t) filled at the end to (n, width). Raises InputError naming a row that is longer."""
    missing = width - codes.shape[1]
    if missing < 0:
        long = (codes[:, width:] != fill).any(1)                     # (n,)
        if bool(long.any()):
            row = int(long.nonzero()[0, 0])
            raise InputError(f"{where}, sequence {row + 1}: {int((codes[row] != fill).sum())} symbols; the network was trained on at most "
                             f"{width}. Cut it, or train with longer ones.")
        return codes[:, :width]
    return torch.nn.functional.pad(codes, (0, missing), value=fill)


def numbered(words: Sequence[str]) -> tuple[Tensor, tuple[str, ...]]:
    """Codes (t,) int32 of words, and the distinct ones, sorted, that they number."""
    alphabet = tuple(sorted(set(words)))
    place = {w: i for i, w in enumerate(alphabet)}
    return torch.tensor([place[w] for w in words], dtype=torch.int32), alphabet
