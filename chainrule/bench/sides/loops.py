"""Bare torch: the loop of the tutorials, on resident tensors or through a DataLoader; a Boltzmann machine and predicting by hand."""

from __future__ import annotations

import copy
import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from typing import Any, TypeVar

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional as F
from torch.utils.data import DataLoader, TensorDataset

from chainrule.bench.sides import BLOCK
from chainrule.bench.works import Setting, Work
from chainrule.core.text import counted
from chainrule.core.threads import torch_threads

EAGER_BATCHES = (100, 1_000)  # rows predicted at once; the faster counts
TRIAL_SECONDS, TRIAL_BLOCKS = 0.5, 2
T = TypeVar("T", Tensor, Sequence[Tensor])


def half_squared(outputs: Tensor, wanted: Tensor) -> Tensor:
    """Half the squared distance to the one-hot target, mean over the batch."""
    return 0.5 * (outputs - wanted).square().sum(1).mean()


def loss_of(work: Work) -> Callable[[Tensor, Tensor], Tensor]:
    return half_squared if work.squared else F.cross_entropy


def optimizer_of(work: Work, module: nn.Module) -> torch.optim.Optimizer:
    if work.adam:
        return torch.optim.Adam(module.parameters(), lr=work.rate)
    return torch.optim.SGD(module.parameters(), lr=work.rate, momentum=work.momentum)


def targets(setting: Setting) -> Tensor:
    """As the loss reads them: one-hot for squared error, else class numbers."""
    return F.one_hot(setting.y, setting.outputs).float() if setting.work.squared else setting.y


def said_of(setting: Setting, module: nn.Module) -> np.ndarray:
    """Outputs, or probabilities, for the evaluated rows; what every side that trains a torch module returns."""
    module.eval()
    with torch.no_grad():
        scores = torch.cat([module(rows) for rows in setting.eval_x.to(next(module.parameters()).device).split(BLOCK)]).cpu()
    return (scores if setting.work.squared else scores.softmax(-1)).numpy()


