"""Baum and Welch's iteration: never less likely than before, the same step as hmmlearn's, and parameters that are found again."""

import itertools
import math

import pytest
import torch

from chainrule.core.batch import Batch
from chainrule.core.errors import InputError
from chainrule.core.net import Net
from chainrule.nets.feedforward import mlp
from chainrule.nets.hmm import HiddenMarkov
from chainrule.rules.baum_welch import BaumWelch


def drawn(kind: str, n: int = 60, length: int = 30, states: int = 2, seed: int = 0) -> tuple[HiddenMarkov, torch.Tensor]:
    """A model whose states are far apart, and sequences from it, every third one shorter, with steps that nobody saw."""
    torch.manual_seed(seed)
    width, outputs = (4, 4) if kind == "discrete" else (2, 0)
    net = HiddenMarkov((length, width), outputs, states=states, emissions=kind).double()
    with torch.no_grad():
        net.transitions.log_shares.copy_((torch.eye(states) * 0.8 + 0.2 / states).log())
        for p in net.emissions.parameters():
            p.add_(torch.randn_like(p) * (1.5 if kind == "discrete" else 0))
        if kind != "discrete":
            net.emissions.means.mul_(3)
    x = net.sample(n)
    gone = 0.0 if kind == "discrete" else math.nan
    x[::3, 20:] = gone
    x[1::3, 7] = gone
    return net, x


@pytest.mark.parametrize("kind", ["discrete", "gaussian", "mixture"])
@pytest.mark.parametrize("weighted", [False, True])
def test_an_iteration_never_makes_the_data_less_likely(kind, weighted):
    _, x = drawn(kind)
    torch.manual_seed(3)
    net = Net.of(HiddenMarkov(tuple(x.shape[1:]), 4 * (kind == "discrete"), states=3, emissions=kind).double())
    rule, weight = BaumWelch(floor=0.0), torch.rand(len(x), dtype=torch.float64) + 0.1 if weighted else None
    state, losses = rule.init(net), []
    for _ in range(12):
        net, state, report = rule.step(net, state, Batch(x, weight=weight))
        losses.append(float(report["loss"]))
    assert all(later <= earlier + 1e-9 for earlier, later in itertools.pairwise(losses[1:]))
    assert losses[-1] < losses[0]
    steps = net.call("present", x).double().sum(1)
    w = torch.ones(len(x), dtype=torch.float64) if weight is None else weight
    again = -(w * net.call("log_prob", x).detach()).sum() / (w * steps).sum()
    _, _, report = rule.step(net, state, Batch(x, weight=weight))
    assert float(report["loss"]) == pytest.approx(float(again))


@pytest.mark.parametrize("kind", ["discrete", "gaussian"])
def test_an_iteration_is_that_of_hmmlearn(kind):
    hmm = pytest.importorskip("hmmlearn.hmm")
    true, _ = drawn(kind)
    x = true.sample(20)
    net = Net.of(HiddenMarkov(tuple(x.shape[1:]), 4 * (kind == "discrete"), states=3, emissions=kind).double())
    if kind == "discrete":
        twin, rows = hmm.CategoricalHMM(3, n_iter=1, init_params="", params="ste"), x.argmax(2).reshape(-1, 1)
        twin.emissionprob_, twin.n_features = net.params["emissions.log_shares"].detach().softmax(1).numpy(), 4
    else:
        twin = hmm.GaussianHMM(3, "full", n_iter=1, init_params="", params="stmc", min_covar=0, covars_prior=0, covars_weight=0)
        rows, twin.means_ = x.flatten(0, 1), net.params["emissions.means"][:, 0].detach().numpy()
        twin.covars_ = torch.eye(2, dtype=torch.float64).repeat(3, 1, 1).numpy()
    twin.startprob_ = net.params["initial.log_shares"].detach().softmax(0).numpy()
    twin.transmat_ = net.params["transitions.log_shares"].detach().softmax(1).numpy()
    twin.fit(rows.numpy(), [x.shape[1]] * len(x))
    rule = BaumWelch(floor=0.0, start="given")
    net, _, _ = rule.step(net, rule.init(net), Batch(x))
    here = {name: p.detach() for name, p in net.params.items()}

    def near(ours, theirs):
        torch.testing.assert_close(ours, torch.from_numpy(theirs), atol=1e-8, rtol=0)

    near(here["initial.log_shares"].exp(), twin.startprob_)
    near(here["transitions.log_shares"].exp(), twin.transmat_)
    if kind == "discrete":
        near(here["emissions.log_shares"].exp(), twin.emissionprob_)
    else:
        near(here["emissions.means"][:, 0], twin.means_)
        scale = here["emissions.scale"][:, 0]
        near(scale @ scale.mT, twin.covars_)


def test_steps_that_a_mask_leaves_out_are_not_learned_from():
    _, x = drawn("gaussian")
    whole, mask = x.nan_to_num(), ~x.isnan().any(2)
    results = []
    for batch in (Batch(x), Batch(torch.where(mask[..., None], whole, 99.0), mask=mask)):
        torch.manual_seed(5)
        net, rule = Net.of(HiddenMarkov(tuple(x.shape[1:]), 0, states=2).double()), BaumWelch()
        net, _, report = rule.step(net, rule.init(net), batch)
        results.append((report["loss"], {name: p.detach().clone() for name, p in net.params.items()}))
    torch.testing.assert_close(results[0], results[1])


def test_states_that_are_far_apart_are_found_again():
    true, x = drawn("gaussian", n=80)
    torch.manual_seed(7)
    net, rule = Net.of(HiddenMarkov(tuple(x.shape[1:]), 0, states=2).double()), BaumWelch()
    state = rule.init(net)
    for _ in range(25):
        net, state, _ = rule.step(net, state, Batch(x))
    ours, theirs = net.params["emissions.means"][:, 0].detach(), true.emissions.means[:, 0].detach()
    order = torch.cdist(theirs, ours).argmin(1)
    assert sorted(order.tolist()) == [0, 1]
    torch.testing.assert_close(ours[order], theirs, atol=0.2, rtol=0)
    stays = net.params["transitions.log_shares"].detach().exp().diagonal()
    torch.testing.assert_close(stays, torch.full_like(stays, 0.9), atol=0.05, rtol=0)


def test_it_refuses_what_it_cannot_train():
    with pytest.raises(InputError, match="floor of variance"):
        BaumWelch(floor=-1)
    with pytest.raises(InputError, match="trains a hidden Markov model"):
        BaumWelch().init(Net.of(mlp((4,), 2)))
