"""Running rows through a trained net in the fastest way that was measured and agrees with running it plainly.

Small jobs run plainly. For the others, ways are tried on the rows themselves within a small share of the time the job would take:
smaller batches, whose activations stay in the cache; a recorded program (see `recorded`), its batches side by side on one core each, so
that cores never wait for each other inside an operation; and a native or a compiled program, where the rows can pay for it. The native one
is tried first, since where it is far faster nothing else need be.
"""

from __future__ import annotations

import shutil
import time
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field, replace
from itertools import islice
from typing import Any, Literal

import torch
from torch import Tensor

from chainrule.core.batch import Batch
from chainrule.core.errors import PlanRejected
from chainrule.core.net import Net
from chainrule.core.rule import Learner, Report
from chainrule.core.threads import torch_threads
from chainrule.core.tree import Tree
from chainrule.engine import native
from chainrule.engine.infer.replay import Program, Unrecordable, record
from chainrule.engine.plans.eager import Advance
from chainrule.engine.randomness import Aside
from chainrule.engine.unrolled import check_steps

INPUT_BYTES = 2**19             # of one batch run plainly: larger ones leave the cache, smaller ones pay for each call
MOST_INPUT_BYTES = 2**22
LEAST_ROWS, MOST_ROWS = 16, 4096
WORTH_PLANNING_SECONDS = 0.5
PLANNING_SHARE = 0.06           # of the time a job would take plainly
NATIVE_SECONDS, COMPILE_SECONDS = 3.0, 40.0
PAYS_BACK = 4                   # times what making a program takes must the whole job last
TOLERANCE = {"fp32": 1e-4, "bf16": 5e-2}  # relative to the largest output of a row and of a typical row
FASTER_BY = 0.95                # what displaces another way must measure clearly faster
FAR_FASTER = 0.75               # of the plain time: what no other arrangement of the same kernels is likely to reach
WINDOW = 64                     # batches handed to the cores at once
Kind = Literal["eager", "channels-last", "bf16", "recorded", "packed", "native", "compiled"]
Run = Callable[[Tensor], Tensor]


@dataclass(frozen=True)
class Way:
    """How rows are run: so many in a batch, by which program, and on how many cores side by side (0: torch shares each operation out)."""

    rows: int
    kind: Kind = "eager"
    lanes: int = 0

    @property
    def name(self) -> str:
        return f"{self.kind}, {self.rows} rows" + (f", {self.lanes} batches side by side" if self.lanes else "")


@dataclass
class Chosen:
    """The way taken, how fast it measured, and why not the others."""

    way: Way
    run: Run
    seconds_per_row: float
    reason: str
    rejected: list[dict[str, str]] = field(default_factory=list)


