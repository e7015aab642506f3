"""Gated recurrent units: Cho et al. (2014), https://doi.org/10.3115/v1/D14-1179"""

from __future__ import annotations

from chainrule.core.registry import nets
from chainrule.nets.layers.gated import GRULayer
from chainrule.nets.layers.recurrent import TASKS, WHOLE, Answer, RecurrentNet


@nets("gru", source="Cho et al. (2014), https://doi.org/10.3115/v1/D14-1179", tasks=TASKS, whole=WHOLE, sentences=True)
class GRU(RecurrentNet):
    """Units that a gate keeps and another lets forget: (n, t, d) -> (n, t, outputs), or (n, outputs) of sequences.

    See `GRULayer` for the formulas and `RecurrentNet` for the options.
    """

    def __init__(self, inputs: tuple[int, ...], outputs: int, *, hidden: int = 256, layers: int = 1, bidirectional: bool = False,
                 residual: bool = False, dropout: float = 0.0, answer: Answer = "steps"):
        super().__init__("gru", GRULayer, inputs, outputs, hidden=hidden, layers=layers, bidirectional=bidirectional, residual=residual,
                         dropout=dropout, answer=answer)
