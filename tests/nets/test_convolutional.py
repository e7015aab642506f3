"""Convolutional families against their formulas written out with torch's functions, and what they refuse."""

import itertools

import pytest
import torch
from torch.nn import functional as F

from chainrule.core.batch import Batch
from chainrule.core.criterion import Supervised, mean_costs
from chainrule.core.errors import InputError
from chainrule.core.net import Net
from chainrule.core.registry import losses, nets

CLASSES = 3


def made(spec: str, shape=(3, 12, 12), outputs=CLASSES, seed=0):
    torch.manual_seed(seed)
    net = nets.choose(spec).make(shape, outputs).double()
    for name, buffer in net.named_buffers():                               # running averages that are not those of a new net
        if name.endswith("running_mean"):
            buffer.normal_(0.0, 0.1)
        elif name.endswith("running_var"):
            buffer.uniform_(0.5, 1.5)
    x = torch.randn(4, *shape, dtype=torch.double)
    assert (net.eval()(x).std(0) > 1e-6).all(), "a net that answers every picture alike shows no formula"
    return net, x


def batch_norm(x, norm):
    shape = (-1, *[1] * (x.dim() - 2))
    x = (x - norm.running_mean.reshape(shape)) / (norm.running_var + norm.eps).sqrt().reshape(shape)
    return x * norm.weight.reshape(shape) + norm.bias.reshape(shape)


def test_convnet_is_the_layers_its_pattern_names():
    net, x = made("convnet:pattern=4x6-pool-6,dense=7,kernel=3,groups=2,pooling=average")
    y = x
    for name, groups in (("conv1", 1), ("conv2", 2)):
        y = F.conv2d(y, net.get_submodule(name).weight, net.get_submodule(name).bias, padding=1, groups=groups).relu()
    y = F.avg_pool2d(y, 2)
    y = F.conv2d(y, net.conv3.weight, net.conv3.bias, padding=1, groups=2).relu()
    y = F.linear(y.flatten(1), net.dense1.weight, net.dense1.bias).relu()
    torch.testing.assert_close(net(x), F.linear(y, net.output.weight, net.output.bias))


@pytest.mark.parametrize(("spec", "message"), [
    ("convnet:pattern=32xpool", "got '32xpool'"), ("convnet:pattern=32--pool", "got ''"),
    ("convnet:pattern=8x8x8,kernel=5,padding=valid", "leaves nothing of pictures of 8 x 8 at convolution 2"),
    ("resnet:depth=21", "6n\\+2.*The nearest are 20 and 26"), ("resnet:depth=30,block=bottleneck", "The nearest are 29 and 38"),
    ("plain:depth=5", "The nearest depths are 8 and 14"), ("densenet:depth=41", "The nearest are 40 and 43"),
    ("densenet:depth=41,bottleneck=yes", "The nearest are 40 and 46"), ("vgg:depth=17", "11, 13, 16, 19; got 17"),
    ("highway:depth=20", "depth 19 or 32"), ("highway:form=staged,depth=21", "The nearest depths are 20 and 26"),
    ("fitnet:form=5", "1, 2, 3, 4"), ("capsnet", "at least 17 x 17"),
    ("local:maps=4x4x4", "leaves 3 x 3"), ("resnet1d", "--net resnet"), ("inception-v3:stem=large", "at least 75 x 75"),
])
def test_what_does_not_fit_is_refused_with_what_would(spec, message):
    with pytest.raises(InputError, match=message):
        nets.choose(spec).make((1, 8, 8), 3)


def test_lenet5_connects_its_third_layer_as_table_1_of_the_paper():
    table = ["X   XXX  XXXX XX", "XX   XXX  XXXX X", "XXX   XXX  X XXX", " XXX  XXXX  X XX", "  XXX  XXXX XX X", "   XXX  XXXX XXX"]
    net = nets.choose("lenet5").make((1, 32, 32), 10)
    x = torch.rand(1, 6, 14, 14, requires_grad=True)
    sees = torch.stack([torch.autograd.grad(net.c3(x)[0, k].sum(), x)[0][0].abs().sum((1, 2)) > 0 for k in range(16)], 1)    # (6, 16)
    assert ["".join("X" if cell else " " for cell in row) for row in sees.tolist()] == table


def test_lenet5_answers_with_distances_to_codes_of_plus_and_minus_one():
    net, x = made("lenet5:output=rbf", (1, 28, 28))
    assert net.codes.unique().tolist() == [-1.0, 1.0]
    dense, _ = made("lenet5", (1, 28, 28))
    dense.load_state_dict(net.state_dict(), strict=False)
    seen = []
    dense.output.register_forward_pre_hook(lambda _, inputs: seen.append(inputs[0]))
    dense(x)
    torch.testing.assert_close(net(x), -torch.cdist(seen[0], net.codes).square())


