"""The other forms of the game against steps written out: least squares, and the penalised slope by hand-written double backward."""

import pytest
import torch
from energies import plain
from torch import nn

from chainrule.core.batch import Batch
from chainrule.core.descend import Descent
from chainrule.core.errors import InputError
from chainrule.core.net import Net
from chainrule.nets.gan import GAN
from chainrule.nets.layers.adversaries import Spectral, singular_value
from chainrule.rules.adversarial import Adversarial, slopes_off


def game(**options) -> Adversarial:
    return Adversarial(generator=Descent(plain(0.2)), discriminator=Descent(plain(0.1)), **options)


def pair(**options) -> GAN:
    torch.manual_seed(0)
    return GAN((3,), 4 if options.get("conditional") else 0, noise=2, hidden=(6,), **options).double()


@pytest.mark.parametrize("conditional", [False, True])
@pytest.mark.parametrize("bound", [True, False])
@pytest.mark.parametrize("form", ["least-squares", "wgan-gp"])
def test_a_step_is_the_papers_algorithm(form, bound, conditional):
    """Second derivation: the costs written out, the penalty by `autograd.grad(create_graph=True)`, a step by `backward` for each player."""
    module, twin = pair(form=form, conditional=conditional), pair(form=form, conditional=conditional)
    net = Net.of(module) if bound else Net.of(module).clone()
    x, y = torch.randn(8, 3, dtype=torch.float64), torch.arange(8) % 4
    told = (y,) if conditional else ()
    rule = game(steps=2)
    torch.manual_seed(4)
    after, _, report = rule.step(net, rule.init(net), Batch(x, y if conditional else None))

    torch.manual_seed(4)
    for _ in range(2):
        fake = twin.generate(torch.randn(8, 2, dtype=torch.float64), *told).detach()
        real, made = twin.judge(x, *told), twin.judge(fake, *told)
        if form == "least-squares":
            value = 0.5 * (real - 1).square().mean() + 0.5 * made.square().mean()
            cost = value
        else:
            share = torch.rand(8, 1, dtype=torch.float64)
            between = (share * x + (1 - share) * fake).requires_grad_()
            (slope,) = torch.autograd.grad(twin.judge(between, *told).sum(), between, create_graph=True)
            value = made.mean() - real.mean()
            cost = value + 10 * (slope.norm(dim=1) - 1).square().mean()
        twin.zero_grad()
        cost.backward()
        with torch.no_grad():
            for p in twin.discriminator.parameters():
                p.sub_(0.1 * p.grad)
    twin.zero_grad()
    scores = twin.judge(twin.generate(torch.randn(8, 2, dtype=torch.float64), *told), *told)
    fooled = 0.5 * (scores - 1).square().mean() if form == "least-squares" else -scores.mean()
    fooled.backward()
    with torch.no_grad():
        for p in twin.generator.parameters():
            p.sub_(0.2 * p.grad)
    torch.testing.assert_close({k: p.detach() for k, p in after.params.items()}, {k: p.detach() for k, p in twin.named_parameters()})
    torch.testing.assert_close(report["loss"], -value.detach())
    torch.testing.assert_close(report["discriminator"], cost.detach())
    torch.testing.assert_close(report["generator"], fooled.detach())


def test_a_critic_whose_slope_is_one_everywhere_has_no_penalty():
    class Slope(nn.Module):
        def __init__(self, length):
            super().__init__()
            self.w = nn.Parameter(length * torch.tensor([0.6, 0.8]))

        def judge(self, x):
            return x @ self.w[:, None]

    x, fake = torch.randn(5, 2), torch.randn(5, 2)
    for length, penalty in ((1.0, 0.0), (3.0, 4.0)):
        assert float(slopes_off(Net.of(Slope(length)), x, fake)) == pytest.approx(penalty, abs=1e-5)


def test_the_greatest_singular_value_is_that_of_the_decomposition():
    torch.manual_seed(0)
    for shape in ((7, 5), (5, 9), (30, 20)):
        matrix = torch.randn(*shape, dtype=torch.float64, requires_grad=True)
        value = singular_value(matrix, torch.randn(min(shape), dtype=torch.float64))
        exact = torch.linalg.matrix_norm(matrix, 2)
        assert float(value) == pytest.approx(float(exact), rel=1e-3)
        assert float(value) <= float(exact) + 1e-9
    narrow = torch.diag(torch.tensor([3.0, 1.0, 0.5], dtype=torch.float64)).requires_grad_()
    slope, = torch.autograd.grad(singular_value(narrow, torch.ones(3, dtype=torch.float64)), narrow)
    exact, = torch.autograd.grad(torch.linalg.matrix_norm(narrow, 2), narrow)
    torch.testing.assert_close(slope, exact, atol=1e-6, rtol=0)


def test_every_layer_of_a_spectral_discriminator_has_norm_one_and_follows_its_weight():
    module = pair(spectral=True)
    layers = [layer for layer in module.discriminator if isinstance(layer, nn.Linear)]
    assert len(layers) == 2
    for layer in layers:
        assert isinstance(layer.parametrizations.weight[0], Spectral)
        before = layer.weight.detach().clone()
        assert float(torch.linalg.matrix_norm(before, 2)) == pytest.approx(1, rel=1e-3)
        with torch.no_grad():
            layer.parametrizations.weight.original.mul_(5)
        torch.testing.assert_close(layer.weight.detach(), before)
    x, step = torch.randn(50, 3, dtype=torch.float64), 1e-3 * torch.randn(50, 3, dtype=torch.float64)
    change = (module.judge(x + step) - module.judge(x)).abs().squeeze(1)
    assert bool((change <= 1.01 * step.norm(dim=1)).all())


@pytest.mark.parametrize("size", [(1, 8, 8), (1, 28, 28), (3, 11, 7), (1, 5, 5), (3, 32, 32)])
def test_convolutional_pairs_make_pictures_of_any_size(size):
    module = GAN(size, 3, convolutional=True, conditional=True, filters=4, noise=5)
    assert module.sample(7).shape == (7, *size)
    assert module.sample_given(torch.tensor([2, 2])).shape == (2, *size)
    assert module.judge(torch.randn(4, *size), torch.tensor([0, 1, 2, 0])).shape == (4, 1)


def test_options_out_of_range_and_rows_that_are_no_pictures_are_refused():
    with pytest.raises(InputError, match="steps=0"):
        game(steps=0)
    with pytest.raises(InputError, match="makes pictures"):
        GAN((5,), 0, convolutional=True)
