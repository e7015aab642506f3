"""Execution plans: whichever way the steps are executed, they are the same steps."""

import copy
from functools import partial

import numpy as np
import pytest
import torch
from tiny import chunk, convolutional, dense, descend, learner, least_squares
from torch import nn

from chainrule.core.batch import Batch
from chainrule.core.criterion import Supervised
from chainrule.core.descend import Descend
from chainrule.core.errors import InputError, PlanRejected
from chainrule.core.net import Net
from chainrule.core.rule import Learner
from chainrule.core.tree import clone, leaves
from chainrule.engine.plans.eager import copied, eager
from chainrule.engine.plans.plan import FUSED_STEPS, Plan, arrange, fused
from chainrule.engine.plans.trial import BF16_TOLERANCE, disagreement
from chainrule.losses.classic import cross_entropy
from chainrule.optim.first_order import adam, sgd
from chainrule.optim.schedules import cosine
from chainrule.rules.backprop import backprop

generates_code = pytest.mark.skipif(torch.backends.cpu.get_cpu_capability() == "DEFAULT",
                                    reason="without AVX2 torch 2.13 generates code that its own headers do not compile")


def after(plan, net, rule, batches, seed=0):
    one = copied(learner(net, rule))
    advance = plan.build(rule, one, batches)
    torch.manual_seed(seed)
    return advance(one, batches)


def apart(plan, net, rule, batches):
    """How far the plan's weights are from eager ones, relative to the distance moved; see `disagreement`, which is tested by itself."""
    there, _ = after(plan, net, rule, batches)
    return disagreement(rule, learner(net, rule), there, batches, Plan(), seed=0).total


