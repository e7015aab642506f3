"""Schedules as tables of values, and against torch's schedulers."""

import math

import pytest
import torch

from chainrule.core.errors import InputError
from chainrule.core.registry import schedules

SHARES = [0.0, 0.1, 0.25, 0.3, 0.5, 0.65, 0.75, 1.0]
TABLE = {
    "constant": [1] * 8,
    "step": [1, 1, 1, 1, 0.1, 0.1, 0.01, 0.01],
    "step:drop=0.5": [1, 1, 1, 1, 0.5, 0.5, 0.25, 0.25],
    "exponential": [1, 0.630957, 0.316228, 0.251189, 0.1, 0.0501187, 0.0316228, 0.01],
    "exponential:0.0001": [1, 0.398107, 0.1, 0.0630957, 0.01, 0.00251189, 0.001, 0.0001],
    "cosine": [1, 0.975528, 0.853553, 0.793893, 0.5, 0.273005, 0.146447, 0],
    "cosine:final=0.5": [1, 0.987764, 0.926777, 0.896946, 0.75, 0.636502, 0.573223, 0.5],
    "one-cycle": [0.04, 0.28, 0.935692, 1, 0.811745, 0.500002, 0.283060, 0.000004],
    "warm-up": [0.1, 1, 1, 1, 1, 1, 1, 1],
    "warm-up:rise=0.5,start=0.2": [0.2, 0.36, 0.6, 0.68, 1, 1, 1, 1],
    "warm-up:rise=0.5,start=0.2,then=linear": [0.2, 0.36, 0.6, 0.68, 1, 0.7, 0.5, 0],
    "warm-up:rise=0.5,start=0.2,then=cosine": [0.2, 0.36, 0.6, 0.68, 1, 0.793893, 0.5, 0],
}


@pytest.mark.parametrize("spec", TABLE)
def test_table_of_values(spec):
    schedule = schedules.choose(spec).make()
    ours = [float(schedule(torch.tensor(share))) for share in SHARES]
    assert ours == pytest.approx(TABLE[spec], rel=1e-5, abs=1e-7)


def test_every_schedule_has_a_table():
    assert {spec.split(":")[0] for spec in TABLE} == set(schedules.names())


@pytest.mark.parametrize("name", schedules.names())
def test_factors_are_scalars_that_never_exceed_the_rate_and_follow_the_transformations(name):
    schedule, shares = schedules.choose(name).make(), torch.linspace(0, 1, 101)
    one_by_one = torch.stack([schedule(share) for share in shares])
    assert one_by_one.shape == (101,)
    assert one_by_one.min() >= -1e-7
    assert one_by_one.max() == pytest.approx(1, abs=1e-3)
    torch.testing.assert_close(torch.vmap(schedule)(shares), one_by_one)
    captured = torch.compile(schedule, backend="eager", fullgraph=True)
    torch.testing.assert_close(captured(shares[40]), one_by_one[40])


def torch_factors(make, steps: int = 40) -> list[float]:
    w = torch.zeros(1, requires_grad=True)
    optimizer = torch.optim.SGD([w], lr=1.0)
    scheduler, factors = make(optimizer, steps), []
    for _ in range(steps):
        factors.append(optimizer.param_groups[0]["lr"])
        optimizer.step()
        scheduler.step() if len(factors) < steps else None
    return factors


def test_cosine_is_torchs():
    theirs = torch_factors(lambda o, n: torch.optim.lr_scheduler.CosineAnnealingLR(o, n, eta_min=0.1))
    ours = [float(schedules.choose("cosine:0.1").make()(torch.tensor(i / 40, dtype=torch.double))) for i in range(40)]
    assert ours == pytest.approx(theirs, rel=1e-9)


def test_exponential_is_torchs():
    theirs = torch_factors(lambda o, n: torch.optim.lr_scheduler.ExponentialLR(o, 0.01 ** (1 / n)))
    ours = [float(schedules.choose("exponential").make()(torch.tensor(i / 40, dtype=torch.double))) for i in range(40)]
    assert ours == pytest.approx(theirs, rel=1e-9)


def test_one_cycle_is_torchs():
    """torch counts from the first step to the last, its peak at rise * steps - 1: of 41 with the peak on 12, the shares are i / 40."""
    theirs = torch_factors(
        lambda o, n: torch.optim.lr_scheduler.OneCycleLR(o, 1.0, total_steps=n, pct_start=13 / 41, cycle_momentum=False), steps=41)
    ours = [float(schedules.choose("one-cycle:rise=0.3").make()(torch.tensor(i / 40, dtype=torch.double))) for i in range(41)]
    assert ours == pytest.approx(theirs, rel=1e-9)


def test_the_warm_ups_slope_is_constant():
    schedule = schedules.choose("warm-up:rise=0.2,start=0.05").make()
    share = torch.tensor(0.1, requires_grad=True)
    (slope,) = torch.autograd.grad(schedule(share), share)
    assert math.isclose(float(slope), 0.95 / 0.2, rel_tol=1e-6)


@pytest.mark.parametrize("spec", ["step:drop=0", "exponential:final=0", "cosine:final=2", "one-cycle:rise=0", "warm-up:start=-1"])
def test_nonsense_is_refused(spec):
    with pytest.raises(InputError, match="above 0 and at most 1"):
        schedules.choose(spec).make()
