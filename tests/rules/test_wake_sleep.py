"""Wake and sleep on a 3-2-2 net with two classes: the expected move by the sum over all states that a step can draw."""

import itertools

import pytest
import torch

from chainrule.core.batch import Batch
from chainrule.core.errors import InputError
from chainrule.core.net import Net
from chainrule.core.registry import nets, optimizers, rules
from chainrule.job.rule_spec import make_rule
from chainrule.nets.dbn import DeepBelief

ROWS = 400_000


def states(units):
    return torch.tensor(list(itertools.product((0.0, 1.0), repeat=units)), dtype=torch.float64)


def probability(states_, means):
    """Of independent units (k, units) with these means (units,) or (k, units), (k,)."""
    return torch.where(states_ > 0, means, 1 - means).prod(-1)


def net_of():
    torch.manual_seed(3)
    module = DeepBelief((3,), 2, hidden=(2, 2)).double()
    with torch.no_grad():
        for p in module.parameters():
            p.normal_()
    return module


def expected_move(module, x, y):
    """What each tensor gains at a rate of one, by the paper's appendix B summed over every state: waking, the memory, sleeping."""
    low, top, down = module.layers[0], module.top, module.generative[0]
    h, labels = states(2), torch.eye(2).double()
    awake = probability(h, torch.sigmoid(low.weight @ x + low.hidden_bias))                               # (4,)
    moves = {name: torch.zeros_like(p) for name, p in module.named_parameters()}
    asleep = torch.zeros(4, dtype=torch.float64)
    for p_h, one in zip(awake, h, strict=True):
        wrong = x - torch.sigmoid(one @ down + low.visible_bias)
        moves["generative.0"] += p_h * torch.outer(one, wrong)
        moves["layers.0.visible_bias"] += p_h * wrong
        v = torch.cat([one, labels[y]])
        high = torch.sigmoid(top.weight @ v + top.hidden_bias)
        for name, gain in (("weight", torch.outer(high, v)), ("visible_bias", v), ("hidden_bias", high)):
            moves[f"top.{name}"] += p_h * gain
        for p_t, t in zip(probability(h, high), h, strict=True):                                          # the memory's one round
            mean = t @ top.weight + top.visible_bias
            units, classes = torch.sigmoid(mean[:2]), mean[2:].softmax(0)
            for k, (p_u, u) in enumerate(zip(probability(h, units), h, strict=True)):
                asleep[k] += p_h * p_t * p_u
                for p_y, label in zip(classes, labels, strict=True):
                    share = p_h * p_t * p_u * p_y
                    ended = torch.cat([u, label])
                    back = torch.sigmoid(top.weight @ ended + top.hidden_bias)
                    for name, loss in (("weight", torch.outer(back, ended)), ("visible_bias", ended), ("hidden_bias", back)):
                        moves[f"top.{name}"] -= share * loss
    for p_u, u in zip(asleep, h, strict=True):
        below = torch.sigmoid(u @ down + low.visible_bias)
        for p_x, dreamt in zip(probability(states(3), below), states(3), strict=True):
            wrong = u - torch.sigmoid(low.weight @ dreamt + low.hidden_bias)
            moves["layers.0.weight"] += p_u * p_x * torch.outer(wrong, dreamt)
            moves["layers.0.hidden_bias"] += p_u * p_x * wrong
    return moves


def moved(module, x, y, spec="wake-sleep:steps=1"):
    rule = make_rule(rules.choose(spec), None, optimizers.choose("sgd:rate=1"), None)
    net = Net.of(module)
    before = {name: p.detach().clone() for name, p in net.params.items()}
    torch.manual_seed(0)
    _, _, report = rule.step(net, rule.init(net), Batch(x.expand(ROWS, -1), torch.full((ROWS,), y)))
    return {name: p.detach() - before[name] for name, p in net.params.items()}, report


def test_a_step_is_the_sum_over_all_states_on_the_average():
    x = torch.tensor([1.0, 0.0, 1.0], dtype=torch.float64)
    with torch.no_grad():
        expected = expected_move(net_of(), x, 1)
    gained, report = moved(net_of(), x, 1)
    assert set(gained) == set(expected)
    for name, move in expected.items():
        assert float((gained[name] - move).abs().max()) < 5 * 0.7 / ROWS**0.5, name                       # of numbers between -1 and 1
        assert float(move.abs().max()) > 0.02, name
    assert report["loss"] > 0


def test_the_loss_is_the_code_length_of_a_pass_up():
    """The mean over the states drawn of minus log p(x | h) p(h, label | t), by enumeration."""
    module, x = net_of(), torch.tensor([0.0, 1.0, 1.0], dtype=torch.float64)
    low, top, h = module.layers[0], module.top, states(2)
    total = 0.0
    for p_h, one in zip(probability(h, torch.sigmoid(low.weight @ x + low.hidden_bias)), h, strict=True):
        cost = -probability(x, torch.sigmoid(one @ module.generative[0] + low.visible_bias)).log()
        v = torch.cat([one, torch.tensor([1.0, 0.0]).double()])
        for p_t, t in zip(probability(h, torch.sigmoid(top.weight @ v + top.hidden_bias)), h, strict=True):
            mean = t @ top.weight + top.visible_bias
            given = -probability(one, torch.sigmoid(mean[:2])).log() - mean[2:].log_softmax(0)[0]
            total += float(p_h * p_t * (cost + given))
    _, report = moved(module, x, 0)
    assert float(report["loss"]) == pytest.approx(total, abs=0.03)


def test_longer_chains_go_on_from_the_shorter_ones():
    """After many rounds nothing of the data is left in the memory: two rows lead to the same dreams."""
    ends = [moved(net_of(), torch.tensor(x, dtype=torch.float64), 1, "wake-sleep:steps=60")[0]["layers.0.weight"]
            for x in ([1.0, 1.0, 1.0], [0.0, 0.0, 0.0])]
    assert float((ends[0] - ends[1]).abs().max()) < 0.01


def test_it_trains_nets_that_recognise_and_generate_alone():
    rule = make_rule(rules.choose("wake-sleep"), None, optimizers.choose("sgd"), None)
    with pytest.raises(InputError, match="--net dbn"):
        rule.init(Net.of(nets.choose("mlp").make((4,), 3)))
    with pytest.raises(InputError, match="wake-sleep:steps=3"):
        make_rule(rules.choose("wake-sleep:steps=0"), None, optimizers.choose("sgd"), None)
