"""Committees of runs, bagged and boosted: what they answer, how they are judged and stored, and what is refused."""

import json
import math
from itertools import pairwise

import pytest
import torch

import chainrule as cr
from chainrule.cli.main import run_command
from chainrule.core.errors import InputError
from chainrule.evaluate.combination import combine
from chainrule.workflows.doctor import doctor

WEAK = {"net": "mlp:hidden=8", "epochs": 8, "optimizer": "adam:rate=0.01", "plan": "eager", "batch": 32, "progress": False}
HALVED = "train=.4,valid=.1,test=.5"      # so that the test part is large enough to tell nets apart


@pytest.fixture(autouse=True)
def _one_thread():
    torch.set_num_threads(1)


@pytest.fixture(scope="module")
def bagged(tmp_path_factory):
    torch.set_num_threads(1)
    return cr.sweep("digits", over={"bootstrap": range(1, 9)}, **WEAK, split=HALVED, out=tmp_path_factory.mktemp("runs") / "bags")


@pytest.fixture(scope="module")
def boosted(tmp_path_factory):
    torch.set_num_threads(1)
    weaker = {**WEAK, "net": "mlp:hidden=3,activation=tanh", "optimizer": "adam:rate=0.02", "epochs": 10}
    return cr.boost("digits", rounds=6, **weaker, split=HALVED, out=tmp_path_factory.mktemp("runs") / "samme")


@pytest.mark.parametrize("by", ["mean", "product", "vote"])
def test_its_answer_is_its_members_joined(bagged, tmp_path, by):
    made = cr.committee(bagged, by=by, out=tmp_path / "c")
    part = bagged.runs[0].job.data.valid
    said = torch.stack([run.job.trained.predictions(part) for run in bagged])
    torch.testing.assert_close(made.job.trained.predictions(part), combine(said, by), atol=1e-5, rtol=1e-4)
    again = cr.Committee(tmp_path / "c")
    assert again.valid.errors == made.valid.errors
    assert again.record["by"] == by


def test_bagging_beats_a_single_net(bagged):
    """With p < .01 against the net of the same settings on all training rows; the test part is opened once for the committee."""
    made = cr.committee(bagged, out=bagged.path.parent / "committee")
    result = made.test()
    ledger = (bagged.path.parent / "openings.jsonl").read_text().splitlines()
    assert [json.loads(line)["run"] for line in ledger] == ["committee"]
    assert result.opened == 1
    standing = made.tested_standing
    assert result.errors == standing.score < sum(standing.scores) / len(standing.scores)
    assert sum(pair.p_corrected < 0.01 for pair in standing.pairs) >= 3
    single = cr.train("digits", **WEAK, split=HALVED, out=bagged.path.parent / "single")
    pair = cr.compare(made, single).pairs[0]
    assert pair.difference.value < 0
    assert pair.p < 0.01


def test_each_member_is_judged_as_it_is_alone(bagged, tmp_path):
    made = cr.committee(bagged, out=tmp_path / "c")
    standing = made.standing()
    assert list(standing.scores) == [run.valid.errors for run in bagged]
    assert standing.score == made.valid.errors
    for pair in standing.pairs:
        assert ("is better" in pair.verdict) == (pair.p_corrected < 0.05)
        assert f"Holm-corrected over {len(bagged)} pairs" in pair.verdict
    best = standing.names[standing.best]
    assert best in str(standing)


def test_samme_rounds_are_runs_and_the_committee_beats_the_first(boosted):
    assert len(boosted) == 6
    boosted.test()
    standing = boosted.tested_standing
    assert standing.score < standing.scores[0]
    assert standing.pairs[0].p < 0.01
    again = cr.Committee(boosted.path)
    assert again.valid.errors == boosted.valid.errors
    part = boosted.job.data.valid
    votes = torch.stack([run.job.trained.predictions(part) for run in boosted])
    torch.testing.assert_close(again.job.trained.predictions(part), combine(votes, "vote", boosted.record["weights"]), atol=1e-5, rtol=1e-4)


