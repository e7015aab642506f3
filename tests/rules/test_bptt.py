"""Truncated back-propagation through time: the unrolled twin, masks by hand, as one graph, in a stack, resumed."""

import copy

import pytest
import torch
from torch import nn
from torch.nn import functional as F

from chainrule.core.batch import Batch
from chainrule.core.criterion import Stepwise
from chainrule.core.descend import Descent
from chainrule.core.errors import InputError
from chainrule.core.net import Net
from chainrule.core.registry import losses, optimizers
from chainrule.core.rule import Learner
from chainrule.core.tree import clone, leaves, value_and_grad
from chainrule.data.feed.lanes import Lanes
from chainrule.data.source import Part
from chainrule.engine.members.stacked import Together, stack
from chainrule.engine.plans.eager import eager
from chainrule.nets.rnn import Elman
from chainrule.rules.bptt import TruncatedBackprop

N, T, D, H, K = 3, 7, 4, 5, 6


@pytest.fixture(autouse=True)
def _in_double():
    before = torch.get_default_dtype()
    torch.set_default_dtype(torch.float64)
    yield
    torch.set_default_dtype(before)


def elman(seed=0):
    torch.manual_seed(seed)
    module = Elman((T, D), K, hidden=H)
    with torch.no_grad():
        module.layers[0].start_hidden.copy_(torch.randn(H) * 0.3)
    return module


def rule_of(lanes=N, **options):
    criterion = Stepwise(losses.choose("cross-entropy").make())
    return TruncatedBackprop(criterion, Descent(optimizers.choose("sgd:rate=0.1").make()), lanes=lanes, **options)


def rows(steps=T, seed=1):
    g = torch.Generator().manual_seed(seed)
    return torch.randn(N, steps, D, generator=g), torch.randint(K, (N, steps), generator=g)


def test_gradients_are_those_of_the_unrolled_feed_forward_twin():
    """Every step a layer of its own with its own copies of the weights; the gradients of the copies add up to those of the one set."""
    module, (x, y) = elman(), rows()
    net = Net.of(module)

    def objective(net, batch):
        return batch.mean(Stepwise(losses.choose("cross-entropy").make())(net, batch)["loss"]), {}

    _, _, slope = value_and_grad(objective, net, Batch(x, y))
    layers = [copy.deepcopy(module) for _ in range(T)]
    start = module.layers[0].start_hidden.detach().clone().requires_grad_()
    state, cost = start.expand(N, -1), 0.0
    for t, layer in enumerate(layers):
        cell = layer.layers[0]
        state = torch.tanh(F.linear(x[:, t], cell.reads.weight, cell.reads.bias) + F.linear(state, cell.recurs.weight))
        cost = cost + F.cross_entropy(F.linear(state, layer.output.weight, layer.output.bias), y[:, t], reduction="sum")
    (cost / (N * T)).backward()
    for name in ("layers.0.reads.weight", "layers.0.reads.bias", "layers.0.recurs.weight", "output.weight", "output.bias"):
        summed = sum(layer.get_parameter(name).grad for layer in layers)
        torch.testing.assert_close(slope[name], summed, rtol=1e-10, atol=1e-12)
    torch.testing.assert_close(slope["layers.0.start_hidden"], start.grad, rtol=1e-10, atol=1e-12)


def test_windows_with_carried_state_are_the_whole_sequence():
    """Outputs of windows, the state handed on, equal those of the whole; and truncation at a window no shorter than it is none."""
    module, (x, _) = elman(), rows(12)
    whole, last = module.unroll(x, module.initial(N))
    state, outputs = module.initial(N), []
    for window in x.split(4, 1):
        some, state = module.unroll(window, state)
        outputs.append(some)
    torch.testing.assert_close(torch.cat(outputs, 1), whole, rtol=1e-12, atol=1e-14)
    torch.testing.assert_close(state, last, rtol=1e-12, atol=1e-14)


