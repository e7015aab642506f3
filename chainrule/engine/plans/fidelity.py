"""Whether a program can follow a step at all: what it is traced from must be all that there is to see.

A program repeats operations on tensors. It calls no hook, moves no counter, draws from no generator but torch's and reads every attribute
as it was when it was made.
"""

from __future__ import annotations

import collections
import functools
import itertools
import random
import types
from collections.abc import Iterator
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from chainrule.core.batch import Batch
from chainrule.core.errors import NotNow
from chainrule.core.net import Net
from chainrule.core.rule import Learner, Rule
from chainrule.core.tree import clone
from chainrule.engine.plans.eager import Advance, copied
from chainrule.engine.randomness import Aside

MODULE_HOOKS = ("_forward_hooks", "_forward_pre_hooks", "_backward_hooks", "_backward_pre_hooks")
TENSOR_HOOKS = ("_backward_hooks", "_post_accumulate_grad_hooks")
OURS = ("torch.", "chainrule.", "numpy.", "builtins")  # whose module-level names are not a user's counters
DEEPEST, MOST_PARTS = 10, 5000
OWN = {*vars(nn.Module())} - {"training"}  # what every module has, looked at by itself
PLAIN = (bool, int, float, complex, str, bytes, type(None), torch.dtype, torch.device, torch.Size)


class Untraceable(NotNow):
    """A program would not do what the step does; true of this net now, and so not remembered for others."""


class Same:
    """An object that is equal to itself alone; it stays alive, so that no other takes its place in memory."""

    def __init__(self, what: object):
        self.what = what

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Same) and self.what is other.what

    __hash__ = None  # type: ignore[assignment]


def hooked(net: Net) -> str:
    """Which hook a program would not call, in words; empty where there is none."""
    everywhere = nn.modules.module
    if any(getattr(everywhere, f"_global{kind}") for kind in MODULE_HOOKS):
        return "a hook on all modules"
    for path, module in net.module.named_modules():
        for kind in MODULE_HOOKS:
            if getattr(module, kind):
                return f"a {kind.strip('_').removesuffix('s').replace('_', ' ')} on {path or type(module).__name__}"
    for name, t in net.tensors.items():
        if any(getattr(t, kind, None) for kind in TENSOR_HOOKS):
            return f"a hook on the gradient of {name}"
    return ""


def surroundings(net: Net, *others: object) -> dict[str, Any]:
    """What a step may read beside tensors of the learner, by where it is found: attributes, which tensor a buffer is, what functions
    enclose or name outside of themselves, and the state of generators other than torch's own."""
    seen: dict[str, Any] = {"Python's generator": random.getstate(), "NumPy's generator": _comparable(np.random.get_state())}
    look = _Look(seen, {id(net.module), *(id(t) for t in net.tensors.values())})
    for path, module in net.module.named_modules():
        for name, value in vars(module).items():
            if name not in OWN:
                look(f"{path}.{name}".lstrip("."), value)
        for tensors in (module._parameters, module._buffers):
            for name, t in tensors.items():
                seen[f"{path}.{name}".lstrip(".")] = Same(t)
        look.of_class(type(module))
    for other in others:
        look(type(other).__name__, other)
        look.of_class(type(other))
    return seen


def attributes(net: Net) -> list[Any]:
    """The attributes of all modules, and what hooks there are: the part of the surroundings that code between steps may change, looked
    at in microseconds."""
    values: list[Any] = [hooked(net)]
    for module in net.module.modules():
        values += [(name, value if isinstance(value, PLAIN) else id(value)) for name, value in vars(module).items() if name not in OWN]
    return values


class _Look:
    """Notes plain values and the parts of whatever holds some, to a certain depth; each object once."""

    def __init__(self, seen: dict[str, Any], known: set[int]):
        self.seen, self.known, self.alive = seen, known, list[object]()

    def __call__(self, where: str, value: object, depth: int = 0) -> None:
        if isinstance(value, (types.ModuleType, type, nn.Module)) or id(value) in self.known:
            return
        plain = _state(value)
        if plain is not None:
            self.seen[where] = plain
            return
        self.seen[where] = Same(value)
        if depth >= DEEPEST or len(self.seen) > MOST_PARTS:
            return
        self.known.add(id(value))
        self.alive.append(value)
        for name, part in _parts(value):
            self(f"{where}{name}", part, depth + 1)

    def of_class(self, kind: type) -> None:
        """The plain attributes of a user's class, and what its methods name outside of themselves."""
        for one in kind.__mro__:
            if f"{one.__module__}.".startswith(OURS) or id(one) in self.known:
                continue
            self.known.add(id(one))
            for name, value in vars(one).items():
                if not name.startswith("__") or callable(value):
                    self(f"{one.__name__}.{name}", value, 1)


