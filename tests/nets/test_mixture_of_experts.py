"""Mixtures of experts: the objective and its gradient against the paper's formulas, and two regimes found again."""

import pytest
import torch

from chainrule.core.batch import Batch
from chainrule.core.criterion import Supervised
from chainrule.core.errors import InputError
from chainrule.core.net import Net
from chainrule.core.registry import losses, nets, optimizers, rules
from chainrule.job.rule_spec import make_rule
from chainrule.plots.gate import regimes
from chainrule.rules.mixture_of_experts import competing


def made(name, inputs=(3,), outputs=2, **options):
    torch.manual_seed(0)
    return nets.find(name).make(inputs, outputs, **options).double()


def test_cross_entropy_of_the_outputs_is_the_papers_objective():
    net, x, y = made("experts", outputs=4), torch.randn(7, 3).double(), torch.randint(4, (7,))
    gates = net.gate(x).softmax(1)
    likelihood = sum(gates[:, i] * net.experts[i](x).softmax(1)[torch.arange(7), y] for i in range(4))
    torch.testing.assert_close(losses.choose("cross-entropy").make().each(net(x), y), -likelihood.log())
    torch.testing.assert_close(net(x).exp().sum(1), torch.ones(7).double())


def test_the_mean_of_the_mixture_and_its_density():
    net, x, y = made("expert-values"), torch.randn(7, 3).double(), torch.randn(7, 2).double()
    with torch.no_grad():
        net.log_width.copy_(torch.randn(4))
    gates, width = net.gate(x).softmax(1), 0.01 + net.log_width.exp()
    torch.testing.assert_close(net(x), sum(gates[:, [i]] * net.experts[i](x) for i in range(4)))
    density = sum(gates[:, i] * torch.distributions.Normal(net.experts[i](x), width[i]).log_prob(y).sum(1).exp() for i in range(4))
    torch.testing.assert_close(net.joint(x, y).logsumexp(1), density.log())


@pytest.mark.parametrize("hidden", [0, 5])
def test_an_expert_is_taught_by_the_share_of_the_sample_that_is_its_own(hidden):
    """The paper's equation: the slope at expert i's output is -h_i (y - o_i) / width^2, and at the gate's score g_i - h_i."""
    net, x, y = made("expert-values", hidden=hidden), torch.randn(6, 3).double(), torch.randn(6, 2).double()
    own, scores = net.each(x), net.gate(x)
    density = torch.stack([torch.distributions.Normal(own[:, i], 1.01).log_prob(y).sum(1).exp() for i in range(4)], 1)
    share = scores.softmax(1) * density
    share = share / share.sum(1, keepdim=True)
    torch.testing.assert_close(net.responsibilities(x, y), share)
    by_expert = -share[:, :, None] * (y[:, None] - own) / 1.01**2 / 6
    by_gate = (scores.softmax(1) - share) / 6
    wanted = torch.autograd.grad((own * by_expert.detach()).sum() + (scores * by_gate.detach()).sum(),
                                 [p for n, p in net.named_parameters() if n != "log_width"])
    slope, report = competing(Net.of(net), Batch(x, y))
    for (name, _), by_hand in zip([p for p in net.named_parameters() if p[0] != "log_width"], wanted, strict=True):
        torch.testing.assert_close(slope[name], by_hand)
    torch.testing.assert_close(report["loss"], -net.joint(x, y).logsumexp(1).mean().detach())


def two_regimes(n=400):
    torch.manual_seed(1)
    x = torch.rand(n, 1) * 2 - 1
    y = torch.where(x < 0, 2 * x + 1, -3 * x) + 0.05 * torch.randn(n, 1)
    return x, y


def test_two_regimes_are_found_again():
    """A broken line: linear experts find both slopes, the gate finds the break; one line alone cannot."""
    x, y = two_regimes()
    torch.manual_seed(0)
    net = Net.of(nets.choose("expert-values:experts=2,hidden=0").make((1,), 1))
    rule = make_rule(rules.choose("competing"), Supervised(losses.choose("squared").make()), optimizers.choose("adam:rate=0.05"), None)
    state = rule.init(net)
    for _ in range(600):
        net, state, _ = rule.step(net, state, Batch(x, y))
    asked = net.module.regimes(torch.tensor([[-0.8], [-0.1], [0.1], [0.8]])).detach()
    owner = asked.argmax(1).tolist()
    assert owner[0] == owner[1] != owner[2] == owner[3]
    slopes = torch.stack([e.weight[0, 0] for e in net.module.experts]).detach()
    torch.testing.assert_close(slopes.sort().values, torch.tensor([-3.0, 2.0]), atol=0.1, rtol=0)
    line = torch.linalg.lstsq(torch.cat([x, torch.ones_like(x)], 1), y).solution
    off = y - torch.cat([x, torch.ones_like(x)], 1) @ line
    assert (y - net(x)).square().mean() < 0.1 * off.square().mean()
    figure = regimes(net.module.regimes, x)
    lines = figure.axes[0].get_lines()[:2]
    assert all(float(line.get_ydata().min()) < 0.1 and float(line.get_ydata().max()) > 0.9 for line in lines)


def test_regimes_of_two_inputs_have_the_owners_colour():
    def gate(at):
        left = (at[:, 0] < 0).float()
        return torch.stack([left, 1 - left], 1)

    picture = regimes(gate, torch.randn(50, 2)).axes[0].get_images()[0].get_array()
    assert (picture[:, 0] == picture[0, 0]).all()
    assert (picture[:, -1] == picture[0, -1]).all()
    assert (picture[:, 0] != picture[:, -1]).any()
    with pytest.raises(InputError, match="one or two inputs"):
        regimes(gate, torch.randn(5, 3))


@pytest.mark.parametrize("family", ["experts", "expert-values"])
def test_what_cannot_be_made_is_refused(family):
    with pytest.raises(InputError, match="at least one expert"):
        made(family, experts=0)