class Eager:
    """Shuffle, index, forward, backward, `torch.optim`: nothing else. One thread or all, whichever is faster."""

    def __init__(self, setting: Setting):
        self.setting, self.work, self.device = setting, setting.work, setting.job.device
        self.x = setting.x.to(self.device)
        self.y = self.x if self.work.kind == "rbm" else targets(setting).to(self.device)
        self.all_threads = torch.get_num_threads()
        self.module: nn.Module = nn.Identity()
        self.machine: list[Tensor] = []
        self.remarks = ""
        self.order: Callable[[int], Iterable[Tensor]] = self._shuffled
        self.until = np.inf  # when a trial of a choice ends, and how many rows it has done
        self.rows = 0

    def settle(self) -> dict[str, Any]:
        """Every choice twice, in turns, for half a second; the fastest counts."""
        batches = EAGER_BATCHES if self.work.kind == "predict" else (self.work.batch,)
        counts = sorted({1, self.all_threads}) if self.device.type == "cpu" else [self.all_threads]
        took: dict[tuple[int, int], float] = {}
        for _ in range(2):
            for key in ((threads, batch) for threads in counts for batch in batches):
                took[key] = min(took.get(key, np.inf), self._pace({"threads": key[0], "batch": key[1]}))
        threads, batch = min(took, key=lambda key: took[key])
        return {"threads": threads, "batch": batch}

    def run(self, units: int, chosen: dict[str, Any]) -> list[float]:
        count = chosen.get("threads", self.all_threads)
        with torch_threads(count):
            return self._run(units, chosen, count)

    def _run(self, units: int, chosen: dict[str, Any], count: int) -> list[float]:
        self.remarks = counted(count, 'thread')
        if self.work.kind == "predict":
            self.remarks += f", {chosen['batch']} rows at once"
            return self._predict(units, chosen["batch"])
        return self._boltzmann(units) if self.work.kind == "rbm" else self._train(units)

    def learn(self, epochs: int) -> bool:
        self.order = self.setting.batches
        if self.work.kind == "rbm":
            self._boltzmann(epochs)
        else:
            self._train(epochs)
        self.order = self._shuffled
        return True

    def outputs(self) -> np.ndarray | tuple[np.ndarray, np.ndarray, np.ndarray]:
        if self.work.kind == "rbm":
            weight, visible, hidden = (t.numpy() for t in self.machine)
            return weight, visible, hidden
        return said_of(self.setting, self.module)

    def remark(self) -> str:
        return self.remarks

    def _train(self, epochs: int) -> list[float]:
        module = self._fresh().train()
        optimizer, loss_at = optimizer_of(self.work, module), loss_of(self.work)
        marks = [self._now()]
        for epoch in range(epochs):
            for x, y in self._timely(self._batches(epoch)):
                optimizer.zero_grad()
                loss = loss_at(module(x), y)
                loss.backward()
                optimizer.step()
            marks.append(self._now())
        return marks

    def _shuffled(self, epoch: int) -> Iterable[Tensor]:
        rows: tuple[Tensor, ...] = torch.randperm(len(self.x)).to(self.device).split(self.work.batch)
        return rows

    def _batches(self, epoch: int) -> Iterator[Sequence[Tensor]]:
        for rows in self.order(epoch):
            yield self.x[rows], self.y[rows]

    @torch.no_grad()
    def _boltzmann(self, epochs: int) -> list[float]:
        """Contrastive divergence of one step, written down as in Hinton (2010), "A practical guide"."""
        w, b, c = self.setting.machine                                   # (hidden, visible), (visible,), (hidden,)
        marks = [self._now()]
        for epoch in range(epochs):
            for rows in self._timely(self.order(epoch)):
                v = self.x[rows]                                         # (n, visible)
                p = torch.sigmoid(v @ w.T + c)                           # (n, hidden)
                model = torch.bernoulli(torch.sigmoid(torch.bernoulli(p) @ w + b))
                q = torch.sigmoid(model @ w.T + c)
                scale = self.work.rate / len(v)
                w += scale * (p.T @ v - q.T @ model)
                b += scale * (v - model).sum(0)
                c += scale * (p - q).sum(0)
            marks.append(self._now())
        self.machine = [w, b, c]
        return marks

    @torch.inference_mode()
    def _predict(self, blocks: int, batch: int) -> list[float]:
        module, rows = self._fresh().eval(), tiled(self.x, blocks)
        began = self._now()
        torch.cat([module(part).softmax(-1) for part in self._timely(rows.split(batch))])
        return [began, self._now()]

    def _pace(self, chosen: dict[str, Any]) -> float:
        """Seconds a row under this choice."""
        began = time.perf_counter()
        self.until, self.rows = began + TRIAL_SECONDS, 0
        marks = self.run(TRIAL_BLOCKS if self.work.kind == "predict" else 1, chosen)
        self.until = np.inf
        return (marks[-1] - marks[0]) / self.rows

    def _timely(self, batches: Iterable[T]) -> Iterator[T]:
        """The batches, until a trial is over; a run has no such end. What is a pair holds inputs and targets."""
        for batch in batches:
            yield batch
            self.rows += len(batch) if isinstance(batch, Tensor) else len(batch[0])
            if time.perf_counter() > self.until:
                return

    def _fresh(self) -> nn.Module:
        self.module = copy.deepcopy(self.setting.start).to(self.device)
        return self.module

    def _now(self) -> float:
        if self.device.type == "cuda":
            torch.cuda.synchronize()
        return time.perf_counter()


class Loaded(Eager):
    """The same loop fed by a DataLoader without workers, which is what most people write; torch's own number of threads."""

    def settle(self) -> dict[str, Any]:
        return {"batch": BLOCK}

    def _batches(self, epoch: int) -> Iterator[Sequence[Tensor]]:
        rows, own = TensorDataset(self.x, self.y), self.order == self._shuffled
        loader = (DataLoader(rows, batch_size=self.work.batch, shuffle=True) if own
                  else DataLoader(rows, batch_sampler=[some.tolist() for some in self.order(epoch)]))
        yield from loader

    @torch.inference_mode()
    def _predict(self, blocks: int, batch: int) -> list[float]:
        module, loader = self._fresh().eval(), DataLoader(TensorDataset(tiled(self.x, blocks)), batch_size=batch)
        began = self._now()
        torch.cat([module(part).softmax(-1) for (part,) in loader])
        return [began, self._now()]


def tiled(x: Tensor, blocks: int) -> Tensor:
    """`blocks` thousand rows of x, from the start again where it ends."""
    return x[torch.arange(blocks * BLOCK) % len(x)]
