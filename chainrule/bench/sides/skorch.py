"""skorch: torch behind the scikit-learn interface, its default callbacks off; from our starting weights."""

from __future__ import annotations

import copy
import time
from typing import Any

import numpy as np
import skorch
import torch
from torch import nn
from torch.nn import functional as F

from chainrule.bench.sides import BLOCK
from chainrule.bench.sides.loops import half_squared, said_of, targets, tiled
from chainrule.bench.sides.with_loader import WithLoader
from chainrule.bench.works import Setting


class HalfSquared(nn.Module):
    """The squared error as a criterion."""

    def forward(self, outputs: torch.Tensor, wanted: torch.Tensor) -> torch.Tensor:
        return half_squared(outputs, wanted)


class Marked(skorch.NeuralNet):
    """A NeuralNet that notes when each epoch ended."""

    def on_epoch_end(self, net: skorch.NeuralNet, dataset_train: Any = None, dataset_valid: Any = None, **rest: Any) -> None:
        super().on_epoch_end(net, dataset_train=dataset_train, dataset_valid=dataset_valid, **rest)
        marks: list[float] = self.__dict__.setdefault("marks", [])
        marks.append(time.perf_counter())


class Skorch(WithLoader):
    """`NeuralNet.fit` without validation."""

    def __init__(self, setting: Setting):
        self.setting, self.work = setting, setting.work
        self.y = targets(setting)
        self.net: Any = None

    def run(self, units: int, chosen: dict[str, Any]) -> list[float]:
        net = self.net = self._fresh(units)
        if self.work.kind == "predict":
            rows = tiled(self.setting.x, units)
            net.initialize()
            began = time.perf_counter()
            F.softmax(torch.from_numpy(net.predict_proba(rows)), -1)
            return [began, time.perf_counter()]
        began = time.perf_counter()
        net.fit(self.setting.x, self.y)
        return [began, *net.marks]

    def outputs(self) -> np.ndarray:
        return said_of(self.setting, self.net.module_)

    def _fresh(self, epochs: int) -> Marked:
        work = self.work
        more = {} if work.adam else {"optimizer__momentum": work.momentum}
        return Marked(lambda: copy.deepcopy(self.setting.start), criterion=HalfSquared if work.squared else nn.CrossEntropyLoss,
                      optimizer=torch.optim.Adam if work.adam else torch.optim.SGD, lr=work.rate, max_epochs=epochs,
                      batch_size=BLOCK if work.kind == "predict" else work.batch, iterator_train__shuffle=True, train_split=None,
                      predict_nonlinearity=None, callbacks="disable", verbose=0, device="cpu", **more)
