"""Layers with memory: one recurrence, and nets of them, stacked, in both directions, past shortcuts, over sequences of unequal length.

Bidirectional: Schuster & Paliwal (1997), https://doi.org/10.1109/78.650093; residual: Wu et al. (2016), https://arxiv.org/abs/1609.08144;
dropout: Zaremba, Sutskever & Vinyals (2014), https://arxiv.org/abs/1409.2329
"""

from __future__ import annotations

from typing import ClassVar, Literal

import torch
from torch import Tensor, nn

from chainrule.core.errors import InputError
from chainrule.core.kernels import offered, plain
from chainrule.core.symbols import are_symbols, there
from chainrule.nets.layers.activation import check_dropout

Answer = Literal["steps", "last", "mean"]
State = tuple[Tensor, ...]          # (n, hidden) each
TASKS = ("language", "tagging", "classification", "regression", "forecast", "transcription")
WHOLE = {"answer": "last"}          # of tasks that ask one answer of a sequence


class Gated(nn.Linear):
    """A linear map to several gates of `units` each, whose weights (gates * units, inputs) lie one below the other."""

    def __init__(self, inputs: int, units: int, gates: int, bias: bool = True):
        super().__init__(inputs, gates * units, bias)
        self.gates = gates


class Recurrence(nn.Module):
    """One layer in one direction: its state and what it reads at a step give the next state, whose first part is its output.

    The weights that read and those that recur have a block for each gate. The state before a sequence is learned. `cell` is one step
    written out; `library` does all steps by torch's fused kernel; `kernel` names one that an engine may offer.
    """

    gates: ClassVar[int]
    parts: ClassVar[tuple[str, ...]] = ("hidden",)
    kernel: ClassVar[str]
    start_hidden: nn.Parameter

    def __init__(self, inputs: int, hidden: int):
        super().__init__()
        self.hidden = hidden
        self.reads = Gated(inputs, hidden, self.gates)
        self.recurs = Gated(hidden, hidden, self.gates, bias=False)
        for part in self.parts:
            self.register_parameter(f"start_{part}", nn.Parameter(torch.zeros(hidden)))
        with torch.no_grad():
            nn.init.zeros_(self.reads.bias)
            for block in self.recurs.weight.chunk(self.gates):
                nn.init.orthogonal_(block)
            self.lift_biases()

    def lift_biases(self) -> None:
        """Raise the biases that should start higher than others, in place: where drawn or zero, this comes after."""

    def initial(self, rows: int) -> State:
        """The learned state before a sequence."""
        return tuple(getattr(self, f"start_{part}").expand(rows, -1) for part in self.parts)

    def cell(self, driven: Tensor, state: State) -> State:
        """The state after one step, driven by what the layer reads of it (n, gates * hidden)."""
        raise NotImplementedError

    def library(self, x: Tensor, state: State) -> tuple[Tensor, State]:
        """As `written_out`, by torch's fused kernel."""
        raise NotImplementedError

    def written_out(self, x: Tensor, state: State) -> tuple[Tensor, State]:
        """Outputs (n, t, hidden) of inputs (n, t, d) from the state before them, and the state after, a step at a time."""
        outputs = []
        for driven in self.reads(x).unbind(1):
            state = self.cell(driven, state)
            outputs.append(state[0])
        return torch.stack(outputs, 1), state

    def forward(self, x: Tensor, state: State) -> tuple[Tensor, State]:
        """As `written_out`; by a kernel where nothing needs to look into it."""
        if not plain(x, *state, self.recurs.weight):
            return self.written_out(x, state)
        kernel = offered(self.kernel)
        done = None if kernel is None else kernel(x, state, *self.parameters_of_kernel())
        return self.library(x, state) if done is None else done

    def parameters_of_kernel(self) -> tuple[Tensor, ...]:
        """What an offered kernel is given beside inputs and state."""
        return self.reads.weight, self.recurs.weight, self.reads.bias


