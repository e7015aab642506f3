"""Layers as a step runs them, against nets whose layers are known; the step itself against the rule's own."""

import gc

import pytest
import torch
from tiny import dense, descend, learner, part
from torch import nn
from torch.nn import functional as F

import chainrule as cr
from chainrule.core.batch import Batch
from chainrule.core.criterion import Stepwise, Supervised
from chainrule.core.descend import Descend
from chainrule.core.net import Net
from chainrule.core.registry import nets
from chainrule.core.rule import Learner
from chainrule.core.tree import clone
from chainrule.losses.classic import cross_entropy
from chainrule.observe.replay import replay
from chainrule.optim.first_order import sgd
from chainrule.rules.backprop import backprop


def by_backprop(criterion=None):
    return Descend(lambda net, batch: backprop(net, batch, criterion=criterion or Supervised(cross_entropy())), sgd(rate=0.1))


def seen(module, x, y, criterion=None):
    rule = by_backprop(criterion)
    net = Net.of(module)
    return replay(Learner(net, rule.init(net)), rule, Batch(x, y))


def test_the_step_is_the_rules_own_and_the_gradient_is_that_of_the_layers():
    net, rule = dense(norm=True), descend()
    one = learner(net, rule)
    data = part(20)
    batch = Batch(data.x, data.y)
    step = replay(one, rule, batch)
    there, *_ = rule.step(net.clone(), clone(one.state), batch)
    for name, p in there.tensors.items():
        torch.testing.assert_close(step.after.tensors[name].detach(), p.detach(), rtol=0, atol=0)
    assert [layer.name for layer in step.layers] == ["0", "4"]
    assert [layer.kind for layer in step.layers] == ["Linear + BatchNorm1d + Tanh", "Linear"]
    assert step.descends
    assert step.direction.keys() == net.params.keys()
    h = net.module[2](net.module[1](net.module[0](data.x)))
    out = net.module[4](h)
    slopes = torch.autograd.grad(cross_entropy().each(out, data.y).mean(), [h, out])
    for layer, a, g in zip(step.layers, (h, out), slopes, strict=True):
        torch.testing.assert_close(layer.output.detach(), a.detach())
        torch.testing.assert_close(layer.slope, g)


class Functional(nn.Module):
    """Activations that are no modules, one after a residual sum."""

    def __init__(self):
        super().__init__()
        self.a, self.b, self.c = nn.Linear(3, 5), nn.Linear(5, 5), nn.Linear(5, 2)

    def forward(self, x):
        h = torch.tanh(self.a(x))
        return self.c(F.relu(h + self.b(h)))


def test_functions_between_layers_are_found_in_what_the_next_layer_reads():
    torch.manual_seed(0)
    module, x, y = Functional(), torch.randn(9, 3), torch.arange(9) % 2
    a, b, c = seen(module, x, y).layers
    assert [layer.kind for layer in (a, b, c)] == ["Linear + Tanh", "Linear + ReLU", "Linear"]
    h = torch.tanh(module.a(x))
    top = F.relu(h + module.b(h))
    out = module.c(top)
    slopes = torch.autograd.grad(cross_entropy().each(out, y).mean(), [h, top, out])
    for layer, value, slope in zip((a, b, c), (h, top, out), slopes, strict=True):
        torch.testing.assert_close(layer.output.detach(), value.detach())
        torch.testing.assert_close(layer.slope, slope)


def test_dropout_hides_no_zeros_of_its_own_in_a_layer():
    torch.manual_seed(0)
    module = nn.Sequential(nn.Linear(3, 50), nn.Sigmoid(), nn.Dropout(0.5), nn.Linear(50, 2))
    below, _ = seen(module, torch.randn(9, 3), torch.arange(9) % 2).layers
    assert below.kind == "Linear + Sigmoid"
    assert float((below.output == 0).float().mean()) == 0


@pytest.mark.parametrize("family", ["rnn", "lstm", "gru"])
def test_a_recurrent_layer_is_one_layer_and_what_comes_back_to_it_is_what_comes_back_to_its_outputs(family):
    torch.manual_seed(0)
    module = nets.choose(f"{family}:hidden=6,layers=2").make((7, 4), 3)
    x, y = torch.rand(5, 7, 4), torch.randint(3, (5, 7))
    layers = seen(module, x, y, Stepwise(cross_entropy())).layers
    assert [layer.name for layer in layers] == ["layers.0", "layers.1", "output"]
    assert layers[0].weights == ["layers.0.reads.weight", "layers.0.recurs.weight"]
    assert layers[0].output.shape == (5, 7, 6)
    first, _ = module.layers[0](x, module.layers[0].initial(5))
    first = first.detach().requires_grad_()
    second, _ = module.layers[1](first, module.layers[1].initial(5))
    costs = Stepwise(cross_entropy()).costs(module.output(second), Batch(x, y))
    below, above = torch.autograd.grad(costs.mean(), [first, second])
    torch.testing.assert_close(layers[0].slope, below, rtol=1e-4, atol=1e-7)
    torch.testing.assert_close(layers[1].slope, above, rtol=1e-4, atol=1e-7)


def test_a_layer_that_does_not_run_is_named_all_the_same():
    class Idle(nn.Module):
        def __init__(self):
            super().__init__()
            self.used, self.unused = nn.Linear(3, 2), nn.Linear(3, 2)

        def forward(self, x):
            return self.used(x)

    step = seen(Idle(), torch.randn(4, 3), torch.arange(4) % 2)
    assert [layer.name for layer in step.layers] == ["used", "unused"]
    assert step.layers[1].output is None
    assert step.layers[1].slope is None
    assert step.descends
    assert step.direction.keys() == {"used.weight", "used.bias"}


def test_a_weight_that_is_made_of_others_belongs_to_its_layer():
    torch.manual_seed(0)
    module = nn.Sequential(nn.utils.parametrizations.spectral_norm(nn.Linear(3, 4)), nn.ReLU(), nn.Linear(4, 2))
    below, top = seen(module, torch.randn(6, 3), torch.arange(6) % 2).layers
    assert [below.kind, top.kind] == ["ParametrizedLinear + ReLU", "Linear"]
    assert below.weights == ["0.parametrizations.weight.original"]
    assert below.output.shape == (6, 4)


def test_a_training_that_was_looked_at_leaves_no_tensor_behind(tmp_path):
    """A tensor's hook that leads to the tensor is never collected: a sweep of hundreds of trainings filled the memory."""
    def remaining(number):
        cr.train("iris", net="mlp:hidden=4x4", epochs=2, plan="eager", threads=1, progress=False, seed=number, out=tmp_path / str(number))
        gc.collect()
        return sum(type(thing) in (torch.Tensor, torch.nn.Parameter) for thing in gc.get_objects())

    first = remaining(0)
    remaining(1)
    assert remaining(2) <= first
