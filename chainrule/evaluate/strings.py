"""Strings of class numbers: read off frames by the likeliest path or by a beam over prefixes, written symbol by symbol by a beam, and how
many edits part two of them.

Graves et al. (2006), https://doi.org/10.1145/1143844.1143891; Hannun et al. (2014), https://arxiv.org/abs/1408.2873; Levenshtein (1966)
"""

from __future__ import annotations

import math
from collections import defaultdict
from collections.abc import Callable, Sequence
from typing import Any

import torch
from torch import Tensor
from torch.utils import _pytree as pytree

from chainrule.core.batch import map_tensors

END = -1  # fills strings up
NEVER = -1e30  # the log of no probability, finite


def best_path(shares: Tensor) -> Tensor:
    """What the likeliest symbol of every frame (n, t, symbols + 1) says, runs once and blanks, the last, left out: (n, t), filled up."""
    best = shares.argmax(2)                                                              # (n, t)
    new = torch.ones_like(best, dtype=torch.bool)
    new[:, 1:] = best[:, 1:] != best[:, :-1]
    begins = new & (best != shares.shape[2] - 1)
    places = torch.where(begins, begins.cumsum(1) - 1, best.shape[1])
    strings = torch.full((len(best), best.shape[1] + 1), END, device=best.device)
    return strings.scatter(1, places, torch.where(begins, best, END))[:, :-1]


def prefix_beam(shares: Tensor, width: int = 16) -> list[int]:
    """The likeliest string of frames (t, symbols + 1) that a beam of so many prefixes finds, each with the probability of all its paths."""
    blank = shares.shape[1] - 1
    beams: dict[tuple[int, ...], tuple[float, float]] = {(): (1.0, 0.0)}                 # of paths that end in a blank, and in a symbol
    for frame in shares.double().tolist():
        ahead: defaultdict[tuple[int, ...], list[float]] = defaultdict(lambda: [0.0, 0.0])
        for prefix, (by_blank, by_symbol) in beams.items():
            whole = by_blank + by_symbol
            ahead[prefix][0] += whole * frame[blank]
            if prefix:
                ahead[prefix][1] += by_symbol * frame[prefix[-1]]
            for symbol in range(blank):
                from_here = by_blank if prefix and symbol == prefix[-1] else whole
                ahead[(*prefix, symbol)][1] += from_here * frame[symbol]
        best = sorted(ahead.items(), key=lambda item: -sum(item[1]))[:width]
        scale = math.fsum(sum(parts) for _, parts in best) or 1.0
        beams = {prefix: (parts[0] / scale, parts[1] / scale) for prefix, parts in best}
    return list(max(beams.items(), key=lambda item: item[1][0] + item[1][1])[0])


def until_end(symbols: Tensor, end: int) -> Tensor:
    """Strings (n, t) of symbols (n, t) up to the first that stands for the end, filled up."""
    ended = (symbols == end).cumsum(1) > 0
    return torch.where(ended, END, symbols)


def beam_search(follow: Callable[[Tensor, Any], tuple[Tensor, Any]], state: Any, rows: int, end: int, steps: int,
                width: int) -> tuple[Tensor, Tensor]:
    """The likeliest strings (n, steps), filled up, that a beam of `width` finds, and the logs (n,) of their probabilities.

    `follow` scores (m, symbols) what comes after the symbols (m,) and gives the state then, a tree of tensors with the rows first; `end`
    stands before the first symbol and behind the last. After so many steps strings are cut off. Graves (2012), arXiv:1211.3711;
    Sutskever, Vinyals & Le (2014), https://arxiv.org/abs/1409.3215
    """
    state = map_tensors(lambda t: t.repeat_interleave(width, 0), state)
    device = next(t.device for t in pytree.tree_leaves(state) if t is not None)
    last = torch.full((rows * width,), end, device=device)
    logs = torch.full((rows, width), NEVER, device=device)
    logs[:, 0] = 0                                                                       # all begin alike
    strings = torch.full((rows, width, steps), end, device=device)
    for step in range(steps):
        scores, state = follow(last, state)
        ahead = scores.float().log_softmax(1).view(rows, width, -1)                      # (n, width, symbols)
        if step:
            closed = torch.full_like(ahead[0, 0], NEVER)
            closed[end] = 0                                                              # what has ended stays as it is
            ahead = torch.where((last.view(rows, width) == end)[..., None], closed, ahead)
        logs, places = (logs[..., None] + ahead).flatten(1).topk(width, 1)               # (n, width) each
        parents, symbols = places // ahead.shape[2], places % ahead.shape[2]
        strings = strings.gather(1, parents[..., None].expand(-1, -1, steps))
        strings[:, :, step] = symbols
        last = symbols.flatten()
        if bool((last == end).all()):
            break
        at = (torch.arange(rows, device=device)[:, None] * width + parents).flatten()
        state = map_tensors(lambda t, at=at: t[at], state)                               # type: ignore[misc]
    best = logs.argmax(1)
    chosen = torch.arange(rows, device=device)
    return until_end(strings[chosen, best], end), logs[chosen, best]


def edit_distances(a: Tensor, b: Tensor) -> Tensor:
    """How many insertions, deletions and exchanges make strings (n, k) into strings (n, l), both filled up at the end; (n,)."""
    sizes = (a != END).sum(1), (b != END).sum(1)                                         # (n,) each
    a, b = (t[:, : max(1, int(size.max()))] if len(size) else t for t, size in zip((a, b), sizes, strict=True))
    row = torch.arange(b.shape[1] + 1, device=b.device).expand(len(b), -1)               # (n, l + 1)
    rows = [row]
    for i in range(a.shape[1]):
        least = [row[:, 0] + 1]
        for j in range(b.shape[1]):
            exchanged = row[:, j] + (a[:, i] != b[:, j])
            least.append(torch.minimum(torch.minimum(row[:, j + 1], least[j]) + 1, exchanged))
        row = torch.stack(least, 1)
        rows.append(row)
    table = torch.stack(rows, 1)                                                         # (n, k + 1, l + 1)
    return table[torch.arange(len(a), device=a.device), sizes[0], sizes[1]]


def padded(strings: Sequence[Sequence[int]]) -> Tensor:
    """Strings as rows (n, longest), filled up."""
    longest = max(1, *map(len, strings)) if strings else 1
    return torch.tensor([[*string, *[END] * (longest - len(string))] for string in strings])
