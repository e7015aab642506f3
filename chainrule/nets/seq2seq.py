"""Sequence to sequence: one net reads a string, another writes one, symbol after symbol, and may look back at what was read.

Sutskever, Vinyals & Le (2014), https://arxiv.org/abs/1409.3215; Bahdanau, Cho & Bengio (2015), https://arxiv.org/abs/1409.0473
"""

from __future__ import annotations

from typing import Literal, NamedTuple

import torch
from torch import Tensor, nn

from chainrule.core.errors import InputError
from chainrule.core.registry import nets
from chainrule.nets.layers.gated import GRULayer, LSTMLayer
from chainrule.nets.layers.recurrent import Gated, Recurrence, RecurrentStack, State, lengths

CELLS: dict[str, type[Recurrence]] = {"gru": GRULayer, "lstm": LSTMLayer}
NEVER = -1e30  # the energy of a step that does not exist: finite, so that slopes are


class Memory(NamedTuple):
    """What was read: `annotations` (n, t, width) of its steps, the `keys` (n, t, units) that attention compares, and which steps exist."""

    annotations: Tensor
    keys: Tensor
    exists: Tensor


class Writing(NamedTuple):
    """What the decoder knows: the states of its layers, the lowest first, and what was read, None where it cannot look back."""

    states: list[State]
    memory: Memory | None


class Attention(nn.Module):
    """How much each step counts for the next symbol: the softmax of v tanh(W s + U h), and the mean of the annotations h so weighted.

    s (n, hidden) is the state of the decoder before the symbol. Bahdanau, Cho & Bengio (2015), appendix A.1.2
    """

    def __init__(self, hidden: int, width: int):
        super().__init__()
        self.of_state = nn.Linear(hidden, hidden, bias=False)
        self.of_steps = nn.Linear(width, hidden)
        self.energy = nn.Linear(hidden, 1, bias=False)

    def remember(self, annotations: Tensor, exists: Tensor) -> Memory:
        return Memory(annotations, self.of_steps(annotations), exists)

    def forward(self, state: Tensor, memory: Memory) -> tuple[Tensor, Tensor]:
        """The context (n, width), and the shares (n, t) of the steps in it."""
        energies = self.energy(torch.tanh(memory.keys + self.of_state(state)[:, None])).squeeze(2)      # (n, t)
        shares = torch.where(memory.exists, energies, NEVER).softmax(1)
        return (shares[:, None] @ memory.annotations).squeeze(1), shares


@nets("seq2seq", source="Sutskever, Vinyals & Le (2014), https://arxiv.org/abs/1409.3215; Bahdanau, Cho & Bengio (2015), "
                        "https://arxiv.org/abs/1409.0473", tasks=("translation",))
