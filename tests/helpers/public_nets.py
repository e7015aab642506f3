"""Public nets restated in plain torch functions, each layer under the name that torchvision's files give it.

Weights are made as they are met.

Layers and sizes as in torchvision's models of these names: Marcel & Rodriguez (2010), https://doi.org/10.1145/1873951.1874254.
"""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn import functional as F


class Made:
    """Made-up weights by name, drawn when a layer is first met; maps are `width` times those of the published net."""

    def __init__(self, width=1.0, epsilon=1e-5, device="cpu"):
        self.width, self.epsilon, self.device, self.tensors = width, epsilon, device, {}
        self.head = None                                    # what an auxiliary head answered

    def maps(self, count):
        return round(self.width * count)

    def get(self, name, shape, low=None):
        if name not in self.tensors:
            fan = shape[1:].numel() if len(shape) > 1 else 4
            drawn = torch.randn(shape, device=self.device) / fan**0.5
            self.tensors[name] = drawn if low is None else drawn.abs() + low
        return self.tensors[name]

    def conv(self, name, x, maps, kernel, stride=1, padding=0, bias=False, exact=False):
        high, wide = (kernel, kernel) if isinstance(kernel, int) else kernel
        maps = maps if exact else self.maps(maps)
        weight = self.get(f"{name}.weight", torch.Size((maps, x.shape[1], high, wide)))
        return F.conv2d(x, weight, self.get(f"{name}.bias", torch.Size((maps,))) if bias else None, stride, padding)

    def norm(self, name, x):
        size = torch.Size((x.shape[1],))
        mean, variance = self.get(f"{name}.running_mean", size), self.get(f"{name}.running_var", size, low=0.01)
        weight, bias = self.get(f"{name}.weight", size, low=0.5), self.get(f"{name}.bias", size)
        self.tensors.setdefault(f"{name}.num_batches_tracked", torch.tensor(7, device=self.device))
        return F.batch_norm(x, mean, variance, weight, bias, eps=self.epsilon)

    def linear(self, name, x, units):
        return F.linear(x, self.get(f"{name}.weight", torch.Size((units, x.shape[1]))), self.get(f"{name}.bias", torch.Size((units,))))

    def unit(self, name, x, maps, kernel=1, stride=1, padding=0):
        return self.norm(f"{name}.bn", self.conv(f"{name}.conv", x, maps, kernel, stride, padding)).relu()


def alexnet(w: Made, x: Tensor, classes: int) -> Tensor:
    for place, maps, kernel, stride, padding in ((0, 64, 11, 4, 2), (3, 192, 5, 1, 2), (6, 384, 3, 1, 1), (8, 256, 3, 1, 1),
                                                 (10, 256, 3, 1, 1)):
        x = w.conv(f"features.{place}", x, maps, kernel, stride, padding, bias=True).relu()
        x = F.max_pool2d(x, 3, 2) if place in (0, 3, 10) else x
    x = w.linear("classifier.1", x.flatten(1), w.maps(4096)).relu()
    return w.linear("classifier.6", w.linear("classifier.4", x, w.maps(4096)).relu(), classes)


def vgg(w: Made, x: Tensor, classes: int, *, counts=(1, 1, 2, 2, 2), norm=False) -> Tensor:
    place = 0
    for count, maps in zip(counts, (64, 128, 256, 512, 512), strict=True):
        for _ in range(count):
            x = w.conv(f"features.{place}", x, maps, 3, padding=1, bias=True)
            x = w.norm(f"features.{place + 1}", x).relu() if norm else x.relu()
            place += 3 if norm else 2
        x, place = F.max_pool2d(x, 2), place + 1
    x = w.linear("classifier.0", x.flatten(1), w.maps(4096)).relu()
    return w.linear("classifier.6", w.linear("classifier.3", x, w.maps(4096)).relu(), classes)


