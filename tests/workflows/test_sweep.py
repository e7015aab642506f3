"""Sweeps from end to end: what is gone over, one ordinary run for each setting, the table, interruption and resumption, mistakes."""

from __future__ import annotations

import io
import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
import torch
from torch import nn

import chainrule as cr
from chainrule.cli.main import run_command
from chainrule.core.errors import Diverged, InputError, Interrupted
from chainrule.core.events import Evaluated, Finished, Planned
from chainrule.data.load import load
from chainrule.engine.members import grouping as of_members
from chainrule.engine.members.grouping import Grouping
from chainrule.engine.stop import Stop
from chainrule.engine.store import Store
from chainrule.job.build import build
from chainrule.job.options import Options
from chainrule.sinks.sweep_progress import Tally
from chainrule.workflows.grid import combinations, read_over

ROOT = Path(__file__).parents[2]


@pytest.fixture(autouse=True)
def _in_a_folder_of_its_own(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)


@pytest.fixture
def stacked(monkeypatch):
    """Stacks of all, whatever a busy machine measures."""
    monkeypatch.setattr(of_members, "WORTH_STACKING_SECONDS", 0.0)
    monkeypatch.setattr(of_members, "grouped", lambda members, kin: Grouping(len(kin.numbers), f"{len(kin.numbers)} together", []))


SMALL = {"net": "mlp:hidden=10", "epochs": 2, "batch": 100, "plan": "eager", "threads": 1, "progress": False}


def weights(run):
    return {k: t.clone() for k, t in run.net.state_dict().items()}


def assert_near(mine, theirs, tolerance=1e-4):
    for name in theirs:
        torch.testing.assert_close(mine[name], theirs[name], rtol=tolerance, atol=tolerance)


def test_every_member_is_the_run_it_would_be_alone(stacked):
    swept = cr.sweep("digits", over={"rate": (0.003, 0.03), "l2": (0, 1e-3), "seed": range(2)}, **SMALL)
    assert len(swept) == 8
    assert swept.settings[1] == {"rate": "0.003", "l2": "0", "seed": "1"}
    for run, setting in zip(swept, swept.settings, strict=True):
        if setting["seed"] == "1":
            own = {"optimizer": f"adam:rate={setting['rate']}", "rule": f"backprop:l2={setting['l2']}"}
            lone = cr.train("digits", **{**SMALL, "seed": 1, **own})
            assert_near(weights(run), weights(lone))
            assert run.valid.n == lone.valid.n
            assert [e.epoch for e in run.events if isinstance(e, Evaluated)] == [1, 2]
    assert [e.name for e in swept.runs[0].events if isinstance(e, Planned)] == ["8 together, eager"]


def test_a_member_folder_is_an_ordinary_run(stacked):
    swept = cr.train("digits", members=2, **SMALL)
    assert isinstance(swept, cr.Sweep)
    assert swept.path.name == "digits-mlp-sweep-1"
    assert [r.name for r in swept] == ["seed=0", "seed=1"]
    one, other = (cr.Run(r.path) for r in swept)
    assert_near(weights(one), weights(swept.runs[0]), 0)
    assert one.test().opened == 1
    assert Path("runs/openings.jsonl").exists()                  # counted with the runs around the sweep
    assert one.report().exists()
    assert one.predict("digits")[0].shape == (1797, 10)
    assert cr.resume(other.path, progress=False).options.seed == 1
    assert one.summary()["seconds"]["training"] > 0
    cr.compare(one, cr.Run(one.path))


def test_shapes_that_differ_are_trained_apart(stacked):
    swept = cr.sweep("digits", over={"net.hidden": ((5,), (8, 4)), "seed": "0..1"}, **{**SMALL, "net": "mlp", "split": "train=.5"})
    assert [r.record["net"] for r in swept] == ["mlp:hidden=5"] * 2 + ["mlp:hidden=8x4"] * 2
    for run in swept:
        assert next(e for e in run.events if isinstance(e, Planned)).name.startswith("2 together")


