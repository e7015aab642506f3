"""What the reliability tests train, and a server that forks a worker for each request, so that torch is imported once.

Run as a script it reads requests, one JSON object a line: `{"do": "train", "folder": ...}` answers with a process id,
`{"wait": pid, "seconds": ...}` with its exit code (minus the signal that killed it), or null where it is still running.
"""

from __future__ import annotations

import contextlib
import json
import os
import random
import resource
import signal
import subprocess
import sys
import time
import traceback
from collections.abc import Callable, Iterator
from dataclasses import asdict
from functools import partial
from pathlib import Path

import numpy as np
import numpy.random  # once here rather than in every worker, like the next
import safetensors.torch  # noqa: F401
import torch
from lone_seat import LoneSeat
from torch import Tensor, nn

from chainrule.cli.main import run_command
from chainrule.cli.signals import SIGNALS, Signals, end_by_signal, heed_no_longer
from chainrule.core import files
from chainrule.core.batch import Batch
from chainrule.core.criterion import Supervised
from chainrule.core.descend import Descend
from chainrule.core.errors import ChainruleError, InputError
from chainrule.core.events import Event
from chainrule.core.net import Net
from chainrule.core.rule import Learner, Report
from chainrule.core.stage import Budget, Stage
from chainrule.core.tree import Tree
from chainrule.data.feed.shuffled import Feed
from chainrule.data.source import Part
from chainrule.engine import checkpoint
from chainrule.engine.lock import RunLock
from chainrule.engine.plans.plan import Plan
from chainrule.engine.position import Settings
from chainrule.engine.stop import Stop
from chainrule.engine.store import BEST, LAST, Store
from chainrule.losses.classic import cross_entropy
from chainrule.optim.first_order import sgd
from chainrule.optim.schedules import cosine
from chainrule.rules.backprop import backprop

ROWS, BATCH, BATCHES = 44, 8, 6  # five full batches and one of four
HANGS = 300.0  # seconds after which another process counts as hanging, however busy the machine
RUN = "a-run"


class Noisy(nn.Module):
    """(n, 1 + 3) -> (n, 2): ignores the row number in front; while training it draws from torch, NumPy and Python."""

    def __init__(self) -> None:
        super().__init__()
        self.first, self.norm, self.drop, self.last = nn.Linear(3, 8), nn.BatchNorm1d(8), nn.Dropout(0.3), nn.Linear(8, 2)

    def forward(self, x: Tensor) -> Tensor:
        x = x[:, 1:]  # (n, 3)
        if self.training:
            x = x * (1 + 0.1 * np.random.rand()) + 0.1 * random.random()
        return self.last(self.drop(self.norm(self.first(x)).relu()))


class Ordered:
    """A rule that also hashes the numbers of the rows it has seen, in their order, into a tensor of its state."""

    reads, target, tolerance = "batch", "class", 1e-3

    def __init__(self, inner: Descend, watch: Callable[[list[int], Net], None] | None = None):
        self.inner, self.watch = inner, watch
        self.powers = torch.tensor([pow(6364136223846793005, i, 2**63) for i in range(ROWS)])

    def init(self, net: Net) -> Tree:
        return {"inner": self.inner.init(net), "order": torch.zeros((), dtype=torch.int64)}

    def step(self, net: Net, state: Tree, batch: Batch) -> tuple[Net, Tree, Report]:
        rows = batch.x[:, 0].long()  # (n,)
        state["order"].mul_(1442695040888963407).add_(((rows + 1) * self.powers[: len(rows)]).sum())
        net, state["inner"], report = self.inner.step(net, state["inner"], batch)
        if self.watch:
            self.watch(rows.tolist(), net)
        return net, state, report


def part(rows: int = ROWS, seed: int = 0) -> Part:
    """Two classes in three dimensions; the first column is the row's number."""
    generator = torch.Generator().manual_seed(seed)
    y = torch.arange(rows) % 2
    x = torch.randn(rows, 3, generator=generator) + y[:, None]
    return Part(torch.cat([torch.arange(rows)[:, None], x], 1), y, torch.arange(rows))


def fresh_net() -> Net:
    state = torch.get_rng_state()
    torch.manual_seed(3)
    net = Net.of(Noisy())
    torch.set_rng_state(state)
    return net


def fresh_rule(watch: Callable[[list[int], Net], None] | None = None, rate: float = 0.1) -> Ordered:
    direction = partial(backprop, criterion=Supervised(cross_entropy()))
    return Ordered(Descend(direction, sgd(rate=rate, momentum=0.9), schedule=cosine()), watch)


