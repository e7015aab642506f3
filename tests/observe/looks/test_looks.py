"""Each kind of look against a slow twin: loops over samples, finite differences, whole Hessians, NumPy."""

import math

import numpy as np
import pytest
import torch
from torch import nn

from chainrule.core.batch import Batch
from chainrule.core.criterion import Stepwise, Supervised, mean_costs
from chainrule.core.descend import Descend, Descent
from chainrule.core.net import Net
from chainrule.core.registry import losses, nets
from chainrule.core.rule import Learner
from chainrule.losses.classic import cross_entropy, squared
from chainrule.nets.rbm import RBM
from chainrule.observe.look import BINS, HIGHEST, LOWEST, Look, edges
from chainrule.observe.looks.activations import activations, dead, saturated
from chainrule.observe.looks.codes import codes
from chainrule.observe.looks.curvature import curvature, largest
from chainrule.observe.looks.energies import energies
from chainrule.observe.looks.evaluation import evaluation
from chainrule.observe.looks.generators import covered, generators
from chainrule.observe.looks.gradients import gradients
from chainrule.observe.looks.histograms import counted
from chainrule.observe.looks.noise import noise, scale_of
from chainrule.observe.looks.normalisation import normalisation
from chainrule.observe.looks.spectrum import EXACT
from chainrule.observe.looks.spectrum import largest as stretch
from chainrule.observe.looks.through_time import through_time
from chainrule.observe.looks.units import units
from chainrule.observe.looks.weights import weights
from chainrule.observe.observer import on_host
from chainrule.observe.scene import Scene
from chainrule.optim.first_order import adam, sgd
from chainrule.rules.adversarial import Adversarial
from chainrule.rules.backprop import backprop
from chainrule.rules.contrastive_divergence import Divergence

RATE = 0.25


def scene(module, x, y=None, criterion=None, optimizer=None, number=0, rule=None):
    net = Net.of(module.train())
    criterion = criterion or Supervised(cross_entropy())
    rule = rule or Descend(lambda net, batch: backprop(net, batch, criterion=criterion), optimizer or sgd(rate=RATE))
    return Scene(Learner(net, rule.init(net)), rule, Batch(x, y), number, "backprop", criterion, ready=lambda x: x)


def tanh_net(rows=24):
    torch.manual_seed(0)
    module = nn.Sequential(nn.Linear(4, 6), nn.Tanh(), nn.Linear(6, 5), nn.ReLU(), nn.Linear(5, 3)).double()
    return module, torch.randn(rows, 4, dtype=torch.float64), torch.arange(rows) % 3


def test_activations_are_those_of_numpy():
    module, x, y = tanh_net()
    with torch.no_grad():
        module[2].bias[:2] = -100.0                                     # two units that are never on
        module[0].weight[0] = 50.0                                      # and one that is nearly always flat
    found = on_host(activations(scene(module, x, y)))
    weight = {name: p.detach().numpy() for name, p in module.named_parameters()}
    h = np.tanh(x.numpy() @ weight["0.weight"].T + weight["0.bias"])
    r = np.maximum(h @ weight["2.weight"].T + weight["2.bias"], 0)
    out = r @ weight["4.weight"].T + weight["4.bias"]
    assert found["layers"] == ["0", "2", "4"]
    assert found["kinds"] == ["Linear + Tanh", "Linear + ReLU", "Linear"]
    assert found["activation_mean"] == pytest.approx([a.mean() for a in (h, r, out)])
    assert found["activation_sd"] == pytest.approx([a.std() for a in (h, r, out)])
    assert found["zero"] == pytest.approx([(np.abs(a) < 1e-12).mean() for a in (h, r, out)])
    assert found["dead"] == pytest.approx([0.0, (r == 0).all(0).mean(), 0.0])
    assert found["dead"][1] >= 0.4
    assert found["saturated"] == [pytest.approx((np.abs(h) >= 0.99).mean()), None, None]
    assert found["saturated"][0] > 0.1
    shifted = out - out.max(1, keepdims=True)
    logs = shifted - np.log(np.exp(shifted).sum(1, keepdims=True))
    assert found["loss"] == pytest.approx(-logs[np.arange(24), y.numpy()].mean())


def test_units_of_maps_are_channels_and_of_sequences_the_last_axis():
    maps = torch.ones(2, 3, 4, 4)
    maps[:, 1] = 0
    assert float(dead(maps, ["Conv2d"])) == pytest.approx(1 / 3)
    steps = torch.ones(2, 5, 4)
    steps[:, :, 0] = 0
    assert float(dead(steps, ["LSTMLayer"])) == 0.25
    assert float(dead(steps.transpose(1, 2), ["Conv1d"])) == 0.25
    assert float(saturated(torch.tensor([0.001, 0.5, 0.999, 0.99]), ["Linear", "Sigmoid"])) == 0.5
    assert saturated(steps, ["Linear", "ReLU"]) is None


