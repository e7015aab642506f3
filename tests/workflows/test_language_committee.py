"""Language models that answer together: their shares averaged at every symbol, the state of each carried, judged by a paired test."""

import pytest
import torch

import chainrule as cr
from chainrule.core.errors import InputError
from chainrule.core.sampling import Request

TEXT = "to be, or not to be: that is the question. whether 'tis nobler in the mind to suffer the slings and arrows. " * 25
QUICK = {"rule": "bptt:window=16", "batch": 4, "epochs": 3, "plan": "eager", "threads": 1, "progress": False}


@pytest.fixture(scope="module")
def runs(tmp_path_factory):
    folder = tmp_path_factory.mktemp("speakers")
    (folder / "t.txt").write_text(TEXT)
    torch.set_num_threads(1)
    return [cr.train(folder / "t.txt", net=f"rnn:hidden={size}", seed=size, out=folder / str(size), **QUICK) for size in (8, 12, 16)]


@pytest.mark.parametrize("by", ["mean", "product"])
def test_the_shares_of_all_are_joined_at_every_symbol(runs, by, tmp_path):
    joined = cr.committee(*runs, by=by, out=tmp_path / "c")
    part = runs[0].job.data.valid
    each = torch.stack([run.trained.predictions(part) for run in runs])                      # (3, n, t, k)
    expected = each.mean(0) if by == "mean" else each.log().mean(0).exp()
    expected = expected / expected.sum(-1, keepdim=True)
    torch.testing.assert_close(joined.trained.predictions(part), expected, rtol=1e-4, atol=1e-6)
    nats = -expected.double().gather(2, part.y[..., None]).log().mean()
    assert joined.valid.measures["nats"].value == pytest.approx(float(nats), rel=1e-4)
    standing = joined.standing()
    assert standing.score == pytest.approx(float(nats), rel=1e-4)
    assert standing.scores[1] == pytest.approx(runs[1].valid.measures["nats"].value, rel=1e-3)
    assert "paired sign flips" in str(standing)
    scores, own = joined.growth()
    assert own == by
    assert scores[by][-1] == pytest.approx(standing.score, rel=1e-4)


def test_a_committee_is_tested_reported_compared_and_writes(runs, tmp_path):
    joined = cr.committee(*runs, out=tmp_path / "c")
    assert joined.test().measures["perplexity"].value > 1
    assert len(joined.tested_standing.pairs) == 3
    assert "Against its members" in joined.report().read_text()
    assert len(cr.compare(joined, runs[0]).pairs) == 1
    again = cr.Committee(tmp_path / "c")
    request = Request(2, "to be", length=20, seed=1)
    assert again.trained.sample(request) == joined.trained.sample(request)
    assert all(text.startswith("to be") for text in again.trained.sample(request).texts)
    answer, names = again.predict(runs[0].record["data"]["origin"]["what"])
    assert answer.shape == (len(TEXT), len(names))


def test_others_are_refused(runs, tmp_path):
    pictures = [cr.train("roads:count=12,side=16", net="unet:width=2,depth=1", epochs=1, seed=seed, split_seed=0, plan="eager", threads=1,
                         progress=False, out=tmp_path / str(seed)) for seed in (0, 1)]
    with pytest.raises(InputError, match="a committee is of nets that classify samples or steps, or predict values"):
        cr.committee(*pictures, out=tmp_path / "c")
