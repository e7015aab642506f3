"""The hidden Markov model against the sum over all state paths, against hmmlearn, and against its own draws."""

import itertools
import math

import numpy as np
import pytest
import torch

from chainrule.core.errors import InputError
from chainrule.core.net import Net
from chainrule.nets.hmm import HiddenMarkov

STATES, STEPS = 3, 5
KINDS = {"discrete": (4, 4), "gaussian": (2, 0), "mixture": (2, 0)}


def model(kind: str, *, form: str = "scaled", length: int = STEPS, states: int = STATES, seed: int = 0) -> HiddenMarkov:
    """A model in float64 with parameters of no particular kind."""
    torch.manual_seed(seed)
    width, outputs = KINDS[kind]
    net = HiddenMarkov((length, width), outputs, states=states, emissions=kind, form=form).double()
    with torch.no_grad():
        for p in net.parameters():
            p.add_(0.7 * torch.randn_like(p))
        if kind != "discrete":
            net.emissions.scale.copy_(net.emissions.scale.tril() + 2 * torch.eye(width))
    return net


def sequences(kind: str, n: int = 4, length: int = STEPS) -> torch.Tensor:
    """Some sequences: the second misses a step in its middle, the third has two steps fewer."""
    x = torch.randn(n, length, KINDS[kind][0], dtype=torch.float64)
    if kind == "discrete":
        x = torch.nn.functional.one_hot(x.argmax(2), 4).double()
    gone = 0.0 if kind == "discrete" else math.nan
    x[1, 1] = gone
    x[2, 3:] = gone
    return x


def density(net: HiddenMarkov, state: int, row: torch.Tensor) -> float:
    """How likely a state makes what a step shows; one where it shows nothing."""
    e = net.emissions
    if hasattr(e, "log_shares"):
        return float((row * e.log_shares.softmax(1)[state]).sum()) if row.any() else 1.0
    if row.isnan().any():
        return 1.0
    each = torch.distributions.MultivariateNormal(e.means[state], scale_tril=e.scale[state].tril()).log_prob(row)
    return float((e.log_weights[state].softmax(0) * each.exp()).sum())


def enumerated(net: HiddenMarkov, x: torch.Tensor) -> dict[tuple[int, ...], float]:
    """The joint probability of a sequence (t, d) and each path of states."""
    start, follow = net.initial.log_shares.softmax(0).tolist(), net.transitions.log_shares.softmax(1).tolist()
    seen = [[density(net, state, row) for state in range(STATES)] for row in x]
    joint = {}
    for path in itertools.product(range(STATES), repeat=len(x)):
        p = start[path[0]] * seen[0][path[0]]
        for t in range(1, len(x)):
            p *= follow[path[t - 1]][path[t]] * seen[t][path[t]]
        joint[path] = p
    return joint


@pytest.mark.parametrize("form", ["scaled", "log"])
@pytest.mark.parametrize("kind", KINDS)
@torch.no_grad()
def test_likelihoods_posteriors_and_transitions_are_sums_over_all_paths(kind, form):
    net, x = model(kind, form=form), sequences(kind)
    weight = torch.tensor([1.0, 2.0, 0.5, 1.0], dtype=torch.float64)
    found = net.expected(x, weight)
    pairs = np.zeros((STATES, STATES))
    for i, length in enumerate([STEPS, STEPS, 3, STEPS]):
        joint = enumerated(net, x[i, :length])
        total = sum(joint.values())
        assert float(found.log_likelihood[i]) == pytest.approx(math.log(total), abs=1e-10)
        states = np.zeros((STEPS, STATES))
        for path, p in joint.items():
            for t, state in enumerate(path):
                states[t, state] += p / total
            for a, b in itertools.pairwise(path):
                pairs[a, b] += float(weight[i]) * p / total
        np.testing.assert_allclose(found.states[i].numpy(), states, atol=1e-10)
    np.testing.assert_allclose(found.transitions.numpy(), pairs, atol=1e-10)
    torch.testing.assert_close(net.log_prob(x), found.log_likelihood)
    torch.testing.assert_close(net(x), found.states)


@pytest.mark.parametrize("kind", KINDS)
@torch.no_grad()
def test_the_path_is_the_likeliest_of_all(kind):
    net, x = model(kind), sequences(kind, n=6)
    for row, path, length in zip(x, net.path(x), [5, 5, 3, 5, 5, 5], strict=True):
        joint = enumerated(net, row[:length])
        assert tuple(path[:length].tolist()) == max(joint, key=joint.get)
        assert (path[length:] == -1).all()


