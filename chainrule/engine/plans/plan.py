"""Execution plans: a plan turns a rule's step into `advance(learner, batches[k]) -> (learner, reports[k])`."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace
from typing import Annotated, Any

import torch
from torch import Tensor
from torch.utils import _pytree as pytree

from chainrule.core.batch import Batch
from chainrule.core.errors import InputError, MachineFailed, suggest
from chainrule.core.kernels import can_split, offered_to, split_products
from chainrule.core.net import Net
from chainrule.core.options import MOST_THREADS
from chainrule.core.rule import Learner, Report, Rule
from chainrule.core.schema import Natural, Within
from chainrule.core.tree import Tree, leaves
from chainrule.engine.native import Written
from chainrule.engine.plans.cuda_graph import recorded
from chainrule.engine.plans.eager import Advance, Step, clone_structure, eager, settle, stacked_reports, unused
from chainrule.engine.plans.microbatch import Accumulated
from chainrule.engine.unrolled import check_steps

FUSED_STEPS = 10


@dataclass(frozen=True)
class Plan:
    """How steps are executed. `fused` steps run as one compiled program; `chunk` steps pass between looks at the host.

    `native` is a program in C of our own, `graph` a recorded sequence of CUDA kernels; `parts` above one split each batch, where memory
    does not hold it whole, into parts whose directions are summed. With `bf16x3` kernels compute products as three of bfloat16, about as
    exact as single precision. `threads` of 0 leaves torch's own number; it is part of the plan
    because sums over threads round differently.
    """

    channels_last: bool = False
    bf16: bool = False
    bf16x3: bool = False
    compiled: bool = False
    native: bool = False
    graph: bool = False
    fused: Natural = 1
    chunk: Natural = 1
    threads: Annotated[int, Within(0, MOST_THREADS)] = 0
    parts: Natural = 1

    @classmethod
    def parse(cls, name: str) -> Plan:
        """`eager`, `native`, `compiled`, `fused`, `graph`, each with `+channels-last` and `+bf16`; `eager` with `+bf16x3`.

        Raises InputError with the nearest name, or for two that exclude each other.
        """
        plan = cls()
        for word in name.split("+"):
            match word.strip():
                case "eager":
                    pass
                case "channels-last":
                    plan = replace(plan, channels_last=True)
                case "bf16":
                    plan = replace(plan, bf16=True)
                case "bf16x3":
                    plan = replace(plan, bf16x3=True)
                case "compiled":
                    plan = replace(plan, compiled=True)
                case "fused":
                    plan = replace(plan, compiled=True, fused=FUSED_STEPS)
                case "native":
                    plan = replace(plan, native=True)
                case "graph":
                    plan = replace(plan, graph=True, fused=FUSED_STEPS)
                case other:
                    names = ("auto", "eager", "channels-last", "bf16", "bf16x3", "native", "compiled", "fused", "graph")
                    raise InputError(f"There is no plan called '{other}'. {suggest(other, names)} Join several with +.")
        if plan.bf16x3 and (plan.programmed or plan.bf16):
            raise InputError(f"--plan {name} asks for products as three of bfloat16, which only kernels that eager steps call compute. Use "
                             "eager+bf16x3.")
        if plan.compiled + plan.native + plan.graph > 1 or (plan.native and (plan.bf16 or plan.channels_last)):
            raise InputError(f"--plan {name} joins programs that exclude each other. Use one of native, compiled, fused and graph; "
                             "+channels-last and +bf16 go with the last three.")
        return plan

    @property
    def program(self) -> str:
        if self.native or self.graph:
            return "native" if self.native else "graph"
        return "eager" if not self.compiled else "fused" if self.fused > 1 else "compiled"

    @property
    def name(self) -> str:
        return "+".join([self.program] + ["channels-last"] * self.channels_last + ["bf16"] * self.bf16 + ["bf16x3"] * self.bf16x3)

    @property
    def programmed(self) -> bool:
        """Whether a program has to be made before the first step."""
        return self.compiled or self.native or self.graph

    @property
    def precision(self) -> str:
        return "bf16" if self.bf16 else "bf16x3" if self.bf16x3 else "fp32"

    def sized(self, chunk: int) -> Plan:
        """The same plan with at least `chunk` steps a chunk, a multiple of the fused ones."""
        return replace(self, chunk=max(self.fused, chunk // self.fused * self.fused))

    def build(self, rule: Rule, learner: Learner, few: Batch, written: Written | None = None) -> Advance:
        """The plan's `advance` for this rule and net, and for batches shaped like the `few` (k, batch, ...).

        Sets the threads; the learner's 4-D weights move to the plan's layout. `written` is the program of a native plan where it was
        begun before. Raises PlanRejected where this plan cannot be made here.
        """
        step = self._step(rule, learner, few)
        one_by_one = eager(step)
        if self.native:
            written = written or Written(step, learner, few, self.threads)
            return _shaped(written.maker()(), one_by_one, few)
        if self.graph:
            return _laid_out(_shaped(_grouped(recorded(step, learner, few, self.fused), one_by_one, self.fused), one_by_one, few),
                             self.channels_last)
        if self.compiled:
            check_steps(learner.net.module, few[0].x)
            return _laid_out(_grouped(fused(step, learner.net, self.fused), one_by_one, self.fused), self.channels_last)
        return _laid_out(one_by_one, self.channels_last)

    def write(self, rule: Rule, learner: Learner, few: Batch) -> Written:
        """The program of a native plan, for `build` when its library is compiled. Does to the learner what `build` does, and raises so."""
        return Written(self._step(rule, learner, few), learner, few, self.threads)

    def _step(self, rule: Rule, learner: Learner, few: Batch) -> Step:
        """The step to execute, with threads, layout and the net's idle parameters as the plan needs them."""
        if self.bf16x3 and not splits(learner.net):
            raise MachineFailed("this plan computes products as three of bfloat16, for which this net has no kernel on this machine: that "
                                "takes a recurrent layer, a processor with AMX and a C compiler that knows it")
        if self.threads:
            torch.set_num_threads(self.threads)
        arrange(learner, self.channels_last)
        if (self.native or self.compiled) and learner.net.bound:
            learner.net.idle = unused(rule, learner, few[0])  # what is traced has every gradient, zeros where there is none
        if self.parts > 1:
            rule = Accumulated(rule, self.parts)
        return _bf16(rule.step, learner.net.device) if self.bf16 else _split(rule.step) if self.bf16x3 else rule.step


