"""Plain text as the task of naming the next symbol: Shannon (1951), https://doi.org/10.1002/j.1538-7305.1951.tb01366.x"""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from chainrule.core.errors import InputError
from chainrule.data import fingerprint
from chainrule.data.byte_pairs import Merges
from chainrule.data.encode.vocabulary import Symbols, numbered
from chainrule.data.readers.gzipped import content
from chainrule.data.source import Source
from chainrule.data.tokens import MOST_PAIRS, Unit, merges_of, tokens

CONTEXT = 8
TIMES = 32       # how much memory a text takes, by its bytes: 30 to 31 times, measured on 2026-12-01 by tests/helpers/reading_memory.py


def read(path: Path, times: int = TIMES) -> str:
    """The text of a UTF-8 file, plain or gzip, line ends as they are, of which `times` its bytes are needed.

    Raises InputError naming the first byte that is not UTF-8, or where so much memory is not free.
    """
    raw = content(path, times)
    if not raw:
        raise InputError(f"{path} is empty; expected text. Fetch or write it again.")
    try:
        return raw.decode("utf-8")
    except UnicodeDecodeError as error:
        raise InputError(f"{path} is not UTF-8 text: byte {raw[error.start]:#04x} at offset {error.start}. Save it as UTF-8.") from None


def source(text: str, where: str, *, name: str = "text", origin: dict[str, Any] | None = None, context: int = CONTEXT,
           unit: Unit = "characters", most: int | None = None, targets: bool = True, merges: Merges | None = None) -> Source:
    """Each `context` symbols in a row and the one that follows, in order of time: the past trains, the future tests.

    Without `targets` the last row is the end of the text, whose next symbol nobody knows. The rows are views of one tensor
    of codes. A vocabulary of the symbols has at `most` so many; pieces of words are made by `merges`, else by those of the first half
    that give so many. A context other than the usual makes a source in memory: a run must be
    given it again.
    """
    if context < 1:
        raise InputError(f"{where}: expected a context of at least 1 symbol; got {context}.")
    if unit == "pairs":
        merges, most = merges_of(text, most or MOST_PAIRS) if merges is None else merges, None
    words = tokens(text, unit, merges or ())
    if len(words) < context + targets:
        raise InputError(f"{where} has {len(words)} {unit}; a context of {context}{' and the one that follows' * targets} need "
                         f"{context + targets}. Give more text.")
    codes, alphabet = numbered(words)                                # (t,)
    windows = codes.unfold(0, context, 1)                            # (t - context + 1, context)
    about = origin if origin is not None and context == CONTEXT else {"kind": "memory", "what": name}
    digest = fingerprint.of(codes, torch.tensor([context]), alphabet)
    if not targets:
        return Source(name, Symbols(windows, alphabet, unit, stride=1, most=most, merges=merges or ()), None, "none", about, digest)
    times = torch.arange(context, len(codes))                        # (n,)
    inputs = Symbols(windows[:-1], alphabet, unit, next_symbol=True, stride=1, most=most, merges=merges or ())
    return Source(name, inputs, codes[context:].long(), "class", about, digest, alphabet, times=times)


def as_steps(text: Source, window: int, targets: bool = True) -> Source:
    """A text cut into `window` symbols a row, each symbol with the one that follows as its target.

    Rows follow each other in the order of the text. Without `targets`, or where they are not known, all symbols are there and the last row
    is filled up. Raises InputError where the text is shorter than a window and the symbol after it.
    """
    codes, symbols = codes_of(text), text.inputs                                                                   # (t,)
    if not (targets and symbols.next_symbol):
        x = torch.nn.functional.pad(codes, (0, -len(codes) % window), value=len(symbols.alphabet)).view(-1, window)
        inputs = replace(symbols, codes=x, next_symbol=False, stride=window)
        return replace(text, inputs=inputs, targets=None, target_kind="none", times=None)
    rows = (len(codes) - 1) // window
    if rows < 1:
        raise InputError(f"{text.name} has {len(codes):,} symbols; a window of {window} and the symbol after it need {window + 1:,}. "
                         "Give more text, or a smaller window, e.g. --rule bptt:window=16.")
    x, y = codes[: rows * window].view(rows, window), codes[1 : rows * window + 1].view(rows, window)
    inputs = replace(symbols, codes=x, stride=window)
    return replace(text, inputs=inputs, targets=y.long(), target_kind="steps", times=torch.arange(rows))


def in_pieces(text: Source, merges: Merges) -> Source:
    """A text in the pieces of words that these merges make."""
    symbols = text.inputs
    if symbols.merges == merges:
        return text
    content = "".join(symbols.alphabet[code] for code in codes_of(text).tolist())
    return source(content, text.name, name=text.name, origin=dict(text.origin), context=symbols.shape[1], unit="pairs",
                  targets=symbols.next_symbol, merges=merges)


def codes_of(text: Source) -> Tensor:
    """The symbols (t,) of a text whose rows are windows of it, up to the last that is known."""
    symbols = text.inputs
    codes = torch.cat([symbols.codes[:, : symbols.stride].reshape(-1), symbols.codes[-1, symbols.stride :]])
    if symbols.next_symbol:
        codes = torch.cat([codes, text.targets.reshape(-1)[-1:].to(codes.dtype)])
    return codes[codes < len(symbols.alphabet)]
