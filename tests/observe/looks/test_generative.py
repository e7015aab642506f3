"""Looks at nets that make rows: machines by their energies, games by balance and coverage, codes by what they say in nats."""

import numpy as np
import pytest
import torch
from scenes import scene

from chainrule.core.batch import Batch
from chainrule.core.criterion import Supervised
from chainrule.core.descend import Descent
from chainrule.core.net import Net
from chainrule.core.registry import nets
from chainrule.core.rule import Learner
from chainrule.losses.classic import squared
from chainrule.nets.rbm import RBM
from chainrule.observe.looks.activations import activations
from chainrule.observe.looks.codes import codes
from chainrule.observe.looks.energies import energies
from chainrule.observe.looks.generators import covered, generators
from chainrule.observe.looks.gradients import gradients
from chainrule.observe.observer import on_host
from chainrule.observe.scene import Scene
from chainrule.optim.first_order import adam, sgd
from chainrule.rules.adversarial import Adversarial
from chainrule.rules.contrastive_divergence import Divergence


def machine():
    torch.manual_seed(0)
    net = RBM((6,), 0, hidden=4).double()
    with torch.no_grad():
        for p in net.parameters():
            p.normal_()
    return net


def test_a_machine_is_looked_at_by_its_energies_and_its_own_direction():
    module, x = machine(), (torch.rand(40, 6, generator=torch.Generator().manual_seed(0)) < 0.5).double()
    valid = (torch.rand(30, 6, generator=torch.Generator().manual_seed(1)) < 0.5).double()
    rule = Divergence(Descent(sgd(rate=0.1)), cost=0.0)
    one = Scene(Learner(Net.of(module), rule.init(Net.of(module))), rule, Batch(x), 0, "divergence", None, lambda x: x, lambda: valid)
    torch.manual_seed(5)
    found = on_host(energies(one))
    w, b, c = (getattr(module, name).detach().numpy() for name in ("weight", "visible_bias", "hidden_bias"))

    def free(v):
        return -(v @ b) - np.log1p(np.exp(v @ w.T + c)).sum(1)

    torch.manual_seed(5)
    again = module.gibbs(x).detach().numpy()
    assert found["reconstruction"] == pytest.approx(((again - x.numpy()) ** 2).sum(1).mean())
    assert found["free_energy_gap"] == pytest.approx(free(valid.numpy()).mean() - free(x.numpy()).mean())
    assert found["chain_gap"] == pytest.approx(free(again).mean() - free(x.numpy()).mean())
    assert one.direction == "divergence"
    slopes = on_host(gradients(one))
    assert slopes["gradient"] == [None]
    moved = one.step.after.params["weight"].detach() - module.weight.detach()
    assert slopes["weight_gradient"][0] == pytest.approx(float(moved.square().mean().sqrt()) / 0.1)
    shown = on_host(activations(one))
    assert shown["layers"] == ["(net)"]
    assert shown["activation_mean"][0] == pytest.approx(float((1 / (1 + np.exp(-(x.numpy() @ w.T + c)))).mean()))


def pair(form="non-saturating"):
    torch.manual_seed(0)
    return nets.choose(f"gan:noise=3,hidden=8,form={form}").make((2,), 0)


def test_generators_are_looked_at_by_balance_and_coverage():
    module, x = pair(), torch.randn(64, 2, generator=torch.Generator().manual_seed(0))
    rule = Adversarial(generator=Descent(adam(rate=1e-3)), discriminator=Descent(adam(rate=1e-3)))
    one = scene(module, x, rule=rule)
    torch.manual_seed(7)
    found = on_host(generators(one))
    torch.manual_seed(7)
    samples = module.sample(64)
    right = int((module(x) > 0).sum()) + int((module(samples) <= 0).sum())
    assert found["balance"] == pytest.approx(right / 128)
    near = []
    for row in x:
        others = sorted(float((row - other).norm()) for other in x)
        near.append(min(float((row - s).norm()) for s in samples) <= others[5])
    assert found["coverage"] == pytest.approx(np.mean(near))
    assert found["spread"] == pytest.approx(float(samples.std(0).mean() / x.std(0).mean()), rel=1e-5)
    assert float(covered(x, x)) == 1.0
    assert one.direction == ""
    layers = on_host(gradients(one))
    assert all(g is not None and g > 0 for g in layers["gradient"])
    assert [layer.name.split(".")[0] for layer in one.layers] == ["generator", "generator", "discriminator", "discriminator"]


def test_a_game_whose_scores_have_no_middle_has_no_balance():
    rule = Adversarial(generator=Descent(adam(rate=1e-3)), discriminator=Descent(adam(rate=1e-3)))
    found = on_host(generators(scene(pair("wgan-gp"), torch.randn(16, 2), rule=rule)))
    assert "balance" not in found
    assert 0 <= found["coverage"] <= 1


def test_codes_say_so_many_nats():
    torch.manual_seed(0)
    module = nets.choose("vae:hidden=8,code=3").make((5,), 5).double()
    x = torch.rand(20, 5, dtype=torch.float64)
    found = on_host(codes(scene(module, x, x, Supervised(squared()))))["divergence"]
    mean, log_variance = module.posterior(x)
    own = torch.distributions.Normal(mean, (log_variance / 2).exp())
    prior = torch.distributions.Normal(torch.zeros_like(mean), torch.ones_like(mean))
    assert found == pytest.approx(torch.distributions.kl_divergence(own, prior).mean(0).tolist())
