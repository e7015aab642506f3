"""Keras 3 on the backend its process was given: the same nets layer by layer, channels last, from our starting weights."""

from __future__ import annotations

import math
import time
from collections.abc import Callable
from typing import Any

import keras
import numpy as np
from keras import layers, ops
from torch import Tensor, nn

from chainrule.bench import models
from chainrule.bench.sides import BLOCK
from chainrule.bench.sides.loops import targets
from chainrule.bench.works import Setting

WEIGHTED = (nn.Linear, nn.Conv2d, nn.BatchNorm2d, nn.LSTM)


def half_squared(wanted: Any, outputs: Any) -> Any:
    """Half the squared distance to the one-hot target, for each row."""
    return 0.5 * ops.sum(ops.square(outputs - wanted), axis=-1)


def _dense(units: int, activation: str | None = None) -> layers.Layer:
    return layers.Dense(units, activation=activation)


def digit_mlp(x: Any, outputs: int) -> Any:
    return _dense(outputs, "sigmoid")(_dense(30, "sigmoid")(x))


def table_mlp(x: Any, outputs: int) -> Any:
    return _dense(outputs)(_dense(64, "relu")(_dense(64, "relu")(x)))


def lenet(x: Any, outputs: int) -> Any:
    for maps in (32, 64):
        x = layers.MaxPooling2D(2)(layers.Conv2D(maps, 5, padding="same", activation="relu")(x))
    return _dense(outputs)(_dense(1024, "relu")(layers.Flatten()(x)))


def resnet20(x: Any, outputs: int) -> Any:
    def convolved(x: Any, maps: int, stride: int) -> Any:
        x = layers.ZeroPadding2D(1)(x)  # "same" would pad strided convolutions on one side only
        x = layers.Conv2D(maps, 3, stride, use_bias=False)(x)
        return layers.BatchNormalization(momentum=0.9, epsilon=1e-5)(x)

    x = ops.relu(convolved(x, models.RESNET_WIDTHS[0], 1))
    for stage, maps in enumerate(models.RESNET_WIDTHS):
        for block in range(models.RESNET_BLOCKS):
            stride = 2 if stage and not block else 1
            y = convolved(ops.relu(convolved(x, maps, stride)), maps, 1)
            if stride > 1:
                more = maps - x.shape[-1]
                x = ops.pad(x[:, ::stride, ::stride], [[0, 0], [0, 0], [0, 0], [more // 2, more - more // 2]])
            x = ops.relu(y + x)
    return _dense(outputs)(layers.GlobalAveragePooling2D()(x))


def character_lstm(x: Any, outputs: int) -> Any:
    return _dense(outputs)(layers.LSTM(models.LSTM_UNITS)(x))


NETS: dict[Any, Callable[[Any, int], Any]] = {
    models.digit_mlp: digit_mlp, models.table_mlp: table_mlp, models.lenet: lenet, models.resnet20: resnet20,
    models.CharacterLSTM: character_lstm}


class Keras:
    """`Model.fit` and `Model.predict` on NumPy arrays with their own defaults."""

    def __init__(self, setting: Setting):
        self.setting, self.work = setting, setting.work
        self.x, self.eval_x, self.y = _channels_last(setting.x), _channels_last(setting.eval_x), targets(setting).numpy()
        self.model: Any = None

    def settle(self) -> dict[str, Any]:
        return {}

    def run(self, units: int, chosen: dict[str, Any]) -> list[float]:
        if self.work.kind == "predict":
            self.model = self.model or self._fresh()  # compiled when it first predicts, while settling
            rows = self.x[np.arange(units * BLOCK) % len(self.x)]
            began = time.perf_counter()
            keras.activations.softmax(ops.convert_to_tensor(self.model.predict(rows, batch_size=BLOCK, verbose=0)))
            return [began, time.perf_counter()]
        self.model = self._fresh()
        marks: list[float] = []
        each = keras.callbacks.LambdaCallback(on_epoch_end=lambda epoch, logs: marks.append(time.perf_counter()))
        began = time.perf_counter()
        self.model.fit(self.x, self.y, batch_size=self.work.batch, epochs=units, shuffle=True, verbose=0, callbacks=[each])
        return [began, *marks]

    def learn(self, epochs: int) -> bool:
        self.model = self._fresh()
        for epoch in range(epochs):
            for rows in self.setting.batches(epoch):
                self.model.train_on_batch(self.x[rows.numpy()], self.y[rows.numpy()])
        return True

    def outputs(self) -> np.ndarray:
        scores: np.ndarray = self.model.predict(self.eval_x, batch_size=BLOCK, verbose=0)
        if self.work.squared:
            return scores
        powers = np.exp(scores - scores.max(1, keepdims=True))
        shares: np.ndarray = powers / powers.sum(1, keepdims=True)
        return shares

    def remark(self) -> str:
        return "its own threads"

    def _fresh(self) -> Any:
        work = self.work
        assert work.module is not None
        inputs = keras.Input(self.x.shape[1:])
        model = keras.Model(inputs, NETS[work.module](inputs, self.setting.outputs))
        model.set_weights(weights_of(self.setting.start))
        optimizer = (keras.optimizers.Adam(work.rate, epsilon=1e-8) if work.adam
                     else keras.optimizers.SGD(work.rate, momentum=work.momentum))
        model.compile(optimizer, half_squared if work.squared else keras.losses.SparseCategoricalCrossentropy(from_logits=True))
        return model


def weights_of(start: nn.Module) -> list[np.ndarray]:
    """A torch net's weights in the order and the layout of the Keras net of the same layers."""
    arrays: list[np.ndarray] = []
    maps = 0  # of the convolution before
    for layer in (m for m in start.modules() if isinstance(m, WEIGHTED)):
        tensors = {name: t.detach().numpy() for name, t in layer.state_dict().items()}
        if isinstance(layer, nn.Conv2d):
            arrays += [tensors["weight"].transpose(2, 3, 1, 0), *([tensors["bias"]] if "bias" in tensors else [])]
            maps = layer.out_channels
        elif isinstance(layer, nn.BatchNorm2d):
            arrays += [tensors[name] for name in ("weight", "bias", "running_mean", "running_var")]
        elif isinstance(layer, nn.LSTM):
            arrays += [tensors["weight_ih_l0"].T, tensors["weight_hh_l0"].T, tensors["bias_ih_l0"] + tensors["bias_hh_l0"]]
        else:
            weight = tensors["weight"]                                      # (outputs, inputs)
            if maps:                                                     # flattened pictures: (c, h, w) there, (h, w, c) here
                side = math.isqrt(weight.shape[1] // maps)
                weight = weight.reshape(-1, maps, side, side).transpose(0, 2, 3, 1).reshape(len(weight), -1)
                maps = 0
            arrays += [weight.T, tensors["bias"]]
    return arrays


def _channels_last(x: Tensor) -> np.ndarray:
    return np.ascontiguousarray((x.permute(0, 2, 3, 1) if x.dim() == 4 else x).numpy())