def test_eager_steps_are_gradient_descent_on_paper():
    """Second derivation: linear least squares in NumPy, w <- w - rate * mean((xw + b - y) x)."""
    torch.manual_seed(0)
    net, x, y = Net.of(nn.Linear(3, 1)), torch.randn(4, 8, 3), torch.randn(4, 8, 1)
    w, b = net.params["weight"].detach().double().numpy().T.copy(), net.params["bias"].detach().double().numpy().copy()
    _, reports = eager(least_squares(0.1).step)(learner(net, least_squares()), Batch(x, y))
    for i, (features, target) in enumerate(zip(x.double().numpy(), y.double().numpy(), strict=True)):
        off = features @ w + b - target
        assert float(reports["loss"][i]) == pytest.approx(0.5 * float((off**2).mean()), rel=1e-5)
        w, b = w - 0.1 * features.T @ off / len(off), b - 0.1 * off.mean(0)
    np.testing.assert_allclose(net.params["weight"].detach().numpy(), w.T, rtol=1e-5, atol=1e-6)
    np.testing.assert_allclose(net.params["bias"].detach().numpy(), b, rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize("k", [1, 2, 3, 12])
def test_the_size_of_a_chunk_does_not_change_the_numbers(k):
    rule, batches = descend(schedule=True), chunk(12)
    whole, reports = after(Plan(), dense(0.3, norm=True), rule, batches)
    one, losses = copied(learner(dense(0.3, norm=True), rule)), []
    torch.manual_seed(0)
    for begin in range(0, 12, k):
        one, some = Plan().build(rule, one, batches)(one, Batch(batches.x[begin : begin + k], batches.y[begin : begin + k]))
        losses.append(some["loss"])
    assert torch.equal(torch.cat(losses), reports["loss"])
    for mine, theirs in zip(leaves([one.net.tensors, one.state]), leaves([whole.net.tensors, whole.state]), strict=True):
        assert torch.equal(mine, theirs)


def test_weights_of_samples_reach_the_rule():
    batches = chunk(2)
    weighted = Batch(batches.x, batches.y, torch.tensor([0.0, 2.0]).repeat(14)[: 2 * 7].view(2, 7))
    plain, _ = after(Plan(), dense(), descend(), batches)
    other, _ = after(Plan(), dense(), descend(), weighted)
    assert not torch.equal(plain.net.params["0.weight"], other.net.params["0.weight"])
    untargeted = Batch(batches.x, None)
    eager(lambda net, state, batch: (net, state, {"loss": batch.x.sum()}))(learner(dense(), descend()), untargeted)


def test_channels_last_agrees_with_eager_and_lays_out_only_its_own_weights():
    net, rule, batches = convolutional(), descend(), chunk(3, shape=(2, 6, 6))
    assert apart(Plan(channels_last=True), net, rule, batches) < rule.tolerance
    there, _ = after(Plan(channels_last=True), net, rule, batches)
    assert there.net.params["0.weight"].is_contiguous(memory_format=torch.channels_last)
    assert net.params["0.weight"].is_contiguous()
    arrange(there, channels_last=False)
    assert there.net.params["0.weight"].is_contiguous()


def test_bf16_agrees_within_its_own_tolerance_and_its_layers_compute_in_bfloat16():
    rule, batches, net, types = descend(), chunk(5), dense(), []
    assert apart(Plan(bf16=True), net, rule, batches) < BF16_TOLERANCE
    net.module[0].register_forward_hook(lambda layer, given, out: types.append(out.dtype))
    after(Plan(bf16=True), net, rule, batches)
    assert types == [torch.bfloat16] * 5


def test_fused_steps_agree_with_eager_ones_also_where_the_chunk_is_no_multiple():
    """Captured and functionalised as one program, without code generation; the last steps of the chunk run alone."""
    rule, batches = descend(schedule=True), chunk(7)
    one = copied(learner(dense(0.3, norm=True), rule))
    together = fused(rule.step, one.net, 3, backend="aot_eager")
    torch.manual_seed(0)
    losses = []
    for begin, run in ((0, together), (3, together), (6, eager(rule.step))):
        one, some = run(one, Batch(batches.x[begin : begin + 3], batches.y[begin : begin + 3]))
        losses.append(some["loss"])
    there, reports = after(Plan(), dense(0.3, norm=True), rule, batches)
    torch.testing.assert_close(torch.cat(losses), reports["loss"])
    torch.testing.assert_close(clone(one.net.tensors), clone(there.net.tensors))
    torch.testing.assert_close(one.state, there.state)


@generates_code
def test_a_compiled_plan_agrees_with_eager():
    """The one program that the default suite generates code for: two dropped-out steps of a tiny net, and one left over."""
    rule = descend(schedule=True)
    plan = Plan(compiled=True, fused=2, chunk=2)
    assert apart(plan, dense(0.3), rule, chunk(3)) < rule.tolerance


def test_what_a_rule_returns_anew_is_settled_in_the_tensors_it_was_given():
    """Parameters, buffers and state alike; eagerly the new ones are simply passed on."""

    def step(net, state, batch):
        params = {k: p * 2 for k, p in net.params.items()}
        buffers = {k: b + 1 for k, b in net.buffers.items()}
        return Net(net.module, params, buffers, caller=net.caller), {"n": state["n"] + 1}, {"loss": batch.x.sum()}

    net = dense(norm=True)
    together, _ = fused(step, net, 2, backend="aot_eager")(Learner(net, {"n": torch.zeros(())}), chunk(2))
    twin = dense(norm=True)
    with torch.no_grad():
        there, _ = eager(step)(Learner(twin, {"n": torch.zeros(())}), chunk(2))
    assert together.net.params["0.weight"] is net.params["0.weight"]
    torch.testing.assert_close(clone(net.tensors), clone(there.net.tensors))
    torch.testing.assert_close(clone(net.params["0.weight"]), 4 * clone(twin.params["0.weight"]))
    assert float(together.state["n"]) == 2


def test_any_number_of_programs_can_be_compiled_in_one_process():
    """Torch gives up on a function after eight programs; a session that trains a ninth net must not notice."""
    for i in range(9):
        rule, one = descend(), learner(Net.of(nn.Linear(3, 2 + i)), descend())
        fused(rule.step, one.net, 1, backend="eager")(one, chunk(1))


@pytest.mark.slow
@generates_code
@pytest.mark.parametrize("name", ["compiled", "fused", "fused+bf16"])
@pytest.mark.parametrize("make", [dense, convolutional])
def test_every_compiled_plan_agrees_with_eager(name, make):
    shape = (3,) if make is dense else (2, 6, 6)
    rule, batches = descend(schedule=True), chunk(FUSED_STEPS + 2, shape=shape)
    assert apart(Plan.parse(name), make(), rule, batches) < (BF16_TOLERANCE if "bf16" in name else rule.tolerance)


def test_a_copy_shares_nothing():
    original = learner(dense(norm=True), descend())
    before = clone([original.net.tensors, original.state])
    twin = copied(original)
    assert twin.net.module is not original.net.module
    twin, _ = eager(descend().step)(twin, chunk(3))
    for kept, now in zip(leaves(before), leaves([original.net.tensors, original.state]), strict=True):
        assert torch.equal(kept, now)
    assert not torch.equal(twin.net.params["0.weight"], original.net.params["0.weight"])


@pytest.mark.parametrize("bound", [True, False])
def test_a_copy_calls_its_own_tensors(bound):
    net = dense() if bound else dense().clone()
    twin = copied(Learner(net, {})).net
    assert twin.bound == bound
    with torch.no_grad():
        twin.params["4.bias" if "4.bias" in twin.params else "3.bias"].add_(1)
    assert not torch.equal(twin(torch.ones(1, 3)), net(torch.ones(1, 3)))


@pytest.mark.parametrize("name", ["eager", "compiled", "fused", "native", "graph", "eager+channels-last", "compiled+bf16",
                                  "fused+channels-last+bf16", "graph+channels-last+bf16"])
def test_names_read_back(name):
    assert Plan.parse(name).name == name
    assert Plan.parse(name).precision == ("bf16" if "bf16" in name else "fp32")


def test_a_misspelt_plan_gets_the_nearest_name():
    with pytest.raises(InputError, match=r"no plan called 'fuesd'. Did you mean fused\?"):
        Plan.parse("fuesd")


@generates_code
@pytest.mark.parametrize("momentum", [0.0, 0.9])
def test_inductor_takes_the_rate_into_account_where_a_gradient_is_a_product(momentum):
    """It makes one operation of a product of matrices and the sum after it, and has been seen to drop the factor of the sum."""
    rule, batches = descend(momentum=momentum), chunk(FUSED_STEPS)
    net = Net.of(nn.Sequential(nn.Linear(3, 6), nn.Sigmoid(), nn.Linear(6, 2)))
    assert apart(Plan.parse("compiled"), net, rule, batches) < rule.tolerance


@pytest.mark.parametrize("name", ["native+compiled", "graph+fused", "native+bf16", "native+channels-last"])
def test_programs_that_exclude_each_other_are_refused(name):
    with pytest.raises(InputError, match="exclude each other"):
        Plan.parse(name)


def test_a_graph_is_refused_away_from_cuda_and_where_too_few_steps_pass():
    net, rule = dense(), descend()
    with pytest.raises(PlanRejected, match="records CUDA kernels, and this run is on the cpu"):
        Plan.parse("graph").build(rule, learner(net, rule), chunk(FUSED_STEPS))


@pytest.mark.skipif(not torch.cuda.is_available(), reason="a graph records CUDA kernels; this machine has none")
@pytest.mark.parametrize("make", [dense, convolutional])
def test_a_recorded_graph_gives_the_numbers_of_eager_and_follows_another_learner(make):
    shape, rule = (3,) if make is dense else (2, 6, 6), descend(schedule=True)
    batches = chunk(FUSED_STEPS + 2, shape=shape)
    batches = Batch(batches.x.cuda(), batches.y.cuda())
    start = Net.of(make().module.cuda())
    advance = Plan.parse("graph").build(rule, copied(learner(start, rule)), batches)
    for _ in range(2):
        one = copied(learner(start, rule))
        there, reports = advance(one, batches)
        assert reports["loss"].shape == (FUSED_STEPS + 2,)
        assert disagreement(rule, learner(start, rule), there, batches, Plan(), seed=0).total < rule.tolerance


@pytest.mark.parametrize(("fused_steps", "asked", "got"), [(1, 1, 1), (1, 17, 17), (10, 1, 10), (10, 10, 10), (10, 39, 30)])
def test_a_chunk_is_a_multiple_of_the_fused_steps(fused_steps, asked, got):
    assert Plan(fused=fused_steps).sized(asked).chunk == got


def test_threads_are_part_of_the_plan_and_zero_leaves_them():
    torch.set_num_threads(2)
    Plan().build(descend(), learner(dense(), descend()), chunk())
    assert torch.get_num_threads() == 2
    Plan(threads=1).build(descend(), learner(dense(), descend()), chunk())
    assert torch.get_num_threads() == 1


def test_rules_are_left_as_they_were():
    rule = descend()
    before = copy.copy(rule.__dict__)
    after(Plan(bf16=True), dense(), rule, chunk(2))
    assert rule.__dict__ == before


@pytest.mark.parametrize("optimizer", [adam(rate=0.1), sgd(rate=0.1, momentum=0.9, dampening=0.5)])
def test_numbers_of_double_precision_that_a_program_counts_in_are_kept(optimizer):
    """torch 2.13 loses what a compiled program writes to a double () on a processor; Adam counts its steps in one, a schedule its share."""
    nets = [Net.of(nn.Sequential(nn.Linear(3, 6), nn.Tanh(), nn.Linear(6, 2)).double()) for _ in range(2)]
    nets[1].load(nets[0])
    rule, batches = Descend(partial(backprop, criterion=Supervised(cross_entropy())), optimizer, schedule=cosine()), chunk(6)
    batches = batches.with_inputs(batches.x.double())
    one, other = learner(nets[0], rule), learner(nets[1], rule)
    for _ in range(2):
        fused(rule.step, one.net, 6, backend="aot_eager")(one, batches)
        eager(rule.step)(other, batches)
    assert float(one.state["pace"]["done"]) == float(other.state["pace"]["done"]) == 3 + 12
    for mine, theirs in zip(leaves([one.net.tensors, one.state]), leaves([other.net.tensors, other.state]), strict=True):
        torch.testing.assert_close(mine, theirs, rtol=1e-10, atol=1e-12)
