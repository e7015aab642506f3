"""Strings written from strings: learned, measured by hand, taught by the mean over symbols, told what is unknown, written by a beam."""

import json
import math

import polars as pl
import pytest
import torch
from torch import nn

import chainrule as cr
from chainrule.core.batch import Batch
from chainrule.core.errors import InputError
from chainrule.core.net import Net
from chainrule.core.registry import losses
from chainrule.evaluate.strings import edit_distances
from chainrule.tasks.translation import Taught, Translation, log_probabilities
from chainrule.workflows.predict import predict_to

QUICK = {"plan": "eager", "threads": 1, "progress": False}
DATA = "reversal:length=4,fewest=2,letters=4,count=140"


@pytest.fixture(scope="module")
def run(tmp_path_factory):
    out = tmp_path_factory.mktemp("translation") / "run"
    return cr.train(DATA, net="seq2seq:hidden=24", optimizer="adam:rate=0.01", epochs=60, batch=20, out=out, **QUICK)


def test_a_net_learns_to_write_strings_backwards(run):
    assert run.job.task.name == "translation"
    assert run.summary()["net"] == "seq2seq:hidden=24,longest=5"
    result, part = run.test(), run.job.data.door.open("by hand")
    answer = run.job.trained.predictions(part)
    away, sizes = edit_distances(answer, part.y), (part.y >= 0).sum(1)
    assert result.measures["edit_distance"].value == pytest.approx(float(away.sum() / sizes.sum()))
    assert result.measures["exact"].value == pytest.approx(float((away == 0).double().mean()))
    assert result.measures["exact"].value > 0.8
    assert result.measures["exact"].low < result.measures["exact"].value
    assert result.baseline.measures["edit_distance"].value > 0.5
    assert (run.path / "attention.png").read_bytes().startswith(b"\x89PNG")


def test_it_is_written_compared_and_reported_from_its_folder(run, tmp_path):
    path = tmp_path / "new.jsonl"
    path.write_text("".join(json.dumps({"source": s}) + "\n" for s in ("abc", "dd", "ab?d")))
    predict_to(run.trained, path, tmp_path / "out.csv")
    frame = pl.read_csv(tmp_path / "out.csv")
    assert frame.columns == ["row", "source", "prediction"]
    assert frame["source"].to_list() == ["abc", "dd", "ab?d"]
    assert frame["prediction"].to_list()[:2] == ["cba", "dd"]
    again = cr.Run(run.path)
    torch.testing.assert_close(again.trained.predictions(run.job.data.valid), run.trained.predictions(run.job.data.valid))
    assert "attention" in run.report().read_text()


def test_a_beam_answers_by_the_likeliest_string(run, tmp_path):
    trained, part = run.trained, run.job.data.valid
    net, x = trained.net, trained.ready(part.x)
    greedy = trained.predictions(part)
    trained.task.beam = 5
    try:
        best = trained.predictions(part)
    finally:
        trained.task.beam = 1
    assert best.shape == greedy.shape
    with torch.no_grad():
        assert bool((log_probabilities(net, x, best) >= log_probabilities(net, x, greedy) - 1e-6).all())
    predict_to(trained, DATA, tmp_path / "out.csv", beam=5)
    assert trained.task.beam == 1
    with pytest.raises(InputError, match="beam"):
        predict_to(cr.train("iris", net="softmax", epochs=1, out=tmp_path / "iris", **QUICK).trained, "iris", tmp_path / "i.csv", beam=2)


class Fixed(nn.Module):
    """Scores that are the same whatever it reads."""

    def __init__(self, scores):
        super().__init__()
        self.scores = nn.Parameter(scores)

    def teach(self, x, y):
        return self.scores[None, : y.shape[1] + 1].expand(len(y), -1, -1)

    def forward(self, x):
        return self.scores[None].expand(len(x), -1, -1)


def test_the_cost_is_the_mean_over_all_symbols_and_ends():
    torch.manual_seed(0)
    net = Net.of(Fixed(torch.randn(4, 5)))
    y = torch.tensor([[2, 0, 1], [3, -1, -1]])
    mask = torch.tensor([[True] * 4, [True, True, False, False]])
    costs = Taught(losses.choose("cross-entropy").make())(net, Batch(torch.zeros(2, 1), y, None, mask))["loss"]
    shares = net.module.scores.softmax(1)
    by_hand = [-math.log(shares[step, symbol].item()) for string in ([2, 0, 1, 4], [3, 4]) for step, symbol in enumerate(string)]
    assert Batch(torch.zeros(2, 1), y, None, mask).mean(costs).item() == pytest.approx(sum(by_hand) / 6, rel=1e-5)


def test_parts_say_which_symbols_are_asked_for(run):
    part = run.job.data.train
    assert part.mask.shape == (len(part), part.y.shape[1] + 1)
    assert torch.equal(part.mask.sum(1), (part.y >= 0).sum(1) + 1)
    assert bool(part.mask[:, 0].all())


def test_nets_and_data_of_another_kind_are_refused(tmp_path):
    with pytest.raises(InputError, match="pairs of strings"):
        Translation.read(cr.load("iris"), 64)
    with pytest.raises(InputError, match="seq2seq"):
        cr.train(DATA, net=nn.Sequential(nn.Flatten(), nn.LazyLinear(6)), task="translation", epochs=1, out=tmp_path / "a", **QUICK)
    with pytest.raises(InputError, match=r"made for translation"):
        cr.train("iris", net="seq2seq", task="classification", epochs=1, out=tmp_path / "b", **QUICK)
    with pytest.raises(InputError):
        cr.train(DATA, net="mlp", epochs=1, out=tmp_path / "c", **QUICK)
    with pytest.raises(InputError, match="strings off"):
        cr.train(DATA, net="lstm:hidden=4", task="transcription", epochs=1, out=tmp_path / "d", **QUICK)
