"""Normalisation: formulas written out, torch as oracle, the identity recovered, running averages the same under every plan and member."""

import shutil
from functools import partial

import pytest
import torch
from torch import nn
from torch.nn import functional as F

import chainrule as cr
from chainrule.core import registry
from chainrule.core.batch import Batch
from chainrule.core.criterion import Supervised
from chainrule.core.errors import InputError
from chainrule.core.net import Net
from chainrule.core.registry import losses, nets
from chainrule.core.rule import Learner
from chainrule.core.tree import clone
from chainrule.engine import native
from chainrule.engine.members.stacked import Together, member, stack
from chainrule.engine.native import compiling
from chainrule.engine.plans.eager import copied, eager
from chainrule.engine.plans.plan import fused
from chainrule.job.rule_spec import make_rule
from chainrule.nets.layers.normalisation import BatchNorm, LocalResponse, normalisation

NETS = ["mlp:hidden=6x4,norm=batch", "mlp:hidden=6x4,norm=layer", "mlp:hidden=6x4,norm=group",
        "lenet:filters=2x4,hidden=6,kernel=3,norm=batch", "lenet:filters=2x4,hidden=6,kernel=3,norm=layer",
        "lenet:filters=2x4,hidden=6,kernel=3,norm=group", "lenet:filters=2x4,hidden=6,kernel=3,norm=local"]
STEPS, ROWS, CLASSES = 5, 8, 3


@pytest.fixture
def x():
    torch.manual_seed(0)
    return 3 * torch.randn(7, 6, 4, 5, dtype=torch.double) + torch.arange(6)[:, None, None]


@pytest.mark.parametrize("spatial", [False, True])
def test_gamma_of_the_sd_and_beta_of_the_mean_recover_the_identity(x, spatial):
    x = x if spatial else x[..., 0, 0]
    norm = BatchNorm(6, eps=1e-14).double()
    rest = [a for a in range(x.dim()) if a != 1]
    with torch.no_grad():
        norm.weight.copy_(x.std(rest, unbiased=False))
        norm.bias.copy_(x.mean(rest))
    torch.testing.assert_close(norm(x), x, rtol=0, atol=1e-12)


@pytest.mark.parametrize("spatial", [False, True])
def test_batch_is_the_formula_written_out_and_its_averages_run(x, spatial):
    x = x if spatial else x[..., 0, 0]
    norm, rest = BatchNorm(6).double(), [a for a in range(x.dim()) if a != 1]
    mean, var = x.mean(rest, keepdim=True), x.var(rest, unbiased=False, keepdim=True)
    torch.testing.assert_close(norm(x), (x - mean) / (var + 1e-5).sqrt(), rtol=0, atol=1e-12)
    torch.testing.assert_close(norm.running_mean, 0.1 * mean.flatten())
    torch.testing.assert_close(norm.running_var, 0.9 + 0.1 * x.var(rest))  # the unbiased one, n / (n - 1)
    assert int(norm.num_batches_tracked) == 1
    norm.eval()
    shape = [-1 if a == 1 else 1 for a in range(x.dim())]
    by_hand = (x - norm.running_mean.reshape(shape)) / (norm.running_var.reshape(shape) + 1e-5).sqrt()
    torch.testing.assert_close(norm(x), by_hand, rtol=0, atol=1e-12)
    assert int(norm.num_batches_tracked) == 1


def test_a_batch_of_one_value_a_channel_has_no_variance(tmp_path):
    norm, x = BatchNorm(3), torch.randn(1, 3)
    with pytest.raises(InputError, match=r"got one value a channel\. Use a --batch of at least 2"):
        norm(x)
    assert norm(x.reshape(1, 3, 1, 1).expand(1, 3, 2, 2)).shape == (1, 3, 2, 2)  # four values: those have a variance
    assert norm.eval()(x).shape == x.shape
    with pytest.raises(InputError, match="got one value a channel"):
        cr.train("iris", net="mlp:norm=batch", batch=1, epochs=1, plan="eager", progress=False, out=tmp_path / "run")


@pytest.mark.parametrize(("name", "parts"), [("layer", 1), ("group", 2), ("group", 3)])
def test_layer_and_group_are_the_formula_written_out(x, name, parts):
    norm = normalisation("test", name, 6, parts, maps=True).double()
    with torch.no_grad():
        norm.weight.copy_(torch.rand(6))
        norm.bias.copy_(torch.rand(6))
    grouped = x.reshape(7, parts, -1)
    level = (grouped - grouped.mean(2, keepdim=True)) / (grouped.var(2, unbiased=False, keepdim=True) + 1e-5).sqrt()
    by_hand = level.reshape(x.shape) * norm.weight[:, None, None] + norm.bias[:, None, None]
    torch.testing.assert_close(norm(x), by_hand, rtol=0, atol=1e-12)


@pytest.mark.parametrize("parts", [1, 2, 3, 6])
def test_group_is_torchs(x, parts):
    ours, theirs = normalisation("test", "group", 6, parts, maps=True).double(), nn.GroupNorm(parts, 6).double()
    torch.testing.assert_close(ours(x), theirs(x), rtol=0, atol=1e-12)


def test_layer_of_units_is_torchs_layer_norm(x):
    units = x[..., 0, 0]
    torch.testing.assert_close(normalisation("test", "layer", 6, 2).double()(units), F.layer_norm(units, (6,)), rtol=0, atol=1e-12)


