"""Winner take all: representatives and their reinforcement in loops, layers in turn, patterns that find planes of their own."""

import numpy as np
import pytest
import torch

import chainrule as cr
from chainrule.core import registry
from chainrule.core.batch import Batch
from chainrule.core.criterion import Supervised
from chainrule.core.descend import Descend, set_pace
from chainrule.core.errors import InputError
from chainrule.core.net import Net
from chainrule.core.tree import clone
from chainrule.job.rule_spec import make_rule
from chainrule.losses.classic import cross_entropy
from chainrule.optim.first_order import sgd
from chainrule.rules.backprop import backprop
from chainrule.rules.winner_take_all import representatives

SPEC = "neocognitron:planes=6x5,selectivity=2"


def rule_of(spec="winner-take-all", optimizer="sgd:rate=0.1"):
    return make_rule(registry.rules.choose(spec), Supervised(cross_entropy()), registry.optimizers.choose(optimizer), None)


def net_of(spec=SPEC, shape=(1, 8, 8), outputs=3, seed=0):
    torch.manual_seed(seed)
    return Net.of(registry.nets.choose(spec).make(shape, outputs))


@pytest.mark.parametrize("column", [1, 3, 5])
def test_representatives_are_those_of_section_3(column):
    """In every window the greatest cell of all planes is a candidate; a plane's greatest candidate represents it."""
    answers = torch.rand(4, 3, 6, 5, generator=torch.Generator().manual_seed(0)) - 0.3
    place, exists = representatives(answers, column)
    half = column // 2
    for sample, whole in enumerate(answers.numpy()):
        best = {}
        for i, j in np.ndindex(6, 5):
            rows, columns = range(max(i - half, 0), min(i + half + 1, 6)), range(max(j - half, 0), min(j + half + 1, 5))
            k, r, c = max(((k, r, c) for k in range(3) for r in rows for c in columns), key=lambda at: whole[at])
            if whole[k, r, c] > 0 and whole[k, r, c] > best.get(k, (0, None))[0]:
                best[k] = (whole[k, r, c], r * 5 + c)
        assert {k for k in range(3) if exists[sample, k]} == set(best)
        assert {k: int(place[sample, k]) for k in best} == {k: at for k, (_, at) in best.items()}


@pytest.mark.parametrize(("share", "moves"), [(0.05, "simple.0"), (0.2, "simple.1"), (0.6, None)])
def test_layers_learn_in_turn_by_equations_9_and_10_and_the_output_layer_throughout(share, moves):
    net, rule, batch = net_of(), rule_of(), Batch(torch.rand(4, 1, 8, 8), torch.randint(3, (4,)))
    state = clone(rule.init(net))
    set_pace(state, {"done": share * 100, "each": 1.0, "whole": 100.0})
    before = {name: p.detach().clone() for name, p in net.params.items()}
    layers = net.call("competitions", batch.x)
    competitions = [tuple(t.detach().clone() if isinstance(t, torch.Tensor) else t for t in one) for one in layers]
    rule.step(net, state, batch)
    changed = {name for name, p in net.params.items() if not torch.equal(before[name], p)}
    assert changed == {"output.weight", "output.bias"} | ({f"{moves}.weight", f"{moves}.inhibition"} if moves else set())
    assert float(state["pace"]["done"]) == share * 100 + 1
    if moves is None:
        return
    answers, patches, inhibition, weighting, *_ = competitions[int(moves[-1])]
    place, exists = representatives(answers, 3)
    weight, inhibitory = before[f"{moves}.weight"].clone(), before[f"{moves}.inhibition"].clone()
    for n, k in np.ndindex(*place.shape):
        if exists[n, k]:
            at = int(place[n, k])
            weight[k] += (10_000 * weighting * patches[n, :, at]).view_as(weight[k])
            inhibitory[k] += 5_000 * inhibition[n, at]
    torch.testing.assert_close(net.params[f"{moves}.weight"].detach(), weight, rtol=1e-5, atol=1e-3)
    torch.testing.assert_close(net.params[f"{moves}.inhibition"].detach(), inhibitory, rtol=1e-5, atol=1e-3)