@pytest.mark.parametrize(("over", "apart"), [
    ({"loss": "squared,cross-entropy"}, True),
    ({"schedule": "cosine,exponential"}, True),
    ({"optimizer": "momentum,nesterov"}, True),
    ({"rule": "backprop:clip=1,backprop"}, True),
    ({"clip": (0.5, 1.0)}, False),
    ({"optimizer.momentum": (0.5, 0.9)}, False),
])
def test_rules_that_differ_in_more_than_numbers_are_not_stacked(over, apart, stacked):
    """Their nets and states have one shape; only what the rule is made of tells them apart."""
    given = {**SMALL, "epochs": 1, "optimizer": None if "optimizer" in over else "sgd:momentum=0.5",
             "rule": None if "rule" in over else "backprop:clip=1"}
    swept = cr.sweep("digits", over={**over, "seed": range(2)}, **given)
    names = [next(e for e in run.events if isinstance(e, Planned)).name for run in swept]
    assert names == ["2 together, eager" if apart else "4 together, eager"] * 4
    last = swept.runs[3]
    assert_near(weights(last), weights(cr.train("digits", **{**given, **{
        k: v for k, v in last.options.to_json().items() if k in ("loss", "schedule", "optimizer", "rule", "seed")}})))


def test_folds_divide_all_that_is_not_test():
    source, options = load("digits"), Options(epochs=1)
    whole = build(source, options).data
    free = set(whole.train.rows.tolist()) | set(whole.valid.rows.tolist())
    seen = []
    for i in range(1, 6):
        data = build(source, Options(epochs=1, fold=f"{i}/5")).data
        assert torch.equal(data.door.rows, whole.door.rows)
        assert not set(data.train.rows.tolist()) & set(data.valid.rows.tolist())
        assert set(data.train.rows.tolist()) | set(data.valid.rows.tolist()) == free
        seen += data.valid.rows.tolist()
        shares = torch.bincount(data.valid.y, minlength=10) / len(data.valid)
        assert float((shares - torch.bincount(torch.cat([whole.train.y, whole.valid.y])) / 1528).abs().max()) < 0.01
    assert sorted(seen) == sorted(whole.train.rows.tolist() + whole.valid.rows.tolist())


def test_folds_as_members_and_their_spread(stacked):
    swept = cr.sweep("iris", over={"fold": range(1, 4)}, **{**SMALL, "batch": 20, "epochs": 3})
    assert [s["fold"] for s in swept.settings] == ["1/3", "2/3", "3/3"]
    assert [r.options.fold for r in swept] == ["1/3", "2/3", "3/3"]
    assert cr.Run(swept.runs[1].path).job.data.valid.rows.tolist() == swept.runs[1].job.data.valid.rows.tolist()
    for run in swept:                                           # whose inputs are scaled by means of their own
        assert_near(weights(run), weights(cr.train("iris", **{**SMALL, "batch": 20, "epochs": 3, "fold": run.options.fold})))
    assert next(e for e in swept.runs[2].events if isinstance(e, Planned)).name == "3 together, eager"
    accuracies = torch.tensor([r.valid.accuracy for r in swept])
    spread, = swept.spread()
    assert spread["n"] == 3
    assert spread["measures"]["accuracy"]["mean"] == pytest.approx(float(accuracies.mean()), abs=1e-6)
    assert spread["measures"]["accuracy"]["sd"] == pytest.approx(float(accuracies.std()), abs=1e-6)


def test_bootstrap_samples_draw_with_replacement():
    """A row is drawn once on average, and left out with probability (1 - 1/n)^n, about 1/e."""
    source = load("digits")
    whole = build(source, Options(epochs=1)).data
    counts = []
    for number in (1, 2):
        data = build(source, Options(epochs=1, bootstrap=number)).data
        assert len(data.train) == len(whole.train)
        assert torch.equal(data.valid.rows, whole.valid.rows)
        assert torch.equal(data.door.rows, whole.door.rows)
        assert set(data.train.rows.tolist()) <= set(whole.train.rows.tolist())
        at = {row: i for i, row in enumerate(whole.train.rows.tolist())}
        for i in (0, 100, -1):
            assert torch.equal(data.train.x[i], whole.train.x[at[int(data.train.rows[i])]])
            assert data.train.y[i] == whole.train.y[at[int(data.train.rows[i])]]
        counts.append(torch.bincount(data.train.rows, minlength=1797)[whole.train.rows])
        assert float((counts[-1] == 0).double().mean()) == pytest.approx((1 - 1 / 1258) ** 1258, abs=0.03)
        assert float(counts[-1].double().var()) == pytest.approx(1.0, abs=0.15)
        assert torch.equal(build(source, Options(epochs=1, bootstrap=number)).data.train.rows, data.train.rows)
    assert not torch.equal(*counts)


