"""Deep convolutional nets on CIFAR-10 at their papers' settings: hours of a GPU, weeks of two cores; each has a short form."""

from __future__ import annotations

from statistics import mean
from typing import Any

from chainrule.core.registry import recipes
from chainrule.recipes.outcome import Figure, Outcome, Setting, command, seeds_table, share_right, together, trainings

RESIDUAL = "He, Zhang, Ren & Sun (2016), https://arxiv.org/abs/1512.03385, table 6"
MAPPINGS = "He, Zhang, Ren & Sun (2016), https://arxiv.org/abs/1603.05027, table 4"
DENSE = "Huang, Liu, van der Maaten & Weinberger (2017), https://arxiv.org/abs/1608.06993, table 2"
KRIZHEVSKY = "Krizhevsky, Sutskever & Hinton (2012), https://doi.org/10.1145/3065386, section 3.3"
ZAGORUYKO = "Zagoruyko (2015), 92.45 % on CIFAR-10 in Torch, http://torch.ch/blog/2015/07/30/cifar.html"

STEPPED: dict[str, Any] = {"schedule": "step", "augment": "crop+flip"}     # a tenth of the rate at a half and at three quarters
RESNET110: dict[str, Any] = {"net": "resnet:depth=110", "optimizer": "momentum:rate=0.1,decay=0.0001", "batch": 128, "epochs": 164,
                             **STEPPED}
RESNET164: dict[str, Any] = {**RESNET110, "net": "resnet:depth=164,form=v2"}
DENSENET: dict[str, Any] = {"net": "densenet:depth=100,growth=12,bottleneck=yes,compression=0.5",
                            "optimizer": "nesterov:rate=0.1,decay=0.0001", "batch": 64, "epochs": 300, **STEPPED}
VGG: dict[str, Any] = {"net": "vgg:depth=16,norm=batch,width=1.0", "optimizer": "momentum:rate=0.1,decay=0.0005", "batch": 128,
                       "epochs": 100, "schedule": "one-cycle", "augment": "crop+flip"}
ALEXNET: dict[str, Any] = {"net": "alexnet:width=0.5", "optimizer": "momentum:rate=0.01,decay=0.0005", "batch": 128, "epochs": 100,
                           "schedule": "cosine", "augment": "crop+flip"}


def error_of(setting: Setting, options: dict[str, Any], small: dict[str, Any], *, most: float, source: str,
             folder: str = "seed") -> tuple[Figure, list[list[str]]]:
    """The mean test error in per cent on CIFAR-10 over the seeds, at most `most` being published, and a row for each seed."""
    done = trainings(setting, "cifar10", options, small=small, folder=folder)
    ends = together(done)
    error = 100 - 100 * mean(map(share_right, done))
    figure = Figure(f"test error % of {options['net']}", error, 100 - 100 * ends.high, 100 - 100 * ends.low, most, source,
                    "none" if setting.short else "at most")
    return figure, seeds_table({options["net"]: done}, "net")


def _alone(setting: Setting, options: dict[str, Any], small: dict[str, Any], *, most: float, source: str) -> Outcome:
    figure, rows = error_of(setting, options, small, most=most, source=source)
    return Outcome([figure], rows, [command("cifar10", options), "The pictures of CIFAR-10 here went through JPEG once."])


@recipes("resnet-110", source=RESIDUAL)
def resnet110(setting: Setting) -> Outcome:
    """ResNet-110 on CIFAR-10 for 164 epochs: 6.43 % error as published, 6.61 % the mean of five. For a GPU."""
    return _alone(setting, RESNET110, {"net": "resnet:depth=8,width=0.25", "batch": 50}, most=6.61, source=RESIDUAL)


@recipes("resnet-164", source=MAPPINGS)
def resnet164(setting: Setting) -> Outcome:
    """Pre-activation ResNet-164, of bottlenecks, on CIFAR-10 for 164 epochs: 5.46 % error as published. For a GPU."""
    return _alone(setting, RESNET164, {"net": "resnet:depth=11,block=bottleneck,form=v2,width=0.25", "batch": 50}, most=5.46,
                  source=MAPPINGS)


@recipes("densenet-bc", source=DENSE)
def densenet_bc(setting: Setting) -> Outcome:
    """DenseNet-BC of 100 layers and growth 12, 0.8 million weights, on CIFAR-10 for 300 epochs: 4.51 % error as published. For a GPU."""
    return _alone(setting, DENSENET, {"net": "densenet:depth=10,growth=4,bottleneck=yes,compression=0.5", "batch": 50}, most=4.51,
                  source=DENSE)


@recipes("alexnet-vgg", source=f"{KRIZHEVSKY}; {ZAGORUYKO}")
def alexnet_vgg(setting: Setting) -> Outcome:
    """Nets like those of 2012 and 2015 on CIFAR-10, a hundred epochs each, for a GPU: VGG-16 normalised, and a narrow AlexNet."""
    vgg, vgg_rows = error_of(setting, VGG, {"net": "vgg:depth=11,norm=batch,width=0.0625", "batch": 50}, most=7.55, source=ZAGORUYKO,
                             folder="vgg")
    alexnet, alexnet_rows = error_of(setting, ALEXNET, {"net": "alexnet:width=0.0625", "batch": 50}, most=11.0,
                                     source=f"{KRIZHEVSKY}: a net of four layers with local response normalisation", folder="alexnet")
    return Outcome([vgg, alexnet], [*vgg_rows, *alexnet_rows[1:]],
                   [command("cifar10", VGG), command("cifar10", ALEXNET), "The pictures of CIFAR-10 here went through JPEG once."])
