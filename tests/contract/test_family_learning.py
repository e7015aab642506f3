"""Every family that predicts classes memorises eight samples, has the slopes of its answers, and answers the same in onnxruntime."""

import copy
import functools
from collections.abc import Callable

import numpy as np
import pytest
import torch
from small_families import SMALL
from torch import Tensor, nn

import chainrule as cr
from chainrule.core.abilities.nets import HasHeads
from chainrule.core.errors import InputError
from chainrule.core.registry import Entry, nets
from chainrule.job.build import build
from chainrule.job.job import Job
from chainrule.job.options import Options
from chainrule.workflows.export import onnx_content, onnx_model, onnx_runner, silent

TASK = "classification"
FAMILIES = [entry for entry in nets.entries() if entry.traits.kind is None and TASK in (entry.traits.tasks or (TASK,))]
SHAPES = [(16,), (3, 7), (1, 8, 8), (1, 20, 24), (3, 80, 80)]
SAMPLES, CLASSES, SPARE = 8, 4, 3
NET_OPTIONS = {"inception-v3": {"auxiliary": "no"}, "vgg": {"depth": 11}}  # fewer layers, of the same kinds
TRAINING = {"expert-values": {"steps": 60}, "tanh-unit": {"optimizer": "adam:rate=0.03", "steps": 200},
            "inception-v3": {"optimizer": "adam:rate=0.01", "steps": 100},
            **{name: {"optimizer": "adam:rate=0.03", "steps": 120} for name in ("rnn", "lstm", "gru")},
            "pnn": {"rule": "parzen:width=1"},
            "highway": {"optimizer": "adam:rate=0.005", "steps": 60},
            "conv-dbn": {"stages": "none", "optimizer": "adam:rate=0.03", "steps": 150},
            "neocognitron": {"rule": "backprop"}}  # its own fits the readout alone, to planes of strokes
ALIKE = {"bn-inception": "googlenet", "inception-v3": "googlenet", "plain": "resnet", "vgg": "convnet", "fitnet": "maxout"}  # in layers
DIFFERENCES = (1e-8, 1e-7, 1e-9)                        # of central differences in float64: some of them cross no corner of many units

each_family = pytest.mark.parametrize("entry", FAMILIES, ids=lambda entry: entry.name)


def spec_of(entry: Entry) -> str:
    """The small form as a user writes it, with nothing left out at random."""
    random = {name: 0.0 for name in entry.options if "drop" in name}
    options = {**SMALL.get(entry.name, {}), **random, **NET_OPTIONS.get(entry.name, {})}
    words = {name: "x".join(map(str, value)) if isinstance(value, tuple) else str(value) for name, value in options.items()}
    return entry.name + ":" * bool(options) + ",".join(f"{name}={word}" for name, word in words.items())


@functools.cache
def memorised(name: str) -> Job:
    """A family that has seen nothing but eight samples, in the first of the shapes that it accepts."""
    entry, refusal = nets.find(name), None
    usual = {"rule": entry.traits.rule} if entry.traits.rule else {"optimizer": "adam:rate=0.003"}
    options = {"steps": 40, **usual, **TRAINING.get(name, {})}
    for shape in SHAPES:
        x = np.random.default_rng(0).random((SAMPLES, *shape)).astype(np.float32)
        try:
            job = build(cr.load((x, np.arange(SAMPLES) % CLASSES)),
                        Options(net=spec_of(entry), task=TASK, batch=SAMPLES, split="train=1", plan="eager", threads=1, **options))
        except InputError as error:
            refusal = error
            continue
        for _ in job.events():
            pass
        return job
    raise AssertionError(refusal)


@each_family
def test_memorises_eight_samples(entry):
    job = memorised(entry.name)
    answer = job.trained.predictions(job.data.train)
    assert answer.argmax(1).tolist() == job.data.train.y.tolist()


def answers(module: nn.Module, x: Tensor, y: Tensor) -> list[Tensor]:
    """What a net gives in training, further heads included, with the same units left out at each call."""
    torch.manual_seed(0)
    if not isinstance(module, HasHeads):
        return [module(x)]
    outputs, heads = module.with_heads(x, y)
    return [outputs, *(head.outputs for head in heads.values())]


@pytest.mark.parametrize("training", [False, True], ids=["asked", "trained"])
@each_family
def test_the_slope_along_any_way_is_what_differences_say(entry, training):
    """Central differences in float64 of randomly weighted answers, along a random way of the inputs and one of the parameters."""
    job = memorised(entry.name)
    module, generator = copy.deepcopy(job.net.module).double().train(training), torch.Generator().manual_seed(1)
    x, y = job.data.train.x[:4].double().requires_grad_(), job.data.train.y[:4]

    def random(like: Tensor) -> Tensor:
        return torch.randn(like.shape, generator=generator, dtype=torch.float64)

    parameters = list(module.parameters())
    moved(parameters, [random(p) for p in parameters], 0.01)            # away from the corners of units that see nothing
    weights = [random(answer) for answer in answers(module, x, y)]

    def total() -> Tensor:
        return sum((weight * answer).sum() for weight, answer in zip(weights, answers(module, x, y), strict=True))

    for places in ([x], parameters):
        way = [random(place) for place in places]
        slopes = torch.autograd.grad(total(), places, materialize_grads=True)
        along = sum((slope * step).sum() for slope, step in zip(slopes, way, strict=True))
        assert along.abs() > 1e-3
        assert any(torch.isclose(differences(total, places, way, by), along, rtol=1e-4, atol=1e-6) for by in DIFFERENCES)


def differences(total: Callable[[], Tensor], places: list[Tensor], way: list[Tensor], by: float) -> Tensor:
    """How `total` changes from one side of where it is to the other, a unit of the way."""
    moved(places, way, by)
    above = total().detach()
    moved(places, way, -2 * by)
    below = total().detach()
    moved(places, way, by)
    return (above - below) / (2 * by)


def moved(places: list[Tensor], way: list[Tensor], by: float) -> None:
    """Moves each place, in itself."""
    with torch.no_grad():
        for place, step in zip(places, way, strict=True):
            place += by * step


@pytest.mark.parametrize("entry", [pytest.param(e, marks=pytest.mark.slow) if e.name in ALIKE else e for e in FAMILIES],
                         ids=lambda entry: entry.name)
def test_onnxruntime_answers_the_same(entry):
    """As many rows as the example had and fewer, by a net whose answers tell its samples apart."""
    pytest.importorskip("onnxscript")
    pytest.importorskip("onnxruntime")
    job = memorised(entry.name)
    module, x = copy.deepcopy(job.net.module).eval(), job.data.train.x.float()
    with torch.no_grad(), silent():
        answer = module(x)
        run = onnx_runner(onnx_content(onnx_model(module, x[:2], ["input"], None, entry.name), entry.name), entry.name)
    for rows in (SAMPLES, SPARE):
        torch.testing.assert_close(torch.from_numpy(run({"input": x[:rows].numpy()})[0]), answer[:rows], rtol=1e-4, atol=1e-5)
    assert answer.std(0).min() > 1e-2