class RecurrentStack(nn.Module):
    """Layers with memory one above the other: what the uppermost gives at every step of sequences, (n, t, d) -> (n, t, width).

    Series of one number a step may come as (n, t). What fills up shorter sequences of symbols is zero: one ends with its last step that is
    not zero throughout. `bidirectional` layers read it from that end too; `residual` ones add what they read to what they give, where
    both are as wide; `dropout` is the share of what a layer gives to those above it that is left out in training, anew at every step,
    while what it gives to itself is whole. Raises InputError for inputs that are no sequences, sizes below one, and shares that are none;
    `family` is who is then named.
    """

    def __init__(self, family: str, layer: type[Recurrence], inputs: tuple[int, ...], *, hidden: int, layers: int, bidirectional: bool,
                 residual: bool = False, dropout: float = 0.0):
        super().__init__()
        if not 1 <= len(inputs) <= 2:
            raise InputError(f"{family} reads sequences of rows (t, d), or series (t,); got inputs of shape {inputs}. Give text or "
                             "sequences, or use --net lenet for pictures.")
        if min(hidden, layers) < 1:
            raise InputError(f"{family} expects at least one hidden unit and one layer; got hidden={hidden}, layers={layers}. Write e.g. "
                             f"{family}:hidden=256,layers=1.")
        check_dropout(family, dropout)
        self.family, self.residual = family, residual
        self.width = hidden * (2 if bidirectional else 1)
        reads = [inputs[1] if len(inputs) == 2 else 1, *[self.width] * (layers - 1)]
        self.layers = nn.ModuleList(layer(size, hidden) for size in reads)
        self.backward_layers = nn.ModuleList(layer(size, hidden) for size in reads if bidirectional)
        self.dropout = nn.Dropout(dropout) if dropout else nn.Identity()
        self.parts = layer.parts

    @property
    def reads_ahead(self) -> bool:
        """Whether what it says of a step follows from later steps too."""
        return len(self.backward_layers) > 0

    @property
    def kernels(self) -> frozenset[str]:
        """The kernels that its layers ask for."""
        return frozenset(layer.kernel for layer in self._forward_layers())

    def states(self, x: Tensor) -> Tensor:
        """What the uppermost layer gives at every step, (n, t, units)."""
        y, n = _as_rows(x), x.shape[0]
        turned = turns(y) if self.reads_ahead else None
        for i, layer in enumerate(self._forward_layers()):
            outputs, _ = layer(y, layer.initial(n))
            if turned is not None:
                back = self.backward_layers[i]
                assert isinstance(back, Recurrence)
                outputs = torch.cat([outputs, taken(back(taken(y, turned), back.initial(n))[0], turned)], 2)
            y = self._past(y, outputs)
        return y

    def end(self, x: Tensor, states: Tensor) -> Tensor:
        """The states (n, t, units) of x where each direction has read all of it, (n, units): at the last step, and at the first."""
        last = taken(states, lengths(_as_rows(x))[:, None] - 1).squeeze(1)
        if not self.reads_ahead:
            return last
        return torch.cat([last.chunk(2, 1)[0], states[:, 0].chunk(2, 1)[1]], 1)

    def forward(self, x: Tensor) -> Tensor:
        return self.states(x)

    def _past(self, x: Tensor, outputs: Tensor) -> Tensor:
        kept: Tensor = self.dropout(outputs)
        return kept + x if self.residual and outputs.shape == x.shape else kept

    def _forward_layers(self) -> list[Recurrence]:
        return [layer for layer in self.layers if isinstance(layer, Recurrence)]


