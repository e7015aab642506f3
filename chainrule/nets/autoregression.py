"""A sum of the last values, each times a weight: autoregression. Yule (1927), https://doi.org/10.1098/rsta.1927.0007"""

from __future__ import annotations

from torch import Tensor, nn

from chainrule.core.errors import InputError
from chainrule.core.registry import nets


@nets("ar", source="Yule (1927), https://doi.org/10.1098/rsta.1927.0007; Marcellino, Stock & Watson (2006), "
                   "https://doi.org/10.1016/j.jeconom.2005.07.020", rule="closedform:ridge=1", loss="squared", init="zeros",
      kind="forecaster", tasks=("forecast",))
class Autoregression(nn.Module):
    """All columns of the last `order` steps, all of them where it is 0, times weights of every step ahead: (n, t, d) -> (n, outputs).

    Each output has weights of its own, fitted for its own distance, so that errors of one step are not carried into the next.
    """

    def __init__(self, inputs: tuple[int, ...], outputs: int, *, order: int = 0):
        super().__init__()
        if len(inputs) != 2 or not 0 <= order <= inputs[0]:
            raise InputError(f"ar reads windows (t, d) of a series, and an order of at most t; got inputs of shape {inputs}, "
                             f"order={order}. Give a series with --horizon, or use --net linear.")
        self.order = order or inputs[0]
        self.output = nn.Linear(self.order * inputs[1], outputs)

    def features(self, x: Tensor) -> Tensor:
        """The steps that are read, (n, order * d)."""
        return x[:, -self.order :].flatten(1)

    def forward(self, x: Tensor) -> Tensor:
        forecast: Tensor = self.output(self.features(x))
        return forecast