def plain_rows(row_bytes: int) -> int:
    """Rows of a batch run plainly, a power of two."""
    return _power(INPUT_BYTES // max(row_bytes, 1))


def most_rows(row_bytes: int) -> int:
    """No way takes more rows at once; every way takes a number that divides this one."""
    return _power(MOST_INPUT_BYTES // max(row_bytes, 1))


def _power(rows: int) -> int:
    together: int = 2 ** (max(LEAST_ROWS, min(MOST_ROWS, rows)).bit_length() - 1)
    return together


class Inference:
    """Outputs of a net for stored rows, `ready` making of them what the net reads.

    The way is measured once, on the first job that is worth it, and kept until a weight of the net changes. Rows run plainly where it is
    not `planned`, as where `ready` draws numbers.
    """

    def __init__(self, net: Net, ready: Callable[[Tensor], Tensor], device: torch.device, precision: str = "auto", planned: bool = True):
        self.net, self.ready, self.device, self.precision, self.planned = net, ready, device, precision, planned
        self.chosen: Chosen | None = None
        self._plain_up_to = 0  # rows in all that were found not to be worth planning
        self._stamp: tuple[tuple[int, int], ...] = ()

    def row_bytes(self, x: Any) -> int:
        """What one row costs as the net reads it."""
        one = self.ready(x[:1])
        return max(1, one.numel() * one.element_size())

    @torch.no_grad()
    def plainly(self, x: Any) -> Tensor:
        """Outputs (n, ...) of the net as it is now, batch after batch: for weights that go on changing."""
        return torch.cat([self._eager(rows) for rows in x.split(plain_rows(self.row_bytes(x)))])

    @torch.no_grad()
    def __call__(self, x: Any, expected: int | None = None) -> Tensor:
        """Outputs (n, ...) of the evaluating net, in single precision unless it computes in double. `expected` rows are to come in all,
        where `x` is the first block of more.

        Blocks that are multiples of `most_rows` give the numbers that one call would give.
        """
        stamp = tuple((t.data_ptr(), 0 if t.is_inference() else t._version) for t in self.net.tensors.values())
        if stamp != self._stamp:
            self.chosen, self._stamp, self._plain_up_to = None, stamp, 0
        if self.net.module.training or not self.planned:
            return self.plainly(x)
        total = max(expected or 0, len(x))
        if self.chosen is None and total > self._plain_up_to:
            rows = plain_rows(self.row_bytes(x))
            seconds, first = self._timed(x, rows)
            if seconds * total < WORTH_PLANNING_SECONDS or len(x) < 4 * rows:
                self._plain_up_to = total
                return torch.cat([*first, *(self._eager(r) for r in islice(x.split(rows), len(first), None))])
            with Aside(0, self.device):
                self.chosen = choose(self, x, rows, seconds, total)
        if self.chosen is None:
            return self.plainly(x)
        return torch.cat(list(self._along(self.chosen.way, self.chosen.run, x)))

    def _eager(self, rows: Tensor) -> Tensor:
        return single(self.net(self.ready(rows.to(self.device))))

    def _timed(self, x: Any, rows: int) -> tuple[float, list[Tensor]]:
        """Seconds a row, plainly, and the outputs of the batches it was measured on: the second, since the first warms up."""
        first, seconds = [], 0.0
        for batch in islice(x.split(rows), 2):
            began = time.perf_counter()
            first.append(self._eager(batch))
            self.wait()
            seconds = (time.perf_counter() - began) / max(len(batch), 1)
        return seconds, first

    def wait(self) -> None:
        if self.device.type == "cuda":
            torch.cuda.synchronize(self.device)

    def _along(self, way: Way, run: Run, x: Any) -> Iterator[Tensor]:
        """Outputs batch by batch, in order. What does not fill a batch at the end runs plainly, since programs are made for full ones."""

        def one(batch: Tensor) -> Tensor:
            return single(run(self.ready(batch.to(self.device)))) if len(batch) == way.rows else self._eager(batch)

        batches = iter(x.split(way.rows))
        if not way.lanes:
            yield from map(one, batches)
            return
        with torch_threads():     # a worker sets the number that later threads start with
            pool = ThreadPoolExecutor(way.lanes, "chainrule-inference", torch.set_num_threads, (1,))
            try:
                while window := list(islice(batches, WINDOW)):
                    yield from pool.map(torch.no_grad()(one), window)
            finally:
                pool.shutdown(cancel_futures=True)

    @torch.no_grad()
    def outputs(self, way: Way, run: Run, x: Any) -> Tensor:
        """All outputs by one way."""
        return torch.cat(list(self._along(way, run, x)))


def single(outputs: Tensor) -> Tensor:
    """Outputs in single precision, or in double where they are."""
    return outputs if outputs.dtype == torch.float64 else outputs.float()


def build(inference: Inference, way: Way, rows: Tensor, backend: str = "inductor") -> Run:
    """The program of a way, for batches of `way.rows`, made from the first of `rows`. Raises PlanRejected with the reason."""
    net = inference.net
    if way.kind == "channels-last":
        return lambda x: net(x.contiguous(memory_format=torch.channels_last))
    if way.kind == "bf16":
        return _bf16(net, inference.device)
    try:
        if way.kind in ("recorded", "packed"):
            program: Program = record(net, inference.ready(rows[: way.rows].to(inference.device)), packed=way.kind == "packed")
            return program
        if way.kind == "native":
            return Native(net, inference.ready(rows[: way.rows].to(inference.device)), 1 if way.lanes else torch.get_num_threads())
        if way.kind == "compiled":
            check_steps(net.module, rows)
            options: dict[str, Any] | None = {"freezing": True} if backend == "inductor" else None
            return torch.compile(net.module, dynamic=False, backend=backend, options=options)
    except PlanRejected:
        raise
    except Unrecordable as error:
        raise PlanRejected(f"cannot be recorded: {error}") from None
    except Exception as error:
        raise _failed(error) from error
    return net


class Native:
    """The net as a native program; as many workspaces as run at once, kept because a new one costs its first touch of memory."""

    def __init__(self, net: Net, x: Tensor, threads: int):
        self.learner = Learner(net, {})
        self._make = native.Written(self._step, self.learner, Batch(x[None]), threads).maker()
        self._idle: list[Advance] = []

    @staticmethod
    def _step(net: Net, state: Tree, batch: Batch) -> tuple[Net, Tree, Report]:
        return net, state, {"outputs": net(batch.x)}

    def __call__(self, x: Tensor) -> Tensor:
        try:
            advance = self._idle.pop()  # of a list: no two threads get the same one
        except IndexError:
            advance = self._make()
        try:
            _, reports = advance(self.learner, Batch(x[None]))
        finally:
            self._idle.append(advance)
        outputs: Tensor = reports["outputs"][0]
        return outputs


def _bf16(net: Net, device: torch.device) -> Run:
    def low(x: Tensor) -> Tensor:
        with torch.autocast(device.type, torch.bfloat16):
            outputs: Tensor = net(x)
            return outputs

    return low


def _failed(error: Exception) -> PlanRejected:
    return PlanRejected(f"failed: {type(error).__name__}: {str(error).splitlines()[0][:160] if str(error) else ''}")


@torch.no_grad()
def check(inference: Inference, way: Way, run: Run, rows: Tensor) -> None:
    """Raises PlanRejected unless `run` gives the net's own outputs on `rows`: finite where they are, and close to them."""
    try:
        ours = torch.cat([single(run(inference.ready(r.to(inference.device)))) for r in rows.split(way.rows)])
    except Exception as error:
        raise _failed(error) from error
    theirs = torch.cat([inference._eager(r) for r in rows.split(way.rows)])
    difference, tolerance = disagreement(ours, theirs), TOLERANCE["bf16" if way.kind == "bf16" else "fp32"]
    if not difference <= tolerance:
        raise PlanRejected(f"disagrees with the net by {difference:.1e} of its outputs; allowed {tolerance:.0e}")


def disagreement(ours: Tensor, theirs: Tensor) -> float:
    """The largest difference, relative to the largest output of its row and of a typical row together; not finite where only one is.

    Within a tolerance of it, the largest output of a row is the same wherever it leads by more than twice that.
    """
    if ours.shape != theirs.shape:
        return float("inf")
    a, b = (t.reshape(len(t), -1).double() for t in (ours, theirs))              # (n, k)
    same = (a == b) | (a.isnan() & b.isnan())
    largest = b.abs().masked_fill(~b.isfinite(), 0).amax(1, keepdim=True)        # (n, 1)
    gap = ((a - b).abs() / (largest + largest.mean()).clamp_min(1e-30)).masked_fill(same, 0)
    return float(gap.nan_to_num(nan=torch.inf, posinf=torch.inf).max())


def choose(inference: Inference, x: Any, rows: int, seconds: float, total: int) -> Chosen:
    """The fastest way for `total` rows, of which `x` are some; plainly, `rows` at a time, a row takes `seconds`."""
    trials = Trials(inference, x[: min(len(x), 8 * most_rows(inference.row_bytes(x)))], Way(rows), seconds)
    threads = torch.get_num_threads()
    written = Way(rows, "native", threads if threads > 1 else 0)
    if seconds * total < PAYS_BACK * NATIVE_SECONDS:
        trials.refuse(written, f"making it takes up to {NATIVE_SECONDS:.0f} s and the whole job {seconds * total:.0f} s")
    elif inference.device.type == "cpu" and any(map(shutil.which, ("cc", "gcc", "clang"))):
        trials.attempt(written)
    if inference.precision == "bf16" or trials.best.seconds_per_row > FAR_FASTER * seconds:
        _rearranged(inference, trials, rows, threads, PLANNING_SHARE * seconds * total)
    left = trials.best.seconds_per_row * total
    compiled = Way(trials.best.way.rows, "compiled")
    if left < PAYS_BACK * COMPILE_SECONDS:
        trials.refuse(compiled, f"compiling takes up to {COMPILE_SECONDS:.0f} s and the whole job {left:.0f} s")
    elif inference.device.type == "cpu" and shutil.which("g++") is None and shutil.which("clang++") is None:
        trials.refuse(compiled, "there is no C++ compiler on this machine")
    else:
        trials.attempt(compiled)
    return trials.best


def _rearranged(inference: Inference, trials: Trials, rows: int, threads: int, within: float) -> None:
    """Try what torch's own kernels do in other programs and batches, for at most so many seconds."""
    deadline = time.perf_counter() + within
    for way in _kinds(inference, rows, threads):
        if time.perf_counter() > deadline:
            return
        trials.attempt(way)
    for factor in (0.5, 2):  # climb from the best number of rows, down and else up, while it helps
        before = trials.best.way.rows
        while time.perf_counter() < deadline and LEAST_ROWS <= (more := int(trials.best.way.rows * factor)) <= trials.most:
            if trials.best.way.kind == "native" or not trials.attempt(replace(trials.best.way, rows=more)):
                break
        if trials.best.way.rows != before:
            return


def _kinds(inference: Inference, rows: int, threads: int) -> Iterable[Way]:
    """Programs worth a trial, the most promising first."""
    spatial = any(t.dim() == 4 for t in inference.net.params.values())
    if inference.precision == "bf16":
        yield Way(rows, "bf16")
    if inference.device.type == "cpu" and torch.backends.mkldnn.is_available():
        lanes = threads if threads > 1 else 0
        yield Way(rows, "recorded", lanes)
        yield Way(rows, "packed", lanes)
        if lanes:
            yield Way(rows, "recorded")
    if spatial:
        yield Way(rows, "channels-last")


class Trials:
    """Ways tried one after the other on rows of the job; `best` is the fastest that agreed."""

    def __init__(self, inference: Inference, rows: Tensor, plain: Way, seconds: float):
        self.inference, self.rows = inference, rows
        self.most = min(most_rows(inference.row_bytes(rows)), len(rows) // 2)
        self.best = Chosen(plain, inference.net, seconds, "")

    def refuse(self, way: Way, reason: str) -> None:
        self.best.rejected.append({"plan": way.name, "reason": reason})

    def attempt(self, way: Way) -> bool:
        """Whether it is faster than the best so far, which it then becomes."""
        rows = self.rows
        try:
            run = build(self.inference, way, rows)
            check(self.inference, way, run, rows[way.rows : 2 * way.rows])  # the first batch may be the one recorded
        except PlanRejected as error:
            self.refuse(way, str(error))
            return False
        few = rows[: way.rows * max(way.lanes, 2)]
        few = few[: len(few) // way.rows * way.rows]
        mine = min(self._seconds(way, run, few) for _ in range(2))
        best = self.best
        # Measured again beside it: on a machine that others use, what was fast a second ago may not be now.
        theirs = self._seconds(best.way, best.run, rows[: max(len(few), best.way.rows * max(best.way.lanes, 1))])
        if mine >= FASTER_BY * theirs:
            self.refuse(way, f"slower: {1e6 * mine:.1f} us a row against {1e6 * theirs:.1f}")
            return False
        rejected = [*best.rejected, {"plan": best.way.name, "reason": f"slower: {1e6 * theirs:.1f} us a row against {1e6 * mine:.1f}"}]
        self.best = Chosen(way, run, mine, f"fastest measured: {1e6 * mine:.1f} us a row", rejected)
        return True

    def _seconds(self, way: Way, run: Run, rows: Tensor) -> float:
        began = time.perf_counter()
        self.inference.outputs(way, run, rows)
        self.inference.wait()
        return (time.perf_counter() - began) / len(rows)
