"""Wake and sleep, the memory between: the up-down algorithm.

Hinton, Dayan, Frey & Neal (1995), https://doi.org/10.1126/science.7761831; with an associative memory at the top: Hinton, Osindero & Teh
(2006), section 5 and appendix B, https://doi.org/10.1162/neco.2006.18.7.1527
"""

from __future__ import annotations

import torch
from torch import Tensor

from chainrule.core.abilities.nets import WakesAndSleeps
from chainrule.core.batch import Batch
from chainrule.core.descend import Descent
from chainrule.core.errors import InputError
from chainrule.core.net import Net
from chainrule.core.rule import Report, rule
from chainrule.core.tree import Tree, value_and_grad
from chainrule.rules.one_layer import refuse_frozen

States = list[Tensor]


def up_down_cost(net: Net, batch: Batch, awake: States, asleep: States, cost: float) -> tuple[Tensor, Report]:
    """What the three moves of a step go down, for states that are fixed: a scalar.

    Awake, the generative weights make the states of each layer likelier that were recognised; asleep, the recognition weights make those
    likelier that were dreamt; the memory's free energy falls where the data are and rises where its chain has gone. Each weight is in one
    of the three terms.
    """
    waking, sleeping = net.call("generative_cost", awake), net.call("recognition_cost", asleep)              # (n,)
    memory = net.call("memory_energy", awake[-1]) - net.call("memory_energy", asleep[-1])
    decay = 0.5 * cost * torch.stack([p.square().sum() for p in net.params.values() if p.dim() > 1]).sum() if cost else 0.0
    return batch.mean(waking + sleeping + memory) + decay, {}


@rule("wake-sleep", source="Hinton, Dayan, Frey & Neal (1995), https://doi.org/10.1126/science.7761831; Hinton, Osindero & Teh (2006), "
      "https://doi.org/10.1162/neco.2006.18.7.1527", range="unit", nets=("dbn",), optimizer="sgd:rate=0.01")
class WakeSleep:
    """Up by the weights that recognise, `steps` rounds of the memory's chain, down by those that generate; each learns from the other.

    The loss is the code length of a pass up: minus the log probability of each layer given the states drawn for the one above it, in
    nats, the mean over the batch. `cost` is the penalty on the weights.
    """

    def __init__(self, descent: Descent, *, steps: int = 3, cost: float = 0.0):
        if steps < 1 or cost < 0:
            raise InputError(f"wake-sleep needs at least one round of the memory's chain and a cost of at least 0; got steps={steps}, "
                             f"cost={cost}. Write wake-sleep:steps=3.")
        self.descent, self.steps, self.cost = descent, steps, cost

    def init(self, net: Net) -> Tree:
        refuse_frozen(net, "wake-sleep")
        if not isinstance(net.module, WakesAndSleeps):
            raise InputError(f"wake-sleep trains nets with weights that recognise and weights that generate; got "
                             f"{type(net.module).__name__}. Use --net dbn, or another --rule.")
        return self.descent.init(net)

    def step(self, net: Net, state: Tree, batch: Batch) -> tuple[Net, Tree, Report]:
        with torch.no_grad():
            awake: States = net.call("recognise", batch.x, batch.y)
            first, memory = net.call("memory_round", awake[-1])
            loss = batch.mean(net.call("generative_cost", awake) + first)
            for _ in range(self.steps - 1):
                _, memory = net.call("memory_round", memory)
            asleep: States = net.call("generate", memory)
        _, _, slope = value_and_grad(up_down_cost, net, batch, awake, asleep, self.cost)
        return net, self.descent.follow(net, state, slope), {"loss": loss}
