"""A network seen by the engine: an ordinary torch module with its tensors held outside, as a tree."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

import torch
from torch import Tensor, nn
from torch.utils import _pytree as pytree

from chainrule.core.errors import InputError, PlanRejected


class Net:
    """A module, its parameters and its buffers; calling it runs the module on whichever tensors it holds.

    `bound` nets hold the module's own tensors, so a call is the module's call and costs nothing extra. Any other net
    (a stack, a member, the inside of a transformation) swaps its tensors in for the call. Families never see a Net.

    `params` are those that are trained: a frozen parameter (requires_grad=False) is among the `buffers`, where no direction, decay,
    penalty or constraint meets it. `idle` names those that the loss did not depend on when it was last differentiated; they have no
    direction either. Parameters and buffers together are all that a module owns: what is saved, restored, compared and looked at. A
    forward pass may put another tensor in place of a buffer; `settle` takes it over.
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

    def train(self) -> None:
        """Put the module into training mode, see `training_mode`."""
        training_mode(self.module)

    def __call__(self, *inputs: Any) -> Any:
        if self.bound:
            return self.module(*inputs)
        given = self._held()
        outputs = torch.func.functional_call(self.module, given, inputs, tie_weights=False)
        self._unchanged(given)
        return outputs

    def call(self, method: str, *inputs: Any) -> Any:
        """Like calling the net, but runs the module's `method` (an encoder, a decoder, an energy)."""
        if self.bound:
            return getattr(self.module, method)(*inputs)
        given = {f"module.{name}": t for name, t in self._held().items()}
        outputs = torch.func.functional_call(self.caller, given, (method, *inputs), tie_weights=False)
        self._unchanged({name.removeprefix("module."): t for name, t in given.items()})
        return outputs

    def _unchanged(self, given: dict[str, Tensor]) -> None:
        """Raises PlanRejected where a call has put another tensor in place of a buffer it was given: it would be lost."""
        if torch.compiler.is_compiling():
            return
        for name, t in self.buffers.items():
            if given[name] is not t:
                raise PlanRejected(f"a forward pass puts another tensor in place of {name}, which is seen in the module itself alone")

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
        self.put(other.tensors)

    @torch.no_grad()
    def put(self, tensors: Mapping[str, Tensor]) -> None:
        """Copy the numbers of tensors of these names into the net's own. A buffer of another shape, or that is not there yet, is replaced.

        Raises InputError for names that the module does not have; nothing is copied then.
        """
        own, owners = self.tensors, self.caller.owners
        others = [name for name, t in tensors.items() if name not in own or own[name].shape != t.shape]
        lost = [name for name in others if not self.bound or name.rpartition(".")[2] not in owners.get(name.rpartition(".")[0], {})]
        if lost:
            raise InputError(f"{type(self.module).__name__} has no place for {', '.join(lost)}, which the trained one had. It belongs to "
                             "another net; or register what is a buffer where the module is made: "
                             f"register_buffer('{lost[0].rpartition('.')[2]}', None) will do.")
        for name, t in tensors.items():
            if name not in others:
                own[name].copy_(t)
        for name in others:
            owner, key = owners[name.rpartition(".")[0]], name.rpartition(".")[2]
            owner[key] = self.buffers[name] = tensors[name].detach().to(self.device).clone()

    @torch.no_grad()
    def settle(self) -> None:
        """Take over what forward passes have put in place of the module's buffers, as `self.m = 0.9 * self.m + ...` does.

        Its numbers go into the tensor that was there, which goes back into the module; one of another shape or type, one where there was
        none, and one in a place that shared its tensor with others becomes the net's.
        """
        if not self.bound:
            return
        ties = self.caller.ties
        for path, owner in self.caller.owners.items():
            for key, t in owner.items():
                name = f"{path}.{key}" if path else key
                mine = self.buffers.get(ties.get(name, name))
                if t is None or t is mine:
                    continue
                sharing = [other for other, first in ties.items() if first == name]
                if mine is not None and not sharing and name not in ties and _alike(mine, t):
                    mine.copy_(t)
                    owner[key] = mine
                    continue
                ties.pop(name, None)
                for other in sharing:
                    del ties[other]
                    self.buffers[other] = mine  # type: ignore[assignment]
                owner[key] = self.buffers[name] = t.detach()

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

    `ties` maps the further names of tensors that are used in several places to their first; `owners` are where the modules keep their
    buffers, by path, those that are None among them.
    """

    def __init__(self, module: nn.Module):
        super().__init__()
        self.module = module
        self.ties: dict[str, str] = {}
        self.owners: dict[str, dict[str, Tensor | None]] = {path: part._buffers for path, part in module.named_modules()}
        first: dict[int, str] = {}
        for path, part in module.named_modules():
            for name, t in [*part._parameters.items(), *part._buffers.items()]:
                place = f"{path}.{name}" if path else name
                if t is not None and first.setdefault(id(t), place) != place:
                    self.ties[place] = first[id(t)]

    def forward(self, method: str, *inputs: Any) -> Any:
        return getattr(self.module, method)(*inputs)


def training_mode(module: nn.Module) -> None:
    """Training mode, for all but fixed layers: one whose parameters are all frozen answers as in use.

    So the running statistics of a frozen normalisation stay as they are, and are what it normalises by.
    """
    module.train()
    for part in module.modules():
        own = list(part.parameters(recurse=False))
        if own and not any(p.requires_grad for p in own):
            part.training = False


def _alike(a: Tensor, b: Tensor) -> bool:
    return (a.shape, a.dtype, a.device) == (b.shape, b.dtype, b.device)


def _again(tensors: Iterable[Any], modules: Any) -> Net:
    params, buffers = tensors
    return Net(modules[0], params, buffers, caller=modules[1], idle=modules[2])


pytree.register_pytree_node(
    Net,
    lambda net: ([net.params, net.buffers], (net.module, net.caller, net.idle)),
    _again,
    serialized_type_name="chainrule.core.net.Net",
)
