"""Several characters at once, by nets whose answers are known: templates that are moved over strips."""

import numpy as np
import pytest
import torch
from torch import nn

import chainrule as cr
from chainrule.core.errors import InputError
from chainrule.data import fingerprint
from chainrule.data.source import Source
from chainrule.job.build import build
from chainrule.job.options import Options
from chainrule.job.own import Own
from chainrule.workflows import several_characters

SIDE, CLASSES = 8, 3
TEMPLATES = (torch.rand(CLASSES, 1, SIDE, SIDE, generator=torch.Generator().manual_seed(0)) < 0.4).float()


def matching():
    """Correlation with each template, less what any other has in common: greatest, and 0, where the template stands exactly."""
    layer = nn.Conv2d(1, CLASSES, SIDE)
    with torch.no_grad():
        layer.weight.copy_(2 * TEMPLATES - 1)
        layer.bias.copy_(-TEMPLATES.sum((1, 2, 3)))
    return nn.Sequential(layer, nn.Flatten())


@pytest.fixture(scope="module")
def trained():
    """Such a net as it would be had it been trained on single characters."""
    y = np.arange(60) % CLASSES
    x = (TEMPLATES[y] * 255).to(torch.uint8)
    job = build(cr.load((x, y)), Options(plan="eager", threads=1, epochs=1), Own(net=matching()))
    job.net.module.eval()
    return job.trained


def strips(n, count, seed=0):
    """Characters a width apart or one pixel less, and what they are."""
    random = np.random.default_rng(seed)
    x, y = torch.zeros(n, 1, SIDE, count * SIDE, dtype=torch.uint8), torch.from_numpy(random.integers(CLASSES, size=(n, count)))
    for strip, labels in zip(x[:, 0], y.tolist(), strict=True):
        begin = 0
        for label in labels:
            strip[:, begin : begin + SIDE] = torch.maximum(strip[:, begin : begin + SIDE], (TEMPLATES[label, 0] * 255).to(torch.uint8))
            begin += SIDE - int(random.integers(2))
    return x, y


def source(x, y, parts=None):
    names = tuple(map(str, range(CLASSES)))
    return Source("strips", x, y, "steps", {"kind": "memory", "what": "strips"}, fingerprint.of(x, y, names), names, parts or {})


@pytest.mark.parametrize("count", [1, 2, 5])
def test_characters_are_read_wherever_they_stand(trained, count):
    x, y = strips(40, count + (count == 1), seed=count)
    assert several_characters.read(trained, x, y.shape[1]).equal(y)


def test_strips_are_measured_whole_and_by_character(trained):
    x, y = strips(30, 4)
    wrong = y.clone()
    wrong[0, 2] = (wrong[0, 2] + 1) % CLASSES
    wrong[1] = (wrong[1] + 1) % CLASSES
    assert several_characters.present(trained, source(x, y))
    result = several_characters.measured(trained, source(x, wrong))
    assert result.measures["exact"].value == pytest.approx(28 / 30)
    assert result.measures["accuracy"].value == pytest.approx(1 - 5 / 120)
    tested = several_characters.measured(trained, source(x, wrong, {"test": torch.arange(2, 30)}))
    assert tested.measures["exact"].value == 1
    assert "28 pictures of 8 x 32 of its test part, of 30" in tested.notes[-1]


def test_single_characters_and_other_sizes_are_not_strips(trained):
    x, y = strips(4, 3)
    assert not several_characters.present(trained, source(x[..., :SIDE], y))
    assert not several_characters.present(trained, source(x[:, :, :6], y))
    with pytest.raises(InputError, match="do not fit"):
        several_characters.read(trained, x, 4)


def test_the_command_reads_strips(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    run = cr.train("digits", net="lenet:filters=4x8,hidden=16", steps=20, plan="eager", threads=1, progress=False)
    result = run.test_on("strips:count=40,source=digits")
    assert set(result.measures) == {"exact", "accuracy"}
    assert result.n == 10
    with pytest.raises(InputError, match="Train on single ones"):
        cr.train("strips:count=8,source=digits", progress=False)
