"""Races: whose turn it is, what is counted and what is not, sides that fail or are missing, and what is printed of it all."""

import json
import os
from dataclasses import replace
from pathlib import Path

import pytest
from typer.testing import CliRunner

from chainrule.bench import __main__ as command
from chainrule.bench import process, race, side_by_side
from chainrule.bench.harness import RESULTS, features, marked
from chainrule.bench.race import Outcome, Racer
from chainrule.bench.sides import EAGER, OURS, SIDES, Entry
from chainrule.bench.works import WORKS
from chainrule.cli import main
from chainrule.core.errors import InputError

STEADY, WHOLE, PREDICT = WORKS["mlp-steady"], WORKS["mlp"], WORKS["predict"]


class Scripted:
    """A worker without a process: each unit takes `each` seconds, the first `first` more. Everything asked is noted in `asked`."""

    each = {OURS: 1.0, EAGER: 2.0, "Keras (torch)": 20.0}
    first = {OURS: 5.0}
    broken = {"skorch": "run", "Lightning": "ready"}
    asked: list[tuple[str, str]] = []

    def __init__(self, name, work, variant, quick, home, cuda, threads):
        self.name, self.variant, self.home = name, variant, home
        self.note("born")

    def note(self, what):
        self.asked.append((self.name + self.variant, what))
        if self.broken.get(self.name) == what:
            raise process.Failed(f"{self.name} broke")

    def ready(self):
        self.note("ready")

    def ask(self, do, units=0, chosen=None):
        self.note(do)
        if do == "settle":
            return {"chosen": {"threads": 2}}
        if do == "run":
            ends = [self.first.get(self.name, 0.0) + (i + 1) * self.each[self.name] for i in range(units)]
            return {"marks": [0.0, *ends], "remark": f"{chosen}"}
        return {"loss": 0.25, "right": 0.5, "alike": True}

    def close(self):
        self.asked.append((self.name + self.variant, "closed"))


@pytest.fixture
def scripted(monkeypatch):
    monkeypatch.setattr(race, "Worker", Scripted)
    monkeypatch.setattr(Scripted, "asked", [])
    return Scripted


def raced(work, peers=(EAGER,), repeats=2):
    return race.run(work, peers, {}, repeats=repeats, quick=False, home=Path("/nowhere"), say=lambda line: None)


def test_sides_take_turns_and_warming_up_is_not_counted(scripted):
    outcome = raced(STEADY)
    assert [name for name, what in scripted.asked if what == "run"] == [EAGER, OURS, EAGER, OURS, EAGER]  # the first one probes
    assert [len(r.seconds) for r in outcome.racers] == [2, 2]
    assert outcome.racers[1].remark == "{'threads': 2}"
    assert [what for _, what in scripted.asked].count("closed") == 2


def test_steady_state_leaves_the_first_epoch_out(scripted):
    """Ours takes 6 s for the first epoch and 1 s for each of three more: 1 s an epoch; the peer's 2 make a ratio of 2."""
    outcome = raced(STEADY)
    assert outcome.ours.seconds == [1.0, 1.0]
    assert outcome.against(outcome.peers[0]) == race.Spread(2.0, 2.0, 2.0)


def test_a_whole_run_counts_from_the_beginning_in_a_fresh_process(scripted, monkeypatch):
    """30 epochs of 1 s after 5 s of planning; ours is born anew before each round, the peers are not."""
    monkeypatch.setitem(Scripted.each, EAGER, 0.5)
    outcome = raced(WHOLE)
    assert outcome.ours.seconds == [35.0, 35.0]
    assert outcome.peers[0].seconds == [15.0, 15.0]
    births = [name for name, what in scripted.asked if what == "born"]
    assert births.count(OURS + "cold cache") == births.count(OURS + "warm cache") == 3
    assert births.count(EAGER) == 1