def training(folder: Path, *, epochs: int = 3, chunk: int = 1, save_every: float = 0.0, patience: int | None = None,
             stop: Stop | None = None, watch: Callable[[list[int], Net], None] | None = None,
             validate: Callable[[Learner], dict[str, float]] | None = None, data: Part | None = None, rule: object = None) -> LoneSeat:
    """One process's part of a run in `folder`; `.run()` goes on from whatever is there."""
    torch.set_num_threads(1)
    net, valid = fresh_net(), part(40, seed=1)
    feed = Feed(data or part(), torch.Tensor.float, batch=BATCH, seed=5)

    def loss(_: Learner) -> dict[str, float]:
        return {"loss": float(cross_entropy().each(net(valid.x), valid.y).mean())}

    made = [{"since": 0, "made": asdict(Plan(chunk=chunk, threads=1))}]
    settings = Settings(seed=5, save_every=save_every, patience=patience, made=made)
    stages = [Stage(rule or fresh_rule(watch), Budget(epochs=epochs))]  # type: ignore[arg-type]
    return LoneSeat(stages, net, lambda _: feed, validate or loss, settings, Store(folder, RUN), stop or Stop(), 0)


def stopping_at(step: int | None) -> tuple[Stop, Callable[[list[int], Net], None]]:
    """A stop, and what asks for it when `step` steps have been watched; None: never."""
    stop, seen = Stop(), 0

    def watch(rows: list[int], net: Net) -> None:
        nonlocal seen
        seen += 1
        if seen == step:
            stop.request("test")

    return stop, watch


def outcome(folder: Path) -> dict[str, object]:
    """All that two runs must share to count as the same: every tensor, and the position but for times."""
    tensors, payload = checkpoint.read(folder / LAST)
    best, best_payload = checkpoint.read(folder / BEST)
    position = {k: v for k, v in payload["position"].items() if k not in ("seconds", "stage_began", "at", "plan")}
    return {**tensors, **{f"best/{k}": t for k, t in best.items()}, **{f"position/{k}": v for k, v in position.items()},
            "random": payload["random"], "best": best_payload["best"]}


def differences(a: dict[str, object], b: dict[str, object]) -> list[str]:
    """The names under which two outcomes differ by as much as a bit."""

    def same(u: object, v: object) -> bool:
        if isinstance(u, Tensor) and isinstance(v, Tensor):
            return u.dtype == v.dtype and u.shape == v.shape and u.reshape(-1).view(torch.uint8).equal(v.reshape(-1).view(torch.uint8))
        return type(u) is type(v) and u == v

    return sorted(name for name in a.keys() | b.keys() if name not in a or name not in b or not same(a[name], b[name]))


class Workers:
    """The test's end of the server."""

    def __init__(self) -> None:
        root = str(Path(__file__).parents[2])
        path = os.pathsep.join(filter(None, (root, os.environ.get("PYTHONPATH", ""))))
        one = dict.fromkeys(("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS", "POLARS_MAX_THREADS"), "1")
        self.server = subprocess.Popen([sys.executable, __file__], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True,
                                       env={**os.environ, **one, "PYTHONPATH": path})

    def ask(self, **request: object) -> int | None:
        assert self.server.stdin
        assert self.server.stdout
        self.server.stdin.write(json.dumps(request, default=str) + "\n")
        self.server.stdin.flush()
        answer: int | None = json.loads(self.server.stdout.readline())
        return answer

    def start(self, do: str, folder: Path, **given: object) -> int:
        """Fork a worker; returns its process id. What it prints is in `<folder>/worker.txt`."""
        pid = self.ask(do=do, folder=folder, **given)
        assert pid is not None
        return pid

    def wait(self, pid: int, seconds: float = HANGS) -> int | None:
        return self.ask(wait=pid, seconds=seconds)

    def close(self) -> None:
        assert self.server.stdin
        self.server.stdin.close()
        self.server.wait()


def until(happened: Callable[[], bool], seconds: float = HANGS) -> None:
    """Wait for another process to get somewhere."""
    end = time.monotonic() + seconds
    while not happened():
        assert time.monotonic() < end, "the worker did not get that far"
        time.sleep(0.001)


# --- what a worker does ---------------------------------------------------------------------------------------------------------------


class Killed:
    """Stands in for the module `os` where files are written: before its call number `at` the process is killed, as by kill -9."""

    CALLS = ("open", "write", "fsync", "link", "replace")

    def __init__(self, at: int):
        self.at, self.calls = at, 0

    def __getattr__(self, name: str) -> object:
        real = getattr(os, name)
        if name not in self.CALLS:
            return real

        def call(*given: object) -> object:
            self.calls += 1
            if self.calls == self.at:
                os.kill(os.getpid(), signal.SIGKILL)
            return real(*given)

        return call


def _train(folder: Path, epochs: int = 3, killed_at: int = 0) -> int:
    """Train to the end under the lock; `begun` says that it started. With `killed_at`, only up to that call that writes files."""
    files.os = Killed(killed_at)  # type: ignore[assignment]
    with RunLock(folder):
        events = training(folder, epochs=epochs).run()
        (folder / "begun").touch()
        for _ in events:
            pass
    return 0


