"""One step of a rule on a copy, watched from inside: what every layer gives, what comes back to it, and which way the rule goes.

Hooks are there while the step lasts, on the copy alone.
"""

from __future__ import annotations

import copy
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn.modules.batchnorm import _BatchNorm
from torch.nn.modules.dropout import _DropoutNd
from torch.nn.utils import parametrize

from chainrule.core.batch import Batch
from chainrule.core.criterion import Solve
from chainrule.core.descend import Descent, Prepared
from chainrule.core.duplicate import duplicate
from chainrule.core.net import Net
from chainrule.core.rule import Learner, Report, Rule
from chainrule.core.tree import Tree, clone, wrapped

FUNCTIONS = {"ReluBackward0": "ReLU", "TanhBackward0": "Tanh", "SigmoidBackward0": "Sigmoid", "GeluBackward0": "GELU",
             "SiluBackward0": "SiLU", "LeakyReluBackward0": "LeakyReLU", "EluBackward0": "ELU", "SoftplusBackward0": "Softplus"}
WHOLE = "(net)"             # the name of a net that is one layer itself
SAME = (_DropoutNd, nn.Flatten, nn.Unflatten, nn.Identity)   # what they give is what a layer gave, or some of it


@dataclass
class Layer:
    """One layer of a step: the module that has weights and what follows it up to the next weights.

    `weights` are the names of its parameters of two axes and more; `output` (n, ...) is what it gave last and `slope` what the step's
    scalar says of that, each None where the step does not run it, or nothing comes back.
    """

    name: str
    kinds: list[str]
    weights: list[str]
    output: Tensor | None = None
    slope: Tensor | None = None
    drift: tuple[Tensor, Tensor] | None = None      # mean and variance (channels,) of what its batch normalisation read
    norm: str = ""                                  # and the name of that module
    call: int = -1

    @property
    def kind(self) -> str:
        return " + ".join(self.kinds)


@dataclass
class Replay:
    """A step that was taken on a copy: its layers from the input on, the copy after it, what it reports, and its direction by parameter.

    `descends` says whether the direction is a gradient that was found by differentiating.
    """

    layers: list[Layer]
    after: Net
    report: Report
    direction: dict[str, Tensor]
    descends: bool


def copied(learner: Learner) -> Learner:
    """A learner on a module of its own, whose tensors are its own too."""
    net = Net.of(duplicate(learner.net.module))
    if not learner.net.bound:
        net.put(learner.net.tensors)
    return Learner(net, clone(learner.state))


def replay(learner: Learner, rule: Rule, batch: Batch) -> Replay:
    """Take one step of the rule on a copy of the learner. The learner, and the rule, stay as they are."""
    net, state = copied(learner)
    direction: dict[str, Tensor] = {}
    noting = noted(rule, direction)
    watch = Watch(net)
    with watch, torch.enable_grad():
        after, _, report = noting.step(net, state, batch)
    after.settle()
    solver, read = inner(rule)
    if isinstance(solver, Solve):
        fresh = copied(learner).net
        with torch.enable_grad():
            direction = solver.objective.slope(fresh, read(batch))[1]
        watch.differentiated = True
    return Replay(watch.layers(), after, report, _renamed(direction, after), watch.differentiated)


def noted(rule: Rule, into: dict[str, Tensor]) -> Rule:
    """A rule like this one that notes its direction, by parameter, before it is followed."""
    twin: Any = copy.copy(rule)
    for name, value in list(vars(twin).items()) if hasattr(twin, "__dict__") else ():
        if isinstance(value, Descent):
            setattr(twin, name, Noted(value, into))
        elif name == "rule":
            setattr(twin, name, noted(value, into))
    noting: Rule = twin
    return noting


def inner(rule: Rule) -> tuple[Rule, Callable[[Batch], Batch]]:
    """The rule behind one that reads its batches first, and how it reads them."""
    if isinstance(rule, Prepared):
        return rule.rule, rule.read
    return rule, lambda batch: batch


@torch.no_grad()
def passed(net: Net, x: Tensor) -> list[Layer]:
    """The layers of a net in a pass of inputs (n, ...) through it, for rules whose steps run none of its modules."""
    watch = Watch(net)
    with watch:
        net(x)
    return watch.layers()


def passes_on(rule: Rule) -> bool:
    """Whether a rule lets another take its step, on a net that it makes of what it is given."""
    return "rule" in vars(inner(rule)[0])


class Noted(Descent):
    """A descent that notes each direction it follows."""

    def __init__(self, descent: Descent, into: dict[str, Tensor]):
        super().__init__(descent.optimizer, descent.schedule, descent.constraint)
        self.into = into

    def follow(self, net: Net, state: Tree, direction: dict[str, Tensor], loss: Tensor | None = None) -> Tree:
        self.into.update({name: t.detach().clone() for name, t in direction.items()})
        return super().follow(net, state, direction, loss)


def _renamed(direction: dict[str, Tensor], net: Net) -> dict[str, Tensor]:
    """The directions of the net's own parameters, also of a rule that has them under a module of its own."""
    return {own: t for name, t in direction.items() if (own := name if name in net.params else name.removeprefix("net.")) in net.params}


