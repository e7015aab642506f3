import json
import os

import pytest

from chainrule.core.errors import ChainruleError, InputError
from chainrule.core.events import Evaluated, Finished, Progressed, Saved, Started, TestOpened, Warned
from chainrule.sinks.runlog import RunLog, read

EVENTS = [
    Started(0, 0.0, "runs/a", "lenet", "backprop", 431_080, {"name": "digits"}, {"epochs": 2}),
    Progressed(1, 0.5, 0, 10, 100, 0.7, 20.0, 4.5),
    Evaluated(2, 1.0, 1, 50, {"loss": 0.5}, {"loss": 0.4, "accuracy": 0.9}, True),
    Saved(3, 1.1, 1, 50, "runs/a/last.safetensors", True),
    TestOpened(4, 1.2, "digits", 1, "to see\nhow 'good' it is"),
    Warned(5, 1.3, "naïve \u2028 names"),
    Finished(6, 2.0, "budget", 2, 100, 1, {"accuracy": 0.9}, {"training": 2.0}),
]


def written(path, events=EVENTS):
    with RunLog(path) as log:
        for event in events:
            log(event)
    return path


def test_what_is_written_is_read_back(tmp_path):
    path = written(tmp_path / "log.jsonl")
    assert read(path) == EVENTS
    assert [json.loads(line)["event"] for line in path.read_text().splitlines()][:2] == ["started", "progressed"]


def test_a_log_torn_at_any_byte_shows_every_complete_record_and_can_be_continued(tmp_path):
    """RELIABILITY R16. A record is complete once its last brace is there, with or without the newline."""
    whole = written(tmp_path / "whole.jsonl").read_bytes()
    ends = [i for i, byte in enumerate(whole) if byte == ord("\n")]
    more = Warned(7, 3.0, "goes on")
    for cut in range(ends[-3] + 1, len(whole) + 1):
        path = tmp_path / "torn.jsonl"
        path.write_bytes(whole[:cut])
        complete = EVENTS[: sum(end <= cut for end in ends)]
        assert read(path) == complete
        written(path, [more])
        assert read(path) == [*complete, more]


def test_resuming_forgets_what_will_happen_again_but_not_that_the_test_part_was_opened(tmp_path):
    path = written(tmp_path / "log.jsonl")
    with path.open("ab") as file:
        file.write(EVENTS[1].to_json().encode()[:40])
    log = RunLog.resume(path, keep_before=3)
    assert read(path) == [*EVENTS[:3], EVENTS[4]]
    log(EVENTS[3])
    log.close()
    log.close()
    assert read(path) == [*EVENTS[:3], EVENTS[4], EVENTS[3]]
    assert [p.name for p in tmp_path.iterdir()] == ["log.jsonl"]


def test_resuming_without_a_log_begins_one(tmp_path):
    with RunLog.resume(tmp_path / "log.jsonl", keep_before=5) as log:
        log(EVENTS[0])
    assert read(tmp_path / "log.jsonl") == EVENTS[:1]


def test_a_rewrite_cut_short_leaves_the_old_log(tmp_path, monkeypatch):
    path = written(tmp_path / "log.jsonl")
    monkeypatch.setattr(os, "replace", lambda *_: (_ for _ in ()).throw(OSError(28, "No space left on device")))
    with pytest.raises(InputError, match=r"log\.jsonl cannot be written: No space left on device \([\d,]+ bytes are needed, [\d,]+ bytes"):
        RunLog.resume(path, keep_before=1)
    assert read(path) == EVENTS


@pytest.mark.parametrize("line", [b"1", b"[]", b"null", b'"x"', b'{"event": "evil"}', b'{"event": "warned"}', b"\xff\xfe",
                                  b"{" * 5000, b"[" * 100_000, b'{"event": "warned", "at": "x", "seconds": 0, "message": ""}',
                                  b'{"event": {}, "at": 1}'])
def test_lines_that_are_no_events_are_skipped(tmp_path, line):
    path = written(tmp_path / "log.jsonl", EVENTS[:1])
    with path.open("ab") as file:
        file.write(line + b"\n" + EVENTS[1].to_json().encode() + b"\n")
    assert read(path) == EVENTS[:2]


def test_saves_and_the_end_reach_the_disk(tmp_path, monkeypatch):
    synced = []
    monkeypatch.setattr(os, "fsync", lambda descriptor: synced.append((tmp_path / "log.jsonl").read_bytes().count(b"\n")))
    written(tmp_path / "log.jsonl")
    assert synced == [4, 7]  # right after Saved, the fourth, and Finished, the seventh


def test_what_a_full_disk_does_not_hold_is_written_when_there_is_room(tmp_path, monkeypatch):
    path = tmp_path / "log.jsonl"
    log = RunLog(path)
    log(EVENTS[0])
    write = os.write

    def half(descriptor, content):
        monkeypatch.setattr(os, "write", full)
        return write(descriptor, content[: len(content) // 2])

    def full(descriptor, content):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "write", half)
    log(EVENTS[1])
    assert log.behind.startswith("No space left on device (")
    assert read(path) == EVENTS[:1]
    log(EVENTS[2])
    monkeypatch.setattr(os, "write", write)
    log(EVENTS[3])
    assert not log.behind
    assert read(path) == EVENTS[:4]
    monkeypatch.setattr(os, "write", full)
    with pytest.raises(ChainruleError, match=r"log\.jsonl cannot be written: No space left on device.*continue with chainrule resume"):
        log(EVENTS[-1])                                                        # the end of a run is not held back


def test_no_log_is_one_sentence(tmp_path):
    with pytest.raises(InputError, match=r"none\.jsonl cannot be read: No such file"):
        read(tmp_path / "none.jsonl")
    with pytest.raises(InputError, match="cannot be opened"):
        RunLog(tmp_path / "absent" / "log.jsonl")