def _signals(folder: Path, epochs: int = 10**6, sleep_at: int = 0) -> int:
    """Train for long, as the command line does, saving after each step, and return its exit code.

    Step `sleep_at` lasts for minutes: the file `asleep` says that it has begun, `asked` that the first signal has been received in it.
    """
    steps = 0

    def watch(_: list[int], net: Net) -> None:
        nonlocal steps
        steps += 1
        if steps == 3:
            (folder / "begun").touch()
        if steps == sleep_at:
            (folder / "asleep").touch()
            until(lambda: bool(signals.stop.requested))
            (folder / "asked").touch()
            time.sleep(600)

    with Signals() as signals:
        events: list[Event] = list(training(folder, epochs=epochs, stop=signals.stop, watch=watch).run())
    return SIGNALS[signals.stop.requested] if events[-1].reason == "interrupted" else 0  # type: ignore[attr-defined]


def _planning(folder: Path) -> int:
    """A run whose first trial of a plan takes minutes."""

    def watch(_: list[int], net: Net) -> None:
        (folder / "asleep").touch()
        time.sleep(600)

    with Signals() as signals:
        running = training(folder, stop=signals.stop, watch=watch)
        running.settings = Settings(plan="auto", threads=1)
        return sum(1 for _ in running.run()) * 0


def _command(folder: Path, arguments: list[str]) -> int:
    """A command as a process of its own gives it, whoever started this one and however it heeds signals."""
    for name in SIGNALS:
        signal.signal(getattr(signal, name), signal.default_int_handler if name == "SIGINT" else signal.SIG_DFL)
    end_by_signal()
    code = run_command(arguments)
    heed_no_longer()
    return code


def _hold(folder: Path) -> int:
    """Take the lock and keep it until killed."""
    with RunLock(folder):
        (folder / "held").touch()
        time.sleep(600)
    return 0


def _race(folder: Path, attempts: int) -> int:
    """Take the lock again and again; 3 where another process was inside at the same time.

    The file `unlocked` does away with the lock, and with the end: each goes on until one has found another inside, which `met` tells all.
    """
    inside, met, got = folder / "inside", folder / "met", 0
    unlocked = (folder / "unlocked").exists()
    lock = contextlib.nullcontext if unlocked else RunLock
    while not met.exists() if unlocked else got < attempts:
        with contextlib.suppress(InputError), lock(folder):
            got += 1
            try:
                inside.mkdir()
            except FileExistsError:
                met.touch()
                return 3
            time.sleep(random.random() * 1e-4)
            inside.rmdir()
    return 0


def _traced(folder: Path, epochs: int = 1) -> int:
    """Let anyone trace this process, wait for the file `go`, then train."""
    import ctypes

    ctypes.CDLL(None).prctl(0x59616D61, ctypes.c_ulong(-1), 0, 0, 0)  # PR_SET_PTRACER, PR_SET_PTRACER_ANY
    (folder / "ready").touch()
    until((folder / "go").exists)
    return sum(1 for _ in training(folder, epochs=epochs).run()) * 0


def _limited(folder: Path, bytes_: int, epochs: int = 2) -> int:
    """Train where the kernel refuses files above `bytes_`; the exit code is how many warnings were given."""
    resource.setrlimit(resource.RLIMIT_FSIZE, (bytes_, bytes_))
    return sum(type(event).__name__ == "Warned" for event in training(folder, epochs=epochs).run())


DO: dict[str, Callable[..., int]] = {"train": _train, "signals": _signals, "planning": _planning,
                                     "command": _command, "hold": _hold, "race": _race, "traced": _traced,
                                     "limited": _limited}


def _child(request: dict[str, object]) -> int:
    folder = Path(str(request.pop("folder")))
    printed = os.open(folder / "worker.txt", os.O_WRONLY | os.O_CREAT | os.O_APPEND)
    os.dup2(printed, 1)
    os.dup2(printed, 2)
    os.dup2(os.open(os.devnull, os.O_RDONLY), 0)
    try:
        return DO[str(request.pop("do"))](folder, **request)
    except ChainruleError as error:
        print(error, file=sys.stderr)
        return SIGNALS.get(getattr(error, "signal", ""), error.exit_code)
    except BaseException:
        traceback.print_exc()
        return 99
    finally:
        sys.stdout.flush()
        sys.stderr.flush()


def _wait(pid: int, seconds: float) -> int | None:
    end = time.monotonic() + seconds
    while True:
        ended, status = os.waitpid(pid, os.WNOHANG)
        if ended:
            return os.waitstatus_to_exitcode(status)
        if time.monotonic() > end:
            return None
        time.sleep(0.002)


def requests() -> Iterator[dict[str, object]]:
    buffer = b""
    while chunk := os.read(0, 65536):
        buffer += chunk
        while b"\n" in buffer:
            line, _, buffer = buffer.partition(b"\n")
            yield json.loads(line)


def serve() -> None:
    torch.set_num_threads(1)
    children = set()
    for request in requests():
        if "wait" in request:
            answer = _wait(int(str(request["wait"])), float(str(request["seconds"])))
            if answer is not None:
                children.discard(request["wait"])
        else:
            answer = os.fork()
            if answer == 0:
                os._exit(_child(request))
            children.add(answer)
        print(json.dumps(answer), flush=True)
    for pid in children:
        os.kill(int(str(pid)), signal.SIGKILL)


if __name__ == "__main__":
    serve()
