"""Learning without labels before the whole: parts that a family names, or dense layers one after another, each by a rule of its own.

As restricted Boltzmann machines: Hinton, Osindero & Teh (2006), https://doi.org/10.1162/neco.2006.18.7.1527; unrolled into an autoencoder:
Hinton & Salakhutdinov (2006), https://doi.org/10.1126/science.1127647; as denoising autoencoders: Vincent, Larochelle, Lajoie, Bengio &
Manzagol (2010), https://jmlr.org/papers/v11/vincent10a.html
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import partial

import torch
from torch import Tensor, nn

from chainrule.core.abilities.nets import HasStages
from chainrule.core.batch import Batch
from chainrule.core.descend import Prepared
from chainrule.core.errors import InputError
from chainrule.core.loss import one_hot_like
from chainrule.core.net import Net
from chainrule.core.rule import Learner, Report, Rule
from chainrule.core.stage import Budget, Stage, Stages, part
from chainrule.core.tree import Tree
from chainrule.data.source import Part
from chainrule.engine.plans.eager import copied
from chainrule.engine.position import Validate
from chainrule.job.greedy import Names, layers_of, run_through, share
from chainrule.nets.layers.machine import Kind, Machine

VALID_ROWS = 2000   # of the validation part, on which a stage is measured
OWN = "own"         # of a rule's state: the tensors of a layer that have no place in its net

Make = Callable[[float], Rule]   # a rule of its own for a stage, at this many times the usual rate
Ready = Callable[[Tensor], Tensor]
NUMBERS = 0.01                    # of the rate, for hidden units that are numbers: Hinton (2010), "A practical guide", section 13.2


def pretraining_of(net: Net, example: Tensor, classes: int, again: bool, budget: Budget, epochs: int | None, make: Make,
                   ready: Ready) -> Stages:
    """A stage for each part, or hidden layer, of a net, by a rule that `make` makes; without the one for the whole.

    `classes` are those that label units stand for, 0 where there are none; `again` says that the net gives its inputs again. `epochs` are
    those of each stage; without them they share `budget` with the whole. A net reads what `ready` makes of stored rows. Raises InputError
    for a net that has no such parts.
    """
    module = net.module
    several = own_stages(module, make, classes) if isinstance(module, HasStages) else dense_stages(module, example, again, make)
    count = len(several) + 1
    parts = [Budget(epochs) if epochs is not None else share(budget, count, at) for at in range(count - 1)]
    return [replace(stage, budget=one, inputs=partial(of_stored, ready, stage.inputs)) for stage, one in zip(several, parts, strict=True)
            if stage.inputs is not None]


def of_stored(ready: Ready, inputs: Callable[[Net, Tensor], Tensor], net: Net, x: Tensor) -> Tensor:
    """What a stage reads of stored rows (n, ...)."""
    return inputs(net, ready(x))


def whole_after(net: Net, stages: Stages, again: bool, rule: Rule, budget: Budget, epochs: int | None) -> Stage:
    """The stage that trains the whole after these."""
    own = budget if epochs is not None else share(budget, len(stages) + 1, len(stages))
    return Stage(rule, own, name="the whole", begin=joined if isinstance(net.module, HasStages) else mirrored if again else None)


# Parts that a family names


def own_stages(module: HasStages, make: Make, classes: int) -> Stages:
    """The parts of a net that has such. Raises InputError where one has units for classes, and there are none."""
    stages = []
    for k, own in enumerate(module.own_stages()):
        if own.labelled and not classes:
            raise InputError(f"{type(module).__name__} has units for classes, and nothing says which class a row is of. Leave them out, "
                             "e.g. dbn:labels=no.")
        rule = Prepared(make(1.0), partial(with_labels, classes)) if own.labelled else make(1.0)
        stages.append(Stage(rule, Budget(), view=part(own.part), inputs=partial(inputs_of, k), name=own.name))
    return stages


def inputs_of(stage: int, net: Net, x: Tensor) -> Tensor:
    """What a part that the net names reads of inputs (n, ...)."""
    rows: Tensor = net.call("stage_inputs", x, stage)
    return rows


def with_labels(classes: int, batch: Batch) -> Batch:
    """A batch whose inputs (n, d) have a number for each class behind them, one of them on."""
    labels = batch.x.new_zeros(len(batch.x), classes)
    return batch.with_inputs(torch.cat([batch.x, one_hot_like(batch.y, labels)], 1))


def joined(net: Net) -> None:
    """The whole of a net that names its parts, made of these."""
    net.call("after_stages")


# Dense layers


@dataclass(frozen=True)
class Layer:
    """A dense layer and the nonlinearity behind it: the names of all modules up to and with it, the layer's own, and its units.

    `mirror` is the name of the layer of the same shape the other way round, by which an autoencoder comes back.
    """

    through: Names
    name: str
    code: Kind
    mirror: str = ""


def dense_stages(module: nn.Module, example: Tensor, again: bool, make: Make) -> Stages:
    """The hidden layers of a net of dense ones, each as a machine; of a net that gives its inputs again those up to its code.

    Raises InputError for a net that is no chain of dense layers with sigmoid units between them.
    """
    stages: Stages = []
    for layer in dense_layers(module, example, again):
        dense = module.get_submodule(layer.name)
        assert isinstance(dense, nn.Linear)
        with torch.device("meta"):                     # its tensors are the net's, see as_machine
            machine = Machine(dense.in_features, dense.out_features, code=layer.code)
        below = layer.through[: layer.through.index(layer.name)]
        rule = OfLayer(make(1.0 if layer.code == "binary" else NUMBERS), dense.in_features, bool(layer.mirror))
        stages.append(Stage(rule, Budget(), view=partial(as_machine, machine, layer), inputs=partial(below_layer, below),
                            name=f"units {dense.in_features}-{dense.out_features}"))
    return stages


def dense_layers(module: nn.Module, example: Tensor, again: bool) -> list[Layer]:
    """The hidden layers that are learned one after another, from below. Raises InputError as `dense_stages` does."""
    chain = layers_of(module, example)
    hidden = chain[:-1]
    if again:
        if len(chain) % 2:
            raise InputError(f"A net that gives its inputs again is learned up to its code and comes back the same way; this "
                             f"{type(module).__name__} has {len(chain)} layers. Use --net autoencoder, or leave --stages out.")
        hidden = chain[: len(chain) // 2]
    layers: list[Layer] = []
    through: Names = []
    for k, names in enumerate(hidden):
        through = [*through, *names]
        dense = next((name for name in names if isinstance(module.get_submodule(name), nn.Linear)), "")
        others = (module.get_submodule(name) for name in names if name != dense)
        bends = [type(one).__name__ for one in others if not hands_on(one)]
        code: Kind = "binary" if bends == ["Sigmoid"] else "gaussian"
        if not dense or bends not in (["Sigmoid"], []) or (not bends and not (again and k + 1 == len(hidden))):
            raise InputError(f"Machines are learned of dense layers of sigmoid units; layer {k + 1} of this {type(module).__name__} has "
                             f"{' and '.join(bends) or 'linear units'}. Write e.g. mlp:activation=sigmoid, or leave --stages out.")
        layers.append(Layer(through, dense, code, _mirror(module, dense, chain[len(chain) - 1 - k]) if again else ""))
    return layers


def hands_on(module: nn.Module) -> bool:
    """Whether a module gives what it reads, in evaluation, as one that leaves out or erases units in training does."""
    training, rows = module.training, torch.linspace(-1, 1, 8).view(2, 4)
    module.eval()
    try:
        with torch.no_grad():
            return torch.equal(module(rows), rows)
    except (RuntimeError, TypeError, ValueError):
        return False
    finally:
        module.train(training)


def _mirror(module: nn.Module, name: str, names: Names) -> str:
    """The dense layer of the other way. Raises InputError where its shape is another."""
    there = [one for one in names if isinstance(module.get_submodule(one), nn.Linear)]
    own = module.get_submodule(name).weight
    if not there or module.get_submodule(there[0]).weight.shape != own.T.shape:
        raise InputError(f"A net that gives its inputs again comes back through layers of the same sizes; those of this "
                         f"{type(module).__name__} differ. Use --net autoencoder, or leave --stages out.")
    return there[0]


def as_machine(machine: Machine, layer: Layer, net: Net) -> Net:
    """The view of a dense layer as a machine, in the same tensors: an autoencoder's way back has the bias of the visible units."""
    places = {"weight": f"{layer.name}.weight", "hidden_bias": f"{layer.name}.bias"}
    if layer.mirror:
        places["visible_bias"] = f"{layer.mirror}.bias"
    for place in places.values():
        if place not in net.params:
            raise InputError(f"{place} is fixed, or shared with another layer; layers that are learned one after another are free, and "
                             "their own. Leave --stages out.")
    return Net(machine, {name: net.params[place] for name, place in places.items()}, {})


