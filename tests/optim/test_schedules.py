"""Schedules as tables of values, and against torch's schedulers."""

import math
from dataclasses import asdict

import pytest
import torch

from chainrule.core.errors import InputError
from chainrule.core.registry import schedules
from chainrule.data.load import load
from chainrule.engine.plans.plan import Plan
from chainrule.job.build import build
from chainrule.job.options import Options

SHARES = [0.0, 0.1, 0.25, 0.3, 0.5, 0.65, 0.75, 1.0]
TABLE = {
    "linear": [1, 0.9, 0.75, 0.7, 0.5, 0.35, 0.25, 0],
    "linear:final=0.2": [1, 0.92, 0.8, 0.76, 0.6, 0.48, 0.4, 0.2],
    "polynomial": [1, 0.909533, 0.771888, 0.725412, 0.535887, 0.388738, 0.287175, 0],
    "polynomial:power=2,final=0.1": [1, 0.829, 0.60625, 0.541, 0.325, 0.21025, 0.15625, 0.1],
    "inverse": [1, 0.0917431, 0.0388350, 0.0325733, 0.0198020, 0.0153022, 0.0132890, 0.01],
    "inverse:final=0.2": [1, 0.714286, 0.5, 0.454545, 0.333333, 0.277778, 0.25, 0.2],
    "cosine-restarts": [1, 0.793893, 0.146447, 0.0244717, 0.5, 0.00615583, 0.853553, 0],
    "cosine-restarts:cycles=2,final=0.2": [1, 0.923607, 0.6, 0.476393, 1, 0.835114, 0.6, 0.2],
    "cosine-restarts:cycles=2,growth=3": [1, 0.654508, 1, 0.989074, 0.75, 0.447736, 0.25, 0],

    "constant": [1] * 8,
    "step": [1, 1, 1, 1, 0.1, 0.1, 0.01, 0.01],
    "step:factor=0.5": [1, 1, 1, 1, 0.5, 0.5, 0.25, 0.25],
    "step:at=0.2x0.7x0.9": [1, 1, 0.1, 0.1, 0.1, 0.1, 0.01, 0.001],
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


def shares_of(spec: str, steps: int = 40) -> list[float]:
    return [float(schedules.choose(spec).make()(torch.tensor(i / steps, dtype=torch.double))) for i in range(steps)]


S = torch.optim.lr_scheduler
TORCHS = {
    "linear:final=0.1": lambda o, n: S.LinearLR(o, start_factor=1.0, end_factor=0.1, total_iters=n),
    "polynomial": lambda o, n: S.PolynomialLR(o, total_iters=n, power=0.9),
    "polynomial:power=3": lambda o, n: S.PolynomialLR(o, total_iters=n, power=3),
    "step": lambda o, n: S.MultiStepLR(o, [n // 2, 3 * n // 4], gamma=0.1),
    "warm-up:rise=0.25,start=0.2": lambda o, n: S.LinearLR(o, start_factor=0.2, total_iters=n // 4),
    "cosine-restarts:cycles=4": lambda o, n: S.CosineAnnealingWarmRestarts(o, n // 4),
    "cosine-restarts:cycles=4,growth=3,final=0.1": lambda o, n: S.CosineAnnealingWarmRestarts(o, n // 40, T_mult=3, eta_min=0.1),
    "inverse:final=0.25": lambda o, n: S.LambdaLR(o, lambda t: (n / 3) / (n / 3 + t)),  # 1 / t, from t = n / 3 to 4 n / 3
}


@pytest.mark.parametrize("spec", TORCHS)
def test_schedules_are_torchs(spec):
    assert shares_of(spec) == pytest.approx(torch_factors(TORCHS[spec]), rel=1e-9, abs=1e-12)


@pytest.mark.parametrize("cycles", [1, 3, 7])
def test_restarts_fall_on_the_step_in_single_precision(cycles):
    schedule, n = schedules.choose(f"cosine-restarts:cycles={cycles}").make(), 7 * 9
    factors = torch.stack([schedule(torch.tensor(float(i)) / n) for i in range(n)])
    assert (factors == 1).nonzero().flatten().tolist() == [i for i in range(n) if i % (n // cycles) == 0]


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


@pytest.mark.parametrize(("spec", "words"), [
    ("linear:final=-1", "linear expects final to be at least 0 and at most 1"), ("polynomial:power=0", "power to be a number above 0"),
    ("cosine-restarts:cycles=0", "cycles to be at least 1"), ("cosine-restarts:growth=0", "growth to be above 0"),
    ("cosine:final=2", "cosine expects final to be at least 0 and at most 1"),
])
def test_nonsense_is_refused_where_nothing_may_be_all_that_is_left(spec, words):
    with pytest.raises(InputError, match=words):
        schedules.choose(spec).make()


@pytest.mark.parametrize("spec", ["step:factor=0", "inverse:final=0", "exponential:final=0", "one-cycle:rise=0", "warm-up:start=-1"])
def test_nonsense_is_refused(spec):
    with pytest.raises(InputError, match="above 0 and at most 1"):
        schedules.choose(spec).make()


def rates(**options):
    """The factor at every step of four epochs of 28 rows in batches of 7: four steps each."""
    job = build(load((torch.randn(40, 3), torch.arange(40) % 2)), Options(net="softmax", batch=7, split="train=.7,valid=.3", **options))
    descent = job.rule.descent
    seen, schedule = [], descent.schedule
    descent.schedule = lambda share: (seen.append(float(schedule(share))), schedule(share))[1]
    assert list(job.events(made=[{"since": 0, "made": asdict(Plan(threads=1))}]))
    return seen


def test_a_step_at_named_epochs_falls_after_them_and_nowhere_else():
    assert rates(epochs=4, plan="eager", schedule="step:at=1x3,factor=0.1") == pytest.approx([1.0] * 4 + [0.1] * 8 + [0.01] * 4)
    assert rates(epochs=4, plan="eager", schedule="step:at=0.25x0.75,factor=0.1") == pytest.approx([1.0] * 4 + [0.1] * 8 + [0.01] * 4)


@pytest.mark.parametrize(("options", "words"), [
    ({"epochs": 4, "schedule": "step:at=1x4"}, "whole numbers below the 4 of this run; got 4"),
    ({"epochs": 4, "schedule": "step:at=1.5"}, "whole numbers below the 4 of this run; got 1.5"),
    ({"epochs": 4, "schedule": "step:at=0"}, "got 0"),
    ({"steps": 40, "schedule": "step:at=3"}, "names epochs of a run of --epochs N in one piece"),
    ({"epochs": 4, "seconds": 3.0, "schedule": "step:at=3"}, "without --steps, --seconds"),
    ({"epochs": 4, "snapshots": 2, "schedule": "step:at=3"}, "or --snapshots"),
])
def test_epochs_that_the_run_does_not_have_are_refused(options, words):
    with pytest.raises(InputError, match=words):
        rates(plan="eager", **options)


def test_named_epochs_mean_nothing_without_a_run():
    with pytest.raises(InputError, match="shares of the run between 0 and 1"):
        schedules.choose("step:at=30x60").make()
