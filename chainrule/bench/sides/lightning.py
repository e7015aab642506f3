"""Lightning: its Trainer in the bare form that it offers for measuring itself: no logger, no checkpoints, no bar, no validation."""

from __future__ import annotations

import copy
import logging
import time
import warnings
from typing import Any

import lightning
import numpy as np
import torch
from torch import Tensor
from torch.utils.data import DataLoader, TensorDataset

from chainrule.bench.sides import BLOCK
from chainrule.bench.sides.loops import loss_of, optimizer_of, said_of, targets, tiled
from chainrule.bench.sides.with_loader import WithLoader
from chainrule.bench.works import Setting, Work


class Module(lightning.LightningModule):
    """The net with its loss and optimizer, noting when each epoch ended."""

    def __init__(self, work: Work, net: torch.nn.Module):
        super().__init__()
        self.work, self.net, self.loss_at = work, net, loss_of(work)
        self.marks: list[float] = []

    def training_step(self, batch: tuple[Tensor, Tensor], at: int) -> Tensor:
        x, y = batch
        return self.loss_at(self.net(x), y)

    def predict_step(self, batch: tuple[Tensor], at: int) -> Tensor:
        shares: Tensor = self.net(batch[0]).softmax(-1)
        return shares

    def on_train_epoch_end(self) -> None:
        self.marks.append(time.perf_counter())

    def configure_optimizers(self) -> torch.optim.Optimizer:
        return optimizer_of(self.work, self.net)


class Lightning(WithLoader):
    """`Trainer.fit` on a DataLoader without workers, as its users write it."""

    def __init__(self, setting: Setting):
        for name in ("lightning", "lightning.pytorch", "lightning.fabric"):
            logging.getLogger(name).setLevel(logging.ERROR)
        warnings.filterwarnings("ignore", module="lightning")
        self.setting, self.work = setting, setting.work
        self.y = targets(setting)
        self.module: Any = None

    def run(self, units: int, chosen: dict[str, Any]) -> list[float]:
        self.module = Module(self.work, copy.deepcopy(self.setting.start))
        trainer = lightning.Trainer(accelerator="cpu", devices=1, barebones=True, max_epochs=units)
        if self.work.kind == "predict":
            loader = DataLoader(TensorDataset(tiled(self.setting.x, units)), batch_size=BLOCK)
            began = time.perf_counter()
            trainer.predict(self.module, loader)
            return [began, time.perf_counter()]
        loader = DataLoader(TensorDataset(self.setting.x, self.y), batch_size=self.work.batch, shuffle=True)
        began = time.perf_counter()
        trainer.fit(self.module, loader)
        return [began, *self.module.marks]

    def outputs(self) -> np.ndarray:
        return said_of(self.setting, self.module.net)