def resnet(w: Made, x: Tensor, classes: int, *, counts=(2, 2, 2, 2), bottleneck=False) -> Tensor:
    x = F.max_pool2d(w.norm("bn1", w.conv("conv1", x, 64, 7, 2, 3)).relu(), 3, 2, 1)
    for stage, count in enumerate(counts, 1):
        maps = 64 * 2 ** (stage - 1)
        for block in range(count):
            name, stride, y = f"layer{stage}.{block}", 2 if stage > 1 and block == 0 else 1, x
            if bottleneck:
                y = w.norm(f"{name}.bn1", w.conv(f"{name}.conv1", y, maps, 1)).relu()
                y = w.norm(f"{name}.bn2", w.conv(f"{name}.conv2", y, maps, 3, stride, 1)).relu()
                y = w.norm(f"{name}.bn3", w.conv(f"{name}.conv3", y, 4 * maps, 1))
            else:
                y = w.norm(f"{name}.bn1", w.conv(f"{name}.conv1", y, maps, 3, stride, 1)).relu()
                y = w.norm(f"{name}.bn2", w.conv(f"{name}.conv2", y, maps, 3, 1, 1))
            if x.shape != y.shape:
                x = w.norm(f"{name}.downsample.1", w.conv(f"{name}.downsample.0", x, y.shape[1], 1, stride, exact=True))
            x = (x + y).relu()
    return w.linear("fc", x.mean((2, 3)), classes)