class RecurrentNet(RecurrentStack):
    """Layers with memory, read out at every step or once for a whole sequence: (n, t, d) -> (n, t, outputs) or (n, outputs).

    Series of one number a step may come as (n, t). What fills up shorter sequences of symbols is zero: one ends with its last step that is
    not zero throughout. `bidirectional` layers read it from that end too; `residual` ones add what they read to what they give, where
    both are as wide. `dropout` leaves out a share of what a layer gives to those above it. `answer` reads out at all steps, at the end (of
    the layers that go backward, which end there, at the first step), or the mean over the steps. Raises InputError for inputs that are no
    sequences, sizes below one, and shares that are none.
    """

    def __init__(self, family: str, layer: type[Recurrence], inputs: tuple[int, ...], outputs: int, *, hidden: int, layers: int,
                 bidirectional: bool, residual: bool, dropout: float, answer: Answer):
        super().__init__(family, layer, inputs, hidden=hidden, layers=layers, bidirectional=bidirectional, residual=residual,
                         dropout=dropout)
        self.answer = answer
        self.output = nn.Linear(self.width, outputs)

    def initial(self, rows: int) -> dict[str, Tensor]:
        """The state before a sequence by its parts, each (rows, layers, hidden)."""
        self._only_forward()
        starts = [layer.initial(rows) for layer in self._forward_layers()]
        return {part: torch.stack([start[k] for start in starts], 1) for k, part in enumerate(self.parts)}

    def unroll(self, x: Tensor, state: dict[str, Tensor]) -> tuple[Tensor, dict[str, Tensor]]:
        """Outputs (n, t, outputs) and the state after inputs (n, t, d), from the state before them."""
        self._only_forward()
        y, ends = _as_rows(x), []
        for i, layer in enumerate(self._forward_layers()):
            outputs, end = layer(y, tuple(state[part][:, i] for part in self.parts))
            y = self._past(y, outputs)
            ends.append(end)
        scores: Tensor = self.output(y)                                                          # (n, t, outputs)
        return scores, {part: torch.stack([end[k] for end in ends], 1) for k, part in enumerate(self.parts)}

    def vectors(self) -> Tensor:
        """What the lowest layer reads of each symbol that comes as a one-hot row, (symbols, gates * hidden)."""
        lowest = self.layers[0]
        assert isinstance(lowest, Recurrence)
        return lowest.reads.weight.T

    def forward(self, x: Tensor) -> Tensor:
        states = self.states(x)                                                                  # (n, t, units)
        if self.answer != "steps":
            states = self._mean(x, states) if self.answer == "mean" else self.end(x, states)     # (n, units)
        scores: Tensor = self.output(states)
        return scores

    def _mean(self, x: Tensor, states: Tensor) -> Tensor:
        length = lengths(_as_rows(x))[:, None]                                                   # (n, 1)
        exists = torch.arange(states.shape[1], device=x.device) < length                         # (n, t)
        return (states * exists[:, :, None]).sum(1) / length

    def _only_forward(self) -> None:
        if self.reads_ahead:
            raise InputError(f"A bidirectional {self.family} reads a sequence from its end too, and no state can be carried past that. "
                             "Leave out bidirectional.")


def lengths(x: Tensor) -> Tensor:
    """How many steps each sequence (n, t, d) has, (n,): of symbols up to the last, known or not, and one at least; of other numbers all,
    since any of them may be zero."""
    places = torch.arange(1, x.shape[1] + 1, device=x.device)
    ends = (there(x) * places).amax(1).clamp(min=1)
    return torch.where(are_symbols(x), ends, x.shape[1])


def turns(x: Tensor) -> Tensor:
    """For each place of sequences (n, t, d) the one that stands there when each is read from its own end, (n, t); its own inverse."""
    places, length = torch.arange(x.shape[1], device=x.device), lengths(x)[:, None]
    return torch.where(places < length, length - 1 - places, places)


def taken(x: Tensor, places: Tensor) -> Tensor:
    """The steps of sequences (n, t, d) at places (n, k): (n, k, d)."""
    return x.gather(1, places[:, :, None].expand(-1, -1, x.shape[2]))


def _as_rows(x: Tensor) -> Tensor:
    return x[:, :, None] if x.dim() == 2 else x