def test_a_side_too_slow_for_whole_repetitions_is_timed_over_one_epoch_and_says_so(scripted):
    outcome = raced(WHOLE, (EAGER, "Keras (torch)"))
    slow = outcome.racers[-1]
    assert slow.reckoned
    assert slow.seconds == [600.0, 600.0]  # 20 s an epoch: the whole was never run
    assert "~600" in side_by_side.rows_of(outcome)[-1][1]
    assert "1 of 30 epochs timed" in side_by_side.rows_of(outcome)[-1][-1]
    assert side_by_side.records(outcome)[-1]["peer_reckoned"]


def test_a_slow_side_is_timed_over_as_many_epochs_as_fit_a_quarter(scripted, monkeypatch):
    """1.5 s an epoch are 45 s for 30 of them; 12 s are the longest, a quarter is 3 s: two epochs, reckoned to 45 s."""
    monkeypatch.setitem(Scripted.each, EAGER, 1.5)
    peer = raced(WHOLE).racers[-1]
    assert peer.units == 2
    assert peer.seconds == [45.0, 45.0]


def test_what_is_predicted_counts_in_blocks(scripted, monkeypatch):
    """100 blocks of a thousand rows, here 50 ms each."""
    monkeypatch.setitem(Scripted.each, EAGER, 0.05)
    assert raced(PREDICT).peers[0].seconds == pytest.approx([5.0, 5.0])
    assert not raced(PREDICT).peers[0].reckoned


def test_a_side_that_fails_has_its_row_and_the_others_go_on(scripted):
    outcome = raced(STEADY, ("skorch", "Lightning", EAGER))
    assert [r.name for r in outcome.racers if r.failed] == ["skorch", "Lightning"]
    assert [r.name for r in outcome.peers] == [EAGER]
    rows = side_by_side.rows_of(outcome)
    assert rows[1] == ["skorch", "failed", "", "", "", "skorch broke"]
    asked = [what for name, what in scripted.asked if name == "Lightning"]
    assert "settle" not in asked
    assert "run" not in asked


def test_a_side_that_fails_late_gets_no_time_from_half_a_series(scripted, monkeypatch):
    monkeypatch.setattr(Scripted, "broken", {EAGER: "loss"})
    outcome = raced(STEADY)
    assert outcome.racers[1].seconds == []
    assert outcome.peers == []
    assert side_by_side.records(outcome) == []


def outcome_of(seconds, work=STEADY, **failed):
    racers = [Racer(name, "", 4, 4, 1, seconds=s, failed=failed.get(name, "")) for name, s in seconds.items()]
    return Outcome(work, racers, {})


def test_the_fastest_peer_is_a_framework_and_the_bare_loop_stands_beside_it():
    outcome = outcome_of({OURS: [1.0, 2.0, 1.0], EAGER: [5.0, 10.0, 5.0], "skorch": [9.0] * 3, "scikit-learn": [8.0, 16.0, 8.0]})
    row = side_by_side.summary([outcome])[1]
    assert row[:5] == ["mlp-steady", "1 (1 to 2)", "scikit-learn", "8.00 (8.00 to 8.00)", "4"]
    assert row[5:] == ["reached", "5.00 (5.00 to 5.00)", "6", "MISSED"]


def test_without_a_time_of_ours_nothing_is_compared():
    outcome = outcome_of({OURS: [], EAGER: [5.0]}, chainrule="broke")
    assert side_by_side.summary([outcome])[1][1:] == ["failed", "none", "", "4", "", "", "6", ""]


def test_a_side_that_learns_differently_is_marked():
    """Losses after the same work: within a twentieth they are one, beyond it the row says so, and why where batches were its own."""
    outcome = outcome_of({OURS: [1.0], EAGER: [5.0], "skorch": [9.0], "scikit-learn": [8.0]})
    for racer, loss in zip(outcome.racers, (0.50, 0.51, 0.53, 0.47), strict=True):
        racer.loss = loss
    outcome.racers[2].alike = False
    remarks = [row[-1] for row in side_by_side.rows_of(outcome)]
    assert ["LEARNS DIFFERENTLY" in r for r in remarks] == [False, False, True, True]
    assert ["batches of its own" in r for r in remarks] == [False, False, True, False]
    assert [r["astray"] for r in side_by_side.records(outcome)] == [False, True, True]


