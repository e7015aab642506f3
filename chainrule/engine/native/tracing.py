"""One step of a rule as a graph of ATen operations without side effects, and the random numbers it draws.

The step runs once on tensors without content (torch's fake tensors), functionalised and decomposed to few primitives: nothing is
computed, no tensor of the learner is touched and no random number is drawn.
"""

from __future__ import annotations

import contextlib
import functools
from collections.abc import Callable, Iterator
from itertools import pairwise
from typing import Any, NamedTuple

import torch
from torch import Tensor, fx

from chainrule.core.batch import Batch
from chainrule.core.errors import PlanRejected
from chainrule.core.net import Net
from chainrule.core.rule import Learner
from chainrule.core.tree import Tree, leaves
from chainrule.engine.native.decompositions import DECOMPOSITIONS
from chainrule.engine.plans.eager import Step, clone_structure
from chainrule.engine.randomness import Aside
from chainrule.engine.unrolled import check_steps

aten = torch.ops.aten
DTYPES = (torch.float32, torch.float64, torch.int64, torch.int32, torch.uint8, torch.bool)
# Of what torch would take apart, these stay whole, since a kernel of ours is better at them.
KEPT = (aten.addmm, aten.avg_pool2d, aten.max_pool2d_with_indices, aten.convolution)
TURNED = {aten.squeeze_.dim: aten.squeeze.dim, aten.squeeze_.dims: aten.squeeze.dims, aten.squeeze_.default: aten.squeeze.default,
          aten.unsqueeze_.default: aten.unsqueeze.default}
# Beyond torch's core set these are taken apart too.
TAKEN_APART = (
    aten._softmax, aten._log_softmax, aten._softmax_backward_data, aten._log_softmax_backward_data, aten.native_layer_norm,
    aten.native_layer_norm_backward, aten.native_group_norm, aten.native_group_norm_backward, aten._native_batch_norm_legit,
    aten._native_batch_norm_legit_functional, aten._native_batch_norm_legit_no_training, aten.native_batch_norm,
    aten.native_batch_norm_backward, aten.embedding, aten.embedding_dense_backward, aten.gelu, aten.gelu_backward, aten.silu,
    aten.silu_backward, aten.elu, aten.elu_backward, aten.leaky_relu, aten.leaky_relu_backward, aten.hardtanh, aten.hardtanh_backward,
    aten.softplus, aten.softplus_backward, aten.mv, aten.dot, aten.addmv, aten.var_mean, aten.std_mean, aten.std, aten.nll_loss_forward,
    aten.nll_loss_backward, aten.tanh_backward, aten.sigmoid_backward, aten.threshold_backward, aten.addcmul, aten.addcdiv, aten.lerp,
    aten.logsumexp, aten.masked_fill, aten.rsub, aten.mse_loss, aten.mse_loss_backward, aten.huber_loss, aten.select_backward,
    aten.slice_backward, aten.unfold_backward, aten.index_select, aten.stack, aten.repeat, aten.native_dropout, aten.trace, aten.addr,
    aten.square, aten.linalg_vector_norm, aten.prelu, aten._prelu_kernel, aten._prelu_kernel_backward, aten.mish, aten.mish_backward,
    aten.hardswish, aten.hardswish_backward, aten.hardsigmoid, aten.hardsigmoid_backward, aten.glu, aten.glu_backward, aten.logaddexp,
    aten.mean, aten.xlogy, aten.softshrink, aten.log_sigmoid_forward, aten.log_sigmoid_backward, aten.diag_embed, aten.roll,
    aten.adaptive_avg_pool2d, aten._adaptive_avg_pool2d, aten.binary_cross_entropy, aten.binary_cross_entropy_backward,
    aten.index_fill, aten.index_add, aten.index_copy, aten.split, aten.split_with_sizes, aten.unbind, aten.ones_like, aten.zeros_like,
)


class Traced(NamedTuple):
    """The graph of one step, from the learner's tensors and the batch's to the learner's again and the reports."""

    graph: fx.Graph
    learner: int               # how many tensors the learner has
    reports: list[str]         # the names of the further outputs
    attributes: dict[str, Tensor]


def tensors_of(learner: Learner) -> list[Tensor]:
    """Everything a step may write, in the order the programs know."""
    return [*(p.detach() for p in learner.net.params.values()), *(b.detach() for b in learner.net.buffers.values()), *leaves(learner.state)]


