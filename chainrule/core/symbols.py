"""How symbols of sequences reach a net: a one in the column of each that is known, a trace in the first column of one that is not,
and zeros where there is none.

So a net that is given rows alone can tell a symbol that training never saw, which is a step, from what fills up the end, which is none.
"""

from __future__ import annotations

from torch import Tensor

TRACE = 2.0**-20       # too little to change what a net says, and exact in every floating point format


def there(x: Tensor) -> Tensor:
    """Which steps of sequences (..., d) hold a symbol, known or not, (...)."""
    present: Tensor = (x != 0).any(-1)
    return present


def known(x: Tensor) -> Tensor:
    """Which steps of sequences (..., d) hold a symbol that is known, (...)."""
    hot: Tensor = x @ x.new_ones(x.shape[-1]) > 2 * TRACE         # a product is many times as fast as a sum of few
    return hot


def are_symbols(x: Tensor) -> Tensor:
    """Which of sequences (n, t, d) have no other numbers than symbols have, (n,)."""
    symbols: Tensor = ((x == 0) | (x == 1) | (x == TRACE)).flatten(1).all(1)
    return symbols
