"""Recorded and native programs of layers and operations with drawn arguments: the net's own outputs on rows they were not made from."""

from __future__ import annotations

import shutil

import pytest
import torch
from hypothesis import HealthCheck, given, reject, settings
from hypothesis import strategies as st
from torch import Tensor, nn

from chainrule.core.errors import PlanRejected
from chainrule.core.net import Net
from chainrule.engine.infer.inference import Inference, Way, build
from chainrule.engine.infer.replay import Unrecordable, record
from chainrule.engine.native import compiling
from tests.engine.native.test_arguments import GATHERED, MOVES, NAMES, POOL, WINDOWS, elementwise

ROWS = 16
DRAWN = settings(max_examples=40, deadline=None, derandomize=True, suppress_health_check=[*HealthCheck], database=None)
FEW = settings(DRAWN, max_examples=12)
FLAG, SMALL = st.booleans(), st.integers(1, 2)
ACTIVATIONS = st.sampled_from([
    nn.Identity(), nn.ReLU(), nn.ReLU(inplace=True), nn.Sigmoid(), nn.Tanh(), nn.ReLU6(), nn.LeakyReLU(0.2), nn.ELU(0.7),
    nn.Softplus(2.0, 1.0), nn.Hardtanh(-0.3, 0.4), nn.GELU(approximate="tanh"), nn.GELU(), nn.Softmax(1), nn.LogSoftmax(1),
    nn.Threshold(0.1, 20.0)])


@pytest.fixture(scope="module", autouse=True)
def cache(tmp_path_factory):
    folder = tmp_path_factory.mktemp("native")
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(compiling, "usual_folder", lambda: folder)
        patch.setattr(compiling, "FLAGS", tuple("-O1" if flag == "-O3" else flag for flag in compiling.FLAGS))
        yield


def pair(least, most):
    return st.tuples(st.integers(least, most), st.integers(least, most))


CONVOLUTIONS = st.builds(
    lambda *how: nn.Conv2d(4, *how),
    st.sampled_from([4, 6]), pair(1, 3), pair(1, 2), pair(0, 1) | st.just("valid"), pair(1, 2), SMALL, FLAG,
    st.sampled_from(["zeros", "reflect", "replicate", "circular"]))
BACKWARDS = st.builds(
    lambda kernel, stride, more, groups, bias: nn.ConvTranspose2d(4, 4, kernel, stride, 0, min(more, min(stride) - 1), groups, bias),
    pair(1, 3), pair(1, 2), st.integers(0, 1), SMALL, FLAG)
NORMS = st.one_of(
    st.none(), st.tuples(st.just("batch"), st.sampled_from([1e-5, 0.5]), FLAG),
    st.just(("batch without memory", 1e-5, True)), st.just(("group", 0.1, True)))
POOLS = st.one_of(
    st.none(),
    st.builds(lambda *how: nn.MaxPool2d(*how[:4], ceil_mode=how[4]), pair(2, 3), st.none() | pair(1, 2), st.integers(0, 1), SMALL, FLAG),
    st.builds(nn.AvgPool2d, pair(2, 3), st.none() | pair(1, 2), st.integers(0, 1), FLAG, FLAG, st.none() | st.integers(1, 5)))


def normed(how, channels):
    if how is None:
        return nn.Identity()
    kind, eps, affine = how
    if kind == "group":
        return nn.GroupNorm(2, channels, eps)
    return nn.BatchNorm2d(channels, eps, affine=affine, track_running_stats=kind == "batch")


def net_of(first, norm, activation, pool, linear) -> nn.Module:
    torch.manual_seed(0)
    channels = first.out_channels
    module = nn.Sequential(first, normed(norm, channels), activation, pool or nn.Identity(), nn.Flatten())
    try:
        features = module(torch.zeros(2, 4, 7, 8)).shape[1]
    except RuntimeError:  # the windows do not fit into what is left of the picture
        reject()
    module.append(nn.Linear(features, 5, bias=linear))
    for parameter in module.parameters():
        nn.init.normal_(parameter, 0.1, 0.3)
    module(torch.randn(40, 4, 7, 8))  # so that moments are not the first ones
    return module.eval()


PICTURES = st.builds(net_of, st.one_of(CONVOLUTIONS, BACKWARDS), NORMS, ACTIVATIONS, POOLS, FLAG)


def compared(module, kind: str) -> None:
    torch.manual_seed(1)
    rows, others = torch.randn(2, ROWS, 4, 7, 8).unbind()
    inference = Inference(Net.of(module), lambda x: x, torch.device("cpu"))
    try:
        run = build(inference, Way(ROWS, kind), rows)
    except PlanRejected as why:
        assert str(why).startswith(("native ", "cannot be recorded: ")), str(why)
        return
    with torch.no_grad():
        torch.testing.assert_close(run(others), module(others), rtol=1e-4, atol=1e-5, msg=lambda said: f"{kind}: {module}: {said}")


@pytest.mark.parametrize("kind", ["recorded", "packed"])
@DRAWN
@given(module=PICTURES)
def test_recorded_layers_with_every_argument(kind, module):
    compared(module, kind)


@pytest.mark.skipif(not any(map(shutil.which, compiling.COMPILERS)), reason="there is no C compiler on this machine")
@FEW
@given(module=PICTURES)
def test_native_layers_with_every_argument(module):
    compared(module, "native")


@pytest.mark.parametrize("packed", [False, True])
@FEW
@given(data=st.data())
def test_recorded_operations_with_every_argument(packed, data):
    """Each operation of a tensor that is the input, the others being weights; played back on the input's elements turned around."""
    groups = (*MOVES.values(), *GATHERED.values(), *WINDOWS.values(), *(elementwise(name) for name in NAMES))
    for call in [data.draw(calls) for calls in groups]:
        given = next((a for a in call.args if isinstance(a, str) and a in POOL and POOL[a].is_floating_point() and POOL[a].dim()), None)
        if given is None:
            continue

        def net(x, call=call, given=given):
            return call(**{**POOL, given: x})

        try:
            first = net(POOL[given])
        except (RuntimeError, IndexError, ValueError, OverflowError, NotImplementedError):
            continue
        if not isinstance(first, Tensor):
            continue
        try:
            program = record(net, POOL[given].clone(), packed)
        except Unrecordable:
            continue
        other = POOL[given].flip(0).contiguous()
        torch.testing.assert_close(program(other.clone()), net(other), rtol=1e-6, atol=1e-9, equal_nan=True,
                                   msg=lambda said, call=call: f"{call!r}: {said}")
