"""Lyapunov exponents: of linear maps their largest eigenvalue's, of the logistic map log 2, of random nets what a wider mean says."""

import math

import pytest
import torch

from chainrule.evaluate.dynamics import lyapunov, predicted_exponent


def test_the_exponent_of_a_linear_map_is_the_log_of_its_largest_eigenvalue():
    map_ = torch.tensor([[0.5, 0.2, 0.0], [0.0, 0.8, 0.1], [0.1, 0.0, 0.3]], dtype=torch.float64)
    exponent, states = lyapunov(lambda x: map_ @ x, torch.ones(3, dtype=torch.float64), settle=50, steps=400)
    largest = torch.linalg.eigvals(map_).abs().max()
    assert exponent == pytest.approx(math.log(float(largest)), abs=2e-2)
    assert states.shape == (400, 3)


def test_the_exponent_of_the_logistic_map_is_log_2():
    exponent, _ = lyapunov(lambda x: 4 * x * (1 - x), torch.tensor([0.3123], dtype=torch.float64), settle=100, steps=20_000)
    assert exponent == pytest.approx(math.log(2), abs=0.02)


def test_the_displacement_grows_as_two_neighbours_part():
    torch.manual_seed(0)
    weights = 3 / math.sqrt(60) * torch.randn(60, 60, dtype=torch.float64)

    def step(x):
        return torch.tanh(weights @ x)

    exponent, states = lyapunov(step, torch.randn(60, dtype=torch.float64), settle=300, steps=3000)
    logs = []
    for start in states[::100]:
        one, other = start, start + 1e-9 * torch.nn.functional.normalize(torch.randn(60, dtype=torch.float64), dim=0)
        first = None
        for i in range(16):
            one, other = step(one), step(other)
            first = (one - other).norm() if i == 5 else first
        logs.append(float(((one - other).norm() / first).log()) / 10)
    assert sum(logs) / len(logs) == pytest.approx(exponent, abs=0.06)


@pytest.mark.parametrize("gain", [0.3, 0.7])
def test_below_one_random_nets_come_to_rest_as_fast_as_the_gain_says(gain):
    assert predicted_exponent(gain) == pytest.approx(math.log(gain), abs=1e-6)


@pytest.mark.parametrize("gain", [1.5, 3.0])
def test_above_one_the_theory_is_that_of_means_over_many_draws(gain):
    """The same self-consistent variance, by draws instead of quadrature."""
    normal = torch.randn(2_000_000, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
    q = 1.0
    for _ in range(60):
        q = gain**2 * float((math.sqrt(q) * normal).tanh().square().mean())
    slopes = 1 - (math.sqrt(q) * normal).tanh().square()
    assert predicted_exponent(gain) == pytest.approx(0.5 * math.log(gain**2 * float(slopes.square().mean())), abs=3e-3)
    assert predicted_exponent(gain) > 0
