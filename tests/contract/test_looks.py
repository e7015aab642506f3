"""Every rule, and every family, can be looked at; the learner, the rule's own things and the random state stay as they are, to the bit."""

import numpy as np
import pytest
import torch
from made_rules import RULES, learner_and_batches
from small_families import small_spec

import chainrule as cr
from chainrule.core.errors import InputError
from chainrule.core.events import Looked, Warned
from chainrule.core.registry import looks, nets
from chainrule.core.tree import clone, leaves
from chainrule.observe.look import Look
from chainrule.observe.observer import StepObserver

OWN = {"divergence", "kohonen", "adaline", "perceptron", "hebb", "lloyd", "em", "baum-welch"}   # no gradient, whatever their state


@pytest.mark.parametrize("name", RULES)
def test_a_look_at_a_rule_leaves_everything_as_it_was(name):
    rule, learner, batches = learner_and_batches(name)
    batch = batches[0]
    before = [t.clone() for t in leaves([learner.net.tensors, learner.state, batch.tensors()])]
    random = torch.get_rng_state()
    with torch.random.fork_rng(devices=[]):
        record = StepObserver(name.partition(":")[0]).look(learner, rule, batch, 0)
    assert torch.equal(torch.get_rng_state(), random)
    assert all(torch.equal(a, b) for a, b in zip(before, leaves([learner.net.tensors, learner.state, batch.tensors()]), strict=True))
    assert not any(p.grad is not None or p._backward_hooks for p in learner.net.module.parameters())
    assert not any(m._forward_hooks or m._forward_pre_hooks for m in learner.net.module.modules())
    alone = StepAfter(rule, learner, batch)
    look = Look.from_record(record)
    assert len(look.layers) == len(look.kinds) == len(set(look.layers)) >= (0 if name == "level" else 1)    # which has single numbers alone
    for row in ("update", "weight", "weight_gradient", "activation_mean", "gradient", "zero"):
        assert len(look.of(row)) == len(look.layers)
    partly = name.startswith("winner-take-all")                          # its hidden layers compete, and its output descends
    assert bool(look.direction) == (partly or not alone.differentiates)
    if name.partition(":")[0] in OWN:
        assert look.direction
    moved = {name: float((alone.net.params[name] - p).detach().norm()) for name, p in learner.net.params.items() if p.dim() > 1}
    if any(moved.values()):
        assert any(value for value in look.update if value)
    else:
        assert not any(value for value in look.of("update") if value)


class StepAfter:
    """A step taken by itself, and whether anything was differentiated in it."""

    def __init__(self, rule, learner, batch):
        grads = []
        grad, func = torch.autograd.grad, torch.func.grad_and_value
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(torch.autograd, "grad", lambda *a, **k: (grads.append(1), grad(*a, **k))[1])
            patch.setattr(torch.func, "grad_and_value", lambda *a, **k: (grads.append(1), func(*a, **k))[1])
            net = learner.net.clone()
            with torch.random.fork_rng(devices=[]):
                self.net, *_ = rule.step(net, clone(learner.state), batch)
        self.differentiates = bool(grads)


def test_every_kind_of_look_says_what_it_is():
    for entry in looks.entries():
        assert entry.summary
        assert entry.traits.every >= 1
    assert {"activations", "gradients", "weights", "histograms", "curvature", "noise", "through-time", "energies"} <= set(looks.names())


@pytest.mark.parametrize("family", [e.name for e in nets.entries() if e.traits.kind is None])
def test_a_family_has_layers_that_give_something_and_to_which_something_comes_back(family):
    """Of every family that answers rows by classes, trained for a few steps."""
    entry = nets.find(family)
    tasks = entry.traits.tasks or ("classification",)
    if "classification" not in tasks or entry.traits.stages:
        pytest.skip("answers no rows by classes, or learns parts of itself first")
    for shape in ((16,), (3, 7), (1, 8, 8), (1, 20, 24), (3, 80, 80)):
        x = np.random.default_rng(0).random((24, *shape)).astype(np.float32)
        try:
            events = list(cr.events(x, np.arange(24) % 3, net=small_spec(family), task="classification", steps=2, batch=8, plan="eager",
                                    threads=1, look="every=1", split="train=1"))
        except InputError:
            continue
        break
    assert not [e.message for e in events if isinstance(e, Warned) and "Looking" in e.message]
    looked = [Look.from_record(e.looks) for e in events if isinstance(e, Looked)]
    assert [len(look.layers) for look in looked] == [len(looked[0].layers)] * 2
    assert [look.layers for look in looked] == [looked[0].layers] * 2
    assert any(value is not None for value in looked[0].of("activation_sd"))
