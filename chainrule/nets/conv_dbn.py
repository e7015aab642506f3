"""Convolutional deep belief nets: machines one on the pooling units of the other, learned greedily.

Lee, Grosse, Ranganath & Ng (2009), https://doi.org/10.1145/1553374.1553453
"""

from __future__ import annotations

import math

import torch
from torch import Tensor, nn

from chainrule.core.abilities.nets import OwnStage
from chainrule.core.errors import InputError
from chainrule.core.registry import nets
from chainrule.nets.layers.convolutional_machine import LARGEST, ConvolutionalMachine, fitting_kernels
from chainrule.nets.layers.dense import Dense


@nets("conv-dbn", source="Lee, Grosse, Ranganath & Ng (2009), https://doi.org/10.1145/1553374.1553453", stages="divergence",
      tasks=("classification",))
class ConvolutionalDeepBelief(nn.Module):
    """Convolutional machines below a linear readout of all their pooling units: (n, c, h, w) -> (n, outputs).

    The machines are learned without labels, one after another; then the readout and, by what it says of them, the machines learn
    the classes. Without `kernels` each is the largest, up to 5 x 5, under which all machines fit the pictures.
    """

    def __init__(self, inputs: tuple[int, ...], outputs: int, *, filters: tuple[int, ...] = (40, 40), kernels: tuple[int, ...] = (),
                 pool: int = 2):
        super().__init__()
        kernels = kernels or fitting_kernels(inputs[1:], len(filters), pool) or (LARGEST,)
        if not filters or len(kernels) not in (1, len(filters)):
            raise InputError(f"conv-dbn expects one kernel for all machines or one for each of {len(filters)}; got "
                             f"{'x'.join(map(str, kernels))}. Write e.g. conv-dbn:filters=40x40,kernels=5.")
        machines: list[ConvolutionalMachine] = []
        shape = inputs
        for count, kernel in zip(filters, kernels * len(filters) if len(kernels) == 1 else kernels, strict=True):
            machines.append(ConvolutionalMachine(shape, count, kernel, pool))
            shape = machines[-1].pooled_shape
        self.layers = nn.ModuleList(machines)
        self.output = Dense((sum(math.prod(one.pooled_shape) for one in machines),), outputs)

    def _machines(self) -> list[ConvolutionalMachine]:
        return [layer for layer in self.layers if isinstance(layer, ConvolutionalMachine)]

    def forward(self, x: Tensor) -> Tensor:
        scores: Tensor = self.output(self.encode(x))
        return scores

    def encode(self, x: Tensor) -> Tensor:
        """The probabilities of the pooling units of all machines: (n, c, h, w) -> (n, codes)."""
        codes = []
        for layer in self._machines():
            x = layer.pooled(x)
            codes.append(x.flatten(1))
        return torch.cat(codes, 1)

    def own_stages(self) -> list[OwnStage]:
        return [OwnStage(f"layers.{i}", f"{len(one.weight)} filters of {one.weight.shape[2]} x {one.weight.shape[3]}")
                for i, one in enumerate(self._machines())]

    def stage_inputs(self, x: Tensor, stage: int) -> Tensor:
        """The probabilities of the pooling units that machine number `stage` reads, (n, c, h, w)."""
        for layer in self._machines()[:stage]:
            x = layer.pooled(x)
        return x

    def after_stages(self) -> None:
        """Nothing: the readout begins as it was drawn."""
