"""Pictures of curves: ink where the curve is, by its formula at points that the generator does not use, and nowhere else."""

import pytest
import torch

import chainrule as cr
from chainrule.core.errors import InputError
from chainrule.data.synthetic.curves import EDGE, INK, SIDE, drawn


def test_ink_lies_along_the_curve_and_nowhere_else():
    count, seed = 4, 3
    pictures = drawn(count, seed).reshape(count, SIDE, SIDE)
    random = torch.Generator().manual_seed(seed)
    points = EDGE + (SIDE - 1 - 2 * EDGE) * torch.rand(count, 3, 2, generator=random)
    t = torch.linspace(0, 1, 331)[:, None, None]
    ways = (1 - t) * ((1 - t) * points[:, 0] + t * points[:, 1]) + t * ((1 - t) * points[:, 1] + t * points[:, 2])     # de Casteljau
    rows, columns = torch.meshgrid(torch.arange(SIDE), torch.arange(SIDE), indexing="ij")
    places = torch.stack([rows, columns], -1).float()
    for picture, way in zip(pictures, ways.unbind(1), strict=True):
        far = (places[:, :, None] - way).norm(dim=-1).amin(2)
        assert float(picture[far > 4 * INK].max()) < 1e-2
        assert float(picture[far < 0.2 * INK].min()) > 0.85


def test_the_last_third_is_for_tests_and_all_follows_from_the_seed():
    source = cr.load("curves:count=12")
    assert (source.inputs.shape, source.targets, source.parts["test"].tolist()) == ((12, 1, SIDE, SIDE), None, [8, 9, 10, 11])
    assert source.fingerprint == cr.load("curves:count=12").fingerprint != cr.load("curves:count=12,seed=1").fingerprint
    with pytest.raises(InputError, match="at least 9; got 3"):
        cr.load("curves:count=3")
