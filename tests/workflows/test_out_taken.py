"""Where a folder cannot be made is said before data is read, which may take minutes; an unfinished run is gone on with where it lies."""

import pytest
import torch

import chainrule as cr
from chainrule.cli.main import run_command
from chainrule.core.errors import Diverged, InputError, Interrupted
from chainrule.core.events import Evaluated, Started
from chainrule.engine.stop import Stop


def commands(out):
    return {
        "train": lambda: cr.train("nowhere.csv", out=out), "members": lambda: cr.train("nowhere.csv", members=2, out=out),
        "sweep": lambda: cr.sweep("nowhere.csv", over={"seed": (0, 1)}, out=out),
        "boost": lambda: cr.boost("nowhere.csv", net="mlp:hidden=4", out=out), "check": lambda: cr.check("nowhere.csv", out=out),
        "find-rate": lambda: cr.find_rate("nowhere.csv", out=out)}


@pytest.mark.parametrize("name", commands(None))
def test_a_file_in_the_place_of_the_folder_is_refused_before_the_data_is_read(name, tmp_path):
    (tmp_path / "taken").write_text("mine")
    with pytest.raises(InputError, match="taken is a file; a folder is expected"):
        commands(tmp_path / "taken")[name]()
    assert (tmp_path / "taken").read_text() == "mine"


@pytest.mark.parametrize("name", commands(None))
@pytest.mark.parametrize("record", ["run.json", "committee.json"])
def test_so_is_a_folder_that_holds_something_already(name, record, tmp_path):
    (tmp_path / "taken").mkdir()
    (tmp_path / "taken" / record).write_text("{}")
    with pytest.raises(InputError, match="taken already holds a"):
        commands(tmp_path / "taken")[name]()


GIVEN = {"net": "mlp:hidden=6,dropout=0.2", "epochs": 6, "plan": "eager", "threads": 1, "progress": False}


def interrupted(out, after=2, data="iris", **given):
    """The folder of a run that a signal ended after so many epochs."""
    stop = Stop()

    def sink(event):
        if isinstance(event, Evaluated) and event.epoch == after:
            stop.request("SIGTERM")

    with pytest.raises(Interrupted):
        cr.train(data, **{**GIVEN, **given}, out=out, stop=stop, sinks=[sink])
    return out


def weights_of(run):
    return {name: t.clone() for name, t in run.net.state_dict().items()}


def test_the_same_command_goes_on_with_its_unfinished_run(tmp_path):
    """To the bits of a run that nobody disturbed; a third time there is nothing left to do, and the folder is taken."""
    whole = weights_of(cr.train("iris", **GIVEN, out=tmp_path / "whole"))
    begun, events = interrupted(tmp_path / "begun"), []
    again = cr.train("iris", **GIVEN, out=begun, sinks=[events.append])
    assert [event.resumed for event in events if isinstance(event, Started)] == [True]
    assert len(again.history) == 6
    assert all(torch.equal(t, whole[name]) for name, t in weights_of(again).items())
    with pytest.raises(InputError, match="begun already holds a run"):
        cr.train("iris", **GIVEN, out=begun)


def test_it_does_on_the_command_line(tmp_path, capsys):
    command = ["train", "iris", "--net", "mlp:hidden=6,dropout=0.2", "--epochs", "6", "--plan", "eager", "--threads", "1", "--out",
               str(tmp_path / "begun")]
    interrupted(tmp_path / "begun")
    assert run_command(command) == 0
    assert "Done after 6 epochs" in capsys.readouterr().err
    assert [event.resumed for event in cr.Run(tmp_path / "begun").events if isinstance(event, Started)] == [False, True]


@pytest.mark.parametrize(("data", "given", "why"), [
    ("iris", {"epochs": 9}, "with other options: epochs was 6 and is 9. Use another --out, or chainrule resume"),
    ("iris", {"seed": 3, "net": "linear"}, "net was mlp:hidden=6,dropout=0.2 and is linear, seed was 0 and is 3"),
    ("wine", {}, "unfinished run on other data, iris. Use another --out")])
def test_another_command_leaves_an_unfinished_run_as_it_was(tmp_path, data, given, why):
    begun = interrupted(tmp_path / "begun")
    before = {file.name: file.read_bytes() for file in begun.iterdir() if file.is_file()}
    with pytest.raises(InputError, match=why):
        cr.train(data, **{**GIVEN, **given}, out=begun)
    assert {file.name: file.read_bytes() for file in begun.iterdir() if file.is_file()} == before


def test_nets_and_losses_of_ones_own_go_on_too(tmp_path):
    def module():
        torch.manual_seed(0)
        return torch.nn.Sequential(torch.nn.Linear(4, 5), torch.nn.Tanh(), torch.nn.Linear(5, 3))

    whole = weights_of(cr.train("iris", **{**GIVEN, "net": module()}, out=tmp_path / "whole"))
    begun = interrupted(tmp_path / "begun", net=module())
    again = weights_of(cr.train("iris", **{**GIVEN, "net": module()}, out=begun))
    assert all(torch.equal(t, whole[name]) for name, t in again.items())
    begun = interrupted(tmp_path / "other", net=module())
    with pytest.raises(InputError, match="net was left out and is linear"):
        cr.train("iris", **{**GIVEN, "net": "linear"}, out=begun)


def test_a_run_that_diverged_would_do_so_again(tmp_path):
    with pytest.raises(Diverged):
        cr.train("iris", **{**GIVEN, "optimizer": "sgd:rate=1e30", "loss": "squared"}, out=tmp_path / "wild")
    with pytest.raises(InputError, match="wild already holds a run"):
        cr.train("iris", **{**GIVEN, "optimizer": "sgd:rate=1e30", "loss": "squared"}, out=tmp_path / "wild")
