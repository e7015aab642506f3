"""Reconstruction: a linear autoencoder against principal components, the divergence of a variational one against Monte Carlo."""

import numpy as np
import pytest
import torch
from torch.nn import functional as F

import chainrule as cr
from chainrule.core.batch import Batch
from chainrule.core.net import Net
from chainrule.core.registry import losses
from chainrule.nets.autoencoder import Autoencoder
from chainrule.nets.vae import VariationalAutoencoder
from chainrule.tasks.reconstruction import Reconstruct, divergence


@pytest.fixture(autouse=True)
def _one_thread(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    torch.set_num_threads(1)


def test_a_linear_code_spans_the_principal_components():
    """Baldi & Hornik (1989): the least squares of a linear autoencoder with k codes are those of the first k components."""
    rng = np.random.default_rng(0)
    spread = rng.normal(size=(400, 6)) * np.array([6.0, 4.0, 2.5, 0.5, 0.3, 0.2])
    x = (spread @ np.linalg.qr(rng.normal(size=(6, 6)))[0]).astype(np.float32)
    run = cr.train(x, net="autoencoder:code=3", task="reconstruction", optimizer="lbfgs", epochs=300, plan="eager",
                   split="train=.8,valid=.2", progress=False)
    rows = run.job.data.ready(run.job.data.train.x).double().numpy()
    centred = rows - rows.mean(0)
    _, values, axes = np.linalg.svd(centred, full_matrices=False)
    decoder = run.net.decoder[-1].weight.detach().double().numpy()             # (6, 3)
    spanned = np.linalg.qr(decoder)[0]
    apart = np.linalg.norm(spanned @ spanned.T - axes[:3].T @ axes[:3], 2)     # the sine of the largest angle between the two spaces
    assert apart < 5e-3
    errors = ((run.job.trained.predictions(run.job.data.train).double().numpy() - rows) ** 2).sum(1).mean()
    assert errors == pytest.approx((values[3:] ** 2).sum() / len(rows), rel=1e-3)


def test_the_divergence_is_that_of_torch_and_of_monte_carlo():
    torch.manual_seed(0)
    mean, log_variance = torch.randn(4, 3, dtype=torch.float64), torch.randn(4, 3, dtype=torch.float64)
    exact = divergence(mean, log_variance)
    posterior = torch.distributions.Normal(mean, (0.5 * log_variance).exp())
    prior = torch.distributions.Normal(torch.zeros_like(mean), torch.ones_like(mean))
    torch.testing.assert_close(exact, torch.distributions.kl_divergence(posterior, prior).sum(1), rtol=1e-12, atol=1e-12)
    drawn = posterior.sample((200_000,))
    ratios = (posterior.log_prob(drawn) - prior.log_prob(drawn)).sum(2)       # (draws, 4)
    error = ratios.std(0) / len(ratios) ** 0.5
    assert ((ratios.mean(0) - exact).abs() < 5 * error).all()


def test_a_variational_net_has_two_named_costs_and_descends_their_sum():
    torch.manual_seed(0)
    net = Net.of(VariationalAutoencoder((5,), 5, hidden=(7,), code=2))
    batch = Batch(torch.rand(6, 5))
    criterion = Reconstruct(losses.choose("binary-cross-entropy").make())
    torch.manual_seed(1)
    costs = criterion(net, batch)
    torch.manual_seed(1)
    mean, log_variance = net.module.posterior(batch.x)
    code = mean + torch.randn_like(mean) * (0.5 * log_variance).exp()
    by_hand = F.binary_cross_entropy(torch.sigmoid(net.module.decode(code)), batch.x, reduction="none").sum(1)
    torch.testing.assert_close(costs["reconstruction"], by_hand)
    torch.testing.assert_close(costs["divergence"], divergence(mean, log_variance))
    run = cr.train("digits", net="vae:hidden=30,code=5", loss="binary-cross-entropy", epochs=8, batch=64, plan="eager", progress=False)
    first, last = run.history[0], run.history[-1]
    assert {"valid_reconstruction", "valid_divergence", "valid_loss"} <= first.keys()
    assert last["valid_loss"] == pytest.approx(last["valid_reconstruction"] + last["valid_divergence"], rel=1e-5)
    assert last["valid_loss"] < first["valid_loss"]
    assert run.net.sample(3).shape == (3, 64)


def test_the_lectures_autoencoder_has_its_published_number_of_weights():
    net = Autoencoder((100,), 100, hidden=(50,), code=10)
    assert sum(p.numel() for p in net.parameters()) == 11_210
    assert net.encode(torch.rand(4, 100)).shape == (4, 10)


def test_labels_are_not_needed_and_are_not_read():
    x = torch.randn(60, 4)
    bare = cr.train(x, net="autoencoder:code=2", epochs=3, plan="eager", progress=False, split="train=.8,valid=.2")
    labelled = cr.train((x, torch.arange(60) % 2), net="autoencoder:code=2", epochs=3, plan="eager", progress=False,
                        split="train=.8,valid=.2")
    assert bare.job.task.name == labelled.job.task.name == "reconstruction"
    assert {"squared_error"} == set(bare.valid.measures)
