"""Looks at layers, weights and steps, each against a slow twin: loops over samples, finite differences, NumPy."""

import math

import numpy as np
import pytest
import torch
from scenes import RATE, scene, tanh_net
from torch import nn

from chainrule.core.criterion import Stepwise, Supervised
from chainrule.core.registry import losses, nets
from chainrule.losses.classic import cross_entropy
from chainrule.observe.look import BINS, HIGHEST, LOWEST, Look, edges
from chainrule.observe.looks.activations import activations, dead, saturated
from chainrule.observe.looks.evaluation import evaluation
from chainrule.observe.looks.gradients import gradients
from chainrule.observe.looks.histograms import counted
from chainrule.observe.looks.normalisation import normalisation
from chainrule.observe.looks.rounding import rounding
from chainrule.observe.looks.spectrum import EXACT
from chainrule.observe.looks.spectrum import largest as stretch
from chainrule.observe.looks.through_time import through_time
from chainrule.observe.looks.units import units
from chainrule.observe.looks.weights import weights
from chainrule.observe.observer import on_host
from chainrule.observe.scene import Scene
from chainrule.optim.first_order import adam, sgd


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


def test_weights_that_a_step_rounds_away_are_counted():
    """Weight by weight: bfloat16 holds eight digits, so that w less a rate times its slope is w again where that is below half a digit."""
    module, x, y = tanh_net()
    with torch.no_grad():
        module[2].bias.fill_(1.0)
    module = nn.Sequential(*(layer.bfloat16() if at in (0, 2) else layer.float() for at, layer in enumerate(module)))
    module = nn.Sequential(Cast(torch.bfloat16), *module[:4], Cast(torch.float32), module[4])
    seen = scene(module, x.float(), y, optimizer=sgd(rate=0.01))
    found = rounding(seen)["rounded"]
    slopes = seen.step.direction
    for share, name in zip(found[:2], ("1.weight", "3.weight"), strict=True):
        w, g = seen.before.params[name].detach(), slopes[name]
        pairs = [(a, float(a) - 0.01 * float(b)) for a, b in zip(w.flatten(), g.flatten(), strict=True) if float(b)]
        still = sum(float(torch.tensor(moved).bfloat16()) == float(a) for a, moved in pairs)
        assert 0 < still < len(pairs)
        assert float(share) == pytest.approx(still / len(pairs), abs=1 / len(pairs))
    assert found[2] is None


def test_of_weights_with_all_their_digits_nothing_is_counted():
    module, x, y = tanh_net()
    assert rounding(scene(module, x, y)) == {}


class Cast(nn.Module):
    """What it is given in another type."""

    def __init__(self, dtype):
        super().__init__()
        self.dtype = dtype

    def forward(self, x):
        return x.to(self.dtype)
