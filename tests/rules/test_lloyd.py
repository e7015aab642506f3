"""Lloyd's iteration against scikit-learn from the same start, and its objective, which never rises."""

import itertools

import numpy as np
import pytest
import torch
from torch import nn

import chainrule as cr
from chainrule.core.batch import Batch
from chainrule.core.errors import InputError
from chainrule.core.net import Net
from chainrule.nets.kmeans import KMeans
from chainrule.rules.lloyd import Lloyd
from chainrule.workflows.predict import predict_to


def fitted(x, start, iterations, weight=None):
    module = KMeans((x.shape[1],), 0, clusters=len(start)).double()
    with torch.no_grad():
        module.weight.copy_(start)
    net, rule = Net.of(module), Lloyd()
    state, losses = rule.init(net), []
    for _ in range(iterations):
        net, state, report = rule.step(net, state, Batch(x, weight=weight))
        losses.append(float(report["loss"]))
    return module, losses


@pytest.mark.parametrize("weighted", [False, True])
def test_centres_and_objective_are_those_of_scikit_learn_from_the_same_start(weighted):
    from sklearn.cluster import KMeans as Oracle

    torch.manual_seed(0)
    x = torch.randn(300, 4, dtype=torch.float64) + 3 * torch.randint(2, (300, 4))
    weight = torch.rand(300, dtype=torch.float64) + 0.5 if weighted else None
    start = x[:6]
    module, losses = fitted(x, start, 60, weight)
    oracle = Oracle(6, init=start.numpy(), n_init=1, max_iter=60, tol=0, algorithm="lloyd")
    oracle.fit(x.numpy(), sample_weight=None if weight is None else weight.numpy())
    np.testing.assert_allclose(module.weight.detach().numpy(), oracle.cluster_centers_, rtol=1e-9)
    assert losses[-1] == pytest.approx(oracle.inertia_ / (2 * len(x)), rel=1e-9)
    assert (module.nearest(x)[0][:, 0].numpy() == oracle.labels_).all()


@pytest.mark.parametrize("seed", range(5))
def test_the_objective_never_rises_even_where_centres_are_vacant(seed):
    torch.manual_seed(seed)
    x = torch.randn(80, 2, dtype=torch.float64)
    start = torch.cat([x[:4], torch.full((4, 2), 50.0, dtype=torch.float64)])     # four are nearest to nothing
    module, losses = fitted(x, start, 12)
    assert all(later <= earlier + 1e-12 for earlier, later in itertools.pairwise(losses))
    assert len(module.nearest(x)[0][:, 0].unique()) == 8


def test_a_run_writes_clusters_and_distances(tmp_path, monkeypatch):
    import polars as pl

    monkeypatch.chdir(tmp_path)
    rng = np.random.default_rng(0)
    rows = np.concatenate([rng.normal(size=(60, 2)) * 0.1 + centre for centre in ((0, 0), (5, 0), (0, 5))])
    pl.DataFrame({"a": rows[:, 0], "b": rows[:, 1], "kind": ["x"] * 60 + ["y"] * 60 + ["z"] * 60}).write_csv("three.csv")
    run = cr.train("three.csv", target="kind", net="kmeans:clusters=3", plan="eager", progress=False, out=tmp_path / "run")
    result = run.test()
    assert result.measures["purity"].value == 1
    assert result.measures["quantisation_error"].value ** 2 <= result.measures["squared_error"].value + 1e-6
    assert result.baseline.measures["squared_error"].value > 10 * result.measures["squared_error"].value
    assert any("Purity grows" in note for note in result.notes)
    predict_to(run.job.trained, "three.csv", tmp_path / "out.csv")
    table = pl.read_csv(tmp_path / "out.csv")
    assert [table["cluster"][begin : begin + 60].n_unique() for begin in (0, 60, 120)] == [1, 1, 1]
    assert table["cluster"].n_unique() == 3
    assert (table["distance"] < 1).all()
    torch.testing.assert_close(cr.Run(tmp_path / "run").net.weight, run.net.weight)


def test_other_nets_are_refused():
    with pytest.raises(InputError, match=r"one layer of prototypes.*--net kmeans"):
        Lloyd().init(Net.of(nn.Linear(3, 2)))
