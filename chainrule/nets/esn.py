"""The echo-state network: a fixed sparse reservoir whose echoes of the past are read by one linear layer.

Jaeger (2001), GMD report 148; Jaeger & Haas (2004), https://doi.org/10.1126/science.1091277
"""

from __future__ import annotations

import warnings
from collections.abc import Iterator

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from chainrule.core.errors import InputError
from chainrule.core.kernels import plain
from chainrule.core.registry import nets
from chainrule.nets.layers.recurrent import WHOLE, Answer, lengths, taken


@nets("esn", source="Jaeger (2001), GMD report 148; Jaeger & Haas (2004), https://doi.org/10.1126/science.1091277; Jaeger, Lukosevicius, "
                    "Popovici & Siewert (2007), https://doi.org/10.1016/j.neunet.2007.04.016", rule="ridge-readout", loss="squared",
      init="zeros", kind="fixed features", tasks=("tagging", "classification", "regression", "forecast"), whole=WHOLE)
class EchoState(nn.Module):
    """A random reservoir that is never trained, read with the inputs by a linear layer: (n, t, d) -> (n, t, outputs), or (n, outputs).

    Units follow h_t = (1 - leak) h_{t-1} + leak tanh(W x_t + b + U h_{t-1}) from h = 0. Each has `connections` from random others, scaled
    so that the greatest eigenvalue of U is `radius`; W is even in [-drive, drive] and b in [-bias, bias]. `ridge` is what the squared
    weights of the readout cost beside the summed squared error, where the rule names nothing else. `answer` reads out at all steps, at
    the end, or the mean over the steps; series of one number a step may come as (n, t). Raises InputError for inputs that are no
    sequences and options out of their ranges.
    """

    reads: Tensor
    bias: Tensor
    recurs: Tensor

    def __init__(self, inputs: tuple[int, ...], outputs: int, *, units: int = 400, radius: float = 0.9, leak: float = 1.0,
                 ridge: float = 1e-6, connections: int = 10, drive: float = 0.05, bias: float = 0.5, answer: Answer = "steps"):
        super().__init__()
        if not 1 <= len(inputs) <= 2:
            raise InputError(f"esn reads sequences of rows (t, d), or series (t,); got inputs of shape {inputs}. Give a series with "
                             "--horizon, or sequences, or use --net lenet for pictures.")
        if min(units, connections) < 1 or not (radius > 0 and 0 < leak <= 1) or min(ridge, drive, bias) < 0:
            raise InputError(f"esn expects units and connections of at least 1, a radius above 0, a leak above 0 and at most 1, and ridge, "
                             f"drive and bias of at least 0; got units={units}, connections={connections}, radius={radius}, leak={leak}, "
                             f"ridge={ridge}, drive={drive}, bias={bias}. Write e.g. esn:units=400,radius=0.9,leak=1.0.")
        self.units, self.leak, self.ridge, self.answer = units, leak, ridge, answer
        width = inputs[1] if len(inputs) == 2 else 1
        self.register_buffer("reads", drive * _even(units, width))
        self.register_buffer("bias", bias * _even(units))
        self.register_buffer("recurs", reservoir(units, min(connections, units), radius))
        self.output = nn.Linear(units + width, outputs)

    @property
    def kernels(self) -> frozenset[str]:
        """None: all steps are gone through one by one."""
        return frozenset()

    def initial(self, rows: int) -> Tensor:
        """The state before a sequence, zeros (rows, units)."""
        return self.recurs.new_zeros(rows, self.units)

    def echo(self, x: Tensor, state: Tensor) -> tuple[Tensor, Tensor]:
        """The units at every step of sequences (n, t, d) with what is read at it, (n, t, units + d), and the state after the last step."""
        x = _as_rows(x)
        if plain(x, self.recurs) and x.shape[0] == 1 and not x.requires_grad:
            features = self._along(x[0], state[0])
            return features[None], features[-1:, : self.units]
        states = list(self._walk(x, state))
        return torch.cat([torch.stack(states, 1), x], 2), states[-1]

    def features(self, x: Tensor) -> Tensor:
        """What the readout reads: (n, units + d), or (n, t, units + d) where it answers at every step."""
        x = _as_rows(x)
        state = self.initial(x.shape[0]).to(x.dtype)
        if self.answer == "steps":
            return self.echo(x, state)[0]
        length = lengths(x)[:, None]                                                             # (n, 1)
        if self.answer == "mean":
            there = (torch.arange(x.shape[1], device=x.device) < length).to(x.dtype)             # (n, t)
            total = torch.stack([there[:, t : t + 1] * now for t, now in enumerate(self._walk(x, state))]).sum(0)
            return torch.cat([total, (x * there[:, :, None]).sum(1)], 1) / length
        for t, now in enumerate(self._walk(x, state)):
            state = torch.where(t < length, now, state)
        return torch.cat([state, taken(x, length - 1).squeeze(1)], 1)

    def forward(self, x: Tensor) -> Tensor:
        scores: Tensor = self.output(self.features(x))
        return scores

    def _walk(self, x: Tensor, state: Tensor) -> Iterator[Tensor]:
        """The state (n, units) after each step of sequences (n, t, d)."""
        for now in x.unbind(1):
            new = torch.tanh(F.linear(now, self.reads, self.bias) + state @ self.recurs.T)
            state = new if self.leak == 1 else torch.lerp(state, new, self.leak)
            yield state

    def _along(self, x: Tensor, state: Tensor) -> Tensor:
        """What the readout reads at every step of one sequence (t, d), through the connections and not all pairs of units."""
        with warnings.catch_warnings():
            warnings.filterwarnings("ignore", "Sparse CSR tensor support is in beta")
            connected = self.recurs.to_sparse_csr()
        features = torch.cat([F.linear(x, self.reads, self.bias), x], 1)                         # (t, units + d)
        for row in features[:, : self.units].unbind():
            row.add_(torch.mv(connected, state)).tanh_()
            state = row if self.leak == 1 else row.lerp_(state, 1 - self.leak)
        return features

    def extra_repr(self) -> str:
        return f"units={self.units}, leak={self.leak}"


def reservoir(units: int, connections: int, radius: float) -> Tensor:
    """Random weights (units, units), so many in each row and zeros else, whose greatest eigenvalue has the size `radius`."""
    places = torch.rand(units, units).topk(connections, 1).indices                               # (units, connections)
    weights = torch.zeros(units, units).scatter(1, places, _even(units, connections))
    greatest = torch.linalg.eigvals(weights.double()).abs().amax()
    scaled: Tensor = weights * (radius / greatest).to(weights.dtype)
    return scaled


def _even(*shape: int) -> Tensor:
    return 2 * torch.rand(*shape) - 1


def _as_rows(x: Tensor) -> Tensor:
    return x[:, :, None] if x.dim() == 2 else x