@pytest.mark.parametrize("form", ["v1", "v2"])
@pytest.mark.parametrize("spec", [
    "resnet:depth=8", "resnet:depth=11,block=bottleneck", "resnet:depth=8,shortcut=projection", "resnet:depth=18,width=0.1",
])
def test_a_residual_net_is_its_blocks_written_out(spec, form):
    net, x = made(f"{spec},form={form}")
    y = F.conv2d(x, net.stem.conv.weight, padding=1)
    y = batch_norm(y, net.stem.norm).relu() if form == "v1" else y
    for block in itertools.chain.from_iterable(net.stages):
        z = y
        for i, (conv, norm) in enumerate(zip(block.convolutions, block.norms, strict=True)):
            if form == "v2":
                z = batch_norm(z, norm).relu()
                start = z if i == 0 else start                             # noqa: F821
            z = F.conv2d(z, conv.weight, stride=conv.stride, padding=conv.kernel_size[0] // 2)
            if form == "v1":
                z = batch_norm(z, norm)
                z = z.relu() if i < len(block.convolutions) - 1 else z
        weights = [p for p in block.shortcut.parameters() if p.dim() == 4]
        if weights:
            around = F.conv2d(start if form == "v2" else y, weights[0], stride=2 if z.shape[2] < y.shape[2] else 1)
            around = batch_norm(around, block.shortcut[1]) if form == "v1" else around
        else:
            step = 2 if z.shape[2] < y.shape[2] else 1
            around = torch.cat([y[:, :, ::step, ::step], y.new_zeros(len(y), z.shape[1] - y.shape[1], *z.shape[2:])], 1)
        y = (z + around).relu() if form == "v1" else z + around
    y = batch_norm(y, net.norm[0]).relu() if form == "v2" else y
    torch.testing.assert_close(net(x), F.linear(y.mean((2, 3)), net.output.weight, net.output.bias))


def test_a_plain_net_is_the_residual_one_without_its_shortcuts():
    plain, x = made("plain:depth=8")
    residual, _ = made("resnet:depth=8")
    residual.load_state_dict(dict(zip(residual.state_dict(), plain.state_dict().values(), strict=True)))
    for block in itertools.chain.from_iterable(residual.stages):
        block.shortcut = None
    torch.testing.assert_close(plain(x), residual(x))


def test_stochastic_depth_leaves_blocks_out_more_often_the_higher_they_stand_and_weighs_them_so_in_use():
    net, x = made("resnet:depth=8,drop=0.5")
    blocks = list(itertools.chain.from_iterable(net.stages))
    assert [block.depth.rate for block in blocks] == pytest.approx([0.5 / 3, 1 / 3, 0.5])
    last = blocks[-1].depth
    torch.testing.assert_close(last(x), 0.5 * x)
    last.train()
    drawn = [last(x) for _ in range(400)]
    assert all(torch.equal(y, x) or not y.any() for y in drawn)
    assert 140 < sum(bool(y.any()) for y in drawn) < 260                   # 200 expected, six standard deviations of 10


def test_a_highway_carries_its_input_where_the_gate_is_shut_and_is_the_plain_layer_where_it_is_open():
    net, _ = made("highway:depth=5,hidden=6", (4,))
    layer, h = net[2], torch.randn(3, 6, dtype=torch.double)
    transform = torch.sigmoid(h @ layer.gate.weight.T - 1.0)
    expected = transform * (h @ layer.layer.weight.T + layer.layer.bias).relu() + (1 - transform) * h
    torch.testing.assert_close(layer(h), expected)
    assert (transform.mean() < 0.5).item()
    with torch.no_grad():
        layer.carry.fill_(-1e3)
        torch.testing.assert_close(layer(h), h)
        layer.carry.fill_(1e3)
        torch.testing.assert_close(layer(h), (h @ layer.layer.weight.T + layer.layer.bias).relu())


def test_a_staged_highway_is_a_plain_net_where_its_gates_are_open_and_passes_on_where_they_are_shut():
    net, x = made("highway:form=staged,depth=14,width=0.25")
    gates = [part for part in net.modules() if type(part).__name__ == "Highway"]
    assert len(gates) == 14 - 2 - 2                                              # but for the two that change the number of maps
    assert sum(isinstance(part, torch.nn.Conv2d) for part in net.modules()) == 14 - 1 + len(gates)
    plain = nets.choose("plain:depth=14,width=0.25").make((3, 12, 12), CLASSES)
    def forms(net):
        return [(part.in_channels, part.out_channels, part.stride) for name, part in net.named_modules()
                if isinstance(part, torch.nn.Conv2d) and not name.endswith("gate")]
    assert forms(net) == forms(plain)
    norms = [sum(type(part).__name__ == "BatchNorm" for part in one.modules()) for one in (net, plain)]
    assert norms[0] == norms[1] == 14 - 1
    with torch.no_grad():
        for gate in gates:
            gate.carry.fill_(-1e3)
        maps = net[0](x)
        torch.testing.assert_close(net[1:5](maps), maps)


def test_a_dense_block_reads_everything_before_each_layer():
    net, _ = made("densenet:depth=13,growth=2")
    y, block = torch.randn(2, 16, 6, 6, dtype=torch.double), net.blocks[0]
    given = [y]
    for layer in block.layers:
        given.append(F.conv2d(batch_norm(torch.cat(given, 1), layer.grow[0]).relu(), layer.grow[2].weight, padding=1))
    torch.testing.assert_close(block(y), torch.cat(given, 1))
    transition = net.blocks[1]
    mixed = F.conv2d(batch_norm(block(y), transition.norm).relu(), transition.mix.weight)
    torch.testing.assert_close(transition(block(y)), F.avg_pool2d(mixed, 2))


def test_a_fractal_of_three_columns_is_its_seven_convolutions():
    net, x = made("fractalnet:maps=4,drop=0.0")
    fractal = net.blocks[0][0]
    f = lambda block, y: batch_norm(F.conv2d(y, block.conv.weight, padding=1), block.norm).relu()
    first, second = fractal.first, fractal.second
    half = lambda part, y: torch.stack([f(part.short, y), f(part.second.short, f(part.first.short, y))])
    paths = torch.cat([f(fractal.short, x)[None], half(second, half(first, x).mean(0))])
    torch.testing.assert_close(fractal(x), paths)
    assert sum(p.dim() == 4 for p in fractal.parameters()) == 7


def test_a_join_drops_paths_but_never_all():
    net, _ = made("fractalnet:maps=4,drop=0.6")
    join, paths = net.blocks[0][1].train(), torch.eye(3, dtype=torch.double)[:, None]                  # three paths that can be told apart
    drawn = {tuple(join(paths).squeeze(0).tolist()) for _ in range(300)}
    survivors = [chosen for size in (1, 2, 3) for chosen in itertools.combinations(range(3), size)]
    shares = [tuple(float(i in chosen) / len(chosen) for i in range(3)) for chosen in survivors]
    assert {tuple(round(v, 6) for v in row) for row in drawn} == {tuple(round(v, 6) for v in row) for row in shares}
    join.rate = 1.0                                                        # all would fall out: one stays
    assert {tuple(join(paths).squeeze(0).tolist()) for _ in range(100)} == {(1.0, 0.0, 0.0), (0.0, 1.0, 0.0), (0.0, 0.0, 1.0)}


def test_capsules_route_by_agreement_as_procedure_1_says():
    net, x = made("capsnet:filters=4,capsules=2,kernel=3,hidden=5", (1, 9, 9))
    routing, u = net.routing, torch.randn(2, net.routing.weight.shape[0], 8, dtype=torch.double)
    squash = lambda s: (s.norm() ** 2 / (1 + s.norm() ** 2)) * s / s.norm()
    for n in range(2):
        votes = [[routing.weight[i, j].T @ u[n, i] for j in range(CLASSES)] for i in range(u.shape[1])]
        logits = torch.zeros(u.shape[1], CLASSES, dtype=torch.double)
        for _ in range(3):
            c = logits.softmax(1)
            v = [squash(sum(c[i, j] * votes[i][j] for i in range(u.shape[1]))) for j in range(CLASSES)]
            logits = logits + torch.tensor([[float((votes[i][j] @ v[j]).detach()) for j in range(CLASSES)] for i in range(u.shape[1])])
        torch.testing.assert_close(routing(u)[n], torch.stack(v))
    assert ((net(x) >= 0) & (net(x) < 1)).all()


def test_a_capsule_net_decodes_the_right_class_and_pays_for_the_picture():
    net, x = made("capsnet:filters=4,capsules=2,kernel=3,hidden=5", (1, 9, 9))
    y = torch.tensor([0, 2, 1, 1])
    costs = Supervised(losses.choose("margin").make())(Net.of(net.train()), Batch(x, y))
    capsules = net.capsules(x)
    masked = torch.zeros_like(capsules)
    masked[range(4), y] = capsules[range(4), y]
    torch.testing.assert_close(costs["reconstruction"], 0.0005 * (net.decoder(masked.flatten(1)) - x.flatten(1)).square().sum(1))
    lengths = capsules.norm(dim=2)
    for n in range(4):
        right, wrong = lengths[n, y[n]], [lengths[n, k] for k in range(CLASSES) if k != y[n]]
        expected = max(0, 0.9 - right) ** 2 + 0.5 * sum(max(0, k - 0.1) ** 2 for k in wrong)
        torch.testing.assert_close(costs["loss"][n], expected, atol=1e-9, rtol=0)


@pytest.mark.parametrize("spec", ["dsn:width=0.05", "googlenet:width=0.1,norm=batch", "inception-v3:width=0.1"])
def test_further_heads_are_paid_for_in_training_and_silent_in_use(spec):
    torch.manual_seed(0)
    net, loss = nets.choose(spec).make((3, 16, 16), CLASSES), losses.choose("cross-entropy").make()
    for part in net.modules():
        if isinstance(part, torch.nn.Dropout):
            part.p = 0.0
    x, y = torch.randn(6, 3, 16, 16), torch.tensor([0, 1, 2, 0, 1, 2])
    batch, criterion = Batch(x, y), Supervised(loss)
    costs = criterion(Net.of(net), batch)
    outputs, heads = net.with_heads(x, y)
    assert set(costs) == {"loss", *heads}
    for name, head in heads.items():
        torch.testing.assert_close(costs[name], head.weight * F.cross_entropy(head.outputs, y, reduction="none"))
    total, report = mean_costs(costs, batch)
    torch.testing.assert_close(total, sum(cost.mean() for cost in costs.values()))
    torch.testing.assert_close(report["loss"], F.cross_entropy(outputs, y))
    assert set(criterion(Net.of(net.eval()), batch)) == {"loss"}


def test_a_local_layer_with_the_same_kernel_everywhere_is_a_convolution():
    net, x = made("local:maps=4x5,kernel=3,stride=2")
    layer, kernel = net[0], torch.randn(4, 27, dtype=torch.double)
    with torch.no_grad():
        layer.weight.copy_(kernel.repeat(len(layer.weight) // 4, 1))
        layer.bias.zero_()
    torch.testing.assert_close(layer(x), F.conv2d(F.pad(x, (0, 1, 0, 1)), kernel.unflatten(1, (3, 3, 3)), stride=2))
    with torch.no_grad():
        layer.weight[:4] = 0
    assert not layer(x)[:, :, 0, 0].any()
    assert layer(x)[:, :, 0, 1].any()


def test_a_series_block_is_three_convolutions_of_the_same_length_and_a_shortcut():
    net, _ = made("resnet1d:filters=4", (20,))
    block, x = net.blocks[0], torch.randn(3, 1, 20, dtype=torch.double)
    y = x
    for i, (conv, norm) in enumerate(zip(block.convolutions, block.norms, strict=True)):
        y = batch_norm(F.conv1d(F.pad(y, ((conv.weight.shape[2] - 1) // 2, conv.weight.shape[2] // 2)), conv.weight), norm)
        y = y.relu() if i < 2 else y
    torch.testing.assert_close(block(x), (y + batch_norm(F.conv1d(x, block.shortcut[0].weight), block.shortcut[1])).relu())


@pytest.mark.parametrize(("family", "sides"), [
    ("googlenet", {"3a": 28, "3b": 28, "4a": 14, "4e": 14, "5a": 7, "5b": 7}),
])
def test_googlenets_maps_have_the_sides_of_table_1(family, sides):
    with torch.device("meta"):
        net = nets.choose(f"{family}:width=0.1").make((3, 224, 224), 10)
        maps = net.maps(torch.zeros(1, 3, 224, 224))
    assert {name: maps[name].shape[2] for name in sides} == sides


@pytest.mark.parametrize(("spec", "side", "before_average"), [("bn-inception:width=0.1", 224, 7), ("resnet:depth=18,width=0.1", 224, 7)])
def test_large_pictures_come_down_to_seven_places(spec, side, before_average):
    with torch.device("meta"):
        net = nets.choose(spec).make((3, side, side), 10)
        seen = []
        next(part for part in net.modules() if type(part).__name__ == "GlobalAverage").register_forward_pre_hook(
            lambda _, inputs: seen.append(inputs[0].shape[2]))
        net(torch.zeros(2, 3, side, side))
    assert seen == [before_average]
