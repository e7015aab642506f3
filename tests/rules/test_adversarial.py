"""The adversarial rule against the textbook's formulas, the best discriminator in closed form, and a toy that it must learn."""

import math

import pytest
import torch
from torch import Tensor, nn

from chainrule.core.batch import Batch
from chainrule.core.descend import Descent, Optimizer, Schedule, set_pace
from chainrule.core.errors import InputError
from chainrule.core.net import Net
from chainrule.core.tree import clone
from chainrule.nets.gan import GAN
from chainrule.rules.adversarial import Adversarial


def plain(rate: float) -> Optimizer:
    def update(params, direction, state, factor, loss):
        assert set(params) == set(direction)
        for name, p in params.items():
            p.sub_(rate * factor * direction[name])
        state["updates"].add_(1)
        return state

    return Optimizer(lambda params: {"updates": torch.zeros(())}, update)


def adam(rate: float) -> Optimizer:
    def init(params):
        return {"mean": {k: torch.zeros_like(p) for k, p in params.items()}, "square": {k: torch.zeros_like(p) for k, p in params.items()},
                "count": torch.zeros(())}

    def update(params, direction, state, factor, loss):
        t = state["count"].add_(1)
        for k, p in params.items():
            mean = state["mean"][k].lerp_(direction[k], 0.5)
            square = state["square"][k].lerp_(direction[k].square(), 0.001)
            p.sub_(rate * factor * (mean / (1 - 0.5**t)) / ((square / (1 - 0.999**t)).sqrt() + 1e-8))
        return state

    return Optimizer(init, update)


def game(generator: Optimizer, discriminator: Optimizer | None = None, schedule: Schedule | None = None, **options) -> Adversarial:
    """The rule with these optimizers; the generator's for both where one is given."""
    return Adversarial(generator=Descent(generator, schedule), discriminator=Descent(discriminator or generator, schedule), **options)


