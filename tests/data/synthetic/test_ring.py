"""Points about centres: where they are said to be, as wide as they are said to be."""

import pytest
import torch

import chainrule as cr
from chainrule.core.errors import InputError
from chainrule.data.synthetic.ring import ring_centres


def test_eight_modes_on_a_ring_with_the_deviation_that_is_asked():
    data = cr.load("ring8:count=4000,deviation=0.1")
    centres = torch.stack([data.inputs[data.targets == k].mean(0) for k in range(8)])
    torch.testing.assert_close(centres.double(), ring_centres(), atol=0.02, rtol=0)
    assert torch.allclose(ring_centres().norm(dim=1), torch.tensor(2.0).double())
    off = data.inputs - centres[data.targets]
    assert off.std(0).tolist() == pytest.approx([0.1, 0.1], abs=0.005)
    assert torch.bincount(data.targets).tolist() == [500] * 8


def test_blobs_are_told_apart_by_their_centres():
    data = cr.load("blobs:count=300,centres=3,features=4,deviation=0.1")
    assert data.inputs.shape == (300, 4)
    means = torch.stack([data.inputs[data.targets == k].mean(0) for k in range(3)])
    assert (torch.cdist(data.inputs, means).argmin(1) == data.targets).all()


@pytest.mark.parametrize("what", ["ring8:count=10", "ring8:deviation=0", "blobs:centres=1", "blobs:count=20,centres=5"])
def test_what_cannot_be_drawn_is_refused(what):
    with pytest.raises(InputError, match="expects"):
        cr.load(what)