def test_gradients_are_each_samples_own_and_the_weights_that_of_the_mean():
    module, x, y = tanh_net()
    found = on_host(gradients(scene(module, x, y)))
    squares, total = np.zeros(3), None
    for row, wanted in zip(x, y, strict=True):                          # one sample at a time
        h = module[1](module[0](row[None]))
        r = module[3](module[2](h))
        out = module[4](r)
        loss = cross_entropy().each(out, wanted[None]).sum()
        inside = torch.autograd.grad(loss, [h, r, out], retain_graph=True)
        squares += [float(g.square().sum()) for g in inside]
        own = torch.autograd.grad(loss, list(module.parameters()))
        total = own if total is None else [a + b for a, b in zip(total, own, strict=True)]
    mean = [g / len(x) for g in total]
    assert found["gradient"] == pytest.approx([math.sqrt(s / (24 * n)) for s, n in zip(squares, (6, 5, 3), strict=True)])
    assert found["weight_gradient"] == pytest.approx([float(g.square().mean().sqrt()) for g in mean[::2]])
    assert found["norm"] == pytest.approx(math.sqrt(sum(float(g.square().sum()) for g in mean)))


def test_costs_of_steps_are_summed_over_steps_too():
    torch.manual_seed(0)
    module = nets.choose("rnn:hidden=5").make((6, 3), 2).double()
    x, y = torch.rand(4, 6, 3, dtype=torch.float64), torch.randint(2, (4, 6))
    found = on_host(gradients(scene(module, x, y, Stepwise(cross_entropy()))))
    states = module.states(x).detach().requires_grad_()
    out = module.output(states)
    total = cross_entropy().each(out.flatten(0, 1), y.flatten()).sum()
    below, top = torch.autograd.grad(total, [states, out])
    assert found["gradient"] == pytest.approx([float(g.square().mean().sqrt()) for g in (below, top)], rel=1e-4)


def test_updates_are_by_the_weights_and_those_of_descent_are_rate_times_gradient():
    module, x, y = tanh_net()
    one = scene(module, x, y)
    found, slopes = on_host(weights(one)), on_host(gradients(one))
    norms = [float(module[i].weight.detach().norm()) for i in (0, 2, 4)]
    sizes = [module[i].weight.numel() for i in (0, 2, 4)]
    assert found["weight"] == pytest.approx(norms)
    assert found["update"] == pytest.approx([RATE * g * math.sqrt(n) / w for g, n, w in
                                             zip(slopes["weight_gradient"], sizes, norms, strict=True)])
    first = on_host(weights(scene(module, x, y, optimizer=adam(rate=1e-3))))
    assert first["update"] == pytest.approx([1e-3 * math.sqrt(n) / w for n, w in zip(sizes, norms, strict=True)], rel=1e-3)


def test_histograms_count_as_numpy_does():
    generator = torch.Generator().manual_seed(0)
    a = 10 ** (torch.rand(500, generator=generator) * 16 - 12)
    b = torch.cat([torch.zeros(7), torch.tensor([math.inf, math.nan, 1e9])])
    found = on_host(counted({"x": [a, None, b]}, {"x": [1.0, 1.0, 1.0]}))["x"]
    inner = np.histogram(np.clip(a.numpy().astype(np.float64), LOWEST, HIGHEST), bins=edges())[0]
    assert sum(found[0]) == 500
    assert len(found[0]) == BINS
    assert np.abs(np.array(found[0]) - inner).sum() <= 2                # at an edge, single precision may fall on the other side
    assert found[1] is None
    assert found[2] == [7, *[0] * 30, 3]


def test_large_tensors_are_counted_in_part():
    assert sum(on_host(counted({"x": [torch.ones(10_000)]}))["x"][0]) == 2000


@pytest.mark.parametrize("shape", [(5, 7), (300, 200), (8, 3, 3, 3), (130, 16, 3, 3)])
def test_the_largest_singular_value_is_numpys(shape):
    weight = torch.randn(shape, generator=torch.Generator().manual_seed(1))
    exact = np.linalg.svd(weight.flatten(1).numpy(), compute_uv=False)[0]
    found = float(stretch(weight))
    assert found == pytest.approx(exact, rel=1e-5 if weight.numel() <= EXACT else 0.02)
    assert found <= exact * (1 + 1e-5)


