"""A network seen by the engine: an ordinary torch module with its tensors held outside, as a tree."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import torch
from torch import Tensor, nn
from torch.utils import _pytree as pytree


class Net:
    """A module, its parameters and its buffers; calling it runs the module on whichever tensors it holds.

    `bound` nets hold the module's own tensors, so a call is the module's call and costs nothing extra. Any other net
    (a stack, a member, the inside of a transformation) swaps its tensors in for the call. Families never see a Net.

    `params` are those that are trained: a frozen parameter (requires_grad=False) is among the `buffers`, where no direction, decay,
    penalty or constraint meets it. `idle` names those that the loss did not depend on when it was last differentiated; they have no
    direction either.
    """

    __slots__ = ("bound", "buffers", "caller", "idle", "module", "params")

    def __init__(self, module: nn.Module, params: dict[str, Tensor], buffers: dict[str, Tensor], bound: bool = False,
                 caller: Caller | None = None, idle: frozenset[str] = frozenset()):
        self.module, self.params, self.buffers, self.bound, self.idle = module, params, buffers, bound, idle
        self.caller = caller or Caller(module)

    @classmethod
    def of(cls, module: nn.Module) -> Net:
        """The net whose tensors are the module's own: training it trains the module."""
        params = dict(module.named_parameters())
        frozen = {name: p for name, p in params.items() if not p.requires_grad}
        return cls(module, {name: p for name, p in params.items() if name not in frozen}, {**frozen, **dict(module.named_buffers())},
                   bound=True)

    @property
    def frozen(self) -> list[str]:
        """The parameters that nothing moves."""
        return [name for name, _ in self.module.named_parameters() if name in self.buffers]

    def __call__(self, *inputs: Any) -> Any:
        if self.bound:
            return self.module(*inputs)
        return torch.func.functional_call(self.module, self._held(), inputs, tie_weights=False)

    def call(self, method: str, *inputs: Any) -> Any:
        """Like calling the net, but runs the module's `method` (an encoder, a decoder, an energy)."""
        if self.bound:
            return getattr(self.module, method)(*inputs)
        named = {f"module.{name}": t for name, t in self._held().items()}
        return torch.func.functional_call(self.caller, named, (method, *inputs), tie_weights=False)

    def _held(self) -> dict[str, Tensor]:
        """A tensor for every place of the module. Torch's own tying would leave a submodule that is used twice with the wrong ones."""
        tensors = self.tensors
        return {**tensors, **{name: tensors[first] for name, first in self.caller.ties.items() if first in tensors}}

    def at(self, params: dict[str, Tensor]) -> Net:
        """The same net at other parameters."""
        return Net(self.module, params, self.buffers, caller=self.caller, idle=self.idle)

    def only(self, prefix: str) -> Net:
        """The same net, in the same tensors, of which the parameters under `prefix` alone are trained; the others are like frozen ones."""
        own = {name: p for name, p in self.params.items() if name.startswith(prefix + ".")}
        others = {name: p for name, p in self.params.items() if name not in own}
        return Net(self.module, own, {**others, **self.buffers}, bound=self.bound, caller=self.caller, idle=self.idle & own.keys())

    def clone(self) -> Net:
        """A net on the same module whose tensors are copies: what is done to it leaves the original alone."""
        params = {k: v.detach().clone() for k, v in self.params.items()}
        return Net(self.module, params, {k: v.detach().clone() for k, v in self.buffers.items()}, caller=self.caller, idle=self.idle)

    def load(self, other: Net) -> None:
        """Copy another net's tensors into this one's, in place."""
        with torch.no_grad():
            for mine, theirs in ((self.params, other.params), (self.buffers, other.buffers)):
                for name, tensor in mine.items():
                    tensor.copy_(theirs[name])

    @property
    def tensors(self) -> dict[str, Tensor]:
        return {**self.params, **self.buffers}

    @property
    def device(self) -> torch.device:
        return next(iter(self.tensors.values()), torch.empty(0)).device

    def count(self) -> int:
        """The number of trained numbers."""
        return sum(p.numel() for p in self.params.values())

    @staticmethod
    def stack(nets: Iterable[Net]) -> Net:
        """One net whose tensors carry a leading member axis, for `vmap`."""
        nets = list(nets)
        params = {k: torch.stack([n.params[k].detach() for n in nets]) for k in nets[0].params}
        return Net(nets[0].module, params, {k: torch.stack([n.buffers[k].detach() for n in nets]) for k in nets[0].buffers},
                   idle=nets[0].idle)

    def member(self, i: int) -> Net:
        """The `i`-th net of a stack, as a view of the stacked tensors."""
        return Net(self.module, {k: v[i] for k, v in self.params.items()}, {k: v[i] for k, v in self.buffers.items()}, idle=self.idle)


class Caller(nn.Module):
    """Lets `functional_call` reach methods other than `forward`; made once a net, since compiled code cannot make modules.

    `ties` maps the further names of tensors that are used in several places to their first.
    """

    def __init__(self, module: nn.Module):
        super().__init__()
        self.module = module
        self.ties: dict[str, str] = {}
        first: dict[int, str] = {}
        for path, part in module.named_modules():
            for name, t in [*part._parameters.items(), *part._buffers.items()]:
                place = f"{path}.{name}" if path else name
                if t is not None and first.setdefault(id(t), place) != place:
                    self.ties[place] = first[id(t)]

    def forward(self, method: str, *inputs: Any) -> Any:
        return getattr(self.module, method)(*inputs)


def _again(tensors: Iterable[Any], modules: Any) -> Net:
    params, buffers = tensors
    return Net(modules[0], params, buffers, caller=modules[1], idle=modules[2])


pytree.register_pytree_node(
    Net,
    lambda net: ([net.params, net.buffers], (net.module, net.caller, net.idle)),
    _again,
    serialized_type_name="chainrule.core.net.Net",
)
