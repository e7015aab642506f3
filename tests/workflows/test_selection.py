"""The net of a small table is chosen by folds where nothing is named, recorded, said, and repeated; naming anything ends the choice."""

import pytest
import torch

import chainrule as cr
from chainrule.core.events import Warned
from chainrule.core.registry import nets, optimizers
from chainrule.job import candidates, defaults
from chainrule.job.candidates import CANDIDATES, Candidate, left_open
from chainrule.job.options import Options
from chainrule.job.own import NOTHING, Own
from chainrule.workflows import selection

FEW = (Candidate("linear", "ensemble:hidden=0,members=5", "adamw:rate=0.1"), Candidate("deep", "ensemble:hidden=8,members=5", "adamw"))


def table(n=60):
    x = torch.randn(n, 4, generator=torch.Generator().manual_seed(0))
    return cr.load((x, x @ torch.tensor([[1.0], [2.0], [0.0], [-1.0]]) + 3))


@pytest.fixture
def quick(monkeypatch):
    monkeypatch.setattr(selection, "CANDIDATES", FEW)
    monkeypatch.setattr(defaults, "AIM_STEPS", 6)
    monkeypatch.setattr(defaults, "FEWEST_EPOCHS", 3)


def test_the_best_of_the_candidates_is_trained_recorded_said_and_repeated(quick, tmp_path):
    """Each recorded loss is that of an ordinary run with the candidate's options."""
    run = cr.train(table(), plan="eager", out=tmp_path / "run", progress=False)
    record = run.record["selection"]
    losses = {one["name"]: one["loss"] for one in record["candidates"]}
    for one in FEW:
        lone = cr.train(table(), plan="eager", net=one.net, optimizer=one.optimizer, folds=5, out=tmp_path / one.name, progress=False)
        assert lone.summary()["best"]["loss"] == losses[one.name]
    assert record["chosen"] == "linear" == min(losses, key=losses.get)
    assert run.record["net"] == FEW[0].net
    assert (record["rows"], run.valid.n) == (51, 51)
    assert "net" not in run.record["asked"]
    said = [e.message for e in run.events if isinstance(e, Warned) and "folds" in e.message]
    assert len(said) == 1
    assert "an ensemble, linear (validation loss" in said[0]
    run = cr.Run(run.path, data=table())
    assert cr.repeat(run, progress=False) == (True, 0.0)
    assert cr.resume(run, progress=False).record["selection"] == record


def test_a_stream_of_events_makes_the_same_choice(quick):
    started = next(iter(cr.events(table(), plan="eager")))
    assert started.net == FEW[0].net


@pytest.mark.parametrize("named", [{"net": "mlp"}, {"optimizer": "adam"}, {"epochs": 3}, {"rule": "backprop"}, {"batch": 8},
                                   {"split": "train=.7,valid=.15,test=.15"}, {"fold": "1/3"}, {"patience": 3}, {"time": "when"}])
def test_whoever_names_how_to_learn_is_obeyed(named):
    assert left_open(table(), Options(), NOTHING)
    assert not left_open(table(), Options(**named), NOTHING)


@pytest.mark.parametrize("circumstance", [{"seed": 3}, {"plan": "eager"}, {"threads": 1}, {"class_weights": "balanced"}])
def test_circumstances_leave_the_choice_open(circumstance):
    assert left_open(table(), Options(**circumstance), NOTHING)


def test_only_small_tables_are_chosen_for(monkeypatch):
    assert not left_open(cr.load("digits"), Options(), NOTHING)              # pictures
    assert not left_open(table(20), Options(), NOTHING)
    assert not left_open(table(), Options(), Own(net=torch.nn.Linear(4, 1)))
    monkeypatch.setattr(candidates, "MOST_ROWS", 50)
    assert not left_open(table(), Options(), NOTHING)


def test_every_option_is_a_circumstance_or_ends_the_choice():
    assert set(candidates.CIRCUMSTANCES) < set(vars(Options()))


def test_the_candidates_exist():
    for one in CANDIDATES:
        nets.choose(one.net), optimizers.choose(one.optimizer)
        assert one.over(Options()).checked().folds == candidates.FOLDS