def test_ratios_on_one_thread_and_on_all_stand_side_by_side(scripted, monkeypatch, capsys):
    monkeypatch.setattr(side_by_side.os, "sched_getaffinity", lambda _: {0, 1, 2})
    side_by_side.race_all("mlp-steady", repeats=5, quick=False, only=EAGER, as_json=True, record=False)
    lines = capsys.readouterr().out.splitlines()
    rows = [line for line in lines if line.startswith(("mlp-steady, 1 thread ", "mlp-steady, 3 threads "))]
    assert len(rows) == 2
    assert lines.index(rows[1]) == lines.index(rows[0]) + 1
    assert [r["threads"] for r in json.loads(lines[-1])["rows"]] == [1, 3]


def test_a_process_is_given_its_threads():
    seen = process.environment(EAGER, Path("/nowhere"), False, 3)
    assert {seen[name] for name in process.THREADS} == {"3"}


def test_records_have_the_keys_of_the_interface():
    record, = side_by_side.records(outcome_of({OURS: [1.0, 1.0], EAGER: [3.0, 5.0]}))
    assert {"work", "ours", "peer", "peer_name", "ratio"} <= record.keys()
    assert (record["ours"], record["peer"], record["ratio"], record["peer_name"]) == (1.0, 4.0, 4.0, EAGER)


def test_members_and_rows_are_compared_with_each_other():
    work = WORKS["members"]
    racers = [Racer(OURS, variant, 3, 3, 1, seconds=s) for variant, s in zip(work.variants, ([1.0, 2.0], [2.0, 6.0]), strict=True)]
    outcome = Outcome(work, racers, {})
    assert "16 cost 2.50 (2.00 to 3.00) of one" in side_by_side.extra(outcome)[0]
    assert "reached" in side_by_side.extra(outcome)[0]
    assert side_by_side.records(outcome)[0]["ratio"] == pytest.approx(5 / 12)
    scaling = replace(WORKS["scaling"], rows=1_000_000)
    racers = [Racer(OURS, variant, 3, 3, 1, seconds=s) for variant, s in zip(scaling.variants, ([1.0], [4.0], [32.0]), strict=True)]
    assert side_by_side.extra(Outcome(scaling, racers, {})) == [
        "us a row: 1x 1.000 (1.000 to 1.000), 4x 1.000 (1.000 to 1.000), 16x 2.000 (2.000 to 2.000); "
        "a row of the largest costs 2.00 (2.00 to 2.00) of one of the smallest"]


def test_absent_peers_are_named_in_one_line(scripted, monkeypatch, capsys):
    monkeypatch.setitem(SIDES, "skorch", Entry("chainrule.bench.sides.skorch:Skorch", ("not_a_module",)))
    side_by_side.race_all("mlp-steady", repeats=5, quick=True, only="skorch,torch eager", as_json=False, record=False)
    said = capsys.readouterr().out
    assert "not installed, so not raced: skorch (pip install -r bench/requirements.txt -c constraints.txt)" in said
    assert [name for name, what in scripted.asked if what == "born"] == [OURS, EAGER]


def test_a_work_that_cannot_be_raced_here_has_one_line(scripted, monkeypatch, capsys):
    monkeypatch.setattr("torch.cuda.is_available", lambda: False)
    side_by_side.race_all("cuda-mlp", repeats=5, quick=True, only="all", as_json=False, record=False)
    assert "cuda-mlp: skipped: there is no CUDA on this machine" in capsys.readouterr().out
    assert scripted.asked == []


@pytest.mark.parametrize(("wrong", "near"), [
    ({"name": "mpl"}, "Did you mean mlp"), ({"only": "scikit"}, "Did you mean scikit-learn"), ({"repeats": 4}, "at least 5"),
    ({"quick": True, "record": True}, "not kept")])
