"""Learning layer by layer: each hidden layer under an output layer of its own, those below it fixed; then the whole is fine-tuned.

Fahlman & Lebiere (1990), NIPS 2:524 (new units on frozen ones); Bengio, Lamblin, Popovici & Larochelle (2007), NIPS 19:153 (the greedy
supervised form)
"""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor, nn

from chainrule.core.batch import Batch
from chainrule.core.duplicate import duplicate
from chainrule.core.errors import InputError
from chainrule.core.net import Net, training_mode
from chainrule.core.rule import Learner, Report, Rule
from chainrule.core.stage import Budget, Stage, Stages
from chainrule.core.tree import Tree
from chainrule.engine.position import Validate
from chainrule.engine.randomness import Aside
from chainrule.nets.layers.dense import Dense

HEAD = "head"
WIDE = (nn.Linear, nn.Conv1d, nn.Conv2d)   # a layer begins with one of these and goes on to the next
Names = list[str]


def layers_of(module: nn.Module, x: Tensor) -> list[Names]:
    """The modules of each layer, by name, of a net whose modules run one after the other, the output layer last.

    Whether they do is tried on rows `x` (n, ...). Raises InputError for a net that is no such chain, or has no hidden layer.
    """
    names = [name for name, part in module.named_modules() if not any(part.children())]
    training = module.training
    module.eval()
    try:
        with torch.no_grad():
            chained = torch.equal(run_through(module, names, x), module(x))
    except (RuntimeError, TypeError, ValueError):
        chained = False
    finally:
        module.train(training)
    if not chained:
        raise InputError(f"--stages learns layers that follow one another; those of {type(module).__name__} do not. "
                         "Use --net mlp or --net lenet, or leave --stages out.")
    layers: list[Names] = [[]]
    begun = False  # what comes before the first layer's weights belongs to it
    for name in names:
        if isinstance(module.get_submodule(name), WIDE):
            if begun:
                layers.append([])
            begun = True
        layers[-1].append(name)
    if len(layers) < 2:
        raise InputError(f"--stages learns hidden layers one by one; {type(module).__name__} has none. "
                         "Use e.g. --net mlp:hidden=6x2, or leave --stages out.")
    return layers


def share(budget: Budget, stages: int, at: int) -> Budget:
    """The part of a budget that stage `at` has: even, what is left over going to the last. Raises InputError where a stage has none."""

    def part(whole: int | None, what: str) -> int | None:
        if whole is None:
            return None
        if whole < stages:
            raise InputError(f"--stages divides --{what} among {stages} stages, one for each hidden layer and one for the whole; "
                             f"got {whole}. Give at least {stages}.")
        even = whole // stages
        return even if at + 1 < stages else whole - even * (stages - 1)

    return Budget(part(budget.epochs, "epochs"), part(budget.steps, "steps"), None if budget.seconds is None else budget.seconds / stages)


class UnderHead:
    """A rule on one layer of a net, what is below it fixed, under a temporary output layer that its state holds.

    Where `outputs` is 0 the layer is the last hidden one, and what is above it is the net's own output layer. Modules below run as they
    do in validation: nothing is dropped, and running statistics stay as they are.
    """

    def __init__(self, rule: Rule, module: nn.Module, layers: list[Names], at: int, example: Tensor, outputs: int):
        self.rule, self.at, self.outputs = rule, at, outputs
        self.reads, self.target, self.tolerance = rule.reads, rule.target, rule.tolerance
        below, own = _joined(layers[:at]), _joined(layers[at : at + 1] if outputs else layers[at:])
        with torch.no_grad(), Aside(0, example.device):
            self.width = run_through(duplicate(module).eval(), _joined(layers[: at + 1]), example)[0].numel()
            head = Dense((self.width,), outputs) if outputs else None
        self.fixed = Chain(duplicate(module), below, None).eval()
        self.learned = Chain(duplicate(module), own, head)
        training_mode(self.learned)
        self.whole = Chain(duplicate(module), [*below, *own], head).eval()

    def init(self, net: Net) -> Tree:
        fresh = dict(Dense((self.width,), self.outputs).to(net.device).named_parameters()) if self.outputs else {}
        state = {HEAD: {name: p.detach().clone() for name, p in fresh.items()}, "layer": torch.tensor(self.at, device=net.device)}
        return {**state, "rule": self.rule.init(self.seen(self.learned, net, state))}

    def step(self, net: Net, state: Tree, batch: Batch) -> tuple[Net, Tree, Report]:
        with torch.no_grad():
            x = self.seen(self.fixed, net, state)(batch.x)
        seen = self.seen(self.learned, net, state)
        after, inner, report = self.rule.step(seen, state["rule"], batch.with_inputs(x))
        if after is not seen:
            seen.load(after)
        return net, {**state, "rule": inner}, report

    def seen(self, chain: Chain, net: Net, state: Tree) -> Net:
        """A chain as a net, whose tensors are those of the whole net and of the state."""
        own = tuple(f"{name}." for name in chain.names)

        def mine(tensors: dict[str, Tensor]) -> dict[str, Tensor]:
            return {f"net.{name}": t.detach() for name, t in tensors.items() if own and name.startswith(own)}

        heads = {f"{HEAD}.{name}": t for name, t in state[HEAD].items()} if chain.head is not None else {}
        return Net(chain, {**mine(net.params), **heads}, mine(net.buffers))


def stages_of(net: Net, example: Tensor, outputs: int, budget: Budget, rule_for: Callable[[], Rule],
              reading: Callable[[Rule], Rule], validate: Callable[[Net, Learner], dict[str, float]]) -> tuple[Stages, Validate]:
    """A stage for each hidden layer and one for the whole, each with an even share of the budget, and what measures in all of them.

    `rule_for()` makes the rule of a stage, `reading(rule)` lets it read stored inputs, `validate(net, learner)` measures a net.
    A stage goes on from where the one before it ended; the best weights are those of the last. Raises InputError where the net is no
    chain of layers, has no hidden one, or the budget has less than one epoch or step for each.
    """
    layers = layers_of(net.module, example)
    count = len(layers)
    unders: list[UnderHead] = []
    stages: Stages = []
    for at in range(count):
        part = share(budget, count, at)
        rule = rule_for()
        if at + 1 < count:
            unders.append(UnderHead(rule, net.module, layers, at, example, outputs if at + 2 < count else 0))
            rule = unders[-1]
        stages.append(Stage(reading(rule), part, name=f"layer {at + 1}" if at + 1 < count else "the whole"))

    def measure(learner: Learner) -> dict[str, float]:
        if not (isinstance(learner.state, dict) and learner.state.get(HEAD)):
            return validate(net, learner)
        under = unders[int(learner.state["layer"])]
        return validate(under.seen(under.whole, learner.net, learner.state), learner)

    return stages, measure


class Chain(nn.Module):
    """Some modules of a net, by name, one after the other, and a head over them: (n, ...) -> (n, ...)."""

    def __init__(self, net: nn.Module, names: Names, head: nn.Module | None):
        super().__init__()
        self.net, self.names, self.head = net, names, head

    def forward(self, x: Tensor) -> Tensor:
        x = run_through(self.net, self.names, x)
        return x if self.head is None else self.head(x)


def run_through(module: nn.Module, names: Names, x: Tensor) -> Tensor:
    """What the modules of these names, one after the other, make of inputs (n, ...)."""
    for name in names:
        x = module.get_submodule(name)(x)
    return x


def _joined(layers: list[Names]) -> Names:
    return [name for layer in layers for name in layer]
