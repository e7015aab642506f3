"""The likelihood of sequences, a step and as a whole, beside what one distribution at every step gives, each reckoned by hand."""

import numpy as np
import pytest
import torch

import chainrule as cr
from chainrule.workflows.predict import predict_to

QUICK = {"epochs": 3, "plan": "eager", "threads": 1, "progress": False}


@pytest.fixture(autouse=True)
def _here(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)


def fasta(folder, rows=40):
    rng = np.random.default_rng(0)
    path = folder / "reads.fasta"
    path.write_text("".join(f">r{i}\n{''.join(rng.choice(list('AACG'), size=rng.integers(5, 12)))}\n" for i in range(rows)))
    return path


def test_sequences_of_symbols_go_to_a_hidden_markov_model_and_stand_beside_the_unigram(tmp_path):
    run = cr.train(fasta(tmp_path), **QUICK)
    assert run.job.trained.net_name == "hmm"
    result, data = run.test(), run.job.data
    part = data.door.open("by hand")
    x = data.ready(part.x)
    each, counts = run.net.log_prob(x).detach().double(), x.sum((1, 2))
    assert result.measures["nats"].value == pytest.approx(float(-each.sum() / counts.sum()), rel=1e-5)
    assert result.measures["log_likelihood"].value == pytest.approx(float(each.mean()), rel=1e-5)
    shares = data.ready(data.train.x).sum((0, 1)) + 1
    surprise = -(x.sum((0, 1)) * (shares / shares.sum()).log()).sum() / counts.sum()
    assert result.baseline.name == "the unigram"
    assert result.baseline.measures["nats"].value == pytest.approx(float(surprise), rel=1e-5)


def test_series_stand_beside_one_gaussian_at_every_step():
    x = np.random.default_rng(0).normal(size=(700, 2))
    run = cr.train(x, net="hmm:states=2", **QUICK)
    part = run.job.data.door.open("by hand").x.double().flatten(0, 1)
    train = run.job.data.train.x.double().flatten(0, 1)
    part = part[~part.isnan().any(1)]
    normal = torch.distributions.Normal(train.mean(0), train.std(0, correction=0))
    assert run.test().baseline.measures["nats"].value == pytest.approx(float(-normal.log_prob(part).sum(1).mean()), rel=1e-5)


def test_predictions_name_the_state_of_every_step(tmp_path):
    pl = pytest.importorskip("polars")
    run = cr.train(fasta(tmp_path), **QUICK)
    lengths = [len(line) for line in fasta(tmp_path).read_text().splitlines()[1::2]]
    assert predict_to(run.job.trained, fasta(tmp_path), tmp_path / "p.csv") == sum(lengths)
    table = pl.read_csv(tmp_path / "p.csv")
    assert table.columns == ["row", "sequence", "step", "state", "probability"]
    assert table["sequence"].unique(maintain_order=True).to_list() == [f"r{i}" for i in range(40)]
    assert table.group_by("row", maintain_order=True).len()["len"].to_list() == lengths
    assert table["probability"].min() >= 0.24