def test_the_output_layer_follows_its_gradient_as_under_back_propagation():
    """A twin all of whose other parameters are frozen, under plain back-propagation; the run's share is past the layers' turns."""
    net, other, rule = net_of(), net_of(), rule_of()
    for name, p in other.module.named_parameters():
        p.requires_grad_(name.startswith("output."))
    twin = Net.of(other.module)
    plain = Descend(lambda net, batch: backprop(net, batch, criterion=Supervised(cross_entropy())), sgd(rate=0.1))
    state, own = clone(rule.init(net)), plain.init(twin)
    set_pace(state, {"done": 90.0, "each": 1.0, "whole": 100.0})
    for seed in range(3):
        torch.manual_seed(seed)
        batch = Batch(torch.rand(5, 1, 8, 8), torch.randint(3, (5,)))
        net, state, report = rule.step(net, state, batch)
        twin, own, expected = plain.step(twin, own, batch)
        torch.testing.assert_close(report["loss"], expected["loss"])
    torch.testing.assert_close(net.params["output.weight"], twin.params["output.weight"])


def test_weights_of_samples_count_in_the_reinforcement():
    """A sample of weight 2 reinforces as two of it do; of weight 0 not at all."""
    x, y = torch.rand(2, 1, 8, 8), torch.tensor([0, 1])
    nets = []
    for batch in (Batch(x, y, torch.tensor([2.0, 0.0])), Batch(x[:1].repeat(2, 1, 1, 1), y[:1].repeat(2))):
        net, rule = net_of(), rule_of()
        state = clone(rule.init(net))
        rule.step(net, state, batch)
        nets.append(net.params["simple.0.weight"].detach())
    torch.testing.assert_close(*nets)


def test_different_patterns_find_planes_of_their_own_which_answer_them_anywhere():
    """A vertical and a horizontal bar, shown in turn, all cells competing: two planes, each as strong wherever its bar lies."""
    net, rule = net_of("neocognitron:planes=4,selectivity=4"), rule_of("winner-take-all:column=15")
    state = clone(rule.init(net))
    set_pace(state, {"done": 0.0, "each": 0.0, "whole": 1.0})
    bars = torch.zeros(2, 1, 8, 8)
    bars[0, 0, 2:5, 3] = 1
    bars[1, 0, 3, 2:5] = 1
    for _ in range(3):
        for one in bars:
            rule.step(net, state, Batch(one[None], torch.zeros(1, dtype=torch.long)))
    with torch.no_grad():
        maps, moved = (net.module.simple[0](x) for x in (bars, torch.roll(bars, (2, 2), (2, 3))))
    strength = maps.amax((2, 3))                                                          # (bars, planes)
    first, second = strength.argmax(1).tolist()
    assert first != second
    assert strength[0, first] > 0.9
    assert strength[1, second] > 0.9
    assert (strength[0, second], strength[1, first]) == (0, 0)
    for plane in (first, second):
        torch.testing.assert_close(moved[:, plane], torch.roll(maps[:, plane], (2, 2), (1, 2)))


def test_digits_are_told_apart_after_a_few_passes(tmp_path):
    data = cr.load("digits")
    run = cr.train((data.inputs[:400], data.targets[:400].numpy()), net="neocognitron:planes=16x32", plan="eager", out=tmp_path / "run",
                   progress=False)
    assert run.record["rule"].startswith("winner-take-all")
    assert run.valid.accuracy > 0.7


@pytest.mark.parametrize("spec", ["winner-take-all:rate=0", "winner-take-all:column=2", "winner-take-all:share=1"])
def test_values_that_are_none_are_refused(spec):
    with pytest.raises(InputError, match="winner-take-all expects a rate above 0, an odd column, and a share between 0 and 1"):
        rule_of(spec)


def test_nets_without_competing_cells_are_refused():
    with pytest.raises(InputError, match=r"winner-take-all trains nets whose cells compete; those of .* do not"):
        rule_of().init(net_of("mlp:hidden=3", (4,)))