def test_wrong_names_and_numbers_are_refused_before_anything_starts(scripted, wrong, near):
    asked = {"name": "mlp", "repeats": 5, "quick": False, "only": "all", "as_json": False, "record": False, **wrong}
    with pytest.raises(InputError, match=near):
        side_by_side.race_all(**asked)
    assert scripted.asked == []


def test_the_command_line_names_the_nearest_work():
    assert isinstance(CliRunner().invoke(main.app, ["bench", "tabluar"]).exception, InputError)


def test_without_another_command_the_works_are_raced():
    assert command.words([]) == ["side-by-side"]
    assert command.words(["mlp", "--quick"]) == ["side-by-side", "mlp", "--quick"]
    assert command.words(["overhead", "--record"]) == ["overhead", "--record"]
    assert command.words(["--help"]) == ["--help"]


def test_figures_have_a_place(tmp_path):
    assert marked(RESULTS, side_by_side.BLOCK)
    with pytest.raises(InputError, match="of a checkout"):
        marked(tmp_path / "results.md", side_by_side.BLOCK)


def test_ours_begins_without_what_earlier_runs_left_and_still_finds_the_data(tmp_path, monkeypatch):
    monkeypatch.setenv("CHAINRULE_DATA", str(tmp_path / "sets"))
    ours, peer = process.environment(OURS, tmp_path, cuda=False), process.environment("Keras (jax)", tmp_path, cuda=True)
    assert ours["HOME"] == str(tmp_path)
    assert ours["CHAINRULE_DATA"] == str(tmp_path / "sets")
    assert ours["CUDA_VISIBLE_DEVICES"] == ""
    assert peer["KERAS_BACKEND"] == "jax"
    assert peer.get("HOME") == os.environ.get("HOME")
    monkeypatch.delenv("CHAINRULE_DATA")
    assert process.environment(OURS, tmp_path, cuda=False)["CHAINRULE_DATA"] == str(Path.home() / ".cache" / "chainrule")


def test_a_process_that_hangs_or_dies_is_told_in_a_sentence(tmp_path, monkeypatch):
    monkeypatch.setattr(process, "START_SECONDS", 0.01)
    hanging = process.Worker(OURS, "mlp-steady", "", True, tmp_path, False)
    with pytest.raises(process.Failed, match="no answer"):
        hanging.ready()
    with pytest.raises(process.Failed, match="ended with -9"):
        hanging.ask(do="settle")
    hanging.close()
    monkeypatch.setattr(process, "START_SECONDS", 180.0)
    lost = process.Worker(OURS, "no such work", "", True, tmp_path, False)
    with pytest.raises(process.Failed, match="InputError: There is no work called 'no such work'"):
        lost.ready()
    lost.close()


def test_what_a_library_prints_does_not_mix_with_the_answers(tmp_path, monkeypatch):
    (tmp_path / "sitecustomize.py").write_text(
        "import json\nold = json.loads\ndef loads(*a, **k):\n    print('noise', flush=True)\n    return old(*a, **k)\njson.loads = loads\n")
    monkeypatch.setenv("PYTHONPATH", str(tmp_path))
    worker = process.Worker(EAGER, "mlp-steady", "", True, tmp_path, False)
    worker.ready()
    assert worker.ask(do="settle")["chosen"]["batch"] == STEADY.batch
    worker.stderr.seek(0)
    assert b"noise" in worker.stderr.read()
    worker.close()


def test_a_quick_race_of_ours_and_the_bare_loop(capsys):
    """Real processes, from the command to its JSON."""
    side_by_side.race_all("mlp-steady", repeats=5, quick=True, only=EAGER, as_json=True, record=False)
    told = capsys.readouterr()
    found = json.loads(told.out.splitlines()[-1])
    row, = found["rows"]
    assert (row["work"], row["peer_name"]) == ("mlp-steady", EAGER)
    assert row["ours"] > 0
    assert row["ratio"] > 0
    assert row["loss"] == pytest.approx(row["peer_loss"], rel=0.2)
    assert found["failed"] == {}
    assert "round 2 of 2, torch eager" in told.err
    assert "it / ours" in told.out
    assert features() in told.out