def _state(value: object) -> Any:
    """A value that is its own state, so that it can be compared later; None for what has parts, or none that can be seen."""
    match value:
        case float() | complex():
            return (type(value), repr(value))
        case Tensor():
            return (Same(value), None if value.is_inference() else value._version)
        case np.ndarray():
            return (Same(value), value.tobytes() if value.nbytes <= 2**20 else None)
        case random.Random():
            return value.getstate()
        case np.random.Generator():
            return repr(value.bit_generator.state)
        case np.random.RandomState():
            return _comparable(value.get_state())
        case torch.Generator():
            return None if value is torch.default_generator else bytes(value.get_state().tolist())
        case itertools.count():
            return repr(value)
    return (type(value), value) if isinstance(value, PLAIN) else None


def _comparable(state: Any) -> Any:
    return tuple(part.tobytes() if isinstance(part, np.ndarray) else part for part in state)


def _parts(value: Any) -> Iterator[tuple[str, object]]:
    """What an object holds: entries, attributes, and what a function was made with."""
    if isinstance(value, dict):
        yield from ((f"[{key!r}]", part) for key, part in list(value.items()))
    elif isinstance(value, (list, tuple, collections.deque)):
        yield from ((f"[{i}]", part) for i, part in enumerate(list(value)))
    elif isinstance(value, (set, frozenset)):
        yield " holds", repr(sorted(map(repr, value)))
    elif isinstance(value, functools.partial):
        yield from (("", value.func), (" arguments", value.args), (" options", value.keywords))
    elif isinstance(value, types.MethodType):
        yield from (("", value.__func__), (" of", value.__self__))
    elif isinstance(value, types.FunctionType):
        yield from ((f" {name}", cell.cell_contents) for name, cell in zip(value.__code__.co_freevars, value.__closure__ or (), strict=True)
                    if _filled(cell))
        yield from ((f" default {i}", part) for i, part in enumerate(value.__defaults__ or ()))
        if not f"{value.__module__}.".startswith(OURS):
            yield from ((f" {name}", value.__globals__[name]) for name in value.__code__.co_names if name in value.__globals__)
    elif hasattr(value, "__dict__"):
        yield from ((f".{name}", part) for name, part in list(vars(value).items()))


def _filled(cell: types.CellType) -> bool:
    try:
        return bool(cell.cell_contents is not None)
    except ValueError:
        return False


def changed(before: dict[str, Any], after: dict[str, Any]) -> str:
    """Where the first difference between two surroundings is; empty where there is none."""
    missing = object()
    for where in {**before, **after}:
        a, b = before.get(where, missing), after.get(where, missing)
        if a is missing or b is missing or a != b:
            return where
    return ""


def check_traceable(rule: Rule, learner: Learner, chunk: Batch, seed: int) -> None:
    """Raises Untraceable, with the reason, where a program could not do what steps of the rule do.

    Seen on a copy, over its second step: what is set up once, at the first, does no harm.
    """
    hook = hooked(learner.net)
    if hook:
        raise Untraceable(f"a program calls no hooks, and there is {hook}")
    trial = copied(learner)
    with Aside(seed, learner.net.device):
        net, state, _ = rule.step(trial.net, trial.state, chunk[0])
        before = surroundings(trial.net, rule)
        rule.step(net, state, chunk[1 % len(chunk)])
        where = changed(before, surroundings(trial.net, rule))
    if where:
        raise Untraceable(f"a step changes {where}, which a program would read once and never again")


def own_steps(advance: Advance, learner: Learner, chunk: Batch, seed: int) -> Learner:
    """Where `advance` takes the learner itself, not a copy: whatever refers to the user's own module refers to what is trained.

    Its tensors, attributes and random numbers to come are as before when this returns; the result is a copy.
    """
    net, tensors, buffers = learner.net, clone(learner.net.tensors), dict(learner.net.buffers)
    owned = [(owner, dict(owner)) for owner in net.caller.owners.values()]
    flags = {module: module.training for module in net.module.modules()}
    try:
        with Aside(seed, net.device):
            after, _ = advance(Learner(net, clone(learner.state)), chunk)
        return Learner(after.net.clone(), clone(after.state))
    finally:
        for owner, was in owned:
            owner.clear()
            owner.update(was)
        net.buffers.clear()
        net.buffers.update(buffers)
        net.put(tensors)
        for module, training in flags.items():
            module.training = training