def test_a_masked_mean_is_the_mean_by_hand():
    module, (x, y) = elman(), rows()
    mask = torch.arange(T) < torch.tensor([7, 3, 5])[:, None]
    weight = torch.tensor([1.0, 2.0, 0.5])
    costs = Stepwise(losses.choose("cross-entropy").make())(Net.of(module), Batch(x, y))["loss"]
    batch = Batch(x, y, weight, mask)
    total, count = 0.0, 0
    for i in range(N):
        for t in range(T):
            if t < (7, 3, 5)[i]:
                total, count = total + float(weight[i]) * float(costs[i, t].detach()), count + 1
    assert float(batch.mean(costs).detach()) == pytest.approx(total / count, rel=1e-12)
    hidden = costs.detach().clone()
    hidden[~mask] = torch.nan
    assert float(batch.mean(hidden)) == pytest.approx(total / count, rel=1e-12), "what does not exist is not read"
    assert float(Batch(x, y, weight).mean(costs)) == pytest.approx(float((costs * weight[:, None]).mean()), rel=1e-12)


def chunk(steps=6, seed=2):
    g = torch.Generator().manual_seed(seed)
    fresh = torch.zeros(steps, N, dtype=torch.bool)
    fresh[0] = True
    fresh[steps // 2, 1] = True
    return Batch(torch.randn(steps, N, T, D, generator=g), torch.randint(K, (steps, N, T), generator=g), fresh=fresh)


def learned(batches, module=None, **options):
    rule, net = rule_of(**options), Net.of(module or elman())
    return rule, eager(rule.step)(Learner(net, clone(rule.init(net))), batches)[0]


def test_a_step_follows_the_gradient_of_its_window_from_the_carried_state():
    """Two windows by plain autograd: the second starts where the first ended, detached; a fresh row starts anew."""
    batches, module = chunk(2), elman()
    batches.fresh[1, 2] = True
    _, after = learned(batches, copy.deepcopy(module), clip=1e9)
    state = clone(module.initial(N))
    for k in range(2):
        begin = {part: torch.where(batches.fresh[k][:, None, None], new, state[part]) for part, new in module.initial(N).items()}
        outputs, state = module.unroll(batches.x[k], begin)
        loss = F.cross_entropy(outputs.flatten(0, 1), batches.y[k].flatten())
        slopes = torch.autograd.grad(loss, list(module.parameters()))
        with torch.no_grad():
            for p, g in zip(module.parameters(), slopes, strict=True):
                p -= 0.1 * g
        state = clone(state)
    for name, p in module.named_parameters():
        torch.testing.assert_close(after.net.params[name].detach(), p.detach(), rtol=1e-10, atol=1e-12)
    torch.testing.assert_close(after.state["carried"], state, rtol=1e-10, atol=1e-12)


def test_one_graph_is_eager():
    from chainrule.engine.plans.plan import fused

    batches, module = chunk(4), elman()
    _, plain = learned(batches, copy.deepcopy(module))
    rule, net = rule_of(), Net.of(module)
    graph = fused(rule.step, net, 4, backend="aot_eager")
    together, _ = graph(Learner(net, clone(rule.init(net))), batches)
    for mine, theirs in zip(leaves([plain.net.tensors, plain.state]), leaves([together.net.tensors, together.state]), strict=True):
        torch.testing.assert_close(mine, theirs, rtol=1e-9, atol=1e-11)


def test_a_stacked_member_is_the_member_alone():
    batches = chunk()
    modules = [elman(seed) for seed in range(2)]
    alone = [learned(batches, copy.deepcopy(module))[1] for module in modules]
    together = Together(lambda numbers: rule_of(), [{"none": 0.0}, {"none": 0.0}], shared=True)
    learners = [Learner(Net.of(module), clone(rule_of().init(Net.of(module)))) for module in modules]
    joint, _ = eager(together.step)(stack(learners, together), batches)
    for i, one in enumerate(alone):
        for name, p in one.net.params.items():
            torch.testing.assert_close(joint.net.params[name][i].detach(), p.detach(), rtol=1e-9, atol=1e-11)
        torch.testing.assert_close(joint.state["rule"]["carried"]["hidden"][i], one.state["carried"]["hidden"], rtol=1e-9, atol=1e-11)


def test_resumed_in_the_middle_of_a_sequence_it_ends_where_it_would_have():
    batches = chunk()
    rule, whole = learned(batches)
    _, half = learned(batches.rows(0, 3))
    module = elman()
    net = Net.of(module)
    net.load(half.net)
    resumed, _ = eager(rule.step)(Learner(net, clone(half.state)), batches.rows(3, 6))
    for mine, theirs in zip(leaves([whole.net.tensors, whole.state]), leaves([resumed.net.tensors, resumed.state]), strict=True):
        assert torch.equal(mine, theirs)


def test_lanes_go_on_where_they_left_off():
    """The batches of an epoch, laid end to end, are each lane's stretch of the sequence; the first is fresh, and none else."""
    windows = torch.arange(11 * 4).view(11, 4)
    feed = Lanes(Part(windows, windows + 1, torch.arange(11)), lambda x: x, lanes=3)
    chunks = list(feed.chunks(0, 0, 2))
    x = torch.cat([c.x for c in chunks])                                     # (3 batches, 3 lanes, 4)
    assert feed.batches == 3
    assert x.transpose(0, 1).reshape(3, -1).tolist() == [list(range(k * 12, k * 12 + 12)) for k in range(3)]
    assert torch.cat([c.fresh for c in chunks]).tolist() == [[True] * 3, [False] * 3, [False] * 3]
    assert torch.equal(torch.cat([c.y for c in chunks]), x + 1)
    again = next(feed.chunks(1, 1, 2))
    assert torch.equal(again.x[0], x[1])
    assert not again.fresh.any()


def test_state_is_not_carried_over_a_gap():
    windows = torch.arange(11 * 4).view(11, 4)
    for rows in (torch.tensor([0, 1, 2, 4, 5]), torch.tensor([0, 1, 1, 2, 3])):
        with pytest.raises(InputError, match="some rows between these are left out or there twice"):
            Lanes(Part(windows[rows], None, rows), lambda x: x, lanes=2)
    with pytest.raises(InputError, match="cut into 12 lanes needs at least one window for each; got 11 windows"):
        Lanes(Part(windows, None, torch.arange(11)), lambda x: x, lanes=12)


def test_what_it_cannot_train_is_refused():
    with pytest.raises(InputError, match="trains nets with memory; Linear has none"):
        rule_of().init(Net.of(nn.Linear(2, 2)))
    with pytest.raises(InputError, match="lowers one loss"):
        TruncatedBackprop(lambda net, batch: {"a": batch.x, "b": batch.x}, Descent(optimizers.choose("sgd").make()))
    with pytest.raises(InputError, match="window of at least 1"):
        rule_of(window=0)
    with pytest.raises(InputError, match=r"bptt expects clip.*got 0.0.*bptt:clip=1"):
        rule_of(clip=0.0)


def test_members_of_a_stack_have_clips_of_their_own():
    batches, clips = chunk(), (0.05, 1e9)
    alone = [learned(batches, copy.deepcopy(elman(seed)), clip=clip)[1] for seed, clip in enumerate(clips)]
    together = Together(lambda numbers: rule_of(clip=numbers.get("clip", 1.0)), [{"clip": clip} for clip in clips], shared=True)
    learners = [Learner(Net.of(elman(seed)), clone(rule_of().init(Net.of(elman(seed))))) for seed in range(2)]
    joint, _ = eager(together.step)(stack(learners, together), batches)
    for i, one in enumerate(alone):
        for name, p in one.net.params.items():
            torch.testing.assert_close(joint.net.params[name][i].detach(), p.detach(), rtol=1e-9, atol=1e-11)
