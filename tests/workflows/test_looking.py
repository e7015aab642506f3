"""What a user says of looking is obeyed, written down, and obeyed again by whoever goes on with a run or repeats it."""

import json

import pytest
import torch

import chainrule as cr
from chainrule.core.errors import InputError, Interrupted
from chainrule.core.events import Looked
from chainrule.engine.stop import Stop
from chainrule.observe.look import Look

NET = {"net": "mlp:hidden=8,dropout=0.2", "batch": 20, "plan": "eager", "threads": 1, "progress": False}


def looks(run):
    return [e for e in run.events if isinstance(e, Looked)]


def same(a, b):
    return all(torch.equal(t, b.net.state_dict()[name]) for name, t in a.net.state_dict().items())


@pytest.fixture(autouse=True)
def _here(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)


def test_every_so_many_steps_off_and_left_out():
    every, off, usual = (cr.train("iris", epochs=3, out=name, look=look, **NET)
                         for name, look in (("a", "every=4"), ("b", "off"), ("c", None)))
    steps = sum(e.steps for e in every.events if type(e).__name__ == "Finished")
    assert [e.step for e in looks(every)] == list(range(0, steps, 4))
    assert looks(off) == []
    assert looks(usual)[0].step == 0
    assert [json.loads((run.path / "run.json").read_text())["options"]["look"] for run in (every, off, usual)] == ["every=4", "off", None]
    assert same(every, off)
    assert same(off, usual)
    first = Look.from_record(looks(every)[0].looks)
    assert len(first.layers) == 2
    assert all(value > 0 for value in first.gradient)
    assert cr.repeat(every, progress=False) == (True, 0.0)
    assert cr.repeat(usual, progress=False) == (True, 0.0)


def test_a_run_that_is_resumed_looks_as_it_was_asked_to():
    whole = cr.train("iris", epochs=6, out="whole", look="every=4", **NET)
    stop = Stop()

    def interrupt(event):
        if isinstance(event, Looked) and event.step == 12:
            stop.request("SIGINT")

    with pytest.raises(Interrupted):
        cr.train("iris", epochs=6, out="cut", look="every=4", sinks=[interrupt], stop=stop, **NET)
    resumed = cr.resume("cut", progress=False)
    assert [e.step for e in looks(resumed)] == [e.step for e in looks(whole)]
    assert [e.number for e in looks(resumed)] == list(range(len(looks(whole))))
    assert same(whole, resumed)


@pytest.mark.parametrize("words", ["every", "every=0", "every=ten", "sometimes", "every=-1"])
def test_other_words_are_refused(words):
    with pytest.raises(InputError, match=r"--look expects every=N.*got '" + words):
        cr.train("iris", look=words, **NET)


def test_members_are_looked_at_each_for_itself():
    sweep = cr.train("iris", epochs=2, members=2, out="several", look="every=3", **NET)
    both = [looks(run) for run in sweep.runs]
    assert [e.step for e in both[0]] == [e.step for e in both[1]] != []
    assert both[0][0].looks["weight"] != both[1][0].looks["weight"]
