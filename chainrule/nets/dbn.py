"""Deep belief nets: directed layers under an associative memory, learned greedily, fine-tuned up and down.

Hinton, Osindero & Teh (2006), "A fast learning algorithm for deep belief nets", https://doi.org/10.1162/neco.2006.18.7.1527
"""

from __future__ import annotations

import math
from itertools import pairwise

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from chainrule.core.abilities.nets import OwnStage
from chainrule.core.errors import InputError
from chainrule.core.loss import one_hot_like
from chainrule.core.registry import nets
from chainrule.nets.layers.machine import Machine, bernoulli_cost
from chainrule.nets.layers.units import Binary

BINARY = Binary()
STEPS = 1000     # of the memory's chain before a sample goes down, as in the paper's figure 8


@nets("dbn", source="Hinton, Osindero & Teh (2006), https://doi.org/10.1162/neco.2006.18.7.1527", rule="wake-sleep", stages="divergence",
      kind="generative", tasks=("classification", "reconstruction"), for_task={"reconstruction": {"labels": False}})
class DeepBelief(nn.Module):
    """Layers of binary units below a memory of the two highest: (n, ...) -> scores of the classes (n, outputs), or the inputs again (n, d).

    With `labels` the memory has a unit for each class beside the layer below it, one of them on, and a class scores minus the free energy
    of what the recognition weights make of the inputs with its unit on: the exact log posterior of the memory, up to a constant. Without,
    what goes up comes down again. Inputs lie in [0, 1].
    """

    def __init__(self, inputs: tuple[int, ...], outputs: int, *, hidden: tuple[int, ...] = (500, 500, 2000), labels: bool = True):
        super().__init__()
        if not hidden or min(hidden) < 1:
            raise InputError(f"dbn expects at least one hidden layer, with a unit or more in each; got "
                             f"hidden={'x'.join(map(str, hidden)) or 'none'}. Write dbn:hidden=500x500x2000.")
        if labels and outputs < 2:
            raise InputError(f"dbn has a unit for each class; got {outputs} of them. Use --loss cross-entropy, or dbn:labels=no.")
        self.shape = inputs
        sizes = (math.prod(inputs), *hidden)
        self.layers = nn.ModuleList(Machine(below, above) for below, above in pairwise(sizes[:-1]))
        self.top = Machine(sizes[-2], sizes[-1], labels=outputs if labels else 0)
        self.generative = nn.ParameterList(layer.weight.detach().clone() for layer in self._machines())

    def _machines(self) -> list[Machine]:
        return [layer for layer in self.layers if isinstance(layer, Machine)]

    def forward(self, x: Tensor) -> Tensor:
        below = self.up(x)
        return self.top.label_scores(below) if self.top.labels else self.down(self.top.visible(self.top.hidden(below)))

    def up(self, x: Tensor) -> Tensor:
        """The probabilities of the units below the memory, each layer's from those of the one below it: (n, ...) -> (n, units)."""
        rows = x.flatten(1)
        for layer in self._machines():
            rows = layer(rows)
        return rows

    def down(self, rows: Tensor) -> Tensor:
        """The probabilities of the inputs from those of the units below the memory, layer by layer: (n, units) -> (n, d)."""
        for layer, weight in self._downward():
            rows = torch.sigmoid(F.linear(rows, weight.T, layer.visible_bias))
        return rows

    def encode(self, x: Tensor) -> Tensor:
        """The probabilities of the highest units, the classes standing beside by their posterior: (n, ...) -> (n, hidden)."""
        rows = self.up(x)
        if self.top.labels:
            rows = torch.cat([rows, self.top.label_scores(rows).softmax(-1)], -1)
        return self.top.hidden(rows)

    # What is learned one after another

    def own_stages(self) -> list[OwnStage]:
        """The layers from below, the memory last."""
        machines = [(f"layers.{i}", layer) for i, layer in enumerate(self._machines())] + [("top", self.top)]
        return [OwnStage(path, f"units {one.weight.shape[1] - one.labels}-{len(one.weight)}", bool(one.labels)) for path, one in machines]

    def stage_inputs(self, x: Tensor, stage: int) -> Tensor:
        """The probabilities of the units that part number `stage` reads as data."""
        rows = x.flatten(1)
        for layer in self._machines()[:stage]:
            rows = layer.hidden(rows)
        return rows

    @torch.no_grad()
    def after_stages(self) -> None:
        """Let the weights that generate part from those that recognise, which they equal here."""
        for layer, weight in zip(self._machines(), self.generative, strict=True):
            weight.copy_(layer.weight)

    # Waking and sleeping

    def recognise(self, x: Tensor, y: Tensor | None) -> list[Tensor]:
        states = [x.flatten(1)]
        for layer in self._machines():
            states.append(BINARY.draw(layer.hidden(states[-1])))
        if self.top.labels:
            if y is None:
                raise InputError("dbn has units for the classes, and there are none. Use dbn:labels=no.")
            states[-1] = torch.cat([states[-1], one_hot_like(y, self._none_on(x))], 1)
        return states

    def generate(self, memory: Tensor) -> list[Tensor]:
        states = [self._units(memory)]
        for layer, weight in self._downward():
            states.insert(0, BINARY.draw(torch.sigmoid(F.linear(states[0], weight.T, layer.visible_bias))))
        return [*states[:-1], memory]

    def generative_cost(self, states: list[Tensor]) -> Tensor:
        cost = states[0].new_zeros(len(states[0]))
        for (layer, weight), (below, above) in zip(reversed(self._downward()), pairwise(self._bare(states)), strict=True):
            cost = cost + bernoulli_cost(below, F.linear(above, weight.T, layer.visible_bias))
        return cost

    def recognition_cost(self, states: list[Tensor]) -> Tensor:
        cost = states[0].new_zeros(len(states[0]))
        for layer, (below, above) in zip(self._machines(), pairwise(self._bare(states)), strict=True):
            cost = cost + bernoulli_cost(above, F.linear(below, layer.weight, layer.hidden_bias))
        return cost

    def memory_energy(self, v: Tensor) -> Tensor:
        return self.top.free_energy(v)

    def memory_round(self, v: Tensor) -> tuple[Tensor, Tensor]:
        h = self.top.draw_hidden(self.top.hidden(v))
        return self.top.cost(v, h), self.top.draw_visible(self.top.visible(h))

    # Generating

    def sample(self, count: int, *, steps: int = STEPS) -> Tensor:
        """`count` rows shaped like the inputs, each from its own chain of the memory, of so many rounds, and one pass down."""
        return self._sampled(count, None, steps)

    def sample_given(self, labels: Tensor, *, steps: int = STEPS) -> Tensor:
        """A row for each of these class numbers (n,), whose unit stays on while the memory's chain runs."""
        if not self.top.labels:
            raise InputError("This dbn was trained without units for the classes. Train it with dbn:labels=yes.")
        return self._sampled(len(labels), labels, steps)

    @torch.no_grad()
    def _sampled(self, count: int, labels: Tensor | None, steps: int) -> Tensor:
        v = self.top.draw_visible(torch.full_like(self.top.visible_bias, 0.5).expand(count, -1))      # (n, units + labels)
        for _ in range(steps):
            v = self.top.gibbs(self._with(v, labels))
        v = self._with(v, labels)
        below = self._units(self.top.visible(self.top.draw_hidden(self.top.hidden(v))))
        if not len(self.layers):
            return below.reshape(count, *self.shape)
        rows = BINARY.draw(below)
        for layer, weight in self._downward():
            means = torch.sigmoid(F.linear(rows, weight.T, layer.visible_bias))
            rows = BINARY.draw(means)
        return means.reshape(count, *self.shape)

    def _with(self, v: Tensor, labels: Tensor | None) -> Tensor:
        """Visible states of the memory with these classes on."""
        return v if labels is None else torch.cat([self._units(v), one_hot_like(labels, self._none_on(v))], 1)

    def _none_on(self, rows: Tensor) -> Tensor:
        """Zeros for the classes of so many rows, (n, labels)."""
        return rows.new_zeros(len(rows), self.top.labels)

    def _units(self, v: Tensor) -> Tensor:
        """The memory's visible states without the units for the classes: (n, units + labels) -> (n, units)."""
        return v[:, : v.shape[1] - self.top.labels]

    def _bare(self, states: list[Tensor]) -> list[Tensor]:
        return [*states[:-1], self._units(states[-1])]

    def _downward(self) -> list[tuple[Machine, Tensor]]:
        """The layers from above, each with its generative weights (units above, units below)."""
        return list(zip(self._machines(), self.generative, strict=True))[::-1]

    def extra_repr(self) -> str:
        return f"inputs={self.shape}"