def test_drift_is_that_of_the_running_mean_from_the_rows():
    torch.manual_seed(0)
    module = nn.Sequential(nn.Conv2d(1, 3, 3), nn.BatchNorm2d(3), nn.ReLU(), nn.Flatten(), nn.Linear(3 * 16, 2))
    x = torch.randn(8, 1, 6, 6) + 2
    module[1].running_mean.normal_()
    module[1].running_var.uniform_(0.5, 2)
    read = module[0](x).detach()
    expected = (read.mean((0, 2, 3)) - module[1].running_mean) / (module[1].running_var + 1e-5).sqrt()
    found = on_host(normalisation(scene(module, x, torch.arange(8) % 2)))
    assert found["drift"] == [pytest.approx(float(expected.square().mean().sqrt()), rel=1e-5), None]


def test_the_loss_in_evaluation_mode_is_that_without_chance():
    torch.manual_seed(0)
    module = nn.Sequential(nn.Linear(4, 9), nn.BatchNorm1d(9), nn.Dropout(0.5), nn.Linear(9, 2))
    x, y = torch.randn(10, 4), torch.arange(10) % 2
    one = scene(module, x, y)
    found = on_host(evaluation(one))["evaluated_loss"]
    blind = Scene(one.learner, one.rule, one.batch, 0, "backprop", None)
    assert on_host(evaluation(blind))["evaluated_loss"] == pytest.approx(found)
    module.eval()
    assert found == pytest.approx(float(cross_entropy().each(module(x), y).mean().detach()), rel=1e-6)


def test_the_noise_scale_is_that_of_the_samples_own_gradients():
    """The formula is without bias: over many draws of rows, trace and square of the mean are those of the whole population."""
    torch.manual_seed(0)
    module, x, y = tanh_net(256)
    rows = []
    for row, wanted in zip(x, y, strict=True):
        loss = cross_entropy().each(module(row[None]), wanted[None]).sum()
        rows.append(torch.cat([g.flatten() for g in torch.autograd.grad(loss, list(module.parameters()))]))
    each = torch.stack(rows)                                            # (n, parameters)
    small = torch.stack([part.mean(0).square().sum() for part in each.split(32)]).mean()
    expected = scale_of(float(small), float(each.mean(0).square().sum()), 32, 256)
    assert noise(scene(module, x, y)) == pytest.approx(expected)
    generator = torch.Generator().manual_seed(3)
    traces, squares = [], []
    population = each
    mean, trace = population.mean(0), float((population - population.mean(0)).square().sum(1).mean())
    for _ in range(3000):
        drawn = population[torch.randint(256, (32,), generator=generator)]
        parts = float(torch.stack([p.mean(0).square().sum() for p in drawn.split(4)]).mean())
        whole = float(drawn.mean(0).square().sum())
        squares.append((32 * whole - 4 * parts) / 28)
        traces.append((parts - whole) / (1 / 4 - 1 / 32))
    assert np.mean(traces) == pytest.approx(trace, rel=0.05)
    assert np.mean(squares) == pytest.approx(float(mean.square().sum()), rel=0.2)


def hessian(module, x, y, criterion):
    params = dict(module.named_parameters())
    shapes = [p.shape for p in params.values()]
    flat = torch.cat([p.detach().flatten() for p in params.values()])

    def loss(flat):
        parts = [t.view(s) for t, s in zip(flat.split([s.numel() for s in shapes]), shapes, strict=True)]
        out = torch.func.functional_call(module, dict(zip(params, parts, strict=True)), (x,))
        return criterion.costs(out, Batch(x, y)).mean()

    return torch.autograd.functional.hessian(loss, flat), torch.func.grad(loss)(flat)


def test_curvature_is_the_largest_eigenvalue_of_the_whole_hessian():
    module, x, y = tanh_net()
    one = scene(module, x, y)
    found = on_host(curvature(one))
    matrix, slope = hessian(module, x, y, Supervised(cross_entropy()))
    assert found["curvature"] == pytest.approx(float(torch.linalg.eigvalsh(matrix)[-1]), rel=0.05)
    assert found["slope_curvature"] == pytest.approx(float(slope @ matrix @ slope / slope.square().sum()), rel=1e-6)


def test_curvature_along_the_gradient_is_that_of_finite_differences():
    module, x, y = tanh_net()
    found = on_host(curvature(scene(module, x, y)))["slope_curvature"]
    net = Net.of(module)
    loss = lambda: mean_costs(Supervised(cross_entropy())(net, Batch(x, y)), Batch(x, y))[0]
    g = torch.autograd.grad(loss(), list(net.params.values()))
    norm, step, values = math.sqrt(sum(float(t.square().sum()) for t in g)), 1e-3, []
    for k in (-1, 0, 1):
        with torch.no_grad():
            for p, t in zip(net.params.values(), g, strict=True):
                p += k * step * t / norm
            values.append(float(loss()))
            for p, t in zip(net.params.values(), g, strict=True):
                p -= k * step * t / norm
    assert found == pytest.approx((values[0] - 2 * values[1] + values[2]) / step**2, rel=1e-3)


