"""Natural gradient against Fisher matrices by enumeration, dense algebra and patches cut by hand."""

import math

import pytest
import torch
from torch import nn
from torch.nn import functional as F

from chainrule.core.batch import Batch
from chainrule.core.criterion import Objective, Solve, Supervised
from chainrule.core.net import Net
from chainrule.core.registry import losses, optimizers, rules
from chainrule.job.rule_spec import make_rule
from chainrule.optim.solvers import kfac
from chainrule.optim.solvers.curvature import Surface, flat


def solve(spec, **penalties):
    return Solve(Objective(Supervised(losses.choose("cross-entropy").make()), **penalties), optimizers.choose(spec).make())


def enumerated(layer, x):
    """The Fisher matrix of softmax regression for one sample x (reads,), over (weight | bias) by rows, summed over the classes."""
    classes, reads = layer.weight.shape
    chances = layer(x).softmax(-1).detach()
    total = torch.zeros(classes * (reads + 1), classes * (reads + 1), dtype=torch.double)
    for c in range(classes):
        grads = torch.autograd.grad(F.cross_entropy(layer(x)[None], torch.tensor([c])), [layer.weight, layer.bias])
        row = torch.cat([grads[0], grads[1][:, None]], 1).flatten()
        total += chances[c] * torch.outer(row, row)
    return total


def halves():
    """Softmax regression whose classes have chances 1/2, 1/4 and 1/4 for one sample, and the targets that are so distributed."""
    torch.manual_seed(0)
    layer, x = nn.Linear(4, 3).double(), torch.randn(4, dtype=torch.double)
    with torch.no_grad():
        layer.bias += torch.tensor([0.5, 0.25, 0.25], dtype=torch.double).log() - layer(x)
    return layer, x, torch.tensor([0, 0, 1, 2])


def test_the_factors_of_one_sample_make_its_exact_fisher_matrix():
    layer, x, targets = halves()
    out = layer(x.expand(4, -1))
    slopes = torch.autograd.grad(F.cross_entropy(out, targets, reduction="sum"), out)[0]
    reads, spread = kfac.factors(layer, x.expand(4, -1), slopes)
    torch.testing.assert_close(torch.kron(spread, reads), enumerated(layer, x), rtol=1e-12, atol=1e-14)


def test_a_step_is_the_natural_gradient_by_dense_algebra(monkeypatch):
    """Damping is added to the factors: pi gamma to that of the inputs, gamma / pi to that of the slopes, with gamma its root."""
    layer, x, targets = halves()
    monkeypatch.setattr(kfac, "drawn", lambda outputs, loss: targets)
    batch = Batch(x.expand(4, -1), torch.tensor([1, 1, 2, 0]))
    value = F.cross_entropy(layer(batch.x), batch.y)
    grads = torch.autograd.grad(value, [layer.weight, layer.bias])
    slope = torch.cat([grads[0], grads[1][:, None]], 1).flatten()
    ones = torch.cat([x, torch.ones(1)]).double()
    reads, chances = torch.outer(ones, ones), layer(x).softmax(-1).detach()
    spread = torch.diag(chances) - torch.outer(chances, chances)
    torch.testing.assert_close(torch.kron(spread, reads), enumerated(layer, x), rtol=1e-12, atol=1e-14)
    pi = math.sqrt(float(reads.trace()) / 5 / (float(spread.trace()) / 3))
    shifted = torch.kron(spread + 0.1 / pi * torch.eye(3).double(), reads + 0.1 * pi * torch.eye(5).double())
    natural = torch.linalg.solve(shifted, slope).view(3, 5)
    before = torch.cat([layer.weight, layer.bias[:, None]], 1).detach()
    for spec, shorter in (("divergence=none", 1.0), ("divergence=1e-4", math.sqrt(1e-4 / (0.25 * float(slope @ natural.flatten()))))):
        with torch.no_grad():
            layer.weight.copy_(before[:, :-1])
            layer.bias.copy_(before[:, -1])
        net, rule = Net.of(layer), solve(f"kfac:rate=0.5,momentum=0,damping=0.01,{spec}")
        _, _, report = rule.step(net, rule.init(net), batch)
        after = torch.cat([layer.weight, layer.bias[:, None]], 1).detach()
        torch.testing.assert_close(after, before - 0.5 * shorter * natural, rtol=1e-9, atol=1e-12)
        torch.testing.assert_close(report["loss"], value.detach())
    assert shorter < 1


def test_targets_are_drawn_as_the_net_predicts_them():
    torch.manual_seed(0)
    chances = torch.tensor([0.6, 0.3, 0.1])
    drawn = kfac.drawn(chances.log().expand(20000, -1) + 2, "cross-entropy")
    counted = torch.bincount(drawn, minlength=3) / 20000
    assert bool(((counted - chances).abs() < 4 * (chances * (1 - chances) / 20000).sqrt()).all())
    errors = kfac.drawn(torch.full((20000, 1), 5.0), "squared") - 5
    assert abs(float(errors.mean())) < 4 / math.sqrt(20000)
    assert abs(float(errors.square().mean()) - 1) < 4 * math.sqrt(2 / 20000)