class Table(nn.Module):
    """A discriminator free at each of four points, and a generator that visits them with fixed odds, whatever the noise."""

    def __init__(self, logits: Tensor, visits: Tensor):
        super().__init__()
        self.discriminator = nn.ParameterDict({"logits": nn.Parameter(logits)})
        self.generator = nn.ParameterDict({"shift": nn.Parameter(torch.zeros((), dtype=logits.dtype))})
        self.visits = visits

    def draw_noise(self, n: int) -> Tensor:
        return self.visits.repeat(n // len(self.visits))[:, None]

    def generate(self, z: Tensor) -> Tensor:
        return z + self.generator["shift"]

    def judge(self, x: Tensor) -> Tensor:
        return self.discriminator["logits"][x.long()]


P = torch.tensor([0.4, 0.3, 0.2, 0.1], dtype=torch.float64)
Q = torch.tensor([0.1, 0.1, 0.2, 0.6], dtype=torch.float64)


def visits(odds: Tensor) -> Tensor:
    return torch.arange(4, dtype=torch.float64).repeat_interleave((odds * 10).round().long())


def test_at_the_best_discriminator_the_value_is_the_divergence_and_nothing_moves():
    """Proposition 1 and theorem 1: D* = p / (p + q), and there the value is -log 4 + 2 JSD(p, q)."""
    net = Net.of(Table((P / Q).log(), visits(Q)))
    rule = game(plain(1.0))
    best = net.params["discriminator.logits"].detach().clone()
    net, _, report = rule.step(net, rule.init(net), Batch(visits(P)[:, None]))
    middle = (P + Q) / 2
    divergence = 0.5 * (P * (P / middle).log()).sum() + 0.5 * (Q * (Q / middle).log()).sum()
    torch.testing.assert_close(report["loss"], -math.log(4) + 2 * divergence)
    torch.testing.assert_close(net.params["discriminator.logits"].detach(), best, rtol=0, atol=1e-14)


def test_the_discriminator_finds_its_closed_form():
    net = Net.of(Table(torch.zeros(4, dtype=torch.float64), visits(Q)))
    rule = game(plain(0.0), discriminator=plain(5.0))
    state = rule.init(net)
    for _ in range(400):
        net, state, _ = rule.step(net, state, Batch(visits(P)[:, None]))
    torch.testing.assert_close(net.params["discriminator.logits"].detach().sigmoid(), P / (P + Q))


def pair(*, hidden: tuple[int, ...] = (5,)) -> Net:
    torch.manual_seed(0)
    return Net.of(GAN((3,), 0, noise=2, hidden=hidden).double())


@pytest.mark.parametrize("bound", [True, False])
@pytest.mark.parametrize("objective", ["minimax", "non-saturating"])
def test_a_step_is_algorithm_one(objective, bound):
    """Second derivation: the textbook's logarithms of probabilities, one optimizer step by `backward` for each player."""
    net = pair() if bound else pair().clone()
    twin, x = pair().module, torch.randn(8, 3, dtype=torch.float64)
    weight = torch.rand(8, dtype=torch.float64) + 0.5
    rule = game(plain(0.5), discriminator=plain(0.3), objective=objective)
    torch.manual_seed(4)
    after, state, report = rule.step(net, rule.init(net), Batch(x, weight=weight))

    torch.manual_seed(4)
    z = torch.randn(8, 2, dtype=torch.float64)
    value = (weight * twin(x).sigmoid().log()[:, 0]).mean() + (1 - twin(twin.generator(z)).sigmoid()).log().mean()
    value.backward()
    with torch.no_grad():
        for p in twin.discriminator.parameters():
            p.add_(0.3 * p.grad)
    twin.zero_grad()
    odds = twin(twin.generator(torch.randn(8, 2, dtype=torch.float64))).sigmoid()
    cost = (1 - odds).log().mean() if objective == "minimax" else -odds.log().mean()
    cost.backward()
    with torch.no_grad():
        for p in twin.generator.parameters():
            p.sub_(0.5 * p.grad)

    torch.testing.assert_close({k: p.detach() for k, p in after.params.items()}, {k: p.detach() for k, p in twin.named_parameters()})
    torch.testing.assert_close(report["loss"], value.detach())
    torch.testing.assert_close(report["generator"], cost.detach())
    assert state["generator"]["optimizer"]["updates"] == state["discriminator"]["optimizer"]["updates"] == 1


def test_each_half_moves_its_own_part_alone():
    for still, moving in (("discriminator", "generator"), ("generator", "discriminator")):
        net = pair()
        before = clone(net.params)
        rates = {"generator": 0.1, "discriminator": 0.1, still: 0.0}
        rule = game(plain(rates["generator"]), discriminator=plain(rates["discriminator"]))
        net, _, _ = rule.step(net, rule.init(net), Batch(torch.randn(8, 3, dtype=torch.float64)))
        moved = {k.split(".")[0] for k in before if not torch.equal(before[k], net.params[k])}
        assert moved == {moving}


def test_both_objectives_have_the_same_fixed_points():
    """Where the discriminator cannot tell, D = 1/2 everywhere, neither moves the generator; elsewhere, for a single sample, their
    slopes point the same way, as D to 1 - D."""

    def moves(net: Net, objective: str) -> dict[str, Tensor]:
        after = net.clone()
        rule = game(plain(1.0), discriminator=plain(0.0), objective=objective)
        torch.manual_seed(5)
        rule.step(after, rule.init(after), Batch(torch.zeros(1, 3, dtype=torch.float64)))
        return {k: (net.params[k] - after.params[k]).detach() for k in net.params if k.startswith("generator")}

    net = pair()
    torch.manual_seed(5)
    net.call("draw_noise", 1)
    odds = net(net.call("generate", net.call("draw_noise", 1))).sigmoid().item()
    minimax, other = moves(net, "minimax"), moves(net, "non-saturating")
    torch.testing.assert_close(minimax, {k: t * odds / (1 - odds) for k, t in other.items()})
    assert any(t.abs().max() > 1e-3 for t in minimax.values())
    with torch.no_grad():
        for p in net.module.discriminator.parameters():
            p.zero_()
    assert all(t.abs().max() == 0 for o in ("minimax", "non-saturating") for t in moves(net, o).values())


def test_a_generator_learns_one_dimension():
    """Data N(3, 0.5); an untrained generator gives about N(0, 0.2)."""
    torch.manual_seed(0)
    net = Net.of(GAN((1,), 0, noise=4, hidden=(32,)))
    rule = game(adam(2e-3))
    state = rule.init(net)
    assert abs(net.module.sample(2000).mean().item()) < 1
    for _ in range(1500):
        net, state, _ = rule.step(net, state, Batch(3 + 0.5 * torch.randn(64, 1)))
    drawn = net.module.sample(4000)
    assert drawn.mean().item() == pytest.approx(3, abs=0.25)
    assert drawn.std().item() == pytest.approx(0.5, abs=0.25)


def test_the_schedule_reaches_both_players():
    net = pair()
    before = clone(net.params)
    rule = game(plain(1.0), schedule=lambda share: 0 * share)
    state = rule.init(net)
    set_pace(state, {"done": 4.0, "each": 1.0, "whole": 9.0})
    net, state, _ = rule.step(net, state, Batch(torch.randn(8, 3, dtype=torch.float64)))
    assert state["generator"]["pace"]["done"] == state["discriminator"]["pace"]["done"] == 5
    torch.testing.assert_close({k: p.detach() for k, p in net.params.items()}, before, rtol=0, atol=0)


def test_a_net_without_two_players_is_refused():
    with pytest.raises(InputError, match=r"Linear has no generator.*--net gan"):
        game(plain(0.1)).init(Net.of(nn.Linear(3, 1)))
