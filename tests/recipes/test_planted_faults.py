"""Exact checks of the canon can fail: each sees a small fault planted in what it checks."""

import pytest
import torch

from chainrule.core.tree import scale
from chainrule.nets.layers.convolution import Convolution
from chainrule.recipes import convolution, published_counts, recurrent
from chainrule.recipes.outcome import Setting, run
from chainrule.rules import bptt


def missed(name, tmp_path):
    return [figure.what for figure in run(name, Setting(tmp_path, short=True)).figures if figure.reached is False]


def test_the_unrolled_twin_sees_a_gradient_that_is_off_by_a_billionth(tmp_path, monkeypatch):
    exact = bptt.clipped
    monkeypatch.setattr(bptt, "clipped", lambda name, slope, clip: scale(exact(name, slope, clip), 1 + 1e-9))
    assert len(missed("unrolled-twin", tmp_path)) == 2


def test_the_unrolled_twin_sees_padding_that_counts(tmp_path, monkeypatch):
    exact = recurrent._through_time
    monkeypatch.setattr(recurrent, "_through_time", lambda module, windows: exact(module, [
        type(w)(w.x, w.y, mask=torch.ones_like(w.mask), fresh=w.fresh) for w in windows]))
    assert len(missed("unrolled-twin", tmp_path)) == 2


def test_the_worked_grids_see_a_kernel_turned_over(tmp_path, monkeypatch):
    """A convolution in the sense of mathematics is not what the worked grids are of."""
    exact = Convolution.forward
    monkeypatch.setattr(Convolution, "forward", lambda self, x: exact(self, x.flip(2, 3)).flip(2, 3))
    assert missed("convolution-arithmetic", tmp_path)


def test_the_worked_grids_see_a_side_that_is_counted_wrong(tmp_path, monkeypatch):
    monkeypatch.setattr(convolution, "side_after", lambda *_, **__: 3)
    assert len(missed("convolution-arithmetic", tmp_path)) == 1


@pytest.mark.parametrize(("printed", "judged"), [(0.27, True), (0.28, False)])
def test_a_count_in_millions_is_judged_by_the_digits_that_are_printed(printed, judged):
    """ResNet-20 has 269,722 parameters."""
    outcome = published_counts._counted((published_counts.Published("resnet:depth=20", published_counts.SMALL, printed, "s", 2),))
    assert outcome.figures[0].ours == pytest.approx(0.269722)
    assert outcome.reached is judged