@pytest.mark.parametrize(("stride", "padding", "dilation"), [(1, 0, 1), (2, 1, 1), (1, 2, 2)])
def test_factors_of_a_convolution_sum_over_places(stride, padding, dilation):
    """Against patches cut by hand; and the layer's own gradient is the product of what the factors are made of."""
    torch.manual_seed(0)
    layer = nn.Conv2d(2, 3, (3, 2), stride, padding, dilation).double()
    x = torch.randn(4, 2, 7, 6, dtype=torch.double)
    out = layer(x)
    slopes = torch.randn_like(out)
    reads, spread = kfac.factors(layer, x, slopes)
    padded = F.pad(x, (padding,) * 4)
    total, outer, grad = torch.zeros(13, 13).double(), torch.zeros(3, 3).double(), torch.zeros(3, 13).double()
    height, width = out.shape[2:]
    for i in range(4):
        for r in range(height):
            for c in range(width):
                rows = slice(r * stride, r * stride + 2 * dilation + 1, dilation)
                columns = slice(c * stride, c * stride + dilation + 1, dilation)
                a = torch.cat([padded[i, :, rows, columns].flatten(), torch.ones(1).double()])
                g = slopes[i, :, r, c]
                total += torch.outer(a, a) / 4
                outer += torch.outer(g, g) / (4 * height * width)
                grad += torch.outer(g, a)
    torch.testing.assert_close(reads, total, rtol=1e-10, atol=1e-12)
    torch.testing.assert_close(spread, outer, rtol=1e-10, atol=1e-12)
    torch.testing.assert_close(grad[:, :-1].view_as(layer.weight), torch.autograd.grad(out, layer.weight, slopes)[0], rtol=1e-9, atol=1e-11)


def test_factors_are_running_means_and_inverses_are_made_now_and_then():
    torch.manual_seed(0)
    layer = nn.Linear(3, 2, bias=False).double()
    batches = [Batch(torch.randn(5, 3).double(), torch.randint(2, (5,))) for _ in range(4)]
    net, rule = Net.of(layer), solve("kfac:decay=0.6,every=2")
    state, twin, inverses = rule.init(net), torch.zeros(3, 3).double(), []
    for i, batch in enumerate(batches):
        net, state, _ = rule.step(net, state, batch)
        keep = (0.0, 0.5, 0.6, 0.6)[i]
        twin = keep * twin + (1 - keep) * batch.x.T @ batch.x / 5
        torch.testing.assert_close(state["solver"]["layers"][""]["inputs"], twin, rtol=1e-12, atol=1e-14)
        inverses.append(state["solver"]["layers"][""]["inputs_inverse"].clone())
    assert torch.equal(inverses[0], inverses[1])
    assert not torch.equal(inverses[1], inverses[2])
    assert torch.equal(inverses[2], inverses[3])


class Twice(nn.Module):
    """One layer called twice a pass, a scale that is no layer, and a convolution with groups: none of them has a Kronecker block."""

    def __init__(self):
        super().__init__()
        self.again = nn.Linear(4, 4)
        self.grouped = nn.Conv2d(2, 2, 1, groups=2)
        self.scale = nn.Parameter(torch.ones(4))

    def forward(self, x):
        return self.grouped(torch.tanh(self.again(torch.tanh(self.again(x)))).view(-1, 2, 2, 1)).flatten(1) * self.scale


def test_what_has_no_kronecker_block_follows_the_plain_slope():
    torch.manual_seed(0)
    net, batch = Net.of(Twice().double()), Batch(torch.randn(5, 4).double(), torch.randint(4, (5,)))
    rule = solve("kfac:rate=0.1,momentum=0,divergence=none", l2=0.1)
    surface = Surface(net, batch, rule.objective)
    _, slope = surface.slope(surface.start)
    rule.step(net, rule.init(net), batch)
    torch.testing.assert_close(flat(net), surface.start - 0.1 * slope, rtol=1e-12, atol=1e-14)
    tied = nn.Sequential(nn.Linear(3, 3), nn.Linear(3, 3), nn.Linear(3, 3))
    tied[1].weight = tied[0].weight
    assert list(kfac.factored(Net.of(tied))) == ["2"]


def test_natural_gradient_trains_a_convolutional_net_from_samples_of_its_own_targets():
    torch.manual_seed(0)
    module = nn.Sequential(nn.Conv2d(1, 3, 3), nn.ReLU(), nn.Flatten(), nn.Linear(48, 3))
    batch = Batch(torch.randn(60, 1, 6, 6), torch.randint(3, (60,)))
    lowest = {}
    for spec in ("kfac:rate=0.1,momentum=0.9", "momentum:rate=0.1"):
        net = Net.of(nn.Sequential(nn.Conv2d(1, 3, 3), nn.ReLU(), nn.Flatten(), nn.Linear(48, 3)))
        net.load(Net.of(module))
        rule = make_rule(rules.choose("backprop"), Supervised(losses.choose("cross-entropy").make()), optimizers.choose(spec), None, 0)
        state = rule.init(net)
        for _ in range(40):
            net, state, report = rule.step(net, state, batch)
        lowest[spec] = float(report["loss"])
    assert set(kfac.factored(net)) == {"0", "3"}
    assert lowest["kfac:rate=0.1,momentum=0.9"] < 0.5 * lowest["momentum:rate=0.1"]
