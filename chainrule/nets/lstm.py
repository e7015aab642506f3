"""Long short-term memory: Hochreiter & Schmidhuber (1997), https://doi.org/10.1162/neco.1997.9.8.1735

With the gate that keeps: Gers, Schmidhuber & Cummins (2000), https://doi.org/10.1162/089976600300015015
"""

from __future__ import annotations

from chainrule.core.registry import nets
from chainrule.nets.layers.gated import LSTMLayer
from chainrule.nets.layers.recurrent import TASKS, WHOLE, Answer, RecurrentNet


@nets("lstm", source="Hochreiter & Schmidhuber (1997), https://doi.org/10.1162/neco.1997.9.8.1735; Gers, Schmidhuber & Cummins (2000), "
                     "https://doi.org/10.1162/089976600300015015", tasks=TASKS, whole=WHOLE, sentences=True)
class LSTM(RecurrentNet):
    """Cells that gates write, keep and read: (n, t, d) -> (n, t, outputs), or (n, outputs) of sequences.

    See `LSTMLayer` for the formulas and `RecurrentNet` for the options.
    """

    def __init__(self, inputs: tuple[int, ...], outputs: int, *, hidden: int = 256, layers: int = 1, bidirectional: bool = False,
                 residual: bool = False, dropout: float = 0.0, answer: Answer = "steps"):
        super().__init__("lstm", LSTMLayer, inputs, outputs, hidden=hidden, layers=layers, bidirectional=bidirectional, residual=residual,
                         dropout=dropout, answer=answer)