@pytest.mark.parametrize("values", [(3.0, 1.0, 0.5), (2.0, -5.0, 1.0), (-1.0, -4.0, -2.0)])
def test_the_largest_eigenvalue_is_found_where_another_is_larger_in_size(values):
    q, _ = torch.linalg.qr(torch.randn(3, 3, generator=torch.Generator().manual_seed(0), dtype=torch.float64))
    matrix = q @ torch.tensor(values, dtype=torch.float64).diag() @ q.T
    found = largest(lambda v: [matrix @ v[0]], [torch.ones(3, dtype=torch.float64)])
    assert found == pytest.approx(max(values), abs=0.05)


def test_the_delta_rules_own_step_is_beyond_two_by_the_curvature():
    """One linear unit on x = (34, 1, 4): the curvature is |x|^2 + 1, so rates from 2 / 1174 on diverge."""
    module = nn.Linear(3, 1).double()
    x = torch.tensor([[34.0, 1.0, 4.0]] * 4, dtype=torch.float64)
    found = on_host(curvature(scene(module, x, torch.ones(4, 1, dtype=torch.float64), Supervised(squared()))))
    assert found["curvature"] == pytest.approx(34**2 + 1 + 16 + 1, rel=0.02)


@pytest.mark.parametrize("answer", ["last", "steps"])
def test_what_comes_back_through_time_is_the_slope_of_the_end_by_each_step(answer):
    torch.manual_seed(0)
    module = nets.choose(f"rnn:hidden=5,answer={answer}").make((6, 3), 2).double()
    x = torch.rand(4, 6, 3, dtype=torch.float64)
    y = torch.randint(2, (4, 6)) if answer == "steps" else torch.randint(2, (4,))
    criterion = Stepwise(cross_entropy()) if answer == "steps" else Supervised(cross_entropy())
    found = on_host(through_time(scene(module, x, y, criterion)))["through_time"]

    def end(x):
        out = module(x)
        last = out[:, -1] if answer == "steps" else out
        return float(cross_entropy().each(last, y[:, -1] if answer == "steps" else y).sum())

    slope, step = torch.zeros_like(x), 1e-5
    for place in np.ndindex(*x.shape):
        up, down = x.clone(), x.clone()
        up[place] += step
        down[place] -= step
        slope[place] = (end(up) - end(down)) / (2 * step)
    expected = slope.square().sum((0, 2)).sqrt().flip(0).tolist()
    assert found == pytest.approx(expected, rel=1e-3, abs=1e-8)
    assert found[0] > found[-1]


def test_nets_without_memory_have_no_time():
    module, x, y = tanh_net()
    assert through_time(scene(module, x, y)) == {}


def test_units_are_the_first_weights_as_they_are():
    torch.manual_seed(0)
    module = nn.Sequential(nn.Linear(30, 40), nn.ReLU(), nn.Linear(40, 4000), nn.ReLU(), nn.Linear(4000, 3))
    found = on_host(units(scene(module, torch.randn(8, 30), torch.arange(8) % 3)))["units"]
    assert {name: (len(rows), len(rows[0])) for name, rows in found.items()} == {"0": (16, 30), "2": (16, 40)}
    exact = module[0].weight.detach()[:16].double()
    torch.testing.assert_close(torch.tensor(found["0"], dtype=torch.float64), exact, rtol=0, atol=float(exact.abs().max()) / 1000)


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


def test_a_record_is_read_back_with_numbers_that_are_not_finite():
    look = Look(layers=["a", "b"], kinds=["Linear", "Linear"], gradient=[1 / 3, math.inf], dead=[None, None], loss=math.nan,
                histograms={"gradient": [[1] * BINS, None]}, more={"spread": 0.5})
    record = look.to_record()
    assert record["gradient"][0] == 0.333333
    assert "dead" not in record
    stored = {**record, "loss": "nan", "gradient": [0.333333, "inf"]}
    back = Look.from_record(stored)
    assert math.isnan(back.loss)
    assert back.gradient == [0.333333, math.inf]
    assert back.of("dead") == [None, None]
    assert back.more == {"spread": 0.5}
    assert len(edges()) == BINS + 1
    assert edges()[0] == pytest.approx(LOWEST)
    assert edges()[-1] == pytest.approx(HIGHEST)
    assert losses.names()
