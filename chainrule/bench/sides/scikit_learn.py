"""scikit-learn: MLPClassifier and BernoulliRBM in float32, from our starting weights, for as many epochs and no more.

Tieleman (2008), https://doi.org/10.1145/1390156.1390290, for the persistent chains of its BernoulliRBM.
"""

from __future__ import annotations

import time
import warnings
from typing import Any

import numpy as np
from sklearn.exceptions import ConvergenceWarning
from sklearn.neural_network import BernoulliRBM, MLPClassifier
from torch import nn

from chainrule.bench.works import Setting

SQUARED_RATE = 0.5  # log loss in place of squared error: Nielsen (2015), chapter 3, trains the same net so


class Scikit:
    """Its own shuffling, its own loops, its own number of threads; no early stopping, no penalty."""

    def __init__(self, setting: Setting):
        self.setting, self.work = setting, setting.work
        self.x, self.eval_x = setting.x.flatten(1).numpy(), setting.eval_x.flatten(1).numpy()
        self.y = None if self.work.kind == "rbm" else setting.y.numpy()
        self.model: Any = None
        warnings.simplefilter("ignore", ConvergenceWarning)  # it is told to stop early

    def settle(self) -> dict[str, Any]:
        return {}

    def run(self, units: int, chosen: dict[str, Any]) -> list[float]:
        self.model = self._machine(units) if self.work.kind == "rbm" else self._classifier(units)
        began = time.perf_counter()
        self.model.fit(self.x, self.y)
        return [began, time.perf_counter()]

    def learn(self, epochs: int) -> bool:
        """Batch by batch; the optimizer that made the model ready is forgotten, and a machine is given our weights."""
        if self.work.kind == "rbm":
            self.model = self._machine(1)
            self.model.partial_fit(self.x[: self.work.batch])
            weight, visible, hidden = (t.numpy().astype(self.x.dtype) for t in self.setting.machine)
            self.model.components_, self.model.intercept_visible_, self.model.intercept_hidden_ = weight, visible, hidden
            self.model.h_samples_ = np.zeros_like(self.model.h_samples_)
        else:
            self.model = self._classifier(1).set_params(warm_start=False)  # else every batch must have all classes
            del self.model._optimizer
        for epoch in range(epochs):
            for rows in self.setting.batches(epoch):
                self.model.partial_fit(self.x[rows.numpy()], None if self.y is None else self.y[rows.numpy()])
        return True

    def outputs(self) -> np.ndarray | tuple[np.ndarray, np.ndarray, np.ndarray]:
        if self.work.kind == "rbm":
            return self.model.components_, self.model.intercept_visible_, self.model.intercept_hidden_
        shares: np.ndarray | tuple[np.ndarray, np.ndarray, np.ndarray] = self.model.predict_proba(self.eval_x)
        return shares

    def remark(self) -> str:
        from threadpoolctl import threadpool_info

        counts = {pool["num_threads"] for pool in threadpool_info() if pool["user_api"] == "blas"}
        return f"BLAS with {max(counts, default=1)} threads"

    def _classifier(self, epochs: int) -> MLPClassifier:
        """Made ready by one step on a few rows, then given our weights: `warm_start` trains on from there with a new optimizer."""
        work, modules = self.work, list(self.setting.start.modules())
        linear = [m for m in modules if isinstance(m, nn.Linear)]
        activation = "logistic" if any(isinstance(m, nn.Sigmoid) for m in modules) else "relu"
        rate = SQUARED_RATE if work.squared else work.rate
        model = MLPClassifier([layer.out_features for layer in linear[:-1]], activation=activation, solver="adam" if work.adam else "sgd",
                              alpha=0.0, batch_size=work.batch, learning_rate_init=rate, momentum=work.momentum, nesterovs_momentum=False,
                              max_iter=1, n_iter_no_change=10**9, tol=0.0, warm_start=True, random_state=0)
        assert self.y is not None
        firsts = np.unique(self.y, return_index=True)[1]
        few = np.concatenate([firsts, np.arange(work.batch)])
        model.fit(self.x[few], self.y[few])
        for layer, weights, biases in zip(linear, model.coefs_, model.intercepts_, strict=True):
            weights[:] = layer.weight.detach().numpy().T
            biases[:] = layer.bias.detach().numpy()
        return model.set_params(max_iter=epochs)

    def _machine(self, epochs: int) -> BernoulliRBM:
        units = len(self.setting.machine[2])
        return BernoulliRBM(units, learning_rate=self.work.rate, batch_size=self.work.batch, n_iter=epochs, random_state=0)