def densenet(w: Made, x: Tensor, classes: int, *, counts=(6, 12, 24, 16), growth=32) -> Tensor:
    x = w.norm("features.norm0", w.conv("features.conv0", x, 2 * growth, 7, 2, 3, exact=True)).relu()
    x = F.max_pool2d(x, 3, 2, 1)
    for block, layers in enumerate(counts, 1):
        for layer in range(1, layers + 1):
            name = f"features.denseblock{block}.denselayer{layer}"
            y = w.conv(f"{name}.conv1", w.norm(f"{name}.norm1", x).relu(), 4 * growth, 1, exact=True)
            y = w.conv(f"{name}.conv2", w.norm(f"{name}.norm2", y).relu(), growth, 3, 1, 1, exact=True)
            x = torch.cat([x, y], 1)
        if block < len(counts):
            name = f"features.transition{block}"
            x = F.avg_pool2d(w.conv(f"{name}.conv", w.norm(f"{name}.norm", x).relu(), x.shape[1] // 2, 1, exact=True), 2)
    return w.linear("classifier", w.norm("features.norm5", x).relu().mean((2, 3)), classes)


def googlenet(w: Made, x: Tensor, classes: int) -> Tensor:
    def pool(x, size=3):
        return F.max_pool2d(x, size, 2, ceil_mode=True)

    x = w.unit("conv2", pool(w.unit("conv1", x, 64, 7, 2, 3)), 64)
    x = pool(w.unit("conv3", x, 192, 3, padding=1))
    for name, a, b3, b, c5, c, d in (("3a", 64, 96, 128, 16, 32, 32), ("3b", 128, 128, 192, 32, 96, 64), ("4a", 192, 96, 208, 16, 48, 64),
                                     ("4b", 160, 112, 224, 24, 64, 64), ("4c", 128, 128, 256, 24, 64, 64),
                                     ("4d", 112, 144, 288, 32, 64, 64),
                                     ("4e", 256, 160, 320, 32, 128, 128), ("5a", 256, 160, 320, 32, 128, 128),
                                     ("5b", 384, 192, 384, 48, 128, 128)):
        at = f"inception{name}"
        x = torch.cat([w.unit(f"{at}.branch1", x, a), w.unit(f"{at}.branch2.1", w.unit(f"{at}.branch2.0", x, b3), b, 3, padding=1),
                       w.unit(f"{at}.branch3.1", w.unit(f"{at}.branch3.0", x, c5), c, 3, padding=1),
                       w.unit(f"{at}.branch4.1", F.max_pool2d(x, 3, 1, 1), d)], 1)
        x = pool(x) if name == "3b" else pool(x, 2) if name == "4e" else x
    return w.linear("fc", x.mean((2, 3)), classes)


def inception_v3(w: Made, x: Tensor, classes: int, *, head=True) -> Tensor:
    def average(x):
        return F.avg_pool2d(x, 3, 1, 1)

    x = w.unit("Conv2d_2a_3x3", w.unit("Conv2d_1a_3x3", x, 32, 3, 2), 32, 3)
    x = F.max_pool2d(w.unit("Conv2d_2b_3x3", x, 64, 3, padding=1), 3, 2)
    x = F.max_pool2d(w.unit("Conv2d_4a_3x3", w.unit("Conv2d_3b_1x1", x, 80), 192, 3), 3, 2)
    for name, projection in (("5b", 32), ("5c", 64), ("5d", 64)):
        at = f"Mixed_{name}.branch"
        triple = w.unit(f"{at}3x3dbl_2", w.unit(f"{at}3x3dbl_1", x, 64), 96, 3, padding=1)
        x = torch.cat([w.unit(f"{at}1x1", x, 64), w.unit(f"{at}5x5_2", w.unit(f"{at}5x5_1", x, 48), 64, 5, padding=2),
                       w.unit(f"{at}3x3dbl_3", triple, 96, 3, padding=1), w.unit(f"{at}_pool", average(x), projection)], 1)
    at = "Mixed_6a.branch"
    triple = w.unit(f"{at}3x3dbl_2", w.unit(f"{at}3x3dbl_1", x, 64), 96, 3, padding=1)
    x = torch.cat([w.unit(f"{at}3x3", x, 384, 3, 2), w.unit(f"{at}3x3dbl_3", triple, 96, 3, 2), F.max_pool2d(x, 3, 2)], 1)
    row, column = {"kernel": (1, 7), "padding": (0, 3)}, {"kernel": (7, 1), "padding": (3, 0)}
    for name, c in (("6b", 128), ("6c", 160), ("6d", 160), ("6e", 192)):
        at = f"Mixed_{name}.branch"
        seven = w.unit(f"{at}7x7_3", w.unit(f"{at}7x7_2", w.unit(f"{at}7x7_1", x, c), c, **row), 192, **column)
        deep = w.unit(f"{at}7x7dbl_1", x, c)
        for i, (maps, form) in enumerate(((c, column), (c, row), (c, column), (192, row)), 2):
            deep = w.unit(f"{at}7x7dbl_{i}", deep, maps, **form)
        x = torch.cat([w.unit(f"{at}1x1", x, 192), seven, deep, w.unit(f"{at}_pool", average(x), 192)], 1)
    if head:
        y = w.unit("AuxLogits.conv1", w.unit("AuxLogits.conv0", F.avg_pool2d(x, 5, 3), 128), 768, 5)
        w.head = w.linear("AuxLogits.fc", y.mean((2, 3)), classes)
    at = "Mixed_7a.branch"
    seven = w.unit(f"{at}7x7x3_3", w.unit(f"{at}7x7x3_2", w.unit(f"{at}7x7x3_1", x, 192), 192, **row), 192, **column)
    x = torch.cat([w.unit(f"{at}3x3_2", w.unit(f"{at}3x3_1", x, 192), 320, 3, 2), w.unit(f"{at}7x7x3_4", seven, 192, 3, 2),
                   F.max_pool2d(x, 3, 2)], 1)
    for name in ("7b", "7c"):
        at = f"Mixed_{name}.branch"
        three, deep = w.unit(f"{at}3x3_1", x, 384), w.unit(f"{at}3x3dbl_2", w.unit(f"{at}3x3dbl_1", x, 448), 384, 3, padding=1)
        x = torch.cat([w.unit(f"{at}1x1", x, 320), w.unit(f"{at}3x3_2a", three, 384, (1, 3), padding=(0, 1)),
                       w.unit(f"{at}3x3_2b", three, 384, (3, 1), padding=(1, 0)),
                       w.unit(f"{at}3x3dbl_3a", deep, 384, (1, 3), padding=(0, 1)),
                       w.unit(f"{at}3x3dbl_3b", deep, 384, (3, 1), padding=(1, 0)), w.unit(f"{at}_pool", average(x), 192)], 1)
    return w.linear("fc", x.mean((2, 3)), classes)
