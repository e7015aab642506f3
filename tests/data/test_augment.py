"""Augmentation against pictures altered one by one, in loops or by scipy, and against the chances that each alteration should have."""

from __future__ import annotations

import itertools
import json
import math

import numpy as np
import pytest
import torch
from altering import SHAPE, altered, pictures, shifts
from scipy import ndimage, stats
from torch.fx.experimental.proxy_tensor import make_fx

from chainrule.cli.main import run_command
from chainrule.core.errors import InputError
from chainrule.core.registry import augments
from chainrule.data.augment import augmentation, resampled
from chainrule.data.load import load
from chainrule.job.build import build
from chainrule.job.options import Options

UNCHANGED = {"shift": "shift:0", "crop": "crop:0,fill=reflect", "flip": "flip:0", "rotate": "rotate:0", "scale": "scale:0",
             "elastic": "elastic:0", "cutout": "cutout:0", "brightness": "brightness:0", "contrast": "contrast:0", "noise": "noise:0",
             "drop": "drop:0"}
ALTERING = [entry.name for entry in augments.entries() if not entry.traits.mixes]
STRONG = ["shift:3", "crop:4", "crop:4,fill=reflect", "flip", "rotate:40", "scale:0.3", "elastic:alpha=20,sigma=2", "cutout:4",
          "brightness", "contrast", "noise", "drop:0.3", "shift:3+flip+rotate:40+noise+scale:0.2+cutout:3+elastic:alpha=9,sigma=2+drop"]


def squares(side):
    """A picture with a square at every place that its middle may have."""
    def every(x):
        _, h, w = x.shape
        found = []
        for middle_row, middle_column in itertools.product(range(h), range(w)):
            one = x.copy()
            for row, column in itertools.product(range(h), range(w)):
                if 0 <= row - middle_row + side // 2 < side and 0 <= column - middle_column + side // 2 < side:
                    one[:, row, column] = 0
            found.append(one)
        return found

    return every


@pytest.mark.parametrize(("spec", "candidates"), [
    ("shift:2", shifts(2)), ("crop:3", shifts(3)), ("crop:3,fill=reflect", shifts(3, "reflect")),
    ("flip", lambda x: [x, x[:, :, ::-1]]), ("cutout:4", squares(4)), ("cutout:3", squares(3)),
])
def test_every_possible_picture_comes_equally_often_and_no_other(spec, candidates):
    """Chi-square over all places, each made by a loop over one picture."""
    one = pictures(1)
    made = altered(spec, one.expand(6000, *SHAPE)).flatten(1)
    could = torch.tensor(np.stack(candidates(one[0].numpy()))).flatten(1)                  # (places, pixels)
    assert len(could.unique(dim=0)) == len(could)
    found, counts = made.unique(dim=0, return_counts=True)
    apart = torch.cdist(found.double(), could.double(), p=math.inf)                        # (found, places)
    assert apart.min(1).values.eq(0).all()
    often = torch.zeros(len(could)).index_add_(0, apart.argmin(1), counts.float())
    assert stats.chisquare(often.numpy()).pvalue > 1e-3


def test_a_flip_is_undone_by_another_and_happens_as_often_as_asked():
    x = pictures(4000)
    assert torch.equal(altered("flip:1", x), x.flip(3))
    assert torch.equal(altered("flip:1", altered("flip:1", x)), x)
    turned = (altered("flip:0.2", x) != x).flatten(1).any(1)
    assert stats.binomtest(int(turned.sum()), 4000, 0.2).pvalue > 1e-3


def test_a_square_away_from_borders_has_all_its_pixels_and_mean_coverage_is_that_of_all_places():
    n, side = 20000, 4
    blank = altered(f"cutout:{side}", torch.ones(n, *SHAPE))[:, 0] == 0                    # (n, h, w)
    assert blank.flatten(1).sum(1).max() == side**2
    inside = blank[:, 0].any(1) | blank[:, -1].any(1) | blank[:, :, 0].any(1) | blank[:, :, -1].any(1)
    assert (blank[~inside].flatten(1).sum(1) == side**2).all()
    expected = torch.tensor(np.mean([one[0] == 0 for one in squares(side)(np.ones(SHAPE))], 0))
    error = (expected * (1 - expected) / n).sqrt()
    assert ((blank.double().mean(0) - expected).abs() < 5 * error).all()


