"""The linear dynamical system against one joint Gaussian of all its numbers, against statsmodels, and against its own draws."""

import math

import numpy as np
import pytest
import torch

from chainrule.core.errors import InputError
from chainrule.nets.lds import LinearDynamicalSystem

STATES, WIDTH, STEPS = 2, 3, 5


def model(length: int = STEPS, seed: int = 0) -> LinearDynamicalSystem:
    """A system in float64 with parameters of no particular kind."""
    torch.manual_seed(seed)
    net = LinearDynamicalSystem((length, WIDTH), 0, states=STATES).double()
    with torch.no_grad():
        for p in net.parameters():
            p.add_(0.3 * torch.randn_like(p))
        net.transition.weight.copy_(torch.tensor([[0.9, 0.2], [-0.3, 0.7]]))
    return net


def with_gaps(x: torch.Tensor) -> torch.Tensor:
    """Of the first sequence a number is missing, of the second a whole step, of the third its last two steps."""
    x = x.clone()
    x[0, 2, 1] = math.nan
    x[1, 1] = math.nan
    x[2, 3:] = math.nan
    return x


def joint(net: LinearDynamicalSystem, length: int) -> tuple[np.ndarray, np.ndarray]:
    """Mean and covariance of all states and all that is seen of them, states first, from how each is made of independent noises."""
    s = net.system
    a, c, q, r = (part.numpy() for part in (s.transition, s.emission, s.process, s.noise))
    mean = [s.mean.numpy()]
    cov = np.zeros((length * STATES, length * STATES))
    cov[:STATES, :STATES] = s.covariance.numpy()
    for t in range(1, length):
        mean.append(a @ mean[-1])
        here, before = slice(t * STATES, (t + 1) * STATES), slice((t - 1) * STATES, t * STATES)
        cov[here, : t * STATES] = a @ cov[before, : t * STATES]
        cov[: t * STATES, here] = cov[here, : t * STATES].T
        cov[here, here] = a @ cov[before, before] @ a.T + q
    big = np.kron(np.eye(length), c)
    means = np.concatenate([np.concatenate(mean), big @ np.concatenate(mean) + np.tile(s.offset.numpy(), length)])
    return means, np.block([[cov, cov @ big.T], [big @ cov, big @ cov @ big.T + np.kron(np.eye(length), r)]])


@torch.no_grad()
def test_likelihood_and_smoothed_states_are_those_of_one_joint_gaussian():
    net = model()
    x = with_gaps(net.sample(4))
    smoothed, means, cov = net.smoothed(x), *joint(net, STEPS)
    hidden = STEPS * STATES
    for i, row in enumerate(x):
        flat = row.flatten().numpy()
        seen = np.flatnonzero(~np.isnan(flat)) + hidden
        inner = cov[np.ix_(seen, seen)]
        off = flat[seen - hidden] - means[seen]
        expected = -0.5 * (off @ np.linalg.solve(inner, off) + np.linalg.slogdet(inner)[1] + len(seen) * math.log(2 * math.pi))
        assert float(smoothed.log_likelihood[i]) == pytest.approx(expected, abs=1e-9)
        gain = np.linalg.solve(inner, cov[np.ix_(seen, range(hidden))]).T
        np.testing.assert_allclose(smoothed.means[i].flatten().numpy(), means[:hidden] + gain @ off, atol=1e-9)
        left = cov[:hidden, :hidden] - gain @ cov[np.ix_(seen, range(hidden))]
        for t in range(STEPS):
            here, before = slice(t * STATES, (t + 1) * STATES), slice((t - 1) * STATES, t * STATES)
            np.testing.assert_allclose(smoothed.covariances[i, t].numpy(), left[here, here], atol=1e-9)
            if t:
                np.testing.assert_allclose(smoothed.neighbours[i, t - 1].numpy(), left[here, before], atol=1e-9)
    torch.testing.assert_close(net.log_prob(x), smoothed.log_likelihood)
    assert net.present(x).sum(1).tolist() == [5, 5, 3, 5]
    assert not net(x)[2, 3:].any()


@torch.no_grad()
def test_it_agrees_with_statsmodels_to_a_millionth():
    mlemodel = pytest.importorskip("statsmodels.tsa.statespace.mlemodel")
    net = model(length=60)
    x, s = with_gaps(net.sample(3)), net.system
    for i in range(3):
        twin = mlemodel.MLEModel(x[i].numpy(), k_states=STATES, initialization="known", initial_state=s.mean.numpy(),
                                 initial_state_cov=s.covariance.numpy(), loglikelihood_burn=0)
        twin["design"], twin["transition"], twin["selection"] = s.emission.numpy(), s.transition.numpy(), np.eye(STATES)
        twin["state_cov"], twin["obs_cov"], twin["obs_intercept", :, 0] = s.process.numpy(), s.noise.numpy(), s.offset.numpy()
        found = twin.ssm.smooth()
        assert float(net.log_prob(x)[i]) == pytest.approx(found.llf, abs=1e-6)
        np.testing.assert_allclose(net.smoothed(x).means[i].numpy(), found.smoothed_state.T, atol=1e-6)
        np.testing.assert_allclose(net.smoothed(x).covariances[i].numpy(), found.smoothed_state_cov.transpose(2, 0, 1), atol=1e-6)


@torch.no_grad()
def test_draws_have_the_moments_of_the_joint_gaussian():
    net = model()
    torch.manual_seed(1)
    x, path = net.draw(20_000)
    means, cov = joint(net, STEPS)
    drawn = torch.cat([path.flatten(1), x.flatten(1)], 1)
    torch.testing.assert_close(drawn.mean(0), torch.from_numpy(means), atol=0.08, rtol=0)
    torch.testing.assert_close(drawn.T.cov(), torch.from_numpy(cov), atol=0.25, rtol=0)


def test_it_says_what_it_cannot_read():
    with pytest.raises(InputError, match="reads sequences of rows"):
        LinearDynamicalSystem((5,), 0)
    with pytest.raises(InputError, match="at least one state"):
        LinearDynamicalSystem((5, 2), 0, states=0)
