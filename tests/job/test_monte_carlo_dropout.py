"""Monte-Carlo dropout: entropies of known draws, the exact posterior of a one-unit dropout by enumeration, and the command."""

import math

import polars as pl
import pytest
import torch

import chainrule as cr
from chainrule.cli.main import run_command
from chainrule.core.errors import InputError
from chainrule.data.writers.predictions import Table
from chainrule.job.monte_carlo_dropout import Sampler, spread
from chainrule.workflows.predict import further_columns


def test_entropies_of_known_draws():
    """Nets that agree on 50:50 know that they do not know: no mutual information. Nets that are sure of opposites: nothing else."""
    drawn = torch.tensor([[[0.5, 0.5], [1.0, 0.0], [1.0, 0.0]], [[0.5, 0.5], [0.0, 1.0], [1.0, 0.0]]], dtype=torch.double)
    mean, said = spread(drawn, True)
    assert mean.tolist() == [[0.5, 0.5], [0.5, 0.5], [1.0, 0.0]]
    assert said["entropy"].tolist() == pytest.approx([math.log(2), math.log(2), 0.0])
    assert said["mutual_information"].tolist() == pytest.approx([0.0, math.log(2), 0.0])


def test_mutual_information_is_the_mean_divergence_from_the_mean():
    """Second derivation: the mean Kullback-Leibler divergence of each pass from their mean."""
    torch.manual_seed(0)
    drawn = torch.randn(9, 5, 4, dtype=torch.double).softmax(2)
    mean, said = spread(drawn, True)
    divergence = (drawn * (drawn / mean).log()).sum(2).mean(0)
    torch.testing.assert_close(said["mutual_information"], divergence)


def test_numbers_have_their_standard_deviation():
    mean, said = spread(torch.tensor([[[1.0]], [[3.0]], [[8.0]]]), False)
    assert float(mean) == 4
    assert float(said["sd"]) == pytest.approx(13**0.5)


@pytest.fixture(scope="module")
def trained(tmp_path_factory):
    return cr.train("iris", net="mlp:hidden=3,dropout=0.5,norm=batch", epochs=30, progress=False, plan="eager",
                    out=tmp_path_factory.mktemp("run") / "run")


def test_the_mean_is_that_of_all_thinned_nets(trained):
    """Second derivation: the eight nets that three hidden units can be thinned to, enumerated; batch normalisation evaluating."""
    x = trained.job.data.valid.x
    net = trained.net.eval()
    with torch.no_grad():
        hidden = net[:3](trained.job.data.ready(x))                               # linear, norm, relu
        masks = torch.tensor([[i >> b & 1 for b in range(3)] for i in range(8)]) / 0.5
        each = torch.stack([net.output(hidden * mask).softmax(1) for mask in masks]).double()
    exact, said = spread(each, True)
    before = {name: t.clone() for name, t in net.state_dict().items()}
    state = torch.get_rng_state()
    mean, ours = Sampler(trained.job.trained, 4000)(x)
    torch.testing.assert_close(mean, exact, rtol=0, atol=0.03)
    torch.testing.assert_close(ours["mutual_information"], said["mutual_information"], rtol=0, atol=0.03)
    assert not any(part.training for part in net.modules())
    assert all(torch.equal(t, before[name]) for name, t in net.state_dict().items())
    assert torch.equal(torch.get_rng_state(), state)


def test_the_command_adds_columns_and_repeats_itself(trained, tmp_path):
    table = pl.DataFrame({name: [5.0, 6.5, 7.1] for name in trained.source.inputs.names})
    table.write_csv(tmp_path / "new.csv")
    for out in ("a.csv", "b.csv"):
        assert run_command(["predict", str(trained.path), str(tmp_path / "new.csv"), "--samples", "20", "--out", str(tmp_path / out)]) == 0
    said = pl.read_csv(tmp_path / "a.csv")
    assert said.columns == ["row", "prediction", "p(setosa)", "p(versicolor)", "p(virginica)", "entropy", "mutual_information"]
    assert said.equals(pl.read_csv(tmp_path / "b.csv"))
    mean, further = trained.uncertainty(str(tmp_path / "new.csv"), samples=20)
    assert said["entropy"].to_list() == pytest.approx(further["entropy"].tolist())
    assert said["p(setosa)"].to_list() == pytest.approx(mean[:, 0].tolist())
    assert (said["mutual_information"] > 0).all()


def test_numeric_targets_get_a_column_of_deviations_in_their_units(tmp_path):
    run = cr.train("diabetes", net="mlp:hidden=8,dropout=0.3", epochs=3, progress=False, plan="eager", out=tmp_path / "run")
    x = run.job.data.valid.x
    mean, said = Sampler(run.job.trained, 30)(x)
    assert mean.shape == said["sd"].shape == (len(x), 1)
    scale = float(run.truth(run.job.data.valid).std())
    assert 0.001 * scale < float(said["sd"].mean()) < scale
    with Table(tmp_path / "table.csv") as table:
        table.add({**run.job.task.columns(mean), **further_columns(said, ("target",))})
    assert pl.read_csv(tmp_path / "table.csv").columns == ["target", "sd(target)"]


def test_what_says_nothing_is_refused(trained, tmp_path):
    with pytest.raises(InputError, match="expects at least 2 passes"):
        trained.uncertainty("iris", samples=1)
    plain = cr.train("iris", net="mlp:hidden=3", epochs=1, progress=False, plan="eager", out=tmp_path / "run")
    with pytest.raises(InputError, match="mlp:hidden=3 has no dropout, so that every pass would say the same"):
        plain.uncertainty("iris")
