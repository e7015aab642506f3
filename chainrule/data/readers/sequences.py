"""Sequences of numbers: padding with masks, a time series as rows of delay taps, pen strokes as offsets; each with its exact inverse.

Delay taps: Takens (1981), https://doi.org/10.1007/BFb0091924; pen offsets: Graves (2013), arXiv:1308.0850
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass
from decimal import Decimal, InvalidOperation
from typing import Any

import torch
from torch import Tensor

from chainrule.core.errors import InputError
from chainrule.data.memory import afford

MOST_PLACES = 9                                                      # digits after the point that a pen's coordinates can have
MOST_DIGITS = 15                                                     # of a coordinate, before and after the point


def pad(sequences: Sequence[Tensor], fill: float = 0) -> tuple[Tensor, Tensor]:
    """Sequences (t_i, ...) as one tensor (n, longest, ...) and a mask (n, longest) of the places that are theirs."""
    if not sequences:
        raise InputError("expected at least one sequence to pad; got none.")
    first = sequences[0]
    for i, s in enumerate(sequences):
        if s.dim() == 0 or s.shape[1:] != first.shape[1:] or s.dtype != first.dtype:
            raise InputError(f"sequence {i + 1} has shape {tuple(s.shape)} and {s.dtype}; the first {tuple(first.shape)} and "
                             f"{first.dtype}. Only their lengths may differ.")
    lengths = torch.tensor([len(s) for s in sequences])              # (n,)
    longest = int(lengths.max())
    step = first[:1].nbytes if len(first) else first.element_size()
    afford(len(sequences) * longest * (step + 1), f"filling up {len(sequences):,} sequences to the longest, of {longest:,} steps,")
    mask = torch.arange(longest) < lengths[:, None]       # (n, longest)
    padded = torch.full((*mask.shape, *first.shape[1:]), fill, dtype=first.dtype)
    for into, s in zip(padded, sequences):
        into[: len(s)] = s
    return padded, mask


def unpad(padded: Tensor, mask: Tensor) -> list[Tensor]:
    """What `pad` was given. Raises InputError where the mask has a gap."""
    lengths = mask.sum(1)                                            # (n,)
    whole = torch.arange(mask.shape[1]) < lengths[:, None]
    if mask.shape != padded.shape[:2] or not torch.equal(whole, mask):
        raise InputError(f"expected a mask of shape {tuple(padded.shape[:2])}, true from the start of each row; got {tuple(mask.shape)}.")
    return [row[:n] for row, n in zip(padded, lengths.tolist())]


def windows(series: Tensor, delays: int, horizon: int = 1) -> tuple[Tensor, Tensor]:
    """Delay taps (n, delays, d) of a series (t, d), views of it, and the value `horizon` steps after the last tap, (n, d).

    n = t - delays - horizon + 1. Each row has a target of its own, so that no target is in two parts.
    """
    if series.dim() != 2 or delays < 1 or horizon < 1:
        raise InputError(f"expected a series (t, d) and at least 1 delay and 1 step ahead; got {tuple(series.shape)}, {delays}, {horizon}.")
    rows = len(series) - delays - horizon + 1
    if rows < 1:
        raise InputError(f"a series of {len(series)} steps has no row with {delays} delays and a target {horizon} later; at least "
                         f"{delays + horizon} steps are needed.")
    return series.unfold(0, delays, 1)[:rows].transpose(1, 2), series[delays + horizon - 1 :]


def unwindow(taps: Tensor, ahead: Tensor, horizon: int = 1) -> Tensor:
    """The series (t, d) that `windows` was given. Raises InputError where fewer rows than `horizon` leave a gap."""
    if len(taps) < horizon or len(ahead) != len(taps):
        raise InputError(f"expected as many targets as rows and at least {horizon} of them, else steps are missing; got {len(taps)} rows "
                         f"and {len(ahead)} targets.")
    return torch.cat([taps[0], taps[1:, -1], ahead[-horizon:]])


@dataclass(frozen=True)
class Ink:
    """Pen strokes: each (k, 2) x, y or (k, 3) x, y, t as int64 counts of `10 ** -places`, so that differences are exact."""

    strokes: tuple[Tensor, ...]
    places: int = 0


def offsets(strokes: Sequence[Tensor]) -> Tensor:
    """Strokes of whole numbers (k, 2 or 3) as steps (m, 3 or 4): dx, dy, (dt,) from the point before, and 1 where the pen lifts after it.

    The first step starts at the origin.
    """
    if not strokes or any(s.dim() != 2 or not len(s) or s.shape[1] not in (2, 3) or s.shape[1] != strokes[0].shape[1] for s in strokes):
        raise InputError("expected strokes of at least one point, all of them (x, y) or all (x, y, t); got "
                         f"{', '.join(str(tuple(s.shape)) for s in strokes[:5]) or 'none'}.")
    if any(s.is_floating_point() for s in strokes):
        raise InputError("expected points in whole numbers, because sums of rounded differences drift; got fractions. Count them in units "
                         "of 10 ** -places, as read_ink does.")
    points = torch.cat([s.long() for s in strokes])                  # (m, d)
    steps = points.diff(dim=0, prepend=torch.zeros_like(points[:1]))
    lifted = torch.zeros(len(points), 1, dtype=torch.int64)
    lifted[torch.tensor([len(s) for s in strokes]).cumsum(0) - 1] = 1
    return torch.cat([steps, lifted], 1)


def strokes_of(steps: Tensor) -> tuple[Tensor, ...]:
    """What `offsets` was given. Raises InputError where the pen is not lifted at the end."""
    if steps.dim() != 2 or not len(steps) or steps.shape[1] not in (3, 4) or int(steps[-1, -1]) != 1:
        raise InputError(f"expected steps (m, 3 or 4) whose last lifts the pen; got {tuple(steps.shape)}.")
    ends = (steps[:, -1].nonzero()[:, 0] + 1).tolist()
    return steps[:, :-1].cumsum(0).tensor_split(ends[:-1])


def read_ink(text: str, where: str = "the text") -> Ink:
    """Strokes from JSON, `[[[x, y], ...], ...]`, or from text: a stroke a line, its points `x,y` or `x,y,t` with blanks between.

    Decimal fractions are read exactly. Raises InputError naming stroke and point.
    """
    points = _of_json(text, where) if text.lstrip().startswith("[") else _of_lines(text)
    if not points:
        raise InputError(f"{where} holds no strokes; expected a line of points x,y for each.")
    exact = [[_exact(point, f"{where}, stroke {i}, point {j}") for j, point in enumerate(stroke, 1)] for i, stroke in enumerate(points, 1)]
    widths = {len(p) for stroke in exact for p in stroke}
    if widths - {2, 3} or len(widths) != 1 or not all(exact):
        raise InputError(f"{where}: expected strokes of at least one point, all of them x,y or all x,y,t; got points of "
                         f"{' and '.join(map(str, sorted(widths))) or 'no'} numbers.")
    places = max(_places(v) for stroke in exact for p in stroke for v in p)
    if places > MOST_PLACES or any(v and v.adjusted() + places >= MOST_DIGITS for stroke in exact for p in stroke for v in p):
        raise InputError(f"{where}: coordinates of up to {places} decimal places are too fine or too large to count exactly; at most "
                         f"{MOST_PLACES} places and {MOST_DIGITS} digits are read. Round them.")
    unit = 10**places
    return Ink(tuple(torch.tensor([[int(v * unit) for v in p] for p in stroke], dtype=torch.int64) for stroke in exact), places)


def write_ink(ink: Ink) -> str:
    """The strokes as text, a line each: what `read_ink` reads."""
    def shown(count: int) -> str:
        return f"{Decimal(count).scaleb(-ink.places).normalize():f}"

    return "".join(" ".join(",".join(map(shown, p)) for p in s.tolist()) + "\n" for s in ink.strokes)


def _of_json(text: str, where: str) -> list[list[Any]]:
    try:
        strokes: list[list[Any]] = json.loads(text, parse_float=Decimal, parse_int=Decimal)
    except (json.JSONDecodeError, RecursionError, InvalidOperation) as error:
        raise InputError(f"{where} is not JSON: {error}. Expected [[[x, y], [x, y]], [[x, y]]].") from None
    if not all(isinstance(s, list) and all(isinstance(p, list) for p in s) for s in strokes):
        raise InputError(f"{where}: expected a list of strokes, each a list of points [x, y]; got another nesting.")
    return strokes


def _of_lines(text: str) -> list[list[Any]]:
    return [[point.split(",") for point in line.split()] for line in text.splitlines() if line.strip()]


def _places(value: Decimal) -> int:
    """Digits after the point, without zeros at their end."""
    _, digits, exponent = value.as_tuple()
    zeros = len(digits) - len("".join(map(str, digits)).rstrip("0"))
    return max(0, -int(exponent) - zeros) if value else 0


def _exact(point: list[Any], where: str) -> list[Decimal]:
    try:
        values = [Decimal(v) for v in point if not isinstance(v, bool | float)]
    except (InvalidOperation, TypeError, ValueError):
        values = []
    if len(values) != len(point) or not all(v.is_finite() for v in values):
        raise InputError(f"{where}: expected finite numbers x,y or x,y,t; got {','.join(map(str, point))}.")
    return values
