"""Reconstruction: a linear autoencoder against principal components, the divergence of a variational one against Monte Carlo."""

import numpy as np
import pytest
import torch
from torch.nn import functional as F

import chainrule as cr
from chainrule.core.batch import Batch
from chainrule.core.errors import InputError
from chainrule.core.net import Net
from chainrule.core.registry import losses
from chainrule.nets.autoencoder import Autoencoder
from chainrule.nets.vae import VariationalAutoencoder
from chainrule.tasks.reconstruction import Reconstruct, bounds, divergence


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


def test_further_costs_are_named_and_learned_beside_the_reconstruction():
    torch.manual_seed(0)
    module = Autoencoder((5,), 5, hidden=(4,), code=3, sparse="l1", penalty=0.3, contractive=0.2).double()
    net, batch = Net.of(module), Batch(torch.rand(6, 5, dtype=torch.float64))
    costs = Reconstruct(losses.choose("squared").make())(net, batch)
    assert list(costs) == ["reconstruction", "sparsity", "contraction"]
    torch.testing.assert_close(costs["reconstruction"], 0.5 * (module(batch.x) - batch.x).square().sum(1))
    torch.testing.assert_close(costs["sparsity"], 0.3 * module.encode(batch.x).abs().sum(1))
    torch.testing.assert_close(costs["contraction"], 0.2 * module.contraction(batch.x))
    run = cr.train("digits", net="autoencoder:hidden=20,code=8,sparse=kl,contractive=0.01", epochs=2, plan="eager", progress=False)
    assert {"valid_reconstruction", "valid_sparsity", "valid_contraction"} <= run.history[-1].keys()
    assert not run.job.rule.additive                                        # a batch of which the costs are no mean over its rows
    assert cr.train("digits", net="autoencoder:code=2", epochs=1, plan="eager", progress=False).job.rule.additive


@pytest.fixture
def one_dimensional():
    """A variational net with one code and three Bernoulli numbers, in double precision, and rows for it."""
    torch.manual_seed(3)
    module = VariationalAutoencoder((3,), 3, hidden=(6,), code=1)
    for p in module.parameters():
        torch.nn.init.normal_(p, std=0.8)
    return Net.of(module.double()), (torch.rand(4, 3) < 0.5).double()


def integrated(net, x):
    """log p(x) (n,) by the trapezoidal rule over the code, written out anew."""
    z = torch.linspace(-12, 12, 40_001, dtype=torch.float64)[:, None]
    share = torch.sigmoid(net.module.decode(z))                                               # (points, 3)
    log_joint = (x[:, None] * share.log() + (1 - x[:, None]) * (1 - share).log()).sum(2) - 0.5 * z[:, 0] ** 2 - 0.5 * np.log(2 * np.pi)
    return torch.trapezoid(log_joint.exp(), z[:, 0], dim=1).log()


def test_the_bounds_lie_below_the_likelihood_and_the_weighted_one_rises_to_it(one_dimensional):
    net, x = one_dimensional
    loss = losses.choose("binary-cross-entropy").make()
    exact = integrated(net, x)
    rows, repeats = x.repeat(4000, 1), 4000
    means = {}
    for k in (1, 2, 5, 50):
        both = bounds(net, loss, rows, rows, k, torch.Generator().manual_seed(k))
        means[k] = both.importance.view(repeats, 4).mean(0), both.importance.view(repeats, 4).std(0) / repeats**0.5, both.elbo
    elbo = means[50][2].view(repeats, 4).mean(0)
    assert (elbo < exact).all()
    assert ((means[1][0] - elbo).abs() < 5 * means[1][1]).all()                               # ELBO = IWAE(1), in expectation
    for fewer, more in ((1, 2), (2, 5), (5, 50)):
        assert (means[more][0] > means[fewer][0] - 3 * means[fewer][1]).all()
        assert float((means[more][0] - means[fewer][0]).mean()) > 0
    assert (means[50][0] < exact + 5 * means[50][1]).all()
    assert ((exact - means[50][0]) < 0.5 * (exact - elbo)).all()