def test_members_that_read_the_same_rows_hold_them_once():
    swept = cr.sweep("digits", over={"rate": (0.01, 0.02)}, **{**SMALL, "epochs": 1})
    first, second = (r.job.data for r in swept)
    assert first.train is second.train
    assert first.door is not second.door


def test_the_table_is_sorted_and_names_what_differs(stacked, capsys):
    code = run_command(["sweep", "digits", "--over", "rate=0.0001,0.02", "--over", "seed=0..1", "--net", "mlp:hidden=10", "--epochs", "2",
                        "--batch", "100", "--plan", "eager", "--json", "--test", "--out", "s"])
    said = capsys.readouterr()
    assert code == 0
    told = json.loads(said.out.strip().splitlines()[-1])
    assert set(told) >= {"sweep", "runs", "best", "test"}
    assert all(set(r) >= {"run", "settings", "best", "valid", "plan", "ended", "epochs", "steps"} for r in told["runs"])
    accuracies = [r["valid"]["accuracy"] for r in told["runs"]]
    assert accuracies == sorted(accuracies, reverse=True)
    assert accuracies[0] > accuracies[-1]
    assert told["best"] == told["runs"][0]
    assert told["best"]["settings"]["rate"] == "0.02"
    assert told["test"]["n"] == 269
    heads, *lines = [line.split() for line in said.out.splitlines()[1:6]]
    assert heads[:2] == ["rate", "seed"]
    assert [line[:2] for line in lines] == [list(r["settings"].values()) for r in told["runs"]]
    assert "accuracy" in said.out
    assert "mean and standard deviation of 2" in said.out
    assert [p.name for p in sorted(Path("s").iterdir()) if p.is_dir()] == [
        "rate=0.0001,seed=0", "rate=0.0001,seed=1", "rate=0.02,seed=0", "rate=0.02,seed=1"]
    assert Path("s/openings.jsonl").exists() is False
    assert "4 of 4 runs ended" in said.err
    assert "Traceback" not in said.err


def test_members_on_the_command_line(stacked, capsys):
    code = run_command(["train", "digits", "--members", "2", "--seed", "3", "--net", "mlp:hidden=10", "--epochs", "1", "--json"])
    told = json.loads(capsys.readouterr().out.strip().splitlines()[-1])
    assert code == 0
    assert sorted(r["settings"]["seed"] for r in told["runs"]) == ["3", "4"]


def test_interruption_saves_all_and_resume_ends_where_an_uninterrupted_sweep_does(stacked):
    over = {"optimizer.rate": (0.01, 0.02), "seed": range(2)}
    stop = Stop()

    def sink(event):
        if isinstance(event, Evaluated) and event.epoch == 2:
            stop.request("SIGINT")

    with pytest.raises(Interrupted, match="chainrule resume part"):
        cr.sweep("digits", over=over, out="part", stop=stop, sinks=[sink], **{**SMALL, "epochs": 4})
    with pytest.raises(InputError, match="already holds a sweep"):
        cr.sweep("digits", over=over, out="part", **SMALL)
    resumed = cr.resume("part", progress=False)
    whole = cr.sweep("digits", over=over, out="whole", **{**SMALL, "epochs": 4})
    for mine, theirs in zip(resumed, whole, strict=True):
        assert_near(weights(mine), weights(theirs), 1e-5)
        assert len([e for e in mine.events if isinstance(e, Evaluated)]) == 4
        assert [e.at for e in mine.events] == list(range(len(mine.events)))
    assert all(r["ended"] == "budget" for r in resumed.rows())
    before = [r.path.joinpath("log.jsonl").read_bytes() for r in resumed]
    cr.resume("part", progress=False)                                       # nothing is left to do
    assert before == [r.path.joinpath("log.jsonl").read_bytes() for r in resumed]


KILLED = """
import chainrule as cr
from chainrule.engine.members import grouping as members
members.WORTH_STACKING_SECONDS = 0.0
members.grouped = lambda several, kin: members.Grouping(len(kin.numbers), "together", [])
if __name__ == "__main__":
    cr.sweep("digits", over={"seed": range(3)}, out="killed", net="mlp:hidden=10", epochs=400, batch=100, plan="eager", threads=1,
             save_every=0.0, progress=False, split="train=.7")
"""