def trace(step: Step, learner: Learner, batch: Batch) -> Traced:
    """The graph of `step` on learners and batches (n, ...) like these.

    Raises PlanRejected where it is not one fixed sequence of operations.
    """
    from torch.fx.experimental.proxy_tensor import make_fx

    net, state = learner
    mine, inputs = tensors_of(learner), batch.tensors()
    _check(mine, inputs, state)
    check_steps(net.module, batch.x)
    names: list[str] = []

    def run(*tensors: Tensor) -> list[Tensor]:
        remaining = iter([t.clone() for t in tensors[: len(mine)]])
        params = {name: next(remaining) for name in net.params}
        buffers = {name: next(remaining) for name in net.buffers}
        now = _refilled(state, remaining)
        rest = iter(tensors[len(mine) :])
        given_batch = batch.map(lambda _: next(rest))
        into = (dict(params), dict(buffers), clone_structure(now))
        after, now, report = step(Net(net.module, params, buffers, caller=net.caller, idle=net.idle), now, given_batch)
        names[:] = list(report)
        return [*_ordered(into[0], after.params), *_ordered(into[1], after.buffers), *_ordered(into[2], now), *report.values()]

    try:
        with torch.no_grad(), _taken_apart(), Aside(0, torch.device("cpu")):
            graph: Any = run
            for _ in range(2):  # some decompositions write in place again
                graph = make_fx(torch.func.functionalize(graph), decomposition_table=_table(), tracing_mode="fake",
                                _allow_non_fake_inputs=True)(*[t.detach() for t in mine + inputs])
                if _settled(graph.graph):
                    break
    except PlanRejected:
        raise
    except Exception as error:
        lines = str(error).strip().splitlines()
        raise PlanRejected(f"native cannot write this step out: {type(error).__name__}: {lines[0][:140] if lines else ''}") from error
    for node in graph.graph.nodes:
        value = node.meta.get("val")
        if isinstance(value, Tensor) and any(isinstance(n, torch.SymInt) for n in value.shape):
            raise PlanRejected(f"native needs tensors of fixed size; that of {node.target} depends on what the step computes")
    attributes = {node.target: getattr(graph, node.target) for node in graph.graph.nodes if node.op == "get_attr"}
    return Traced(graph.graph, len(mine), list(names), attributes)


def arguments(node: Any) -> list[Any]:
    """All that the operation of a node is called with, in the order of its schema; what was left out has its default."""
    positional = list(node.args)
    return positional + [node.kwargs.get(a.name, a.default_value) for a in node.target._schema.arguments[len(positional) :]]


@contextlib.contextmanager
def _taken_apart() -> Iterator[None]:
    """Without oneDNN, whose fused layers (LSTM) are one operation that nobody can look into."""
    before = torch.backends.mkldnn.set_flags(_enabled=False, _fp32_precision=None)
    try:
        yield
    finally:
        torch.backends.mkldnn.set_flags(_enabled=before[0], _fp32_precision=None)


def _settled(graph: fx.Graph) -> bool:
    """Turn what decompositions write in place, where that is plain, into values; False where it takes another pass of functionalisation."""
    place = {node: i for i, node in enumerate(graph.nodes)}
    for node in list(graph.nodes):
        if not isinstance(node.target, torch._ops.OpOverload) or not node.target._schema.is_mutable:
            continue
        into: Any = node.args[0]
        if node.target in TURNED and len(into.users) == 1:
            node.target = TURNED[node.target]
            continue
        value: Any = node.args[1] if len(node.args) > 1 else None
        if node.target is not aten.copy_.default or any(_shares(user) for user in into.users if user is not node) or _shares(into):
            return False
        if not isinstance(value, fx.Node) or any(getattr(into.meta["val"], k) != getattr(value.meta["val"], k) for k in ("shape", "dtype")):
            return False
        node.replace_all_uses_with(value)
        for user in list(into.users):
            if user is not node and place[user] > place[node]:
                user.replace_input_with(into, value)
        graph.erase_node(node)
    return True


def _shares(node: fx.Node) -> bool:
    """Whether its value is, or may be, the memory of another's."""
    operation = isinstance(node.target, torch._ops.OpOverload)
    return node.op == "placeholder" or (operation and any(r.alias_info for r in node.target._schema.returns))  # type: ignore[union-attr]


def _check(mine: list[Tensor], inputs: list[Tensor], state: Tree) -> None:
    for t in mine + inputs:
        if t.device.type != "cpu" or t.layout != torch.strided:
            raise PlanRejected(f"native runs on the processor with dense tensors; got one of {t.layout} on {t.device}")
        if t.dtype not in DTYPES:
            raise PlanRejected(f"native does not know numbers of type {t.dtype}")
    memory = sorted((t.data_ptr(), t.data_ptr() + t.itemsize * (1 + sum((n - 1) * s for n, s in zip(t.shape, t.stride(), strict=True))))
                    for t in mine if t.numel())
    if any(a[1] > b[0] for a, b in pairwise(memory)):
        raise PlanRejected("native writes in place, and two tensors of this learner share their memory")
    if not _of_tensors(state):
        raise PlanRejected("native needs a rule whose state is tensors in dicts, and nothing else")


def _of_tensors(state: Tree) -> bool:
    return all(map(_of_tensors, state.values())) if isinstance(state, dict) else isinstance(state, Tensor)


def _refilled(tree: Tree, tensors: Any) -> Tree:
    """The same dicts with other tensors, in the order of `leaves`."""
    from torch.utils import _pytree as pytree

    return pytree.tree_map(lambda _: next(tensors), tree)


def _ordered(into: Tree, tree: Tree) -> list[Tensor]:
    """The entries of `tree` that `into` has, in the order of `leaves(into)`; others are nowhere kept by any plan."""
    if isinstance(into, dict):
        return [t for name in into for t in _ordered(into[name], tree[name])]
    return [tree]


@functools.cache  # gathering it takes longer than tracing a small step
def _table() -> dict[Any, Callable[..., Any]]:
    from torch._decomp import core_aten_decompositions, get_decompositions

    table = {**core_aten_decompositions(), **get_decompositions(TAKEN_APART), **DECOMPOSITIONS}
    whole = {op for packet in KEPT for op in (getattr(packet, name) for name in packet.overloads())}
    # Draws stay whole too: taken apart, they would draw other numbers than eager does.
    return {op: f for op, f in table.items()
            if (op in DECOMPOSITIONS or op not in whole) and torch.Tag.nondeterministic_seeded not in op.tags}
