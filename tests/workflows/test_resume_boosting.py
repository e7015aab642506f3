"""A boosting that was interrupted goes on, by the command that it names, to the nets that it would have had."""

import json
import shutil

import pytest
import torch
from stops import After

import chainrule as cr
from chainrule.cli.main import run_command
from chainrule.core.errors import ChainruleError, CorruptFile, InputError, Interrupted
from chainrule.runs.folder import Folder
from chainrule.workflows import boosting

ASKED = {"net": "mlp:hidden=6", "epochs": 3, "batch": 4, "optimizer": "adam:rate=0.01", "plan": "eager", "progress": False}


def weights(folder, rounds=3):
    return [{name: p.clone() for name, p in cr.Run(folder / f"round-{k}").trained.net.params.items()} for k in range(1, rounds + 1)]


def same(a, b):
    return all(torch.equal(one[name], other[name]) for one, other in zip(a, b, strict=True) for name in one)


@pytest.mark.parametrize("by", ["samme", "gradient"])
@pytest.mark.parametrize("epochs", [2, 4, 6, 7])
def test_it_goes_on_from_any_round_to_the_same_nets(by, epochs, tmp_path):
    whole = cr.boost("wine", rounds=3, by=by, out=tmp_path / "whole", **ASKED)
    after = After(epochs)
    with pytest.raises(Interrupted, match=rf"chainrule resume {tmp_path / 'part'}$"):
        cr.boost("wine", rounds=3, by=by, out=tmp_path / "part", sinks=[after], stop=after, **ASKED)
    again = cr.resume(tmp_path / "part", progress=False)
    assert len(again) == len(whole) == 3
    assert same(weights(tmp_path / "whole"), weights(tmp_path / "part"))
    assert again.record["weights"] == whole.record["weights"]
    assert again.valid.to_dict() == whole.valid.to_dict()


def test_a_round_that_vanished_is_trained_again(tmp_path):
    cr.boost("wine", rounds=3, out=tmp_path / "b", **ASKED)
    before = weights(tmp_path / "b")
    shutil.rmtree(tmp_path / "b" / "round-3")
    assert run_command(["resume", str(tmp_path / "b")]) == 0
    assert same(before, weights(tmp_path / "b"))


def test_another_boosting_is_not_overwritten(tmp_path):
    cr.boost("wine", rounds=1, out=tmp_path / "b", **ASKED)
    (tmp_path / "b" / "committee.json").unlink()
    with pytest.raises(InputError, match="already holds a boosting"):
        cr.boost("wine", rounds=1, out=tmp_path / "b", **ASKED)


@pytest.mark.parametrize("change", [lambda r: [], lambda r: {**r, "boosting": 3}, lambda r: {k: v for k, v in r.items() if k != "options"}])
def test_a_damaged_record_is_named(change, tmp_path):
    cr.boost("wine", rounds=1, out=tmp_path / "b", **ASKED)
    record = json.loads((tmp_path / "b" / "boosting.json").read_text())
    (tmp_path / "b" / "boosting.json").write_text(json.dumps(change(record)))
    with pytest.raises((CorruptFile, InputError), match="boosting"):
        cr.resume(tmp_path / "b", progress=False)


def test_whatever_ends_a_round_names_the_whole(tmp_path, monkeypatch):
    """A round alone could not go on: it was given its weights in memory."""
    def full(job, asked, own, session, began):
        raise ChainruleError(f"The end could not be saved. Free some space and go on with: chainrule resume {session.out}")

    monkeypatch.setattr(boosting, "train_job", full)
    with pytest.raises(ChainruleError, match=rf"chainrule resume {tmp_path / 'b'}$"):
        cr.boost("wine", rounds=2, out=tmp_path / "b", **ASKED)


class Killed(BaseException):
    """As SIGKILL: nothing catches it."""


@pytest.mark.parametrize("name", ["valid.json", "summary.json"])
@pytest.mark.parametrize("place", [1, 2])
def test_what_follows_a_training_is_written_where_it_was_killed_in_between(name, place, tmp_path, monkeypatch):
    """Of a round of a boosting and of a member of a sweep: their training had ended, so it is not gone on with."""
    write_json, written = Folder.write_json, []

    def killed(folder, file, value):
        if file == name and folder.path.name != "b":
            written.append(folder.path)
            if len(written) == place:
                raise Killed
        write_json(folder, file, value)

    def boosted(out):
        return cr.boost("wine", rounds=2, out=out, **ASKED)

    def swept(out):
        return cr.sweep("wine", over={"seed": (0, 1)}, out=out, **ASKED)

    for make in (boosted, swept):
        make(tmp_path / f"whole-{make.__name__}")
        written.clear()
        with monkeypatch.context() as patch:
            patch.setattr(Folder, "write_json", killed)
            with pytest.raises(Killed):
                make(tmp_path / make.__name__)
        again = [str(one) for one in cr.resume(tmp_path / make.__name__, progress=False)]
        assert len(again) == 2
        for whole in sorted((tmp_path / f"whole-{make.__name__}").glob("*/valid.json")):
            part = tmp_path / make.__name__ / whole.parent.name
            assert part.joinpath("valid.json").read_text() == whole.read_text()
            assert part.joinpath("summary.json").exists()