def drawn(n, most, seed=0):
    torch.manual_seed(seed)
    return (most * (2 * torch.rand(n, 1, 1) - 1)).flatten().tolist()


def by_scipy(picture, rows, columns):
    """One picture with its pixels taken from these places, bilinear, zeros outside: (c, h, w)."""
    return np.stack([ndimage.map_coordinates(channel, [rows, columns], order=1, mode="grid-constant", cval=0) for channel in picture])


def test_rotation_is_scipys():
    x = pictures()
    for made, one, degrees in zip(altered("rotate:60", x), x.double().numpy(), drawn(5, 60), strict=True):
        twin = ndimage.rotate(one, degrees, axes=(2, 1), reshape=False, order=1, mode="grid-constant")
        np.testing.assert_allclose(made, twin, atol=2e-6)


def test_scaling_is_scipys():
    x = pictures()
    for made, one, change in zip(altered("scale:0.5", x), x.double().numpy(), drawn(5, 0.5), strict=True):
        middle = (np.array(one.shape) - 1) / 2
        factors = np.array([1, 1 / (1 + change), 1 / (1 + change)])
        twin = ndimage.affine_transform(one, factors, middle - factors * middle, order=1, mode="grid-constant")
        np.testing.assert_allclose(made, twin, atol=2e-6)


def test_elastic_is_a_field_smoothed_by_scipy():
    x, alpha, sigma = pictures(), 15.0, 1.5
    made = altered(f"elastic:alpha={alpha},sigma={sigma}", x)
    torch.manual_seed(0)
    fields = (2 * torch.rand(2, 5, *SHAPE[1:]) - 1).double().numpy()
    row, column = np.mgrid[: SHAPE[1], : SHAPE[2]]
    for i, one in enumerate(x.double().numpy()):
        down, right = (alpha * ndimage.gaussian_filter(field[i], sigma, mode="constant") for field in fields)
        assert np.abs(down).max() > 1
        np.testing.assert_allclose(made[i], by_scipy(one, row + down, column + right), atol=1e-4)


def test_moves_that_follow_each_other_are_one_resampling_in_their_order():
    """Turned, then enlarged, then shifted: one bilinear look-up through the product of the three matrices, in float64."""
    x = pictures()
    made = altered("rotate:60+scale:0.4+shift:3", x)
    torch.manual_seed(0)                                                                   # the last one draws first
    down, right = ((torch.rand(2, 5, 1, 1) * 7).floor() - 3).flatten(1).double()
    change, degrees = ((most * (2 * torch.rand(5, 1, 1) - 1)).flatten().double() for most in (0.4, 60))
    row, column = np.mgrid[: SHAPE[1], : SHAPE[2]]
    middle = (np.array(SHAPE[1:]) - 1) / 2
    places = np.stack([row.ravel() - middle[0], column.ravel() - middle[1], np.ones(row.size)])
    for i, one in enumerate(x.double().numpy()):
        angle = math.radians(float(degrees[i]))
        turn = np.array([[math.cos(angle), math.sin(angle), 0], [-math.sin(angle), math.cos(angle), 0], [0, 0, 1]])
        grow = np.diag([1 / (1 + float(change[i]))] * 2 + [1])
        back = np.array([[1, 0, -float(down[i])], [0, 1, -float(right[i])], [0, 0, 1]])
        at = (turn @ grow @ back @ places)[:2] + middle[:, None]
        np.testing.assert_allclose(made[i], by_scipy(one, *at.reshape(2, *row.shape)), atol=5e-6)


def test_the_first_move_is_made_first():
    def right(n, rows, columns):
        return rows, columns - 1

    def mirror(n, rows, columns):
        return rows, -columns

    x = pictures()
    by_one = torch.nn.functional.pad(x, (1, 0))[..., :-1]
    for whole in (True, False):
        assert torch.equal(resampled(x, [right, mirror], whole), by_one.flip(3))
        assert torch.equal(resampled(x, [mirror, right], whole), torch.nn.functional.pad(x.flip(3), (1, 0))[..., :-1])