@torch.no_grad()
def test_in_logarithms_nothing_underflows_where_scaled_passes_lose_a_state():
    net = model("gaussian", form="log", length=3)
    x = torch.full((1, 3, 2), 900.0, dtype=torch.float64)
    states = torch.arange(STATES)
    each = torch.stack([torch.distributions.MultivariateNormal(net.emissions.means[k, 0], scale_tril=net.emissions.scale[k, 0].tril())
                        .log_prob(x[0]) for k in states], 1)                                        # (t, states)
    paths = [net.initial()[p[0]] + sum(each[t, p[t]] for t in range(3)) + sum(net.transitions()[a, b] for a, b in itertools.pairwise(p))
             for p in itertools.product(range(STATES), repeat=3)]
    torch.testing.assert_close(net.log_prob(x)[0], torch.stack(paths).logsumexp(0))


def oracle(net: HiddenMarkov, kind: str):
    """The same model in hmmlearn."""
    hmm = pytest.importorskip("hmmlearn.hmm")
    e = net.emissions
    if kind == "discrete":
        twin = hmm.CategoricalHMM(STATES, init_params="", params="ste")
        twin.emissionprob_ = e.log_shares.softmax(1).numpy()
    elif kind == "gaussian":
        twin = hmm.GaussianHMM(STATES, "full", init_params="", params="stmc", min_covar=0, covars_prior=0, covars_weight=0)
        twin.means_, twin.covars_ = e.means[:, 0].numpy(), (e.scale[:, 0].tril() @ e.scale[:, 0].tril().mT).numpy()
    else:
        twin = hmm.GMMHMM(STATES, 2, covariance_type="full", init_params="", params="st", min_covar=0)
        twin.weights_, twin.means_ = e.log_weights.softmax(1).numpy(), e.means.numpy()
        twin.covars_ = (e.scale.tril() @ e.scale.tril().mT).numpy()
    twin.startprob_, twin.transmat_ = net.initial.log_shares.softmax(0).numpy(), net.transitions.log_shares.softmax(1).numpy()
    twin.n_features = KINDS[kind][0]
    return twin


def rows_of(kind: str, x: torch.Tensor) -> np.ndarray:
    """What hmmlearn reads of a sequence (t, d)."""
    return x.argmax(1, keepdim=True).numpy() if kind == "discrete" else x.numpy()


@pytest.mark.parametrize("kind", KINDS)
@torch.no_grad()
def test_it_agrees_with_hmmlearn_to_a_millionth(kind):
    net = model(kind, length=40)
    twin, x = oracle(net, kind), net.sample(5)
    for row, value, states, path in zip(x, net.log_prob(x), net(x), net.path(x), strict=True):
        score, posteriors = twin.score_samples(rows_of(kind, row))
        assert float(value) == pytest.approx(score, abs=1e-6)
        np.testing.assert_allclose(states.numpy(), posteriors, atol=1e-6)
        np.testing.assert_array_equal(path.numpy(), twin.predict(rows_of(kind, row)))


@pytest.mark.parametrize("kind", KINDS)
def test_draws_have_the_shares_of_their_states_and_transitions(kind):
    net = model(kind, length=50)
    torch.manual_seed(1)
    x, path = net.draw(600)
    follow = net.transitions.log_shares.detach().softmax(1)
    counts = torch.zeros(STATES, STATES).index_put_((path[:, :-1].flatten(), path[:, 1:].flatten()), torch.tensor(1.0), accumulate=True)
    torch.testing.assert_close(counts / counts.sum(1, keepdim=True), follow.float(), atol=0.03, rtol=0)
    torch.testing.assert_close(path[:, 0].bincount(minlength=STATES) / 600, net.initial().detach().exp().float(), atol=0.07, rtol=0)
    e = net.emissions
    expected = e.log_shares.softmax(1) if kind == "discrete" else (e.log_weights.softmax(1)[..., None] * e.means).sum(1)
    for state in range(STATES):
        torch.testing.assert_close(x[path == state].mean(0), expected[state].detach(), atol=0.2, rtol=0)


def test_it_says_what_it_cannot_read():
    with pytest.raises(InputError, match="reads sequences"):
        HiddenMarkov((5,), 0)
    with pytest.raises(InputError, match="at least one state"):
        HiddenMarkov((5, 2), 0, states=0)
    with pytest.raises(InputError, match="for sequences of symbols"):
        HiddenMarkov((5, 2), 0, emissions="discrete")
    with pytest.raises(InputError, match="no Gaussians"):
        Net.of(model("discrete")).call("components", torch.zeros(2, 4))


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("weighted", [False, True])
def test_passes_written_in_place_are_those_that_can_be_differentiated(kind, weighted):
    """Of more steps than a block has, of sequences that end early, with weights and without."""
    net = model(kind, length=41)
    torch.manual_seed(3)
    x = net.sample(6)
    for row, end in enumerate((41, 40, 17, 16, 2, 1)):
        x[row, end:] = 0.0 if kind == "discrete" else float("nan")
    weight = torch.rand(6, dtype=x.dtype) if weighted else None
    written_out = net.expected(x, weight)
    with torch.no_grad():
        in_place = net.expected(x, weight)
    assert written_out.states.requires_grad
    for a, b in zip(in_place, written_out, strict=True):
        torch.testing.assert_close(a, b.detach(), rtol=1e-9, atol=1e-12)
