"""Parameter counts of convolutional families as their papers, or the implementations that reproduced them, give them."""

import pytest
import torch

from chainrule.core.registry import nets

SMALL, LARGE = ((3, 32, 32), 10), ((3, 224, 224), 1000)

EXACT = [
    ("lenet5:output=rbf", (1, 28, 28), 10, 60_000),                 # section II.B: "60,000 trainable free parameters"
    ("alexnet", *LARGE, 60_965_224),                                # the authors' layers in Caffe: "60 million"
    ("vgg:depth=11", *LARGE, 132_863_336), ("vgg:depth=13", *LARGE, 133_047_848),
    ("vgg:depth=16", *LARGE, 138_357_544), ("vgg:depth=19", *LARGE, 143_667_240),
    ("googlenet:norm=batch,kernel=3,auxiliary=no", *LARGE, 6_624_904), ("googlenet:norm=batch,kernel=3", *LARGE, 13_004_888),
    ("googlenet:auxiliary=no", *LARGE, 6_998_552),                  # as published, with 5 x 5 kernels and biases
    ("inception-v3", (3, 299, 299), 1000, 27_161_264), ("inception-v3:auxiliary=no", (3, 299, 299), 1000, 23_834_568),
    ("resnet:depth=18", *LARGE, 11_689_512), ("resnet:depth=34", *LARGE, 21_797_672), ("resnet:depth=50", *LARGE, 25_557_032),
    ("resnet:depth=101", *LARGE, 44_549_160), ("resnet:depth=152", *LARGE, 60_192_808),
    ("densenet:depth=121", *LARGE, 7_978_856), ("densenet:depth=169", *LARGE, 14_149_480), ("densenet:depth=201", *LARGE, 20_013_928),
    ("capsnet:reconstruction=no", (1, 28, 28), 10, 6_804_224), ("capsnet", (1, 28, 28), 10, 8_215_568),
    ("nin", *SMALL, 966_986), ("all-cnn", *SMALL, 1_369_738),
]
ROUNDED = [                                                        # in millions, to the digits that the paper prints
    ("resnet:depth=20", 0.27), ("resnet:depth=32", 0.46), ("resnet:depth=44", 0.66), ("resnet:depth=56", 0.85), ("resnet:depth=110", 1.7),
    ("resnet:depth=1202", 19.4), ("resnet:depth=164,form=v2", 1.7), ("resnet:depth=16,width=8,form=v2", 11.0),
    ("resnet:depth=28,width=10,form=v2", 36.5), ("highway:depth=19", 2.3), ("highway:depth=32", 1.25),
    ("densenet:depth=40", 1.0), ("densenet:depth=100", 7.0), ("densenet:depth=100,growth=24", 27.2),
    ("densenet:depth=100,growth=12,bottleneck=yes,compression=0.5", 0.8),
    ("densenet:depth=250,growth=24,bottleneck=yes,compression=0.5", 15.3),
    ("densenet:depth=190,growth=40,bottleneck=yes,compression=0.5", 25.6), ("fitnet:form=1", 0.25), ("fitnet:form=4", 2.5),
]


def parameters(spec: str, shape: tuple[int, ...], outputs: int) -> int:
    with torch.device("meta"):
        return sum(p.numel() for p in nets.choose(spec).make(shape, outputs).parameters())


@pytest.mark.parametrize(("spec", "shape", "outputs", "count"), EXACT, ids=lambda v: v if isinstance(v, str) else "")
def test_counts_that_are_published_in_full(spec, shape, outputs, count):
    assert parameters(spec, shape, outputs) == count


@pytest.mark.parametrize(("spec", "millions"), ROUNDED, ids=lambda v: v if isinstance(v, str) else "")
def test_counts_that_are_published_in_millions(spec, millions):
    digits = len(str(millions).partition(".")[2])
    assert abs(parameters(spec, *SMALL) / 1e6 - millions) <= max(0.5 * 10**-digits, 0.02 * millions if spec.startswith("fitnet") else 0)


def test_the_preactivation_net_of_1001_layers_is_within_two_per_cent_of_its_published_count():
    assert parameters("resnet:depth=1001,form=v2", *SMALL) == pytest.approx(10.2e6, rel=0.02)


@pytest.mark.parametrize(("module", "thousands"), [
    ("3a", 159), ("3b", 380), ("4a", 364), ("4b", 437), ("4d", 580), ("4e", 840), ("5b", 1388),
])
def test_googlenets_modules_have_the_weights_of_table_1(module, thousands):
    """All but 4c and 5a: the maps that the table gives for them have 498 and 1,018 thousand weights, not its 463 and 1,072."""
    with torch.device("meta"):
        net = nets.choose("googlenet").make((3, 224, 224), 1000)
    weights = sum(p.numel() for p in net.modules_by_name[module].parameters())
    assert weights / 1024 == pytest.approx(thousands, rel=0.02)


def test_densenet_has_a_tenth_of_the_parameters_of_a_residual_net_that_errs_as_often():
    """Table 2 and section 4.4 of the paper: DenseNet-BC (k=12, L=100), .8 M, errs like the pre-activation net of 1001 layers, 10.2 M."""
    bottleneck = parameters("densenet:depth=100,growth=12,bottleneck=yes,compression=0.5", *SMALL)
    assert parameters("resnet:depth=1001,form=v2", *SMALL) / bottleneck > 10
