"""Every registered rule keeps the contract: the same numbers under one seed, after a save, as a member of a stack, and fused."""

from __future__ import annotations

import pytest
import torch
from made_rules import PACE, PARTED, RULES, STEPS, learner_and_batches
from tiny import through_a_checkpoint
from torch import Tensor

from chainrule.core import registry
from chainrule.core.batch import Batch
from chainrule.core.descend import set_pace
from chainrule.core.errors import InputError
from chainrule.core.net import Net
from chainrule.core.rule import Learner, Rule
from chainrule.core.tree import clone, leaves
from chainrule.engine.members.stacked import Together
from chainrule.engine.plans.eager import eager
from chainrule.engine.plans.plan import fused


def run(rule: Rule, learner: Learner, batches: Batch, seed: int = 1) -> tuple[Learner, dict[str, Tensor]]:
    torch.manual_seed(seed)
    return eager(rule.step)(learner, batches)


def assert_same(a: Learner, b: Learner) -> None:
    for mine, theirs in zip(leaves([a.net.tensors, a.state]), leaves([b.net.tensors, b.state]), strict=True):
        assert torch.equal(mine, theirs)


def assert_near(here: Net, there: Net, start: Net, tolerance: float) -> None:
    """Apart by at most `tolerance` of the distance moved."""
    moved = sum(float((b - a).square().sum()) for a, b in zip(leaves(start.params), leaves(clone(there.params)), strict=True)) ** 0.5
    apart = sum(float((b - a).square().sum()) for a, b in zip(leaves(clone(here.params)), leaves(clone(there.params)), strict=True)) ** 0.5
    assert moved > 0
    assert apart <= tolerance * moved


@pytest.mark.parametrize("name", RULES)
def test_it_learns_something_and_reports_a_finite_loss(name):
    rule, learner, batches = learner_and_batches(name)
    before = clone(learner.net.params)
    after, report = run(rule, learner, batches)
    assert report["loss"].shape == (STEPS,)
    assert bool(report["loss"].isfinite().all())
    assert any(not torch.equal(before[k], p) for k, p in after.net.params.items())


@pytest.mark.parametrize("name", RULES)
def test_the_same_seed_gives_the_same_weights(name):
    first, second = (run(*learner_and_batches(name))[0] for _ in range(2))
    assert_same(first, second)


@pytest.mark.parametrize("name", RULES)
def test_it_resumes_bit_for_bit_from_what_a_checkpoint_holds(name, tmp_path):
    rule, learner, batches = learner_and_batches(name)
    straight, _ = run(rule, learner, batches)

    rule, learner, batches = learner_and_batches(name)
    halfway, _ = run(rule, learner, batches.rows(0, 2))
    random = torch.get_rng_state()
    rule, fresh, batches = learner_and_batches(name)
    fresh = through_a_checkpoint(tmp_path, halfway, fresh)
    torch.set_rng_state(random)
    resumed, _ = eager(rule.step)(fresh, batches.rows(2, STEPS))
    assert_same(straight, resumed)


def differs_by_seed(name: str) -> bool:
    """Whether a rule draws random numbers: two seeds lead to other weights."""
    first, second = (run(*learner_and_batches(name), seed=seed)[0].net.params for seed in (1, 2))
    return any(not torch.equal(first[k], second[k]) for k in first)


@pytest.mark.parametrize("name", RULES)
def test_a_member_of_a_stack_learns_what_it_would_alone(name):
    """Members draw different random numbers, so rules that draw are compared on a stack of one, which draws what it would alone."""
    rule, _, batches = learner_and_batches(name)
    traits = registry.rules.choose(name).entry.traits
    draws = traits.target == "none" or traits.own_costs or not traits.nets or differs_by_seed(name)
    alone = [learner_and_batches(name, seed) for seed in ((0,) if draws else (0, 1, 2))]
    starts = [a[1].net.clone() for a in alone]
    stack = Net.stack(starts)
    together = Together(lambda numbers: rule, [{}] * len(alone), shared=True)
    state = together.init(stack)
    set_pace(state, PACE)
    torch.manual_seed(1)
    for i in range(STEPS):
        stack, state, report = together.step(stack, state, batches[i])
    assert report["loss"].shape == (len(alone),)
    for i, (own_rule, own_learner, _) in enumerate(alone):
        after, _ = run(own_rule, own_learner, batches)
        assert_near(stack.member(i), after.net, starts[i], rule.tolerance)


@pytest.mark.parametrize("name", RULES)
def test_fused_steps_agree_with_eager_ones(name):
    """Captured and functionalised as one program, the second step from what the first leaves; generated as code when slow."""
    _fused_agrees(name, "aot_eager", 2)


@pytest.mark.slow
@pytest.mark.parametrize("name", RULES)
def test_compiled_steps_agree_with_eager_ones(name):
    _fused_agrees(name, "inductor", STEPS)


def _fused_agrees(name: str, backend: str, steps: int) -> None:
    rule, learner, batches = learner_and_batches(name)
    start, batches = learner.net.clone(), batches.rows(0, steps)
    torch.manual_seed(1)
    together, report = fused(rule.step, learner.net, steps, backend)(learner, batches)
    own_rule, own_learner, _ = learner_and_batches(name)
    after, expected = run(own_rule, own_learner, batches)
    torch.testing.assert_close(report["loss"], expected["loss"], rtol=1e-3, atol=1e-4)
    assert_near(together.net, after.net, start, rule.tolerance)


@pytest.mark.parametrize("name", [name for name in RULES if name.partition(":")[0] in PARTED])
def test_every_part_has_a_state_of_its_own_that_knows_its_share_of_the_stage(name):
    rule, learner, batches = learner_and_batches(name)
    after, _ = run(rule, learner, batches)
    for part in PARTED[name.partition(":")[0]]:
        assert float(after.state[part]["pace"]["done"]) == PACE["done"] + STEPS
        assert any(k.startswith(part) for k in after.net.params)


@pytest.mark.parametrize("name", RULES)
def test_what_is_frozen_stays_where_it_was(name):
    """The first parameter of the net; rules that cannot leave one alone say so."""
    rule, learner, batches = learner_and_batches(name)
    module = learner.net.module
    first, p = next(iter(module.named_parameters()))
    p.requires_grad_(False)
    net = Net.of(module)
    before = p.detach().clone()
    try:
        state = clone(rule.init(net))
        set_pace(state, PACE)
        after, _ = run(rule, Learner(net, state), batches)
    except InputError as refusal:
        assert str(refusal).endswith(".")
        return
    assert torch.equal(after.net.tensors[first], before)
