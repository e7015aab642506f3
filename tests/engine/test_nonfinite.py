"""Finding where a number stopped being finite: the step, the layer and the rows, without touching the learner."""

import pytest
import torch
from tiny import Bare, chunk, dense, descend, learner
from torch import nn

from chainrule.core.batch import Batch
from chainrule.core.net import Net
from chainrule.core.rule import Learner
from chainrule.core.tree import clone, leaves
from chainrule.engine.nonfinite import finite, locate

NAN, INF = float("nan"), float("inf")


@pytest.mark.parametrize("bad", [NAN, INF, -INF])
@pytest.mark.parametrize("dtype", [torch.float32, torch.float64, torch.bfloat16, torch.float16])
def test_one_bad_number_anywhere_is_seen(bad, dtype):
    tree = {"a": torch.zeros(3), "b": {"c": torch.ones(2, 2, dtype=dtype), "n": torch.tensor(2**62), "none": torch.zeros(0)}}
    assert finite(tree)
    tree["b"]["c"][1, 0] = bad
    assert not finite(tree)


def test_numbers_that_are_large_but_finite_are_finite():
    assert finite({"x": torch.full((4,), 3e38), "y": torch.full((1000,), 1e30)})
    assert finite({})
    assert finite(torch.tensor([1, 2]))


def located(net, batches, rule=None, state=None):
    rule = rule or descend()
    one = Learner(net.clone(), state or rule.init(net))
    before = clone([net.tensors, one.state])
    fault = locate(rule, one, batches)
    for kept, now in zip(leaves(before), leaves([net.tensors, one.state]), strict=True):
        assert torch.equal(kept.nan_to_num(7), now.nan_to_num(7)), "looking touched the learner"
    return fault


def test_an_input():
    batches = chunk(4)
    batches.x[2, 5, 1] = NAN
    batches.x[2, 1, 0] = INF
    fault = located(dense(), batches)
    assert (fault.step, fault.layer, fault.rows) == (2, "input", [1, 5])


def test_a_layer():
    net, batches = dense(), chunk(4)
    batches.x[3, 4] = 3e38
    fault = located(net, batches)
    assert (fault.step, fault.layer, fault.rows) == (3, "0", [4])
    assert "largest input 3e+38" in fault.evidence


def test_a_layer_deep_inside_is_named_by_its_path():
    torch.manual_seed(0)
    net = Net.of(nn.Sequential(nn.Linear(3, 4), nn.Sequential(nn.ReLU(), nn.Linear(4, 2))))
    with torch.no_grad():
        net.params["1.1.bias"][0] = INF
    assert located(net, chunk(1)).layer == "1.1"


def test_arithmetic_between_layers_is_told_apart():
    class Logarithm(nn.Module):
        def __init__(self):
            super().__init__()
            self.first, self.last = nn.Linear(3, 4), nn.Linear(4, 2)

        def forward(self, x):
            return self.last(self.first(x).log())

    fault = located(Net.of(Logarithm()), chunk(1))
    assert fault.layer == "last"
    assert "computed between the layer before it and this one, is not finite" in fault.evidence


def test_rows_are_named_only_where_the_layer_keeps_them():
    """A layer that folds its input has other first axes than samples."""

    class Folded(nn.Module):
        def __init__(self):
            super().__init__()
            self.each, self.last = nn.Linear(1, 1), nn.Linear(3, 2)

        def forward(self, x):
            return self.last(self.each(x.reshape(-1, 1)).reshape(-1, 3))

    net, batches = Net.of(Folded()), chunk(1)
    batches.x[0, 6] = 3e38
    with torch.no_grad():
        net.params["each.weight"].fill_(10.0)
    fault = located(net, batches)
    assert (fault.layer, fault.rows) == ("each", [])


class Spoiled:
    """A rule in which `what` turns into NaN at step `at`."""

    reads, target, tolerance = "batch", "class", 1e-3

    def __init__(self, what, at):
        self.inner, self.what, self.at = descend(), what, at

    def init(self, net):
        return {**self.inner.init(net), "count": torch.zeros(())}

    def step(self, net, state, batch):
        inner = {"optimizer": state["optimizer"]}
        net, inner, report = self.inner.step(net, inner, batch)
        state = {**inner, "count": state["count"] + 1}
        if int(state["count"]) == self.at + 1:
            match self.what:
                case "loss":
                    report = {"loss": report["loss"] * NAN}
                case "gradient":
                    with torch.no_grad():
                        net.params["0.weight"][0, 0] = NAN
                case "buffer":
                    net.buffers["1.running_mean"][0] = NAN
                case "optimizer":
                    state["optimizer"]["velocity"]["0.weight"][0, 0] = NAN
        return net, state, report


@pytest.mark.parametrize(("what", "layer"), [("loss", "loss"), ("gradient", "gradient"), ("buffer", "gradient"),
                                             ("optimizer", "optimizer")])
def test_a_loss_an_update_and_a_state(what, layer):
    rule = Spoiled(what, at=2)
    fault = located(dense(norm=True), chunk(4), rule)
    assert (fault.step, fault.layer, fault.rows) == (2, layer, [])


def test_a_state_that_was_bad_before():
    rule = descend()
    one = learner(dense(), rule)
    one.state["optimizer"]["velocity"]["0.bias"][1] = NAN
    assert located(dense(), chunk(2), rule, one.state).layer == "optimizer"


def test_nothing_to_find_blames_the_plan():
    fault = located(dense(), chunk(3))
    assert (fault.step, fault.layer) == (2, "unknown")
    assert "a plan gave a number that is not finite where eager execution does not" in fault.evidence


def test_weights_of_samples_and_nets_without_targets_are_replayed_too():
    class Blind(Bare):
        target = "none"

        def step(self, net, state, batch):
            return net, state, {"loss": net(batch.x).sum() * batch.weight.sum()}

    batches = chunk(2)
    assert located(dense(), Batch(batches.x, None, torch.ones(2, 7)), Blind(), {"a": torch.zeros(1)}).layer == "unknown"
    assert located(dense(), Batch(batches.x, None, torch.full((2, 7), INF)), Blind(), {"a": torch.zeros(1)}).layer == "loss"
