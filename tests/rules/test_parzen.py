"""Parzen windows against scikit-learn's densities, the width against force, and a whole run."""

import numpy as np
import pytest
import torch
from torch import nn

import chainrule as cr
from chainrule.core.batch import Batch
from chainrule.core.errors import InputError
from chainrule.core.net import Net
from chainrule.nets.pnn import ProbabilisticNet
from chainrule.rules.parzen import Parzen


def filled(x, y, classes, patterns=None, **options):
    module = ProbabilisticNet((x.shape[1],), classes, patterns=patterns or len(x)).double()
    net, rule = Net.of(module), Parzen(**options)
    _, _, report = rule.step(net, rule.init(net), Batch(x, y))
    return module, report


def clouds(rows=90, classes=3):
    torch.manual_seed(0)
    y = torch.arange(rows) % classes
    return torch.randn(rows, 4, dtype=torch.float64) + 1.2 * y[:, None] * torch.tensor([1.0, -1, 0, 0.5], dtype=torch.float64), y


def test_densities_and_shares_are_those_of_scikit_learn():
    from sklearn.neighbors import KernelDensity

    x, y = clouds()
    y[:20] = 0                                                               # classes of different sizes
    module, _ = filled(x, y, 3, width=0.6)
    new = torch.randn(25, 4, dtype=torch.float64)
    logs = [KernelDensity(bandwidth=0.6).fit(x[y == k].numpy()).score_samples(new.numpy()) for k in range(3)]
    np.testing.assert_allclose(module.log_densities(new).detach().numpy(), np.stack(logs, 1), rtol=1e-8)
    priors = torch.bincount(y).double() / len(y)
    joint = torch.from_numpy(np.exp(np.stack(logs, 1))) * priors
    torch.testing.assert_close(module(new).softmax(1).detach(), joint / joint.sum(1, keepdim=True))


def test_the_loss_is_the_cross_entropy_of_each_row_by_all_the_others():
    """By force: a net filled without the row answers it."""
    x, y = clouds(30)
    _, report = filled(x, y, 3, width=0.8)
    by_force = []
    for i in range(len(x)):
        others = torch.arange(len(x)) != i
        module, _ = filled(x[others], y[others], 3, width=0.8)
        by_force.append(float(nn.functional.cross_entropy(module(x[i : i + 1]), y[i : i + 1])))
    assert float(report["loss"]) == pytest.approx(np.mean(by_force), rel=1e-9)


def test_the_chosen_width_is_no_worse_than_others():
    x, y = clouds()
    module, report = filled(x, y, 3)
    width = float(module.log_width.detach().exp())
    assert 0.2 < width < 3
    for factor in (0.5, 0.7, 1.4, 2.0):
        assert float(filled(x, y, 3, width=width * factor)[1]["loss"]) >= float(report["loss"]) - 1e-6


def test_fewer_rows_than_units_leave_units_that_say_nothing_and_more_are_drawn_evenly():
    x, y = clouds()
    roomy, _ = filled(x, y, 3, patterns=120, width=0.5)
    exact, _ = filled(x, y, 3, width=0.5)
    torch.testing.assert_close(roomy(x), exact(x))
    few, _ = filled(x, y, 3, patterns=30, width=0.5)
    torch.testing.assert_close(few.patterns.detach(), x[::3])


def test_a_run_has_a_unit_for_each_training_row_and_opens_again(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    run = cr.train("iris", net="pnn", plan="eager", progress=False)
    assert len(run.net.patterns) == len(run.job.data.train)
    assert run.job.task.name == "classification"
    assert run.test().accuracy > 0.85
    again = cr.Run(run.path)
    torch.testing.assert_close(again.predict("iris")[0], run.predict("iris")[0])


def test_other_nets_and_widths_are_refused():
    with pytest.raises(InputError, match=r"--net pnn"):
        Parzen().init(Net.of(nn.Linear(3, 2)))
    with pytest.raises(InputError, match="width above 0"):
        Parzen(width=0.0)