@pytest.mark.parametrize("size", [1, 2, 3, 5, 9])
def test_local_response_is_the_paper_written_out_and_torchs_with_alpha_times_size(x, size):
    ours = LocalResponse(size, alpha=0.02)(x)
    by_hand = torch.empty_like(x)
    for i in range(6):
        low, high = max(0, i - size // 2), min(5, i + (size - 1) // 2)
        by_hand[:, i] = x[:, i] / (2 + 0.02 * x[:, low : high + 1].square().sum(1)) ** 0.75
    torch.testing.assert_close(ours, by_hand, rtol=0, atol=1e-12)
    torch.testing.assert_close(ours, F.local_response_norm(x, size, alpha=0.02 * size, beta=0.75, k=2.0), rtol=0, atol=1e-12)


@pytest.mark.parametrize("spec", NETS)
def test_slopes_are_those_of_differences(spec):
    torch.manual_seed(0)
    net = nets.choose(f"{spec},activation=tanh" + (",pooling=average" if "lenet" in spec else "")).make(shape_of(spec), CLASSES).double()
    names, params = zip(*net.named_parameters(), strict=True)
    rows = torch.randn(3, *shape_of(spec), dtype=torch.double)

    def f(*values):
        return torch.func.functional_call(net, dict(zip(names, values, strict=True)), rows)

    net.train()
    buffers = clone(dict(net.named_buffers()))
    assert torch.autograd.gradcheck(f, params, fast_mode=True)
    assert all((t == buffers[name]).all() or "running" in name or "tracked" in name for name, t in net.named_buffers())


def test_where_normalisations_stand():
    kinds = [type(part) for part in nets.choose("mlp:hidden=6,norm=batch,dropout=0.1").make((5,), 2)]
    assert kinds[1:4] == [BatchNorm, nn.ReLU, nn.Dropout]
    local = nets.choose("lenet:norm=local").make((1, 28, 28), 2)
    assert [name for name, part in local.named_modules() if isinstance(part, LocalResponse)] == ["features.norm1", "features.norm2"]
    assert [name for name, part in nets.choose("lenet:norm=batch").make((1, 28, 28), 2).named_modules()
            if isinstance(part, BatchNorm)] == ["features.norm1", "features.norm2", "norm"]


def shape_of(spec):
    return (5,) if spec.startswith("mlp") else (1, 8, 8)


def learning(spec, seed=0):
    torch.manual_seed(seed)
    rule = make_rule(registry.rules.choose("backprop"), Supervised(losses.choose("cross-entropy").make()),
                     registry.optimizers.choose("sgd:rate=0.1,momentum=0.9"), None)
    net = Net.of(nets.choose(spec).make(shape_of(spec), CLASSES).double().train())
    return rule, Learner(net, clone(rule.init(net)))


def batches(spec, seed=1):
    torch.manual_seed(seed)
    return Batch(torch.randn(STEPS, ROWS, *shape_of(spec), dtype=torch.double), torch.randint(CLASSES, (STEPS, ROWS)))


def by_torch(spec, chunk):
    """The same steps with torch's own layers and optimizer, and an ordinary backward pass."""
    _, learner = learning(spec)
    module = learner.net.module
    optimizer = torch.optim.SGD(module.parameters(), lr=0.1, momentum=0.9)
    for i in range(len(chunk)):
        optimizer.zero_grad()
        F.cross_entropy(module(chunk.x[i]), chunk.y[i]).backward()
        optimizer.step()
    return clone(learner.net.tensors)


near = partial(torch.testing.assert_close, rtol=1e-9, atol=1e-9)


@pytest.mark.parametrize("spec", NETS)
def test_eager_steps_are_torchs(spec):
    rule, learner = learning(spec)
    learner, _ = eager(rule.step)(copied(learner), batches(spec))
    near(clone(learner.net.tensors), by_torch(spec, batches(spec)))


@pytest.mark.skipif(not any(map(shutil.which, compiling.COMPILERS)), reason="there is no C compiler on this machine")
@pytest.mark.parametrize("spec", NETS)
def test_native_steps_leave_torchs_weights_and_averages(spec, tmp_path, monkeypatch):
    monkeypatch.setattr(compiling, "usual_folder", lambda: tmp_path)
    monkeypatch.setattr(compiling, "FLAGS", tuple("-O0" if flag == "-O3" else flag for flag in compiling.FLAGS))
    rule, learner = learning(spec)
    chunk = batches(spec)
    advance = native.build(rule.step, copied(learner), chunk, 1)
    after, _ = advance(copied(learner), chunk)
    near(clone(after.net.tensors), by_torch(spec, chunk))


@pytest.mark.parametrize("spec", NETS)
def test_a_member_of_a_stack_has_the_weights_and_averages_it_would_have_alone(spec):
    alone = [learning(spec, seed) for seed in range(2)]
    chunks = [batches(spec, seed) for seed in (1, 2)]
    rule = Together(lambda _: alone[0][0], [{}, {}])
    together = stack([learner for _, learner in alone], rule)
    both = Batch(torch.stack([c.x for c in chunks], 1), torch.stack([c.y for c in chunks], 1))
    together, _ = eager(rule.step)(together, both)
    for i, ((own, learner), chunk) in enumerate(zip(alone, chunks, strict=True)):
        expected, _ = eager(own.step)(copied(learner), chunk)
        near(member(together.net.tensors, i), clone(expected.net.tensors))


def test_fused_steps_leave_torchs_weights_and_averages():
    """Captured as one program of two steps, whole, without code generation."""
    spec = "mlp:hidden=6,norm=batch"
    rule, learner = learning(spec)
    chunk, one = batches(spec).rows(0, 2), copied(learner)
    after, _ = fused(rule.step, one.net, 2, backend="eager")(one, chunk)
    near(clone(after.net.tensors), by_torch(spec, chunk))
