"""Strange rows: scores by what a net misses, a threshold from the validation part, and the columns that `predict` writes."""

import numpy as np
import polars as pl
import pytest
import torch

import chainrule as cr
from chainrule.cli.main import run_command
from chainrule.core.errors import InputError
from chainrule.workflows.anomaly import flag_of

QUICK = {"plan": "eager", "threads": 1, "progress": False}


@pytest.fixture(autouse=True)
def _here(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    torch.set_num_threads(1)


def plane(n, seed=0):
    """Rows on a plane in four dimensions, with a little noise."""
    draw = np.random.default_rng(seed)
    return draw.normal(size=(n, 2)) @ np.array([[1.0, 2, 0, 1], [0, 1, -1, 1]]) + 0.05 * draw.normal(size=(n, 4))


def table(path, rows):
    pl.DataFrame({name: rows[:, i] for i, name in enumerate("abcd")}).write_csv(path)


@pytest.mark.parametrize(("net", "options"), [
    ("autoencoder:code=2", {"optimizer": "lbfgs", "epochs": 50}), ("mixture:components=1", {"epochs": 20}),
    ("vae:hidden=16,code=2,variance=learned,samples=10", {"epochs": 60, "optimizer": "adam:rate=0.01"})], ids=str)
def test_rows_off_the_plane_are_flagged_and_about_as_many_others_as_were_asked_for(net, options):
    table("t.csv", plane(1500))
    strange = plane(200, seed=1)
    strange[:100] += np.random.default_rng(2).normal(size=(100, 4)) * 2
    table("new.csv", strange)
    cr.train("t.csv", target="none", net=net, out="run", **options, **QUICK)
    assert run_command(["predict", "run", "new.csv", "--anomaly", "0.98", "--out", "said.csv"]) == 0
    said = pl.read_csv("said.csv")
    assert said["anomaly"].dtype == pl.Boolean
    assert said["anomaly"][:100].mean() > 0.9
    assert said["anomaly"][100:].mean() < 0.12
    assert said["score"][:100].median() > said["score"][100:].median()


def test_the_threshold_is_the_quantile_of_the_validation_scores_and_comes_from_the_folder_alone(tmp_path):
    table("t.csv", plane(400))
    run = cr.train("t.csv", target="none", net="autoencoder:code=1", epochs=2, out="run", **QUICK)
    part = run.job.data.valid
    x = run.job.data.ready(part.x)
    with torch.no_grad():
        by_hand = (run.net(x) - x).square().sum(1).double()
    flag = flag_of(run.trained, run.validation, 0.9)
    torch.testing.assert_close(flag.scores(part), by_hand)
    assert flag.threshold == pytest.approx(np.quantile(by_hand.numpy(), 0.9))
    again = cr.Run("run")
    (tmp_path / "t.csv").unlink()
    assert flag_of(again.trained, again.validation, 0.9).threshold == flag.threshold
    columns = flag.columns(part)
    assert columns["anomaly"].tolist() == (by_hand > flag.threshold).tolist()


def test_an_energy_scores_rows_by_its_free_energy():
    run = cr.train("digits", net="rbm:hidden=8", epochs=1, out="run", **QUICK)
    part = run.job.data.valid
    with torch.no_grad():
        energies = run.net.free_energy(run.job.data.ready(part.x).flatten(1))
    torch.testing.assert_close(flag_of(run.trained, run.validation, 0.5).scores(part), energies.double())


def test_what_has_no_scores_is_refused_in_a_sentence(capsys):
    run = cr.train("iris", net="softmax", epochs=1, out="run", **QUICK)
    with pytest.raises(InputError, match="answers classification and says nothing of how strange a row is"):
        flag_of(run.trained, run.validation, 0.9)
    assert run_command(["predict", "run", "iris", "--anomaly", "0.9"]) == 2
    for share in (0.0, 1.0):
        with pytest.raises(InputError, match="above 0 and below 1"):
            flag_of(run.trained, run.validation, share)
    bare = cr.train("iris", net="autoencoder:code=2", epochs=1, split="train=1", **QUICK)
    with pytest.raises(InputError, match="no scores of validation rows"):
        flag_of(bare.trained, bare.validation, 0.9)
    gan = cr.train("iris", net="gan:hidden=4", epochs=1, **QUICK)
    assert gan.validation.scores is None
