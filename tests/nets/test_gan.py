"""The generator and discriminator pair: shapes, ranges, and that each method is its part."""

import pytest
import torch

from chainrule.core.errors import InputError
from chainrule.core.net import Net
from chainrule.core.registry import nets
from chainrule.nets.gan import GAN


def test_the_parts_by_hand():
    """Second derivation: the layers written out as matrix products."""
    torch.manual_seed(0)
    net = GAN((3,), 0, noise=2, hidden=(5,))
    z, x = torch.randn(7, 2), torch.randn(7, 3)
    g, d = dict(net.generator.named_parameters()), dict(net.discriminator.named_parameters())
    made = (z @ g["0.weight"].T + g["0.bias"]).clamp(min=0) @ g["2.weight"].T + g["2.bias"]
    inner = x @ d["0.weight"].T + d["0.bias"]
    judged = torch.where(inner > 0, inner, 0.2 * inner) @ d["2.weight"].T + d["2.bias"]
    torch.testing.assert_close(net.generate(z), made)
    torch.testing.assert_close(net.judge(x), judged)
    torch.testing.assert_close(net(x), judged)
    torch.testing.assert_close(Net.of(net).clone().call("generate", z), made)


def test_samples_are_shaped_like_the_inputs_and_bounded_when_asked():
    torch.manual_seed(0)
    net = nets.choose("gan:noise=4,hidden=8x9,unit=yes").make((1, 4, 4), 0)
    with torch.no_grad():
        net.generator[-2].weight.mul_(100)
    drawn = net.sample(50)
    assert drawn.shape == (50, 1, 4, 4)
    assert 0 <= drawn.min() < 0.1
    assert 0.9 < drawn.max() <= 1
    assert net.judge(drawn).shape == (50, 1)
    assert net.draw_noise(2000).std().item() == pytest.approx(1, abs=0.05)
    assert "noise=4" in repr(net)


def test_sizes_below_one_are_refused():
    with pytest.raises(InputError, match="noise=0"):
        GAN((3,), 0, noise=0)
