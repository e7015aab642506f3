"""Public weights under our names, against the public nets restated in plain torch: their counts, their shapes, what they compute."""

from functools import partial

import pytest
import torch
from public_nets import Made, alexnet, densenet, googlenet, inception_v3, resnet, vgg

from chainrule.core.errors import InputError
from chainrule.core.net import Net
from chainrule.core.registry import nets
from chainrule.nets.public_weights import PUBLIC, public_net

OLD = {"epsilon": 1e-3}                       # of the two nets that came from TensorFlow
PUBLISHED = [                                 # parameters as torchvision's documentation of its weights prints them
    (alexnet, {}, 224, 61_100_840, "alexnet:form=2014"),
    (vgg, {}, 224, 132_863_336, "vgg:depth=11"),
    (partial(vgg, counts=(2, 2, 3, 3, 3)), {}, 224, 138_357_544, "vgg:depth=16"),
    (partial(vgg, counts=(2, 2, 4, 4, 4), norm=True), {}, 224, 143_678_248, "vgg:depth=19,norm=batch"),
    (resnet, {}, 224, 11_689_512, "resnet:depth=18,stem=large"),
    (partial(resnet, counts=(3, 4, 6, 3)), {}, 224, 21_797_672, "resnet:depth=34,stem=large"),
    (partial(resnet, counts=(3, 4, 6, 3), bottleneck=True), {}, 224, 25_557_032, "resnet:depth=50,stem=large"),
    (densenet, {}, 224, 7_978_856, "densenet:depth=121,stem=large"),
    (partial(densenet, counts=(6, 12, 48, 32)), {}, 224, 20_013_928, "densenet:depth=201,stem=large"),
    (googlenet, OLD, 224, 6_624_904, "googlenet:auxiliary=no,norm=batch,kernel=3,last_pool=2,stem=large"),
    (inception_v3, OLD, 299, 27_161_264, "inception-v3:auxiliary=yes,stem=large"),
]
NARROW = [                                    # the same nets small enough to run, with pictures that each can read
    (alexnet, {"width": 0.0625}, 96), (partial(vgg, counts=(1, 1, 2, 2, 2)), {"width": 0.0625}, 32),
    (partial(vgg, counts=(2, 2, 2, 2, 2), norm=True), {"width": 0.0625}, 32), (resnet, {"width": 0.0625}, 64),
    (partial(resnet, counts=(3, 4, 6, 3), bottleneck=True), {"width": 0.0625}, 40),
    (partial(densenet, growth=4), {}, 64), (googlenet, {"width": 0.125, **OLD}, 64),
    (inception_v3, {"width": 0.125, **OLD}, 299), (partial(inception_v3, head=False), {"width": 0.125, **OLD}, 75),
]


def parameters(tensors):
    return sum(t.numel() for name, t in tensors.items() if name.endswith((".weight", ".bias")))


def named(tensors):
    net = public_net(tensors)
    assert net is not None
    return net


@pytest.mark.parametrize(("restated", "made", "side", "count", "form"), PUBLISHED, ids=[row[-1] for row in PUBLISHED])
def test_published_nets_have_their_count_their_form_and_every_shape_of_ours(restated, made, side, count, form):
    weights = Made(**made, device="meta")
    restated(weights, torch.empty(1, 3, side, side, device="meta"), 1000)
    assert parameters(weights.tensors) == count
    public = named(weights.tensors)
    assert public.form(weights.tensors) == form
    ours = public.translated(weights.tensors, "a file")
    with torch.device("meta"):
        net = nets.choose(form).make((3, side, side), 1000)
    assert {name: t.shape for name, t in net.state_dict().items()} == {name: t.shape for name, t in ours.items()}


@pytest.mark.parametrize(("restated", "made", "side"), NARROW)
def test_the_net_answers_what_the_public_one_answers(restated, made, side):
    torch.manual_seed(0)
    weights, x = Made(**made), torch.rand(2, 3, side, side)
    expected = restated(weights, x, 7)
    public = named(weights.tensors)
    net = nets.choose(public.form(weights.tensors)).make((3, side, side), 7).eval()
    Net.of(net).put(public.translated(weights.tensors, "a file"))
    assert expected.std() > 1e-3
    torch.testing.assert_close(net(x), expected, rtol=1e-4, atol=1e-5 * float(expected.abs().max()))
    if weights.head is not None:
        head = net.with_heads(x, None)[1]["auxiliary"].outputs
        torch.testing.assert_close(head, weights.head, rtol=1e-4, atol=1e-5 * float(weights.head.abs().max()))


def test_timms_names_of_vgg_are_the_same_net():
    """Its first dense layers are convolutions over all places left."""
    torch.manual_seed(0)
    weights, x = Made(width=0.0625), torch.rand(2, 3, 64, 64)
    expected = vgg(weights, x, 7)
    renamed = {"classifier.0": "pre_logits.fc1", "classifier.3": "pre_logits.fc2", "classifier.6": "head.fc"}
    tensors = {renamed.get(name.rpartition(".")[0], name.rpartition(".")[0]) + "." + name.rpartition(".")[2]: t
               for name, t in weights.tensors.items()}
    tensors["pre_logits.fc1.weight"] = tensors["pre_logits.fc1.weight"].unflatten(1, (32, 2, 2))
    tensors["pre_logits.fc2.weight"] = tensors["pre_logits.fc2.weight"][:, :, None, None]
    net = nets.choose(named(tensors).form(tensors)).make((3, 64, 64), 7).eval()
    Net.of(net).put(named(tensors).translated(tensors, "a file"))
    torch.testing.assert_close(net(x), expected, rtol=1e-4, atol=1e-6)


def test_training_heads_of_googlenet_are_passed_over():
    weights = Made(width=0.125, device="meta")
    googlenet(weights, torch.empty(1, 3, 64, 64, device="meta"), 7)
    whole = {**weights.tensors, "aux1.conv.conv.weight": torch.empty(16, 64, 1, 1), "aux2.fc2.bias": torch.empty(7)}
    public = named(whole)
    assert public.translated(whole, "a file").keys() == public.translated(weights.tensors, "a file").keys()


def test_layers_that_no_net_of_ours_has_are_named():
    weights = Made(device="meta")
    resnet(weights, torch.empty(1, 3, 64, 64, device="meta"), 7)
    with pytest.raises(InputError, match=r"a\.safetensors has layers that no resnet of ours has: layer1\.0\.se\.fc1, layer1\.0\.se\.fc2"):
        public_net(weights.tensors).translated({**weights.tensors, "layer1.0.se.fc1.weight": torch.empty(1),
                                                "layer1.0.se.fc2.weight": torch.empty(1)}, "a.safetensors")


def test_other_nets_are_no_public_ones():
    assert public_net({"weight": torch.empty(3, 4)}) is None
    assert public_net({"features.0.weight": torch.empty(8, 3, 5, 5)}) is None
    assert len({net.family for net in PUBLIC}) == len(PUBLIC)
