"""The native kernel of recurrent layers beside the cells written out: values, every slope, carried state, threads, rare inputs."""

import ctypes

import pytest
import torch
from torch.nn import functional as F

from chainrule.core import kernels
from chainrule.core.errors import PlanRejected
from chainrule.core.net import Net
from chainrule.engine.native import scan
from chainrule.engine.unrolled import check_steps
from chainrule.nets.layers.gated import GRULayer, LSTMLayer
from chainrule.nets.lstm import LSTM
from chainrule.nets.rnn import ElmanLayer

LAYERS = (LSTMLayer, GRULayer, ElmanLayer)
SHAPES = [(3, 9, 5, 7), (1, 4, 2, 3), (7, 5, 3, 33), (13, 6, 20, 40), (2, 3, 4, 300)]     # rows, steps, inputs, units

each_layer = pytest.mark.parametrize("layer", LAYERS, ids=lambda layer: layer.kernel)


@pytest.fixture(scope="module", autouse=True)
def _can():
    if scan.compiled("lstm") is None:
        pytest.skip("there is no C compiler here")


def varied(layer, inputs, units):
    torch.manual_seed(0)
    module = layer(inputs, units)
    with torch.no_grad():
        for p in module.parameters():
            p.add_(0.1 * torch.randn_like(p))
    return module


def slopes(module, way, x, last=False):
    """Outputs, the state after, and the slopes of a random sum of them (of the last output alone where asked) by everything."""
    outputs, state = way(x, module.initial(len(x)))
    generator = torch.Generator().manual_seed(1)
    parts = [outputs[:, -1]] if last else [outputs, *state]
    total = sum((torch.randn(part.shape, generator=generator) * part).sum() for part in parts)
    return [outputs, *state, *torch.autograd.grad(total, [x, *module.parameters()])]


def natively(module):
    return lambda x, state: scan.scanned(module.kernel, x, state, *module.parameters_of_kernel())


def alike(mine, theirs):
    for a, b in zip(mine, theirs, strict=True):
        torch.testing.assert_close(a, b, rtol=1e-5, atol=2e-6 * max(1.0, float(b.detach().abs().max())))


@pytest.mark.parametrize("threads", [1, 2, 3])
@pytest.mark.parametrize("shape", SHAPES, ids=str)
@each_layer
def test_values_and_slopes_are_those_of_the_cell_written_out(layer, shape, threads):
    torch.set_num_threads(threads)
    rows, steps, inputs, units = shape
    module = varied(layer, inputs, units)
    x = torch.randn(rows, steps, inputs, requires_grad=True)
    alike(slopes(module, natively(module), x), slopes(module, module.written_out, x))
    alike(slopes(module, natively(module), x, last=True), slopes(module, module.written_out, x, last=True))


@pytest.mark.parametrize("kind", ["one-hot", "few", "none"])
@each_layer
def test_inputs_that_are_nearly_all_zero_are_gathered_and_give_the_same(layer, kind):
    module, codes = varied(layer, 24, 10), torch.randint(24, (5, 7), generator=torch.Generator().manual_seed(2))
    x = {"one-hot": F.one_hot(codes, 24).float(), "few": F.one_hot(codes, 24) * torch.randn(5, 7, 1), "none": torch.zeros(5, 7, 24)}[kind]
    assert scan.compiled(layer.kernel).sparse(x.numel(), x.data_ptr())
    x.requires_grad_()
    alike(slopes(module, natively(module), x), slopes(module, module.written_out, x))


@each_layer
def test_inputs_and_slopes_may_lie_as_they_like(layer):
    module = varied(layer, 6, 9)
    x = torch.randn(8, 6, 4).permute(2, 0, 1).requires_grad_()                                   # (4, 8, 6), rows last in memory
    alike(slopes(module, natively(module), x), slopes(module, module.written_out, x))
    spread = []
    for way in (natively(module), module.written_out):
        outputs, _ = way(x, module.initial(4))
        spread += torch.autograd.grad(outputs, module.recurs.weight, torch.ones(()).expand_as(outputs))      # strides of zero
    torch.testing.assert_close(*spread, rtol=1e-5, atol=1e-5)


@each_layer
def test_a_graph_may_be_gone_through_twice(layer):
    module, x = varied(layer, 4, 6), torch.randn(3, 5, 4)
    outputs, _ = natively(module)(x, module.initial(3))
    first, again = (torch.autograd.grad(outputs.sum(), list(module.parameters()), retain_graph=True, allow_unused=True) for _ in range(2))
    assert all(torch.equal(a, b) for a, b in zip(first, again, strict=True) if a is not None)


def test_a_second_slope_is_refused_by_the_kernel_and_had_without_it():
    module, x = varied(LSTMLayer, 4, 6), torch.randn(3, 5, 4, requires_grad=True)
    outputs, _ = natively(module)(x, module.initial(3))
    with pytest.raises(NotImplementedError, match="second derivative is not implemented by the native kernel"):
        torch.autograd.grad(outputs.sum(), x, create_graph=True)
    with kernels.written_out():
        outputs, _ = module(x, module.initial(3))
        (slope,) = torch.autograd.grad(outputs.sum(), x, create_graph=True)
        slope.sum().backward()


def test_it_serves_single_precision_on_the_processor_alone():
    module = varied(LSTMLayer, 4, 6)
    double = varied(LSTMLayer, 4, 6).double()
    assert natively(double)(torch.randn(3, 5, 4).double(), double.initial(3)) is None
    with torch.autocast("cpu", torch.bfloat16):
        assert natively(module)(torch.randn(3, 5, 4), module.initial(3)) is None
    assert natively(module)(torch.randn(0, 5, 4), module.initial(0)) is None


def test_a_net_uses_it_and_a_stack_of_nets_gives_the_same(monkeypatch):
    calls = []
    kernel = kernels.offered("lstm")
    monkeypatch.setitem(kernels._offered, "lstm", kernels.Offer(lambda *inputs: calls.append(1) or kernel(*inputs)))
    torch.manual_seed(0)
    net, x = LSTM((7, 4), 3, hidden=6, layers=2, bidirectional=True), torch.randn(5, 7, 4)
    answer = net(x)
    assert len(calls) == 4
    stacked = torch.vmap(lambda net, x: net(x), in_dims=(0, None))(Net.stack([Net.of(net)]), x)[0]
    torch.testing.assert_close(stacked, answer, rtol=1e-5, atol=1e-6)


def test_sizes_are_those_of_the_header():
    assert [name for name, _ in scan.Sizes._fields_] == ["rows", "steps", "inputs", "units", "sparse"]
    assert ctypes.sizeof(scan.Sizes) == 5 * ctypes.sizeof(ctypes.c_long)


@pytest.mark.parametrize("steps", [32, 33])
def test_programs_leave_many_steps_to_the_kernel(steps, monkeypatch):
    """A native or compiled program is made of few steps through time; of more, only where no kernel is offered."""
    net, x = LSTM((steps, 4), 3, hidden=6), torch.randn(5, steps, 4)
    if steps == 32:
        return check_steps(net, x)
    with pytest.raises(PlanRejected, match="33 steps through time would be written out one by one, where a kernel does them all"):
        check_steps(net, x)
    check_steps(torch.nn.Linear(4, 3), x)
    monkeypatch.setattr(kernels, "_offered", {})
    return check_steps(net, x)