class Seq2Seq(nn.Module):
    """Reads a sequence from both ends and writes a string: (n, t, d) -> (n, longest, outputs), scores of the symbol at each place.

    The last output stands for the end, and as the symbol before the first. What is scored at a place follows the likeliest symbols of the
    places before. With `attention` the decoder sees, for each symbol, the mean of all that the encoder says of the steps, weighted by how
    much they matter then; without, it begins with what the encoder has at its ends and sees nothing else. `longest` counts the symbols
    that are written at most, the end among them: as many as there are steps to read where it is 0. Raises InputError for inputs that are
    no sequences of rows, and sizes below one.
    """

    def __init__(self, inputs: tuple[int, ...], outputs: int, *, hidden: int = 256, layers: int = 1, attention: bool = True,
                 cell: Literal["gru", "lstm"] = "gru", longest: int = 0):
        super().__init__()
        if len(inputs) != 2:
            raise InputError(f"seq2seq reads sequences of rows (t, d); got inputs of shape {inputs}. Give a .jsonl file of sources and "
                             "targets.")
        if longest < 0:
            raise InputError(f"seq2seq expects longest to be at least 0; got {longest}. Leave it out.")
        layer = CELLS[cell]
        self.encoder = RecurrentStack("seq2seq", layer, inputs, hidden=hidden, layers=layers, bidirectional=True)
        width = self.encoder.width
        self.symbols = nn.Embedding(outputs, hidden)
        self.decoder = nn.ModuleList(layer(hidden, hidden) for _ in range(layers))
        self.starts = nn.Linear(width, layers * len(layer.parts) * hidden, bias=False)
        self.attention = Attention(hidden, width) if attention else None
        self.context = Gated(width, hidden, layer.gates, bias=False) if attention else None
        self.readout = nn.Linear(2 * hidden + (width if attention else 0), 2 * hidden)
        self.output = nn.Linear(hidden, outputs)
        self.longest, self.end = longest, outputs - 1

    @property
    def attends(self) -> bool:
        return self.attention is not None

    @property
    def kernels(self) -> frozenset[str]:
        """The kernels that its layers ask for."""
        return self.encoder.kernels

    def begin(self, x: Tensor) -> Writing:
        """What the decoder knows before its first symbol, having read x (n, t, d)."""
        annotations = self.encoder(x)                                                                   # (n, t, width)
        starts = iter(self.starts(self.encoder.end(x, annotations)).chunk(len(self.encoder.parts) * len(self.decoder), 1))
        states = [tuple(torch.tanh(part + next(starts)) for part in layer.initial(x.shape[0])) for layer in self._layers()]
        if self.attention is None:
            return Writing(states, None)
        exists = torch.arange(x.shape[1], device=x.device) < lengths(x)[:, None]
        return Writing(states, self.attention.remember(annotations, exists))

    def write(self, last: Tensor, state: Writing) -> tuple[Tensor, Writing]:
        """Scores (n, outputs) of the symbol that follows the symbols (n,), and what the decoder knows then."""
        vectors = self.symbols(last)                                                                    # (n, hidden)
        after, context, _ = self._step(self._layers()[0].reads(vectors), state)
        return self._scores(after.states[-1][0], vectors, context if self.attends else None), after

    def teach(self, x: Tensor, y: Tensor) -> Tensor:
        """Scores (n, l + 1, outputs) of the symbols of strings y (n, l) and of their end, each after the true ones before it."""
        state, vectors = self.begin(x), self.symbols(self._before(y))
        if not self.attends:
            tops = vectors
            for layer, start in zip(self._layers(), state.states, strict=True):
                tops, _ = layer(tops, start)
            return self._scores(tops, vectors, None)
        tops, contexts, _ = self._steps(vectors, state)
        return self._scores(tops, vectors, contexts)

    def attend(self, x: Tensor, y: Tensor) -> Tensor:
        """The shares (n, l + 1, t) that the steps of x have in the symbols of strings y (n, l) and in their end.

        Raises InputError for a net without attention.
        """
        if not self.attends:
            raise InputError("This seq2seq has no attention to be looked at: it was made with attention=no. Train seq2seq:attention=yes.")
        *_, shares = self._steps(self.symbols(self._before(y)), self.begin(x))
        return shares

    def forward(self, x: Tensor) -> Tensor:
        state, scores = self.begin(x), []
        last = torch.full((x.shape[0],), self.end, device=x.device)
        for _ in range(self.longest or x.shape[1]):
            step, state = self.write(last, state)
            scores.append(step)
            last = step.argmax(1)
        return torch.stack(scores, 1)

    def _before(self, y: Tensor) -> Tensor:
        """What stands before each symbol of strings y (n, l), and before their end, (n, l + 1)."""
        return torch.cat([torch.full_like(y[:, :1], self.end), torch.where(y < 0, self.end, y)], 1)

    def _steps(self, vectors: Tensor, state: Writing) -> tuple[Tensor, Tensor, Tensor]:
        """Uppermost states (n, l, hidden), contexts (n, l, width) and shares (n, l, t) after symbols of these vectors (n, l, hidden)."""
        steps = []
        for driven in self._layers()[0].reads(vectors).unbind(1):
            state, context, shares = self._step(driven, state)
            steps.append((state.states[-1][0], context, shares))
        tops, contexts, shares = (torch.stack(parts, 1) for parts in zip(*steps, strict=True))
        return tops, contexts, shares

    def _step(self, driven: Tensor, state: Writing) -> tuple[Writing, Tensor, Tensor]:
        """What is known after a symbol that drives the lowest layer by (n, gates * hidden), the context (n, width) and shares (n, t) in it.

        These are empty where there is nothing to look back at.
        """
        context = shares = driven[:, :0]
        if self.attention is not None and self.context is not None and state.memory is not None:
            context, shares = self.attention(state.states[-1][0], state.memory)
            driven = driven + self.context(context)
        states: list[State] = []
        for layer, before in zip(self._layers(), state.states, strict=True):
            states.append(layer.cell(driven if not states else layer.reads(states[-1][0]), before))
        return Writing(states, state.memory), context, shares

    def _scores(self, top: Tensor, vectors: Tensor, context: Tensor | None) -> Tensor:
        """Scores (..., outputs) by a maxout layer over the decoder's state, the symbol before, and the context."""
        parts = [top, vectors] if context is None else [top, vectors, context]
        pairs = self.readout(torch.cat(parts, -1)).unflatten(-1, (-1, 2))                               # (..., hidden, 2)
        scores: Tensor = self.output(pairs.amax(-1))
        return scores

    def _layers(self) -> list[Recurrence]:
        return [layer for layer in self.decoder if isinstance(layer, Recurrence)]