@dataclass
class Watch:
    """Hooks on a net that note its layers while a step runs."""

    net: Net
    differentiated: bool = False
    known: dict[nn.Module, Layer] = field(default_factory=dict)
    handles: list[Any] = field(default_factory=list)
    running: list[nn.Module] = field(default_factory=list)              # modules that have begun
    order: list[nn.Module] = field(default_factory=list)                 # of layers, as they were run last
    calls: int = 0
    latest: Layer | None = None

    def __enter__(self) -> Watch:
        module = self.net.module
        self.names = {part: name for name, part in module.named_modules()}
        inside = {child for part in self.names if parametrize.is_parametrized(part) for child in part.modules() if child is not part}
        self.weighted = {part: names for part in self.names if part not in inside and (names := self._weights(part))}
        for part in self.names:
            if part in inside:
                continue
            if hasattr(part, "inplace"):
                part.inplace = False                                     # what is overwritten cannot be looked at
            self.handles.append(part.register_forward_pre_hook(self._enter))
            self.handles.append(part.register_forward_hook(self._leave))
        for p in self.net.params.values():
            if p.requires_grad and p.is_leaf:
                self.handles.append(p.register_hook(self._differentiate))
        return self

    def __exit__(self, *_: object) -> None:
        """Without hooks and graphs what was noted is free: a tensor's hook that leads to the tensor is never collected."""
        for handle in self.handles:
            handle.remove()
        for layer in self.known.values():
            layer.output = layer.output.detach() if layer.output is not None else None

    def layers(self) -> list[Layer]:
        """The layers in the order in which they ran, then those that did not run."""
        every = {id(layer): layer for part in self.order if (layer := self.known.get(part)) is not None}
        covered = {name for layer in every.values() for name in layer.weights}
        rest = [Layer(self.names[part] or WHOLE, [type(part).__name__], names) for part, names in self.weighted.items()
                if part not in self.known and not covered & set(names)]
        return [*every.values(), *rest]

    def _weights(self, part: nn.Module, whole: bool = False) -> list[str]:
        """The names, in the net, of a module's trained tensors of two axes and more; of all that is in it where that is asked for."""
        prefix, own = self.names[part], parametrize.is_parametrized(part) or whole
        named = part.named_parameters(prefix=prefix, recurse=own)
        ties = self.net.caller.ties
        return [first for name, p in named if p.dim() >= 2 and (first := ties.get(name, name)) in self.net.params]

    def _differentiate(self, slope: Tensor) -> None:
        self.differentiated = True

    def _enter(self, part: nn.Module, inputs: tuple[Any, ...]) -> None:
        if not self.running and any(True for _ in part.children()):
            self.latest = None                                           # another pass: what comes first follows no layer
        self.running.append(part)
        x = next((t for t in inputs if isinstance(t, Tensor)), None)
        if x is None or not x.is_floating_point() or wrapped([x]):
            return
        if part in self.weighted and self.latest is not None:
            self._through_function(x, self.latest)
        if isinstance(part, _BatchNorm) and part.running_mean is not None and self.latest is not None:
            axes = [axis for axis in range(x.dim()) if axis != 1]
            self.latest.drift = (x.detach().mean(axes), x.detach().var(axes, correction=0))
            self.latest.norm = self.names[part]

    def _through_function(self, x: Tensor, below: Layer) -> None:
        """What the next layer reads is the activation of the one below where a function, and no module, has made it of that."""
        name = FUNCTIONS.get(x.grad_fn.name()) if x.grad_fn is not None else None
        if name is None or below.output is None or x is below.output or x.shape != below.output.shape:
            return
        if name not in below.kinds:
            below.kinds.append(name)
        self._gives(below, x)

    def _leave(self, part: nn.Module, _: Any, output: Any) -> None:
        self.running.pop()
        several = isinstance(output, (tuple, list))
        y = next((t for t in output if isinstance(t, Tensor)), None) if several else output
        if not isinstance(y, Tensor) or not y.is_floating_point() or wrapped([y]):
            return
        composed = any(True for _ in part.children()) and not parametrize.is_parametrized(part)
        if several and composed and part is not self.net.module and (names := self._weights(part, whole=True)):
            self._forget_inside(part, names)                             # a recurrence, by a kernel or step by step: one layer
            self._begin(part, names, y)
        elif part in self.weighted:
            self._begin(part, self.weighted[part], y)
        elif not composed and self.latest is not None and not isinstance(part, SAME):
            kind = type(part).__name__
            if kind not in self.latest.kinds:
                self.latest.kinds.append(kind)
            self._gives(self.latest, y)

    def _forget_inside(self, part: nn.Module, names: list[str]) -> None:
        inside = set(part.modules()) - {part}
        self.order = [one for one in self.order if one not in inside]
        for one in inside:
            self.known.pop(one, None)

    def _begin(self, part: nn.Module, names: list[str], y: Tensor) -> None:
        layer = self.known.get(part)
        if layer is None:
            layer = self.known[part] = Layer(self.names[part] or WHOLE, [type(part).__name__], names)
            self.order.append(part)
        layer.slope = None
        self.latest = layer
        self._gives(layer, y)

    def _gives(self, layer: Layer, y: Tensor) -> None:
        self.calls += 1
        layer.output, layer.call = y, self.calls
        if y.requires_grad:
            self.handles.append(y.register_hook(self._coming_back(layer, self.calls)))

    def _coming_back(self, layer: Layer, call: int) -> Callable[[Tensor], None]:
        def note(slope: Tensor) -> None:
            self.differentiated = True
            if layer.call == call:
                layer.slope = slope.detach()

        return note


def weights_of(net: Net, layer: Layer) -> Iterator[Tensor]:
    """The weights of a layer, from the net that has them."""
    return (net.params[name].detach() for name in layer.weights if name in net.params)