def test_noise_is_gaussian_and_of_its_own_for_every_input():
    x = torch.rand(200, 50)
    added = ((altered("noise:0.3", x) - x) / 0.3).double()
    assert stats.kstest(added.flatten().numpy(), "norm").pvalue > 1e-3
    assert abs(float((added[:, :-1] * added[:, 1:]).mean())) < 5 / math.sqrt(added[:, 1:].numel())


def test_dropping_sets_the_share_asked_for_to_zero_and_leaves_the_rest():
    x = torch.rand(200, 50) + 0.1
    made = altered("drop:0.3", x)
    assert stats.binomtest(int((made == 0).sum()), x.numel(), 0.3).pvalue > 1e-3
    assert torch.equal(made[made != 0], x[made != 0])
    assert not altered("drop:1", x).any()


def test_brightness_and_contrast_multiply_a_picture_or_what_sets_it_apart_from_its_mean():
    x = pictures(2000)
    brighter = altered("brightness:0.4", x) / x
    factor = brighter.flatten(1)[:, 0]
    torch.testing.assert_close(brighter, factor[:, None, None, None].expand_as(x))
    assert stats.kstest(factor.double().numpy(), stats.uniform(0.6, 0.8).cdf).pvalue > 1e-3
    made = altered("contrast:0.4", x)
    for before, after in zip(x[:50].double().numpy(), made[:50].double().numpy(), strict=True):
        assert after.mean() == pytest.approx(before.mean(), abs=1e-6)
        slope = np.polyfit(before.ravel(), after.ravel(), 1)[0]
        np.testing.assert_allclose(after, before.mean() + slope * (before - before.mean()), atol=1e-5)
        assert 0.6 <= slope <= 1.4
    assert stats.kstest((made.std((1, 2, 3)) / x.std((1, 2, 3))).double().numpy(), stats.uniform(0.6, 0.8).cdf).pvalue > 1e-3


def test_every_augmentation_is_in_the_tables():
    assert {spec.split(":")[0] for spec in STRONG[:-1]} == set(UNCHANGED) == set(ALTERING)


@pytest.mark.parametrize("spec", UNCHANGED.values())
def test_without_strength_nothing_changes(spec):
    assert torch.equal(altered(spec, pictures()), pictures())


@pytest.mark.parametrize("spec", STRONG)
def test_one_seed_makes_the_same_pictures_and_each_sample_is_altered_in_its_own_way(spec):
    x = pictures(1).repeat(40, 1, 1, 1)
    made = altered(spec, x)
    assert made.shape == x.shape
    assert made.dtype == x.dtype
    assert torch.equal(made, altered(spec, x))
    assert not torch.equal(made, altered(spec, x, seed=1))
    assert len(made.unique(dim=0)) > (1 if spec == "flip" else 20)
    assert torch.equal(x, pictures(1).repeat(40, 1, 1, 1))


@pytest.mark.parametrize("spec", STRONG)
def test_order_of_memory_low_precision_and_flat_rows_make_no_difference(spec):
    x = pictures()
    made = altered(spec, x)
    assert torch.equal(altered(spec, x.contiguous(memory_format=torch.channels_last)), made)
    with torch.autocast("cpu", torch.bfloat16):
        assert torch.equal(altered(spec, x), made)
    torch.manual_seed(0)
    assert torch.equal(augmentation(spec, SHAPE)(x.flatten(1)), made.flatten(1))
    double = altered(spec, x.double())
    assert double.dtype == torch.float64
    torch.testing.assert_close(double.float(), made, atol=1e-5, rtol=1e-5)