def test_gaussian_bounds_are_densities_also_where_deviations_are_learned():
    """A linear decoder's marginal is Gaussian: N(b, W W' + diag(s^2)), the closed form of factor analysis."""
    torch.manual_seed(0)
    module = VariationalAutoencoder((3,), 3, hidden=(), code=2, variance="learned").double()
    with torch.no_grad():
        for p in module.parameters():
            p.normal_(std=0.6)
        weight, bias, deviations = module.decoder[-1].weight, module.decoder[-1].bias, module.deviations()
        covariance = weight @ weight.T + torch.diag(deviations**2)
        x = torch.randn(5, 3, dtype=torch.float64)
        exact = torch.distributions.MultivariateNormal(bias, covariance).log_prob(x)
        posterior = torch.linalg.inv(torch.eye(2, dtype=torch.float64) + weight.T @ torch.diag(deviations**-2) @ weight)
        gain = posterior @ weight.T @ torch.diag(deviations**-2)                                # the exact posterior's mean
        module.encoder[0].weight.copy_(torch.cat([gain, torch.zeros(2, 3)]))
        module.encoder[0].bias.copy_(torch.cat([-gain @ bias, posterior.diagonal().log()]))
    net, squared = Net.of(module), losses.choose("squared").make()
    both = bounds(net, squared, x, x, 5000, torch.Generator().manual_seed(0))
    assert (both.elbo < exact).all()
    torch.testing.assert_close(both.importance, exact, rtol=0, atol=0.02)
    with pytest.raises(InputError, match="whose loss is squared; got binary-cross-entropy"):
        Reconstruct(losses.choose("binary-cross-entropy").make())(net, Batch(x))
    with pytest.raises(InputError, match="needs a loss that is one"):
        bounds(net, losses.choose("huber").make(), x, x, 1, torch.Generator())


def test_beta_weighs_the_divergence(one_dimensional):
    net, x = one_dimensional
    criterion = Reconstruct(losses.choose("binary-cross-entropy").make())
    plain = criterion(net, Batch(x))["divergence"]
    net.module.beta = 4.0
    torch.testing.assert_close(criterion(net, Batch(x))["divergence"], 4 * plain)


def test_a_run_of_a_variational_net_is_measured_in_nats_with_an_interval():
    run = cr.train("digits", net="vae:hidden=30,code=4,samples=20", epochs=3, plan="eager", progress=False)
    assert run.job.loss.name == "binary-cross-entropy"
    assert any(": the rows lie in [0, 1]" in choice for choice in run.job.choices)
    measured = run.valid.measures
    assert measured["elbo"].low < measured["elbo"].value < measured["elbo"].high
    assert measured["elbo"].value < measured["importance_bound"].value
    assert cr.train("iris", net="vae:hidden=8,code=2", epochs=1, plan="eager", progress=False).job.loss.name == "squared"
    assert "importance_bound" not in cr.train("iris", net="vae:hidden=8,code=2", epochs=1, plan="eager", progress=False).valid.measures
    assert run.trained.measure(run.job.data.valid).measures == measured                      # what is drawn follows from the seed


def test_codes_for_which_there_are_too_few_rows_and_constant_columns_are_noted():
    rng = np.random.default_rng(0)
    frame = {"a": rng.normal(size=12), "b": np.full(12, 2.5), "c": rng.normal(size=12)}
    run = cr.train(frame, net="autoencoder:code=20", epochs=1, plan="eager", progress=False, target="none")
    notes = " ".join(run.job.data.encoder.inputs.notes)
    assert "A code of 20 numbers for 8 training rows" in notes
    assert "b is constant in training" in notes
    plain = cr.train("iris", net="autoencoder:code=2", epochs=1, plan="eager", progress=False)
    assert not any("code of" in note or "constant" in note for note in plain.job.data.encoder.inputs.notes)
