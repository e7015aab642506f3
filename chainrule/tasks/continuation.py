"""Texts that a net writes on: burn-in on a beginning, then each symbol drawn from what is answered, and read again.

Temperature: Ackley, Hinton & Sejnowski (1985), https://doi.org/10.1207/s15516709cog0901_7; the k likeliest alone: Fan, Lewis & Dauphin
(2018), https://arxiv.org/abs/1805.04833
"""

from __future__ import annotations

from collections.abc import Callable, Generator

import torch
from torch import Tensor
from torch.utils import _pytree as pytree

from chainrule.core.abilities.sequences import Recurrent
from chainrule.core.sampling import Request
from chainrule.tasks.task import Runner

BURN_IN = 1024  # symbols of a beginning that are read at once
Answer = Callable[[Tensor], Tensor]  # outputs (n, t, classes) to probabilities of these


def drawn(shares: Tensor, temperature: float = 1.0, top_k: int | None = None, never: int | None = None) -> Tensor:
    """A symbol (n,) for each row of probabilities (n, classes), among the `top_k` likeliest, and `never` the one of that number.

    The shares p become p^(1 / temperature), and are divided by their sum.
    """
    log = shares.double().clamp(min=0).log()                                          # (n, classes), minus infinity for what cannot be
    if never is not None:
        log[:, never] = -torch.inf
    if top_k is not None and top_k < log.shape[1]:
        likeliest = log.topk(top_k, 1).indices
        log = torch.full_like(log, -torch.inf).scatter(1, likeliest, log.gather(1, likeliest))
    return (log / temperature).softmax(1).multinomial(1)[:, 0]


@torch.no_grad()
def continued(runner: Runner, answer: Answer, beginning: Tensor, request: Request, length: int, never: int | None = None) -> Tensor:
    """Codes (n, length) that follow the codes of a beginning (t,), drawn one after another."""
    codes = torch.empty(request.n, length, dtype=torch.int64)
    following = _following(runner, answer, beginning, request.n)
    shares = next(following)
    for t in range(length):
        codes[:, t] = drawn(shares, request.temperature, request.top_k, never)
        if t + 1 < length:
            shares = following.send(codes[:, t])
    return codes


def _following(runner: Runner, answer: Answer, beginning: Tensor, rows: int) -> Generator[Tensor, Tensor, None]:
    """Probabilities (rows, classes) of the symbol after the beginning, then after each (rows,) that is sent."""
    net = runner.net
    if not isinstance(net.module, Recurrent):
        seen = beginning.expand(rows, -1)
        while True:
            symbols = yield answer(net(runner.ready(seen.to(runner.device)))[:, -1:])[:, 0]
            seen = torch.cat([seen, symbols[:, None].to(seen)], 1)[:, 1:]            # as long as before: it reads no more at once
    state = net.call("initial", 1)
    for some in beginning.split(BURN_IN):
        outputs, state = net.call("unroll", runner.ready(some[None].to(runner.device)), state)
    state = pytree.tree_map(lambda t: t.repeat_interleave(rows, 0), state)
    shares = answer(outputs[:, -1:])[:, 0].repeat_interleave(rows, 0)
    while True:
        symbols = yield shares
        outputs, state = net.call("unroll", runner.ready(symbols[:, None].to(runner.device)), state)
        shares = answer(outputs)[:, 0]