def splits(net: Net) -> bool:
    """Whether the net asks for a kernel that can split products on this machine. The first time such a kernel is compiled."""
    return net.device.type == "cpu" and can_split(offered_to(net.module))


def fused(step: Step, like: Net, k: int, backend: str = "inductor") -> Advance:
    """`k` steps as one compiled program that writes the learner's tensors in place.

    `backend` is torch.compile's; `aot_eager` captures and functionalises without generating code.
    """

    module, caller, idle = like.module, like.caller, like.idle

    def run(tensors: tuple[dict[str, Tensor], dict[str, Tensor], Tree], scalars: list[bool], batches: Batch) -> Report:
        params, buffers, state = _dropped(tensors, iter(scalars))
        net, now, reports = Net(module, dict(params), dict(buffers), caller=caller, idle=idle), clone_structure(state), []
        for i in range(k):
            net, now, report = step(net, now, batches[i])
            reports.append(report)
        settle(params, net.params)
        settle(buffers, net.buffers)
        settle(state, now)
        return stacked_reports(reports)

    run.__code__ = run.__code__.replace()  # torch allows eight programs a code object; every plan gets its own
    # The numbers eager would have drawn; and on a processor a C++ wrapper, since launching each kernel from Python takes half of the time.
    options: dict[str, Any] | None = {"fallback_random": True, "cpp_wrapper": like.device.type == "cpu"} if backend == "inductor" else None
    compiled = torch.compile(run, fullgraph=True, dynamic=False, backend=backend, options=options)

    def advance(learner: Learner, batches: Batch) -> tuple[Learner, Report]:
        with torch.no_grad():
            params = {name: p.detach() for name, p in learner.net.params.items()}
            every = (params, learner.net.buffers, learner.state)
            scalars = [t.dim() == 0 for t in leaves(every)]
            return learner, compiled(pytree.tree_map(lambda t: t.unsqueeze(0) if t.dim() == 0 else t, every), scalars, batches)

    return advance


def _dropped(tree: Tree, scalars: Iterator[bool]) -> Tree:
    """The tree with the axis taken off again that numbers () were lent: torch 2.13 loses what is written to one in double precision."""
    if isinstance(tree, tuple):
        return tuple(_dropped(part, scalars) for part in tree)
    if isinstance(tree, dict):
        return {name: _dropped(part, scalars) for name, part in tree.items()}
    return tree.squeeze(0) if next(scalars) else tree


def _grouped(together: Advance, alone: Advance, k: int) -> Advance:
    """Full groups of `k` steps through `together`, what is left of the chunk through `alone`."""

    def advance(learner: Learner, batches: Batch) -> tuple[Learner, Report]:
        # The last batch of an epoch comes alone: a program of its own for one odd step would cost a compile.
        whole = len(batches) // k * k
        reports, begin = [], 0
        while begin < whole:
            learner, report = together(learner, batches.rows(begin, begin + k))
            reports.append(report)
            begin += k
        if begin < len(batches):
            learner, report = alone(learner, batches.rows(begin, len(batches)))
            reports.append(report)
        return learner, {name: torch.cat([r[name] for r in reports]) for name in reports[0]} if len(reports) > 1 else reports[0]

    return advance


def _shaped(whole: Advance, alone: Advance, few: Batch) -> Advance:
    """`whole` for batches of the shape it was made for, `alone` for the last, smaller one of an epoch."""
    shapes = [t.shape[1:] for t in few.tensors()]
    return lambda learner, batches: (whole if [t.shape[1:] for t in batches.tensors()] == shapes else alone)(learner, batches)


def _bf16(step: Step, device: torch.device) -> Step:
    def low(net: Net, state: Tree, batch: Batch) -> tuple[Net, Tree, Report]:
        with torch.autocast(device.type, torch.bfloat16):
            return step(net, state, batch)

    return low


def _split(step: Step) -> Step:
    def split(net: Net, state: Tree, batch: Batch) -> tuple[Net, Tree, Report]:
        with split_products():
            return step(net, state, batch)

    return split


def _laid_out(advance: Advance, channels_last: bool) -> Advance:
    if not channels_last:
        return advance

    def laid_out(learner: Learner, batches: Batch) -> tuple[Learner, Report]:
        x = batches.x
        if x.dim() == 5:
            x = x.flatten(0, 1).contiguous(memory_format=torch.channels_last).unflatten(0, x.shape[:2])
        return advance(learner, batches.with_inputs(x))

    return laid_out


def arrange(learner: Learner, channels_last: bool) -> None:
    """Put the 4-D tensors of a learner into channels-last order, or back into the ordinary one."""
    memory = torch.channels_last if channels_last else torch.contiguous_format
    for t in leaves([learner.net.tensors, learner.state]):
        if t.dim() == 4:
            t.data = t.data.contiguous(memory_format=memory)
