"""What planning remembers: measurements come back for the same work on the same machine, and nothing that is broken does any harm."""

import json
from dataclasses import replace

import pytest
import torch
from tiny import BUILD, chunk, convolutional, dense, descend, learner, told_seconds

from chainrule.core.errors import MachineFailed, PlanRejected
from chainrule.engine.plans import cache, candidates, trial
from chainrule.engine.plans.cache import Measured, Memory, about
from chainrule.engine.plans.plan import Plan
from chainrule.engine.plans.planner import Planning, choose

FOUND = Measured({"eager": 1e-3, "native": 1e-5}, {"native": 2.5}, {"fused": "disagrees"}, {"eager": 1})


def test_what_is_kept_comes_back_and_only_for_the_same_work(tmp_path):
    Memory(tmp_path).keep("a", FOUND)
    assert Memory(tmp_path).recall("a") == FOUND
    assert Memory(tmp_path).recall("b") == Measured()
    assert Memory(None).recall("a") == Measured()
    Memory(None).keep("a", FOUND)
    Memory(tmp_path).keep("", FOUND)
    assert len(list(tmp_path.iterdir())) == 1


@pytest.mark.parametrize("content", [b"", b"{", b"[]", b"null", b"\xff\xfe", b'{"format": 1}', b'{"format": 99, "about": "a"}',
                                     b"[" * 100_000,
                                     b'{"format":1,"about":"a","seconds_per_step":{"eager":"x"},"compiling":{},"refused":{},"threads":{}}',
                                     b'{"format":1,"about":"a","seconds_per_step":[],"compiling":{},"refused":{},"threads":{}}'])
def test_a_corrupt_file_is_discarded(tmp_path, content):
    Memory(tmp_path).keep("a", FOUND)
    (path,) = tmp_path.iterdir()
    path.write_bytes(content)
    assert Memory(tmp_path).recall("a") == Measured()
    assert not path.exists() or json.loads(content).get("about") != "a"
    Memory(tmp_path).keep("a", FOUND)
    assert Memory(tmp_path).recall("a") == FOUND


@pytest.mark.parametrize("content", [b"{", b'{"format": 1, "about": "another machine", "seconds": {"native": [9]}}',
                                     b'{"format": 1, "about": "HERE", "seconds": {"native": "x"}}'])
def test_compile_times_of_another_machine_or_a_broken_file_are_not_used(tmp_path, content):
    (tmp_path / "compiling.json").write_bytes(content.replace(b"HERE", cache.machine().encode()))
    assert Memory(tmp_path).compile_seconds("native") == cache.COMPILE_SECONDS["native"]


def test_the_usual_compile_time_is_the_median_of_the_last_nine(tmp_path):
    one = Memory(tmp_path)
    assert one.compile_seconds("fused") == cache.COMPILE_SECONDS["fused"]
    for seconds in (100, 100, 100, 100, 100, 100, 1, 2, 3, 4, 5):
        one.compiled("fused", seconds)
    assert Memory(tmp_path).compile_seconds("fused") == 5  # the median of four hundreds and 1 2 3 4 5
    assert one.compile_seconds("native") == cache.COMPILE_SECONDS["native"]


def test_making_is_expected_in_proportion_to_the_operations_of_a_step(tmp_path):
    """A large net's time was then expected of every program, so that a small net never got one."""
    one = Memory(tmp_path)
    assert one.compile_seconds("native", 100) == cache.COMPILE_SECONDS["native"]
    one.compiled("native", 90.0, 8900)
    assert one.compile_seconds("native", 8900) == pytest.approx(90.0)
    assert one.compile_seconds("native", 50) == pytest.approx(1.5)
    assert one.compile_seconds("native", 17_900) == pytest.approx(180.0)


def test_a_folder_that_cannot_be_written_costs_nothing(tmp_path):
    (tmp_path / "file").write_text("")
    one = Memory(tmp_path / "file")
    one.keep("a", FOUND)
    one.compiled("native", 1.0)
    assert one.recall("a") == Measured()


def test_the_words_tell_works_apart():
    """Another net, another batch, another type of input, another torch: each is measured anew."""
    one, rule = learner(dense(), descend()), descend()
    words = {about("mlp", one, chunk(2)), about("lenet", one, chunk(2)), about("mlp", one, chunk(2, rows=8)),
             about("mlp", learner(convolutional(), rule), chunk(2))}
    words |= {about("mlp", one, chunk(2), "a hash"), about("mlp", one, chunk(2), "another")}
    words |= {about("mlp", one, chunk(2), "a hash", Planning(1, 1, **which).choices_of_threads)
              for which in ({"most_threads": 2}, {"most_threads": 4}, {"threads": 1, "most_threads": 4}, {"threads": 4, "most_threads": 4})}
    assert len(words) == 10
    assert torch.__version__ in cache.machine()
    assert about("mlp", one, chunk(2)) == about("mlp", learner(dense(), descend()), chunk(9)), "how many steps a chunk holds is no matter"
    assert about("", one, chunk(2)) == ""