def below_layer(names: Names, net: Net, x: Tensor) -> Tensor:
    """What the modules of these names make of inputs (n, ...), as rows (n, d)."""
    return run_through(net.module, names, x).flatten(1)


class OfLayer:
    """A rule for machines on a dense layer whose visible bias has no place in its net: the rule's state has it."""

    def __init__(self, rule: Rule, visible: int, placed: bool):
        self.rule, self.visible, self.placed = rule, visible, placed
        self.reads, self.target, self.tolerance = rule.reads, rule.target, rule.tolerance

    def init(self, net: Net) -> Tree:
        own = {} if self.placed else {"visible_bias": net.params["weight"].new_zeros(self.visible)}
        return {OWN: own, "rule": self.rule.init(self._whole(net, own))}

    def step(self, net: Net, state: Tree, batch: Batch) -> tuple[Net, Tree, Report]:
        whole = self._whole(net, state[OWN])
        after, inner, report = self.rule.step(whole, state["rule"], batch)
        if after is not whole:
            whole.load(after)
        return net, {**state, "rule": inner}, report

    def _whole(self, net: Net, own: dict[str, Tensor]) -> Net:
        names = ("weight", "visible_bias", "hidden_bias")
        return Net(net.module, {name: t.detach() for name in names if (t := {**net.params, **own}.get(name)) is not None}, {})


def mirrored(net: Net) -> None:
    """An autoencoder whose way back has the weights of its way in, turned round, as its layers were learned."""
    dense = [name for name, one in net.module.named_modules() if isinstance(one, nn.Linear)]
    for there, back in zip(dense[: len(dense) // 2], reversed(dense[len(dense) // 2 :]), strict=True):
        net.tensors[f"{back}.weight"].copy_(net.tensors[f"{there}.weight"].T)


# Measuring


def measuring(net: Net, stages: Stages, valid: Part, whole: Validate) -> Validate:
    """What measures a learner of any of these stages: the loss that its rule reports on validation rows; of the whole what `whole` does."""

    def measure(learner: Learner) -> dict[str, float]:
        stage = next((one for one in stages if one.view is not None and one.view(net).module is learner.net.module), None)
        if stage is None or stage.inputs is None:
            return whole(learner)
        if not len(valid):
            return {}
        rows = valid.rows_at(0, VALID_ROWS)
        x = stage.inputs(net, rows.x[:].to(net.device))
        batch = Batch(x, None if rows.y is None else rows.y.to(net.device))
        *_, report = stage.rule.step(*copied(learner), batch)
        return {"loss": float(report["loss"])}

    return measure
