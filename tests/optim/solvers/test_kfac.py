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
from chainrule.nets.feedforward import mlp
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
        rule = make_rule(rules.choose("backprop"), Supervised(losses.choose("cross-entropy").make()), optimizers.choose(spec), None)
        state = rule.init(net)
        for _ in range(40):
            net, state, report = rule.step(net, state, batch)
        lowest[spec] = float(report["loss"])
    assert set(kfac.factored(net)) == {"0", "3"}
    assert lowest["kfac:rate=0.1,momentum=0.9"] < 0.5 * lowest["momentum:rate=0.1"]


def spread_out(**options):
    """An mlp of the registry on rows of three axes, and a batch for it."""
    torch.manual_seed(0)
    net = Net.of(mlp((2, 3), 3, hidden=(5,), activation="tanh").double())
    return net, Batch(torch.randn(8, 2, 3).double(), torch.randint(3, (8,)), **options)


def test_layers_of_the_registry_are_factored():
    """The step of a registered mlp is that of the same net made of torch's own layers, which is not the plain slope."""
    net, batch = spread_out()
    assert list(kfac.factored(net)) == ["hidden1", "output"]
    start = flat(net)
    plain = nn.Sequential(nn.Flatten(), nn.Linear(6, 5), nn.Tanh(), nn.Linear(5, 3)).double()
    twin = Net.of(plain)
    for mine, theirs in zip(twin.params.values(), net.params.values(), strict=True):
        mine.data.copy_(theirs.data)
    rule = solve("kfac:rate=0.1,momentum=0,divergence=none,fisher=empirical")
    (_, slope), moved = Surface(net, batch, rule.objective).slope(start), []
    for one in (net, twin):
        rule.step(one, rule.init(one), batch)
        moved.append(flat(one))
    torch.testing.assert_close(moved[0], moved[1], rtol=1e-12, atol=1e-14)
    assert float((moved[0] - start + 0.1 * slope).norm()) > 0.5 * float((moved[0] - start).norm())


@pytest.mark.parametrize("conv", [False, True])
def test_a_sample_of_weight_two_counts_twice_and_one_of_none_not_at_all(conv):
    """The mean loss of rows weighing (2, 2, 0, 0) is that of the first two, and so is all that follows; thrice the weights: as the sum."""
    torch.manual_seed(0)
    layer = (nn.Conv2d(2, 3, 2) if conv else nn.Linear(4, 3)).double()
    reads = torch.randn(4, 2, 3, 4).double() if conv else torch.randn(4, 4).double()
    slopes = torch.randn_like(layer(reads))
    some = kfac.factors(layer, reads[:2], slopes[:2])
    weighted = kfac.factors(layer, reads, slopes, torch.tensor([2.0, 2, 0, 0]) / 4)
    torch.testing.assert_close(weighted, some, rtol=1e-12, atol=1e-14)
    repeated = kfac.factors(layer, reads[[0, 1, 1, 2, 3, 3, 3]], slopes[[0, 1, 1, 2, 3, 3, 3]])
    weighted = kfac.factors(layer, reads, slopes, torch.tensor([1.0, 2, 1, 3]) / 4)
    torch.testing.assert_close((weighted[0], weighted[1] * 4 / 7), repeated, rtol=1e-12, atol=1e-14)


def test_rows_without_weight_do_not_bend_a_step():
    steps = []
    for rows, weight in ((slice(4), torch.ones(4)), (slice(8), torch.tensor([2.0] * 4 + [0.0] * 4))):
        net, batch = spread_out()
        rule = solve("kfac:fisher=empirical")
        rule.step(net, rule.init(net), Batch(batch.x[rows], batch.y[rows], weight.double()))
        steps.append(flat(net))
    torch.testing.assert_close(steps[0], steps[1], rtol=1e-10, atol=1e-12)


class Masked(nn.Linear):
    """A dense layer whose weight is used through a mask."""

    def forward(self, x):
        return F.linear(x, self.weight * torch.ones(4, 4).tril(), self.bias)


class Shared(nn.Linear):
    """A dense layer whose weight is read once more, outside of its product."""

    def forward(self, x):
        return super().forward(x) * self.weight.square().mean()


@pytest.mark.parametrize("kind", [Masked, Shared, lambda *sizes: nn.utils.parametrizations.weight_norm(nn.Linear(*sizes))])
def test_a_subclass_that_does_something_else_with_its_weight_follows_the_plain_slope(kind):
    torch.manual_seed(0)
    net, batch = Net.of(kind(4, 4).double()), Batch(torch.randn(5, 4).double(), torch.randint(4, (5,)))
    rule = solve("kfac:rate=0.1,momentum=0,divergence=none")
    surface = Surface(net, batch, rule.objective)
    _, slope = surface.slope(surface.start)
    rule.step(net, rule.init(net), batch)
    torch.testing.assert_close(flat(net), surface.start - 0.1 * slope, rtol=1e-12, atol=1e-14)