def test_a_killed_sweep_goes_on(stacked):
    Path("killed.py").write_text(KILLED)
    process = subprocess.Popen([sys.executable, "killed.py"], env={**os.environ, "PYTHONPATH": str(ROOT), "OMP_NUM_THREADS": "1"})
    saved = [Path("killed") / f"seed={s}" / "last.safetensors" for s in range(3)]
    deadline = time.monotonic() + 600  # for a process that hangs: a busy machine may take long to import torch
    while not all(p.exists() for p in saved) and time.monotonic() < deadline and process.poll() is None:
        time.sleep(0.01)
    process.send_signal(signal.SIGKILL)
    assert process.wait() == -signal.SIGKILL
    positions = [Store(p.parent, cr.Run(p.parent).record["run"]).position() for p in saved]
    assert all(p and not p.finished for p in positions)
    record = json.loads(Path("killed/sweep.json").read_text())
    assert [m["settings"] for m in record["members"]] == [{"seed": str(s)} for s in range(3)]
    stop = Stop()

    def sink(event):
        if isinstance(event, Evaluated) and event.epoch > max(p.epoch for p in positions) + 2:
            stop.request("SIGTERM")

    with pytest.raises(Interrupted):
        cr.resume("killed", progress=False, stop=stop, sinks=[sink])
    gone = []  # epochs since; those that were killed in the middle of their saving stand apart, and go on after the others
    for s, path in enumerate(saved):
        run = cr.Run(path.parent)
        epochs = [e.epoch for e in run.events if isinstance(e, Evaluated)]
        assert epochs == list(range(1, len(epochs) + 1))
        gone.append(len(epochs) - positions[s].epoch)
        losses = [e.train["loss"] for e in run.events if isinstance(e, Evaluated)][:3]
        stepped = cr.train("digits", **{**SMALL, "epochs": 3, "seed": s, "split": "train=.7", "out": f"lone{s}"})
        assert losses == pytest.approx([row["train_loss"] for row in stepped.history][: len(losses)], rel=1e-4)
    assert min(gone) >= 0
    assert max(gone) > 2
    assert all(gone) or len({p.step for p in positions}) > 1


def test_one_diverged_member_is_said_and_the_others_stay(stacked):
    swept = cr.sweep("digits", over={"optimizer.rate": (0.01, 1e30)}, **{**SMALL, "optimizer": "sgd", "loss": "squared"})
    rows = swept.rows()
    assert [r["ended"] for r in rows] == ["budget", "diverged"]
    assert "diverged" in str(swept)
    with pytest.raises(Diverged, match="every run"):
        cr.sweep("digits", over={"optimizer.rate": (1e29, 1e30)}, **{**SMALL, "optimizer": "sgd", "loss": "squared"})


def test_modules_and_losses_of_ones_own():
    module = nn.Sequential(nn.Flatten(), nn.Linear(64, 10))
    before = {k: t.clone() for k, t in module.state_dict().items()}
    swept = cr.sweep("digits", over={"rate": (0.001, 0.1)}, net=module, loss=lambda o, y: -o.log_softmax(1).gather(1, y[:, None]).mean(),
                     epochs=1, progress=False, optimizer="sgd", plan="eager", out="own")
    assert len({r.net for r in swept}) == 2
    assert all(torch.equal(before[k], t) for k, t in module.state_dict().items())
    assert not torch.equal(*(r.net[1].weight for r in swept))
    with pytest.raises(InputError, match="Give it again"):
        cr.Run(swept.runs[0].path).net  # noqa: B018


def of(over, options=None):
    given = options or Options(net="mlp", epochs=1)
    return combinations(over, given, lambda o: build(load("digits"), o).options)


