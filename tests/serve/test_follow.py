"""A log is read while it is written, cut and replaced: every whole record once, none torn, none missing."""

import json
import os
import random

from synthetic_run import events, write_run

from chainrule.serve.folders import Runs, parsed, tail
from chainrule.serve.follow import PIECE, Follower


def everything(follower):
    records, anew = [], 0
    while (piece := follower.read()) is not None:
        if piece.anew:
            records, anew = [], anew + 1
        records += piece.records
    return [json.loads(one) for one in records], anew


def test_a_writer_that_is_killed_a_hundred_times_in_mid_record(tmp_path):
    lines = [event.to_json().encode() for event in events(epochs=4)]
    random.seed(0)
    folder = tmp_path / "run"
    folder.mkdir()
    follower, got = Follower(folder), []
    kills, torn = 0, b""
    with (folder / "log.jsonl").open("ab", buffering=0) as log:
        for number, line in enumerate(lines * 2):
            if number and number % 2 == 0 and kills < 100:
                kills += 1
                log.write(torn + line[: random.randrange(1, len(line))])
                torn = b"\n"                                             # as RunLog begins after a torn record
                got += [json.loads(one) for piece in iter(follower.read, None) for one in piece.records]
            log.write(torn + line + b"\n")
            torn = b""
            got += [json.loads(one) for piece in iter(follower.read, None) for one in piece.records]
    assert kills == min(100, len(lines) - 1)
    assert got == [json.loads(line) for line in lines * 2]


def test_a_reader_goes_on_from_its_place_after_any_pause(tmp_path):
    folder = write_run(tmp_path / "run")
    whole, _ = everything(Follower(folder))
    content = (folder / "log.jsonl").read_bytes()
    for cut in range(600, len(content), 997):
        (folder / "log.jsonl").write_bytes(content[:cut])
        first = Follower(folder)
        before, _ = everything(first)
        with (folder / "log.jsonl").open("ab") as log:
            log.write(content[cut:])
        after, anew = everything(Follower(folder, first.place))
        assert anew == 0
        assert before + after == whole


def test_a_log_that_was_replaced_is_read_anew(tmp_path):
    folder = write_run(tmp_path / "run")
    follower = Follower(folder)
    everything(follower)
    content = (folder / "log.jsonl").read_bytes().splitlines(keepends=True)
    (folder / "new").write_bytes(b"".join(content[:10]))
    os.replace(folder / "new", folder / "log.jsonl")
    again, anew = everything(Follower(folder, follower.place))
    assert anew == 1
    assert [one["at"] for one in again] == list(range(10))


def test_a_record_longer_than_a_piece_is_read_whole(tmp_path):
    folder = tmp_path / "run"
    folder.mkdir()
    long = json.dumps({"event": "warned", "at": 1, "seconds": 0, "message": "x" * (3 * PIECE)})
    (folder / "log.jsonl").write_text('{"event": "warned", "at": 0, "seconds": 0, "message": "a"}\n' + long + "\n")
    got, _ = everything(Follower(folder))
    assert [one["at"] for one in got] == [0, 1]
    assert len(got[1]["message"]) == 3 * PIECE


def test_places_that_nobody_gave_are_the_start(tmp_path):
    folder = write_run(tmp_path / "run")
    whole, _ = everything(Follower(folder))
    for place in ("", ".", "x.1", "0123456789abcdef.-5", "0123456789abcdef.99999999999999999999", "0123456789abcdef.٣"):
        got, _ = everything(Follower(folder, place))
        assert got == whole


def test_a_log_that_is_not_there_yet_is_waited_for(tmp_path):
    follower = Follower(tmp_path)
    assert follower.read() is None
    (tmp_path / "log.jsonl").write_text('{"event": "sta')
    assert follower.read() is None
    (tmp_path / "log.jsonl").write_text('{"event": "warned", "at": 0}\n')
    assert follower.read().records == [b'{"event": "warned", "at": 0}']


def test_what_is_no_event_is_passed_over():
    for line in (b"", b"[]", b"1", b'{"event": 3, "at": 1}', b'{"event": "x"}', b"[" * 100_000, b"\xff"):
        assert parsed(line) is None


def test_a_run_in_a_line(tmp_path):
    write_run(tmp_path / "sweep" / "member", vanishing=False)
    write_run(tmp_path / "going", finished=False)
    runs = Runs.at(tmp_path)
    assert set(runs.names()) == {"sweep/member", "going"}
    done, going = runs.summary("sweep/member"), runs.summary("going")
    assert (done["state"], done["step"], done["measures"]["accuracy"]) == ("budget", 300, 0.93)
    assert going["state"] == "running"
    os.utime(tmp_path / "going" / "log.jsonl", (1, 1))
    assert runs.summary("going")["state"] == "midway"
    assert runs.summary("gone") is None
    assert Runs.at(tmp_path / "going").first == "going"
    assert tail(tmp_path / "going" / "log.jsonl")[-1]["event"] == "warned"
