"""Weights of public nets under the names of ours: what the files of torchvision and timm call each layer, and where their nets differ.

Marcel & Rodriguez (2010), https://doi.org/10.1145/1873951.1874254 (torchvision); Wightman (2019), https://doi.org/10.5281/zenodo.4414861
(timm). The nets are those of He et al. (2016), Simonyan & Zisserman (2015), Krizhevsky (2014), Huang et al. (2017) and Szegedy et al.
(2015, 2016), as our families of these names.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass

from torch import Tensor

from chainrule.core.errors import InputError
from chainrule.nets.layers.normalisation import BatchNorm

Tensors = Mapping[str, Tensor]
Layers = Callable[[Tensors], dict[str, str]]              # our layer of each of theirs; "" of one that is passed over
Rules = tuple[tuple[str, Callable[..., str]], ...]        # a pattern of their layers, and ours made of its groups

DEPTHS: dict[tuple[tuple[int, ...], bool], int] = {
    ((2, 2, 2, 2), False): 18, ((3, 4, 6, 3), False): 34, ((3, 4, 6, 3), True): 50, ((3, 4, 23, 3), True): 101,
    ((3, 8, 36, 3), True): 152,
}                                                         # of residual nets, by the blocks of each stage and whether they are bottlenecks
DENSE_DEPTHS: dict[tuple[int, ...], int] = {(6, 12, 24, 16): 121, (6, 12, 32, 32): 169, (6, 12, 48, 32): 201}
STAGES = {8: (1, 1, 2, 2, 2), 10: (2, 2, 2, 2, 2), 13: (2, 2, 3, 3, 3), 16: (2, 2, 4, 4, 4)}  # of VGG nets, by their convolutions
OWN_EPSILON = BatchNorm(1).eps
IMAGENET = ((0.485, 0.456, 0.406), (0.229, 0.224, 0.225))  # mean and deviation of each channel, of pixels from 0 to 1
HALVES = ((0.5, 0.5, 0.5), (0.5, 0.5, 0.5))


@dataclass(frozen=True)
class PublicNet:
    """A family as its files have it: by a layer that no other has, of this kernel; its layers; its form in our words.

    `scaling` is the mean and the deviation of the channels that it reads, `epsilon` that of its batch normalisation.
    """

    family: str
    mark: str
    kernel: int | None
    layers: Layers
    form: Callable[[Tensors], str]
    scaling: tuple[tuple[float, ...], tuple[float, ...]] = IMAGENET
    epsilon: float = 1e-5

    def translated(self, tensors: Tensors, where: str) -> dict[str, Tensor]:
        """The tensors of a file under our names, so that our net answers what theirs does.

        A bias before a batch normalisation goes into its running mean, another epsilon than ours into the running variances. Raises
        InputError for a layer that the family does not have.
        """
        layers, ours = self.layers(tensors), dict[str, Tensor]()
        unknown = sorted({layer for name in tensors if (layer := name.rpartition(".")[0]) not in layers})
        if unknown:
            raise InputError(f"{where} has layers that no {self.family} of ours has: {', '.join(unknown[:5])}"
                             f"{' and others' * (len(unknown) > 5)}. Give the weights of {', '.join(FORMS[self.family])}.")
        for name, t in tensors.items():
            layer, _, kind = name.rpartition(".")
            if layers[layer]:
                ours[f"{layers[layer]}.{kind}"] = t.flatten(1) if layer.startswith("pre_logits") and kind == "weight" else t
        for name in [name for name in ours if name.endswith(".conv.bias")]:
            mean = name.replace(".conv.bias", ".norm.running_mean")
            if mean in ours:
                ours[mean] = ours[mean] - ours.pop(name)
        if self.epsilon != OWN_EPSILON:
            ours |= {name: t + (self.epsilon - OWN_EPSILON) for name, t in ours.items() if name.endswith(".running_var")}
        return ours


def public_net(tensors: Tensors) -> PublicNet | None:
    """The family whose layers these are; None where they are of none that is known."""
    for net in PUBLIC:
        first = tensors.get(f"{net.mark}.weight")
        if first is not None and (net.kernel is None or first.shape[-1] == net.kernel):
            return net
    return None


def _by(rules: Rules) -> Layers:
    """The layers by the first pattern that each matches whole."""

    def layers(tensors: Tensors) -> dict[str, str]:
        names = {}
        for layer in {name.rpartition(".")[0] for name in tensors}:
            for pattern, ours in rules:
                if match := re.fullmatch(pattern, layer):
                    names[layer] = ours(*match.groups())
                    break
        return names

    return layers


def _before(number: str) -> int:
    """The place from 0 on of a number from 1 on."""
    return int(number) - 1


def _part(word: str) -> str:
    """The convolution or the normalisation of a unit."""
    return {"conv": "conv", "bn": "norm"}[word]


def _width(tensors: Tensors, layer: str, usual: int) -> str:
    """`,width=0.5` where the layer has half as many maps as the published net; empty where it has as many."""
    maps = len(tensors[f"{layer}.weight"])
    return "" if maps == usual else f",width={maps / usual:g}"


def _counts(tensors: Tensors, pattern: str) -> tuple[int, ...]:
    """How many numbered parts each numbered stage has, by a pattern with a group for each number."""
    numbers = [match.groups() for name in tensors if (match := re.match(pattern, name))]
    stages = sorted({int(stage) for stage, _ in numbers})
    return tuple(len({part for stage, part in numbers if int(stage) == one}) for one in stages)


RESIDUAL: Rules = (
    ("conv1", lambda: "stem.conv"), ("bn1", lambda: "stem.norm"), ("fc", lambda: "output"),
    (r"layer(\d)\.(\d+)\.conv(\d)", lambda stage, block, i: f"stages.{_before(stage)}.{block}.convolutions.{_before(i)}"),
    (r"layer(\d)\.(\d+)\.bn(\d)", lambda stage, block, i: f"stages.{_before(stage)}.{block}.norms.{_before(i)}"),
    (r"layer(\d)\.(\d+)\.downsample\.(\d)", lambda stage, block, i: f"stages.{_before(stage)}.{block}.shortcut.{i}"),
)


def _residual_form(tensors: Tensors) -> str:
    depth = DEPTHS.get((_counts(tensors, r"layer(\d)\.(\d+)\."), "layer1.0.conv3.weight" in tensors))
    return f"resnet:depth={depth},stem=large{_width(tensors, 'conv1', 64)}" if depth else ""


DENSE: Rules = (
    (r"features\.conv0", lambda: "stem.conv"), (r"features\.norm0", lambda: "stem.norm"), (r"features\.norm5", lambda: "norm"),
    ("classifier", lambda: "output"),
    (r"features\.denseblock(\d)\.denselayer(\d+)\.(norm1|conv1|norm2|conv2)",
     lambda block, i, part: f"blocks.{2 * _before(block)}.layers.{_before(i)}."
                            + {"norm1": "narrow.0", "conv1": "narrow.2", "norm2": "grow.0", "conv2": "grow.2"}[part]),
    (r"features\.transition(\d)\.norm", lambda block: f"blocks.{2 * int(block) - 1}.norm"),
    (r"features\.transition(\d)\.conv", lambda block: f"blocks.{2 * int(block) - 1}.mix"),
)


def _dense_form(tensors: Tensors) -> str:
    depth = DENSE_DEPTHS.get(_counts(tensors, r"features\.denseblock(\d)\.denselayer(\d+)\."))
    growth = len(tensors["features.denseblock1.denselayer1.conv2.weight"])
    return f"densenet:depth={depth},stem=large" + (f",growth={growth}" if growth != 32 else "") if depth else ""


GOOGLENET: Rules = (
    (r"aux[12]\..*", lambda: ""), ("fc", lambda: "output"),
    (r"conv(\d)\.(conv|bn)", lambda i, part: f"stem.{ {'1': 0, '2': 3, '3': 4}[i]}.{_part(part)}"),
    (r"inception(\d\w)\.branch1\.(conv|bn)", lambda module, part: f"modules_by_name.{module}.branches.one.{_part(part)}"),
    (r"inception(\d\w)\.branch2\.(\d)\.(conv|bn)",
     lambda module, i, part: f"modules_by_name.{module}.branches.three.{i}.{_part(part)}"),
    (r"inception(\d\w)\.branch3\.(\d)\.(conv|bn)",
     lambda module, i, part: f"modules_by_name.{module}.branches.five.{i}.{_part(part)}"),
    (r"inception(\d\w)\.branch4\.1\.(conv|bn)", lambda module, part: f"modules_by_name.{module}.branches.pool.1.{_part(part)}"),
)

STEM_V3 = {"1a_3x3": 0, "2a_3x3": 1, "2b_3x3": 2, "3b_1x1": 4, "4a_3x3": 5}
MODULES_V3 = {**{name: f"low.{i}" for i, name in enumerate(("5b", "5c", "5d", "6a"))},
              **{name: f"middle.{i}" for i, name in enumerate(("6b", "6c", "6d", "6e"))},
              **{name: f"high.{i}" for i, name in enumerate(("7a", "7b", "7c"))}}
BRANCHES_V3 = {  # of our modules, by what stands before the number of a unit in a branch of theirs
    "low.0": {"5x5_": "five", "3x3dbl_": "three"}, "low.3": {"3x3": "three", "3x3dbl_": "deep"},
    "middle.0": {"7x7_": "seven", "7x7dbl_": "deep"}, "high.0": {"3x3_": "three", "7x7x3_": "seven"},
    "high.1": {"3x3_1": "three.0", "3x3_2a": "three.1.branches.wide", "3x3_2b": "three.1.branches.high", "3x3dbl_1": "deep.0.0",
               "3x3dbl_2": "deep.0.1", "3x3dbl_3a": "deep.1.branches.wide", "3x3dbl_3b": "deep.1.branches.high"},
}
LIKE_V3 = {"low.1": "low.0", "low.2": "low.0", "middle.1": "middle.0", "middle.2": "middle.0", "middle.3": "middle.0", "high.2": "high.1"}


def _branch_v3(module: str, branch: str, part: str) -> str:
    """A unit of a module of Inception-v3: `branch` is what follows the word in their name, e.g. 7x7dbl_3."""
    ours = MODULES_V3[module]
    known = BRANCHES_V3[LIKE_V3.get(ours, ours)]
    if branch in ("1x1", "_pool"):
        place = "one" if branch == "1x1" else "pool.1"
    elif LIKE_V3.get(ours, ours) == "high.1":
        place = known[branch]
    else:
        stem = branch.rstrip("0123456789") if "_" in branch else branch
        place = f"{known[stem]}.{_before(branch[len(stem):] or '1')}"
    return f"{ours}.branches.{place}.{_part(part)}"


INCEPTION_V3: Rules = (
    ("fc", lambda: "output"), (r"AuxLogits\.fc", lambda: "head.output"),
    (r"AuxLogits\.conv(\d)\.(conv|bn)", lambda i, part: f"head.{'mix' if i == '0' else 'whole'}.{_part(part)}"),
    (rf"Conv2d_({'|'.join(STEM_V3)})\.(conv|bn)", lambda name, part: f"stem.{STEM_V3[name]}.{_part(part)}"),
    (r"Mixed_(\d\w)\.branch(\w+)\.(conv|bn)", _branch_v3),
)

TWO_DENSE = {"classifier.0": "dense.dense1", "classifier.3": "dense.dense2", "classifier.6": "dense.output",
             "pre_logits.fc1": "dense.dense1", "pre_logits.fc2": "dense.dense2", "head.fc": "dense.output"}


def _vgg_layers(tensors: Tensors) -> dict[str, str]:
    """Convolutions stand at places of one list; a normalisation follows its convolution."""
    places = sorted(int(match[1]) for name in tensors if (match := re.fullmatch(r"features\.(\d+)\.weight", name)))
    convolutions = [place for place in places if tensors[f"features.{place}.weight"].dim() == 4]
    names = [f"features.conv{stage}_{i}" for stage, count in enumerate(STAGES.get(len(convolutions), ()), 1) for i in range(1, count + 1)]
    layers = {theirs: ours for theirs, ours in TWO_DENSE.items() if f"{theirs}.weight" in tensors}
    for place, name in zip(convolutions, names, strict=False):
        layers |= {f"features.{place}": f"{name}.conv"} | ({f"features.{place + 1}": f"{name}.norm"} if place + 1 in places else {})
    return layers


def _vgg_form(tensors: Tensors) -> str:
    convolutions = sum(name.startswith("features.") and t.dim() == 4 for name, t in tensors.items())
    if convolutions not in STAGES:
        return ""
    norm = ",norm=batch" if "features.1.running_mean" in tensors else ""
    return f"vgg:depth={convolutions + 3}{norm}{_width(tensors, 'features.0', 64)}"


ALEXNET: Rules = (
    (r"features\.(0|3|6|8|10)", lambda place: f"features.conv{('0', '3', '6', '8', '10').index(place) + 1}"),
    (r"classifier\.(1|4|6)", lambda place: "dense." + {"1": "dense6", "4": "dense7", "6": "output"}[place]),
)

PUBLIC = (
    PublicNet("resnet", "layer1.0.conv1", None, _by(RESIDUAL), _residual_form),
    PublicNet("densenet", "features.denseblock1.denselayer1.conv1", None, _by(DENSE), _dense_form),
    PublicNet("googlenet", "inception3a.branch1.conv", None, _by(GOOGLENET),
              lambda tensors: f"googlenet:auxiliary=no,norm=batch,kernel=3,last_pool=2,stem=large{_width(tensors, 'conv1.conv', 64)}",
              HALVES, 1e-3),
    PublicNet("inception-v3", "Mixed_5b.branch1x1.conv", None, _by(INCEPTION_V3),
              lambda tensors: f"inception-v3:auxiliary={'yes' if 'AuxLogits.fc.weight' in tensors else 'no'},stem=large"
                              f"{_width(tensors, 'Conv2d_1a_3x3.conv', 32)}", HALVES, 1e-3),
    PublicNet("alexnet", "features.0", 11, _by(ALEXNET), lambda tensors: f"alexnet:form=2014{_width(tensors, 'features.0', 64)}"),
    PublicNet("vgg", "features.0", 3, _vgg_layers, _vgg_form),
)
FORMS = {  # the public nets whose structures are those of ours
    "resnet": ("resnet18", "resnet34", "resnet50", "resnet101", "resnet152"), "densenet": ("densenet121", "densenet169", "densenet201"),
    "googlenet": ("googlenet",), "inception-v3": ("inception_v3",), "alexnet": ("alexnet",),
    "vgg": ("vgg11", "vgg13", "vgg16", "vgg19", "the same with _bn"),
}