def test_every_way_to_name_an_option():
    for key, spec in (("rate", "adam:rate=0.5"), ("optimizer.rate", "adam:rate=0.5"), ("beta1", "adam:beta1=0.5")):
        assert of({key: (0.5,)})[0][1].optimizer == spec
    assert of({"l2": "0,1e-4"})[1][1].rule == "backprop:l2=0.0001"
    assert of({"hidden": "30x10,5"})[0][1].net == "mlp:hidden=30x10"
    assert of({"net.dropout": (0.5,)})[0][1].net == "mlp:dropout=0.5"
    assert [o.epochs for _, o in of({"epochs": "1,3"})] == [1, 3]
    assert [o.optimizer for _, o in of({"optimizer": "sgd,momentum", "rate": "0.1"})] == ["sgd:rate=0.1", "momentum:rate=0.1"]
    both = of({"rate": "0.1,0.2", "seed": "0..1", "patience": "none,3"})
    assert [tuple(s.values()) for s, _ in both][:3] == [("0.1", "0", "none"), ("0.1", "0", "3"), ("0.1", "1", "none")]
    assert list(both[0][0]) == ["rate", "seed", "patience"]
    assert len({(o.optimizer, o.seed, o.patience) for _, o in both}) == 8
    one = of({"rate": (0.2,)}, Options(net="mlp", epochs=1, optimizer="sgd:momentum=0.5"))[0][1].optimizer
    assert one == "sgd:momentum=0.5,rate=0.2"
    assert read_over(["rate=0.1,0.2", "seed=0..3"]) == {"rate": "0.1,0.2", "seed": "0..3"}


@pytest.mark.parametrize(("over", "sentence"), [
    ({}, "something to go over"),
    ({"raet": "0.1"}, "Did you mean rate"),
    ({"optimizer.raet": "0.1"}, "Did you mean optimizer.rate"),
    ({"optimiser.rate": "0.1"}, "Did you mean optimizer"),
    ({"epoch": "1"}, "Did you mean epochs"),
    ({"epochs": "1,two"}, "expects whole numbers; got 'two'"),
    ({"epochs": "0"}, "--epochs must be at least 1"),
    ({"rate": "fast"}, "expects rate to be a number; got 'fast'"),
    ({"rate": "-1"}, "above 0"),
    ({"seed": "1,1"}, "names 1 more than once"),
    ({"seed": ""}, "no values"),
    ({"net": "mlp,lenett"}, "Did you mean lenet"),
    ({"fold": "1"}, "at least 2"),
    ({"fold": "6/5"}, "1/5 to 5/5"),
    ({"bootstrap": "0"}, "--bootstrap must be at least 1"),
    ({"target": "a,b"}, "read the data anew"),
    ({"schedule.final": "0.1"}, "no schedule"),
])
def test_mistakes_are_one_sentence_with_what_to_do(over, sentence):
    def all_built():
        return [build(load("digits"), options) for _, options in of(over)]

    with pytest.raises(InputError) as error:
        all_built()
    assert sentence in str(error.value)


@pytest.mark.parametrize(("words", "sentence"), [
    (("--over", "rate"), "expects key=v1,v2"),
    (("--over", "rate=0.1", "--over", "rate=0.2"), "given twice"),
    ((), "--over is missing: key=v1,v2"),
    (("--over", "seed=0..1", "--epoch", "3"), "Did you mean --epochs"),
])
def test_mistakes_on_the_command_line(words, sentence, capsys):
    assert run_command(["sweep", "iris", *words]) == 2
    said = capsys.readouterr().err
    assert sentence in said
    assert len(said.strip().splitlines()) == 1
    assert not Path("runs").exists()


def test_too_few_rows_for_the_folds_are_said():
    Path("few.csv").write_text("a,y\n" + "".join(f"{i},{'uv'[i % 2]}\n" for i in range(10)))
    with pytest.raises(InputError, match=r"rows to divide into 50 folds"):
        cr.sweep("few.csv", over={"fold": ("1/50", "2/50")}, target="y", progress=False)
    with pytest.raises(InputError, match="at least 1; got 0"):
        cr.train("iris", members=0)


def test_the_tally_is_a_few_calm_lines():
    clock, stream = iter(range(0, 1000, 2)), io.StringIO()
    tally = Tally(["a", "b"], stream, lambda: next(clock))
    common = {"at": 0, "seconds": 0.0}
    for epoch in range(1, 9):
        for i in range(2):
            tally(i, Evaluated(**common, epoch=epoch, step=1, train={"loss": 1.0}, valid={"loss": 1 / epoch + i}, best=True))
    for i in range(2):
        tally(i, Finished(**common, reason="budget", epochs=8, steps=8, best_epoch=8, best={}, timing={}))
    tally.close()
    lines = stream.getvalue().splitlines()
    assert 3 <= len(lines) <= 8
    assert lines[0] == "0 of 2 runs ended, the others after epoch 1; best loss 1 (a)"
    assert lines[-1] == "2 of 2 runs ended; best loss 0.125 (a)"