def test_rounds_are_judged_by_the_weights_of_classes_too(tmp_path):
    """Freund and Schapire by hand: the weights of classes begin, the mistakes of each net multiply them; votes and training follow."""
    weaker = {**WEAK, "net": "mlp:hidden=3,activation=tanh", "optimizer": "adam:rate=0.02", "epochs": 10}
    made = cr.boost("digits", rounds=2, class_weights="1=5,8=4", split=HALVED, **weaker, out=tmp_path / "s")
    job = made.members[0].job
    part = job.data.train
    truth = job.trained.truth(part)
    weights = torch.where(truth == 1, 5.0, torch.where(truth == 8, 4.0, 1.0)).double()
    for run, vote in zip(made.members, made.record["weights"], strict=True):
        wrong = run.job.trained.predictions(part).argmax(1) != truth
        error = float(weights[wrong].sum() / weights.sum())
        assert vote == pytest.approx(math.log((1 - error) / error) + math.log(9))
        trained = run.job.data.train.weight.double()
        torch.testing.assert_close(trained / trained.sum(), weights / weights.sum(), rtol=1e-5, atol=1e-9)
        weights = torch.where(wrong, weights * 9 * (1 - error) / error, weights)
    assert cr.repeat(cr.Committee(made.path).members[1], progress=False) == (True, 0.0)


def test_a_round_repeats_from_its_folder_and_the_weights_beside_it(boosted):
    member = cr.Committee(boosted.path).members[1]
    assert cr.repeat(member, progress=False) == (True, 0.0)


@pytest.mark.parametrize("data", ["digits", "diabetes"])
def test_gradient_boosting_lowers_the_training_loss_every_round_and_is_restored(data, tmp_path):
    made = cr.boost(data, rounds=4, by="gradient", shrinkage=0.7, **{**WEAK, "epochs": 4}, out=tmp_path / "g")
    part = made.base.data.train
    after = made.job.net.call("each", made.base.data.ready(part.x)).detach()          # (rounds, n, k)
    if data == "digits":
        truth = made.truth(part)
        losses = [float(-one.gather(1, truth[:, None]).log().mean()) for one in after]
        start = float(torch.distributions.Categorical(logits=torch.tensor(made.record["start"])).entropy())
    else:
        losses = [float((one - part.y).square().mean()) for one in after]
        start = float(part.y.square().mean())
    assert all(b < a for a, b in pairwise([start, *losses]))
    again = cr.Committee(tmp_path / "g")
    torch.testing.assert_close(again.job.trained.predictions(part), made.job.trained.predictions(part))
    assert cr.repeat(again.members[-1], progress=False) == (True, 0.0)


def test_gradient_boosting_ends_where_nothing_is_left_to_fit(tmp_path, capsys):
    """A line through two points leaves a residual of zero, sooner or later; the rounds so far are the committee."""
    (tmp_path / "t.csv").write_text("x,y\n" + "\n".join(f"{i % 2},{5.5 * (i % 2) + 1.25}" for i in range(40)))
    made = cr.boost(tmp_path / "t.csv", target="y", rounds=8, by="gradient", shrinkage=1.0, net="linear", rule="closedform", plan="eager",
                    out=tmp_path / "g")
    assert 1 <= len(made) < 8
    assert "nothing is left to fit" in capsys.readouterr().err
    part = made.base.data.train
    units = torch.where(part.y > 0, 6.75, 1.25)
    torch.testing.assert_close(made.job.trained.predictions(part), units, atol=1e-5, rtol=0)


def test_numbers_are_averaged_in_their_own_units(tmp_path):
    sweep = cr.sweep("diabetes", over={"bootstrap": (1, 2, 3)}, **{**WEAK, "epochs": 3}, out=tmp_path / "s")
    made = cr.committee(sweep, out=tmp_path / "c")
    rows = sweep.runs[0].job.data.valid
    mean = torch.stack([run.job.trained.predictions(rows) for run in sweep]).mean(0)
    torch.testing.assert_close(made.job.trained.predictions(rows), mean)
    assert made.standing().measure == "mean squared error"
    with pytest.raises(InputError, match="by their mean"):
        cr.committee(sweep, by="vote", out=tmp_path / "v")


def test_perceptrons_vote_too(tmp_path):
    options = {"rule": "perceptron", "classes": "3,8", "epochs": 2, "plan": "eager", "progress": False}
    sweep = cr.sweep("digits", over={"bootstrap": (1, 2, 3)}, **options, out=tmp_path / "s")
    made = cr.committee(sweep, by="vote", out=tmp_path / "c")
    part = made.job.data.valid
    votes = torch.stack([run.job.trained.predictions(part).argmax(1) for run in sweep]).double().mean(0).round().long()
    assert torch.equal(made.job.trained.predictions(part).argmax(1), votes)


