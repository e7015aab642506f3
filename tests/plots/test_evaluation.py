"""Figures: what they draw is the data, and every size of input gives a picture."""

import io
import sys

import numpy as np
import pytest
import torch
from matplotlib.colors import to_hex
from PIL import Image

from chainrule.core.errors import InputError
from chainrule.evaluate.calibration import reliability
from chainrule.evaluate.curves import operating_points
from chainrule.plots import evaluation as plots
from chainrule.plots.figure import to_png

pytestmark = pytest.mark.usefixtures("full_size")


def drawn(figure):
    """The picture as numbers."""
    return np.asarray(Image.open(io.BytesIO(to_png(figure, dots_per_inch=60))).convert("RGB"))


def texts(axes):
    return [t.get_text() for t in axes.texts]


def test_the_confusion_matrix_shows_counts_and_row_shares():
    figure = plots.confusion_matrix([[50, 3], [0, 12]], ["benign", "malignant"])
    axes = figure.axes[0]
    assert texts(axes) == ["50", "3", "0", "12"]
    np.testing.assert_allclose(axes.images[0].get_array(), [[50 / 53, 3 / 53], [0, 1]])
    assert [t.get_text() for t in axes.get_yticklabels()] == ["benign", "malignant"]
    assert drawn(figure).std() > 0


@pytest.mark.parametrize("c", [3, 10, 30])
def test_any_number_of_classes_gives_a_matrix(c):
    figure = plots.confusion_matrix(torch.eye(c, dtype=torch.long).tolist(), [f"a class with a long name {i}" for i in range(c)])
    assert bool(texts(figure.axes[0])) == (c <= plots.NUMBERED)
    assert min(drawn(figure).shape[:2]) > 100


def test_a_class_without_cases_is_a_blank_row():
    image = plots.confusion_matrix([[2, 0], [0, 0]], ["a", "b"]).axes[0].images[0]
    assert np.isfinite(image.get_array()).all()


def test_curves_draw_the_points():
    g = torch.Generator().manual_seed(0)
    s, y = torch.randn(5000, generator=g), torch.rand(5000, generator=g) < 0.5
    points = operating_points(s + y, y)
    small = operating_points(torch.tensor([0.1, 0.9]), torch.tensor([0, 1]))
    for draw in (plots.roc, plots.precision_recall):
        figure = draw({"large": points, "small": small})
        lines = figure.axes[0].get_lines()[-2:]
        assert len(lines[0].get_xdata()) <= plots.CURVE_POINTS
        assert lines[0].get_xdata()[-1] == 1
        assert to_hex(lines[0].get_color()) != to_hex(lines[1].get_color())
        drawn(figure)
    x, height = plots.roc({"small": small}).axes[0].get_lines()[-1].get_data()
    assert (x.tolist(), height.tolist()) == ([0, 0, 1], [0, 1, 1])


def test_reliability_draws_bins_and_names_the_error():
    p = torch.tensor([[0.9, 0.1], [0.9, 0.1], [0.4, 0.6], [0.4, 0.6]])
    figure = plots.reliability(reliability(p, torch.tensor([0, 1, 1, 1])))
    assert "0.4000" in figure.axes[0].get_title()
    assert len(figure.axes[1].patches) == 2
    drawn(figure)


@pytest.mark.parametrize("n", [2, 500, 4000])
@pytest.mark.parametrize("k", [1, 6])
def test_regression_pictures(n, k):
    g = torch.Generator().manual_seed(0)
    y = torch.randn(n, k, generator=g)
    for draw in (plots.predicted_against_true, plots.residuals):
        figure = draw(y + 0.1, y)
        assert len(figure.axes) == min(k, 4) * (2 if draw is plots.residuals else 1)
        if k == 1:
            drawn(figure)
    if n == 2:
        offsets = plots.predicted_against_true(y[:, :1] + 0.1, y[:, :1], ["price"]).axes[0].collections[0].get_offsets()
        np.testing.assert_allclose(offsets, torch.cat([y[:, :1], y[:, :1] + 0.1], 1), rtol=1e-6)


@pytest.mark.parametrize("shape", [(5, 28, 28), (5, 1, 28, 28), (1, 3, 32, 32), (101, 1, 4, 4)])
def test_images_of_any_kind(shape):
    images = torch.randint(0, 256, shape, dtype=torch.uint8)
    figure = plots.image_grid(images, ["true 3\nsaid 8"] * shape[0])
    assert len(figure.axes) == min(shape[0], plots.MOST_PICTURES)
    first = images[0].movedim(0, -1) if shape[1:2] == (3,) else images[0].reshape(shape[-2:])
    np.testing.assert_allclose(figure.axes[0].images[0].get_array(), first / 255, atol=1e-6)
    drawn(plots.image_grid(torch.randn(shape)[:5]))
    with pytest.raises(InputError, match="one for each"):
        plots.image_grid(images, ["too", "few", "titles", "here"])


def test_long_titles_are_wrapped():
    figure = plots.image_grid(torch.rand(2, 8, 8), ["Ankle boot taken for Sneaker, 97%", "short"])
    assert [a.get_title() for a in figure.axes] == ["Ankle boot taken\nfor Sneaker, 97%", "short"]


def test_weights_are_drawn_on_one_symmetric_scale():
    weight = torch.linspace(-1, 3, 2 * 16).reshape(2, 16)
    images = [a.images[0] for a in plots.weight_pictures(weight, (4, 4)).axes[:2]]
    np.testing.assert_allclose(images[1].get_array(), weight[1].reshape(4, 4))
    assert images[0].get_clim() == images[1].get_clim()
    assert images[0].get_clim()[0] == -images[0].get_clim()[1]
    for shape in ((3, 5, 5), (1, 5, 5), (6, 5, 5)):
        drawn(plots.weight_pictures(torch.randn(4, *shape), shape))
    drawn(plots.weight_pictures(torch.zeros(1, 16), (4, 4)))
    with pytest.raises(InputError, match=r"weights \(units, 25\)"):
        plots.weight_pictures(weight, (5, 5))


def test_no_global_state_is_used():
    assert "matplotlib.pyplot" not in sys.modules or not sys.modules["matplotlib.pyplot"].get_fignums()