@pytest.fixture
def told(monkeypatch):
    """How long plans take is told to the planner; returns the names of those it built."""
    monkeypatch.setattr(trial, "TRIAL_SECONDS", 0.0)
    return told_seconds(monkeypatch, {"eager": 1e-3, "native": 1e-5}, {"native": 5.0, "fused": 5.0})


ONE_THREAD = Planning(20_000, 100, threads=1, identity="mlp")


def decide(folder, steps=20_000):
    rule = descend()
    return choose(rule, learner(dense(), rule), chunk(10), replace(ONE_THREAD, steps_left=steps, memory=Memory(folder)))


def test_a_second_run_knows_what_the_first_measured(tmp_path, told):
    first = decide(tmp_path)
    assert first.plan.name == "native"
    (stored,) = (json.loads(p.read_text()) for p in tmp_path.iterdir() if p.name != "compiling.json")
    assert stored["seconds_per_step"] == {"eager": 1e-3, "native": 1e-5}
    assert stored["compiling"].keys() == {"native"}
    assert decide(tmp_path).plan.name == "native"


def test_what_could_not_be_made_is_not_tried_again_and_said(tmp_path, told, monkeypatch):
    broken = []

    def build(plan, rule, one, few, written=None):
        if plan.native:
            broken.append(plan)
            raise PlanRejected("cannot be made")
        return BUILD(Plan(), rule, one, few)

    monkeypatch.setattr(Plan, "build", build)
    monkeypatch.setattr(trial, "_seconds_per_step", lambda *_: 1e-3)
    assert {"plan": "native", "reason": "cannot be made"} in decide(tmp_path).rejected
    assert {"plan": "native", "reason": "cannot be made (remembered)"} in decide(tmp_path).rejected
    assert len(broken) == 1


def test_what_the_machine_failed_at_is_tried_again(tmp_path, told, monkeypatch):
    """A full disk, a killed compiler, a missing one: they were remembered for ever."""
    tried = []

    def build(plan, rule, one, few, written=None):
        if plan.native:
            tried.append(plan)
            raise MachineFailed("the C compiler failed: No space left on device")
        if plan.compiled:
            raise RuntimeError("backend failed") from OSError(28, "No space left on device")
        return BUILD(Plan(), rule, one, few)

    monkeypatch.setattr(Plan, "build", build)
    monkeypatch.setattr(trial, "_seconds_per_step", lambda *_: 1e-3)
    for _ in range(2):
        rejected = {r["plan"]: r["reason"] for r in decide(tmp_path).rejected}
        assert "No space left" in rejected["native"]
        assert rejected["fused"] == "failed: RuntimeError: backend failed"
    assert len(tried) == 2
    assert not any(json.loads(p.read_text()).get("refused") for p in tmp_path.iterdir())


@pytest.mark.parametrize("words", ["compiler_words", "writer_words"])
def test_another_compiler_is_asked_again_and_so_is_another_version_of_ours(words, monkeypatch):
    one, few = learner(dense(), descend()), chunk(2)
    monkeypatch.setattr(cache, words, lambda: "12")
    before = about("mlp", one, few)
    monkeypatch.setattr(cache, words, lambda: "13")
    assert about("mlp", one, few) != before


def test_what_lost_before_is_not_tried_again(tmp_path, told):
    words = about("mlp", learner(dense(), descend()), chunk(10), "a step", ONE_THREAD.choices_of_threads)
    Memory(tmp_path).keep(words, Measured({"native": 2e-3}, {"native": 1.0}, {}, {}))
    choice = decide(tmp_path)
    assert choice.plan.name == "eager"
    assert "native" not in told
    assert any("(remembered)" in r["reason"] for r in choice.rejected if r["plan"] == "native")


def test_a_program_known_to_be_quick_to_make_is_made_for_a_run_too_short_otherwise(tmp_path, told):
    """Eight seconds of eager steps: against five of making it does not pay twice; against a remembered one it does."""
    assert decide(tmp_path / "new", steps=8_000).plan.name == "eager"
    words = about("mlp", learner(dense(), descend()), chunk(10), "a step", ONE_THREAD.choices_of_threads)
    Memory(tmp_path / "known").keep(words, Measured({"native": 1e-5}, {"native": 1.0}, {}, {}))
    assert decide(tmp_path / "known", steps=8_000).plan.name == "native"


def test_a_remembered_plan_is_still_checked_against_eager(tmp_path, told, monkeypatch):
    decide(tmp_path)
    monkeypatch.setattr(trial, "apart", lambda *_: trial.Gaps(0.5, 0.5, "a weight"))
    choice = decide(tmp_path)
    assert choice.plan.name == "eager"
    assert any("disagrees with eager" in r["reason"] for r in choice.rejected)


def test_the_machine_decides_whether_there_is_a_compiler(monkeypatch, told):
    monkeypatch.setattr(candidates.shutil, "which", lambda name: None)
    choice = decide(None)
    assert choice.plan.name == "eager"
    assert {"plan": "native", "reason": "there is no C compiler on this machine"} in choice.rejected