def test_the_commands_take_a_committee_for_a_run(bagged, tmp_path, capsys, monkeypatch):
    monkeypatch.chdir(tmp_path)
    assert run_command(["committee", str(bagged.path), "--out", "c", "--by", "product", "--json"]) == 0
    told = json.loads(capsys.readouterr().out.splitlines()[-1])
    assert len(told["members"]) == 8
    assert told["valid"]["score"] < max(told["valid"]["scores"])
    assert run_command(["predict", "c", "digits", "--out", "said.csv"]) == 0
    assert len((tmp_path / "said.csv").read_text().splitlines()) == 1798
    assert run_command(["test", "c", "--json"]) == 0
    assert json.loads(capsys.readouterr().out.splitlines()[-1])["opened"] == 1
    assert run_command(["compare", "c", str(bagged.runs[0].path), "--json"]) == 0
    assert json.loads(capsys.readouterr().out.splitlines()[-1])["pairs"][0]["p"] < 0.05


def test_boost_is_a_command(tmp_path, capsys):
    given = ["boost", "iris", "--rounds", "2", "--net", "mlp:hidden=4", "--epochs", "8", "--optimizer", "adam:rate=0.02", "--plan", "eager",
             "--out", str(tmp_path / "b")]
    assert run_command([*given, "--test", "--json"]) == 0
    assert json.loads(capsys.readouterr().out.splitlines()[-1])["test"]["n"] > 0
    assert run_command(given) == 2
    assert "already holds a boosting" in capsys.readouterr().err


def test_members_must_agree(bagged, tmp_path):
    other = cr.train("digits", **{**WEAK, "epochs": 1}, seed=3, out=tmp_path / "other")
    with pytest.raises(InputError, match="held out different rows"):
        cr.committee(bagged, other, out=tmp_path / "c")
    iris = cr.train("iris", **{**WEAK, "epochs": 1}, out=tmp_path / "iris")
    with pytest.raises(InputError, match="different data"):
        cr.committee(bagged.runs[0], iris, out=tmp_path / "c")
    with pytest.raises(InputError, match="at least two members"):
        cr.committee(iris, out=tmp_path / "c")
    with pytest.raises(InputError, match="mean, product or vote"):
        cr.committee(bagged, by="median", out=tmp_path / "c")
    with pytest.raises(InputError, match="no committee"):
        cr.Committee(iris.path)


@pytest.mark.parametrize(("options", "words"), [
    ({"rounds": 0}, "at least 1"), ({"by": "adaboost"}, "samme or gradient"), ({"by": "gradient", "shrinkage": 0.0}, "shrinkage"),
    ({"bootstrap": 1}, "bootstrap"), ({"by": "gradient", "loss": "hinge"}, "hinge"), ({"net": 3}, "its name"),
])
def test_boosting_refuses(tmp_path, options, words):
    with pytest.raises(InputError, match=words):
        cr.boost("digits", **{**WEAK, **options}, out=tmp_path / "b")


def test_samme_needs_classes_and_enough_rows(tmp_path):
    with pytest.raises(InputError, match="needs classes"):
        cr.boost("diabetes", **WEAK, out=tmp_path / "b")
    x = torch.randn(6, 2)
    with pytest.raises(InputError, match="boosting needs at least"):
        cr.boost((x, ["a", "b", "c", "a", "b", "c"]), **WEAK, split="train=.5,valid=.5", out=tmp_path / "c")


def test_members_that_err_alike_are_told_and_others_are_not(tmp_path, capsys):
    """A softmax net's loss has one minimum: from any seed it is the same net. Small nets on other rows each err differently."""
    alike = cr.sweep("digits", over={"seed": (0, 1, 2)}, split_seed=0, net="softmax", split="train=.2,valid=.4,test=.4", epochs=60,
                     progress=False, plan="eager", out=tmp_path / "alike")
    made = cr.committee(alike, out=tmp_path / "one")
    (told,) = made.diagnoses.listed
    assert told["code"] == "D38"
    assert "know hardly more than one" in told["evidence"]
    assert made.summary()["diagnoses"][0]["numbers"]["members"] == 3
    again = doctor(tmp_path / "one")
    assert again.listed == made.diagnoses.listed
    assert len(again.several) == 3
    assert str(again).splitlines()[0].strip().startswith("D38 members agree (members)")
    assert "members agree" in made.report().read_text()
    apart = cr.sweep("digits", over={"bootstrap": (1, 2, 3)}, net="mlp:hidden=4", epochs=5, progress=False, plan="eager",
                     out=tmp_path / "apart")
    other = cr.committee(apart, out=tmp_path / "two")
    assert other.diagnoses.listed == ()
    assert other.standing().agreement.share < 0.8
