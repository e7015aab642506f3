"""Commands from outside: obeyed between chunks, logged, and repeated; what is no command is passed over."""

import json
import os
import threading

import pytest

import chainrule as cr
from chainrule.core.descend import Descend, descents, multiply_rate, prepared
from chainrule.core.errors import InputError
from chainrule.core.events import Commanded, Evaluated, Finished, Saved, Started
from chainrule.engine.commands import FILE, Command, Inbox, send
from chainrule.optim.first_order import sgd
from chainrule.workflows.run import Run

SMALL = {"net": "mlp:hidden=8", "plan": "eager", "progress": False, "optimizer": "sgd:rate=0.2", "batch": 32}


def commanding(folder, orders):
    """A sink that sends commands to a run when it has been evaluated after so many epochs."""

    def sink(event):
        if isinstance(event, Evaluated):
            for command in orders.get(event.epoch, ()):
                send(folder, command)

    return sink


def of(run, kind):
    return [event for event in run.events if isinstance(event, kind)]


def test_a_run_stops_where_it_is_told_to_and_is_repeated_to_the_same_weights(tmp_path):
    folder = tmp_path / "run"
    run = cr.train("digits", epochs=50, out=folder, sinks=[commanding(folder, {2: [Command("stop")]})], **SMALL)
    (stop,), (ended,) = of(run, Commanded), of(run, Finished)
    assert (stop.command, ended.reason) == ("stop", "stopped")
    assert ended.steps == stop.step == ended.stage_steps[0] < 50 * 40
    assert of(run, Evaluated)[-1].step == stop.step                  # it validates before it ends
    assert cr.repeat(run, progress=False) == (True, 0.0)
    assert of(cr.resume(folder), Finished)[-1].steps == ended.steps      # it has come to its end


@pytest.mark.parametrize("schedule", [None, "cosine"])
def test_the_rate_is_multiplied_from_a_step_on_and_repeated(tmp_path, schedule):
    folder = tmp_path / "run"
    orders = {1: [Command("rate", 0.25)], 3: [Command("rate", 2.0)]}
    run = cr.train("digits", epochs=4, schedule=schedule, out=folder, sinks=[commanding(folder, orders)], **SMALL)
    plain = cr.train("digits", epochs=4, schedule=schedule, out=tmp_path / "plain", **SMALL)
    (ended,) = of(run, Finished)
    assert [(c.command, c.value) for c in of(run, Commanded)] == [("rate", 0.25), ("rate", 2.0)]
    assert ended.rates == [[c.step, c.value] for c in of(run, Commanded)]
    assert all(not (a == b).all() for a, b in zip(run.net.parameters(), plain.net.parameters(), strict=True))
    assert cr.repeat(run, progress=False) == (True, 0.0)


def test_a_factor_is_a_factor_of_the_rate(tmp_path):
    """A run at rate 0.2, halved before its first step, is the run at rate 0.1."""
    (tmp_path / "halved").mkdir()
    send(tmp_path / "halved", Command("rate", 0.5))
    halved = cr.train("digits", epochs=2, out=tmp_path / "halved", **SMALL)
    slow = cr.train("digits", epochs=2, out=tmp_path / "slow", **{**SMALL, "optimizer": "sgd:rate=0.1"})
    assert all((a == b).all() for a, b in zip(halved.net.parameters(), slow.net.parameters(), strict=True))


def test_a_paused_run_saves_waits_and_goes_on_for_as_many_steps_as_it_is_told(tmp_path):
    folder = tmp_path / "run"
    folder.mkdir()
    send(folder, Command("pause"))
    heard, waiting = [], threading.Event()

    def sink(event):
        heard.append(event)
        saved = isinstance(event, Saved)
        if saved and event.step == 0:
            send(folder, Command("go", 3))
        elif saved and event.step == 3:
            send(folder, Command("go", 0))
            waiting.set()

    run = cr.train("digits", epochs=1, out=folder, sinks=[sink], **SMALL)
    assert waiting.is_set()
    assert [event.step for event in heard if isinstance(event, Saved)][:2] == [0, 3]
    assert of(run, Finished)[0].reason == "budget"
    plain = cr.train("digits", epochs=1, out=tmp_path / "plain", **SMALL)
    assert all((a == b).all() for a, b in zip(run.net.parameters(), plain.net.parameters(), strict=True))
    assert cr.repeat(run, progress=False) == (True, 0.0)


def test_commands_of_before_are_passed_over_when_a_run_is_resumed(tmp_path):
    inbox = Inbox(tmp_path)
    send(tmp_path, Command("stop"))
    inbox.pass_over()
    assert inbox.read() == []
    send(tmp_path, Command("pause"))
    assert inbox.read() == [Command("pause")]
    assert inbox.read() == []


def test_what_is_no_command_is_passed_over(tmp_path):
    lines = [b"", b"[]", b"{", b'{"command": "format"}', b'{"command": "rate", "value": "0.1"}', b'{"command": "rate", "value": 1e9}',
             b'{"command": "rate", "value": NaN}',
             b'{"command": "go", "value": -1}', b"[" * 100_000, b"\xff\xfe", b'{"command": "rate", "value": true}']
    (tmp_path / FILE).write_bytes(b"\n".join(lines) + b'\n{"command": "stop"}\n{"command": "pa')
    inbox, got = Inbox(tmp_path), []
    for _ in range(5):
        got += inbox.read()
    assert got == [Command("stop")]
    with (tmp_path / FILE).open("ab") as file:
        file.write(b'use"}\n')
    assert inbox.read() == [Command("pause")]


@pytest.mark.parametrize("record", [{}, None, {"command": "rate", "value": 0}, {"command": "go", "value": 1.5}, {"command": "rm"},
                                    {"command": ["stop"]}])
def test_what_is_no_command_is_not_sent(record):
    with pytest.raises(InputError):
        Command.of(record)


@pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="this system has no pipes")
@pytest.mark.parametrize("kind", ["link", "pipe"])
def test_links_and_pipes_are_neither_read_nor_written(tmp_path, kind):
    elsewhere = tmp_path / "elsewhere"
    elsewhere.write_text('{"command": "stop"}\n')
    folder = tmp_path / "run"
    folder.mkdir()
    if kind == "link":
        (folder / FILE).symlink_to(elsewhere)
    else:
        os.mkfifo(folder / FILE)
    assert Inbox(folder).read() == []
    with pytest.raises(InputError):
        send(folder, Command("stop"))
    assert json.loads(elsewhere.read_text()) == {"command": "stop"}


def test_a_rule_without_a_rate_says_so(tmp_path):
    folder = tmp_path / "run"
    run = cr.train("diabetes", net="linear", rule="closedform", out=folder, plan="eager", progress=False,
                   sinks=[lambda event: send(folder, Command("rate", 0.5)) if isinstance(event, Started) else None])
    assert not of(run, Commanded)
    assert Run(folder).events


def test_every_part_of_a_rule_is_reached():
    rule = prepared(Descend(lambda net, batch: ({}, {}), sgd(rate=0.1)), lambda x: x)
    multiply_rate(rule, 0.5)
    assert [descent.factor for descent in descents(rule)] == [0.5]