@pytest.mark.parametrize("spec", STRONG)
def test_it_is_one_graph_that_reads_nothing_back_and_draws_what_can_be_drawn_ahead(spec):
    alter = augmentation(spec, SHAPE)
    graph = make_fx(alter, tracing_mode="fake")(pictures())
    for node in graph.graph.nodes:
        tags = getattr(node.target, "tags", ())
        assert torch.Tag.data_dependent_output not in tags
        assert torch.Tag.dynamic_output_shape not in tags
        if torch.Tag.nondeterministic_seeded in tags:
            assert node.target in (torch.ops.aten.rand.default, torch.ops.aten.randn.default)
            assert not node.all_input_nodes
    other = pictures(seed=1)
    torch.manual_seed(0)
    assert torch.equal(graph(other), altered(spec, other))


def test_it_is_captured_whole():
    x = pictures()
    captured = torch.compile(augmentation(STRONG[-1], SHAPE), backend="eager", fullgraph=True)
    torch.manual_seed(0)
    assert torch.equal(captured(x), altered(STRONG[-1], x))


@pytest.mark.parametrize("spec", STRONG)
def test_members_of_a_stack_draw_numbers_of_their_own(spec):
    x = pictures(20)
    torch.manual_seed(0)
    made = torch.vmap(augmentation(spec, SHAPE), randomness="different")(x.expand(3, *x.shape))
    assert made.shape == (3, *x.shape)
    assert not torch.equal(made[0], made[1])
    assert not torch.equal(made[1], made[2])


def test_a_stack_of_shifted_pictures_holds_only_shifted_pictures():
    x = pictures(20)
    made = torch.vmap(augmentation("shift:1", SHAPE), randomness="different")(x.expand(3, *x.shape))
    for member in made:
        for one, before in zip(member, x, strict=True):
            assert any(np.array_equal(one, could) for could in shifts(1)(before.numpy()))


@pytest.mark.parametrize(("spec", "sentence"), [
    ("shfit:2", "no augmentation called 'shfit'. Did you mean shift?"),
    ("shift:2+contrst", "no augmentation called 'contrst'. Did you mean contrast?"),
    ("shift:pixel=2", "has no option 'pixel'. Did you mean pixels?"),
    ("shift:9", "shift expects pixels to be from 0 to 8 for pictures of 9 x 12 pixels; got 9"),
    ("shift:-1", "got -1"),
    ("shift:1.5", "whole number"),
    ("crop:9", "crop expects padding to be from 0 to 8"),
    ("crop:fill=edge", "one of zeros, reflect"),
    ("cutout:10", "cutout expects side to be from 0 to 9"),
    ("flip:1.5", "flip expects probability to be between 0 and 1; got 1.5"),
    ("drop:-0.1", "drop expects share to be between 0 and 1; got -0.1"),
    ("rotate:181", "rotate expects degrees to be between 0 and 180"),
    ("scale:1", "scale expects share to be between 0 and 0.9"),
    ("elastic:sigma=0", "elastic expects sigma to be between 0.1 and 100"),
    ("elastic:-1", "elastic expects alpha"),
    ("brightness:2", "brightness expects share"),
    ("contrast:nan", "contrast expects share to be a number; got 'nan'"),
    ("noise:-1", "noise expects sd"),
])
def test_wrong_names_and_values_are_answered_with_what_would_do(spec, sentence):
    with pytest.raises(InputError) as told:
        augmentation(spec, SHAPE)
    assert sentence in str(told.value)


@pytest.mark.parametrize("name", sorted(set(UNCHANGED) - {"noise", "drop"}))
def test_those_of_pictures_refuse_tables(name):
    with pytest.raises(InputError, match=rf"{name} alters pictures .* iris has samples of shape \(4,\). Use noise or drop"):
        build(load("iris"), Options(augment=name))


def test_the_command_line_lists_them_and_answers_typing_errors(capsys):
    assert run_command(["list", "augments", "--json"]) == 0
    rows = json.loads(capsys.readouterr().out.strip().splitlines()[-1])
    assert [row["name"] for row in rows] == augments.names()
    assert all(row["summary"] and row["source"] for row in rows)
    assert run_command(["train", "digits", "--augment", "flip+shfit:2"]) == 2
    said = capsys.readouterr()
    assert said.err.strip() == "There is no augmentation called 'shfit'. Did you mean shift?"
    assert not said.out
