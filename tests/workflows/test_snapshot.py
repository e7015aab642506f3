"""Snapshots of a run and their committee: what they are, that they outlive an interruption, what is refused; seeds on one division."""

import json
import math
import shutil

import pytest
import torch
from stops import After

import chainrule as cr
from chainrule.cli.main import run_command
from chainrule.core.errors import CorruptFile, InputError, Interrupted
from chainrule.core.events import Saved
from chainrule.engine import checkpoint
from chainrule.job.build import build
from chainrule.job.options import Options

CYCLES, EPOCHS = 4, 8
OPTIONS = {"net": "mlp:hidden=6", "optimizer": "sgd:rate=0.3,momentum=0.9", "batch": 8, "epochs": EPOCHS, "plan": "eager",
           "split": "train=.5,valid=.25,test=.25", "progress": False}


@pytest.fixture(autouse=True)
def _one_thread():
    torch.set_num_threads(1)


def blobs():
    """64 training rows of 128: eight batches an epoch, so that all shares of the run are exact in binary."""
    torch.manual_seed(0)
    y = torch.arange(128) % 4
    return torch.randn(128, 3) + torch.eye(4)[y][:, :3] * 1.5, [f"kind {k}" for k in y.tolist()]


@pytest.fixture(scope="module")
def run(tmp_path_factory):
    torch.set_num_threads(1)
    return cr.train(blobs(), snapshots=CYCLES, **OPTIONS, out=tmp_path_factory.mktemp("runs") / "run")


def tensors(folder, number):
    return checkpoint.read(folder / f"snapshot-{number}.safetensors")[0]


def same(a, b):
    return a.keys() == b.keys() and all(torch.equal(t, b[name]) for name, t in a.items())


def test_they_are_the_weights_of_a_run_with_restarts_at_its_cycles_ends(run):
    """Second derivation: a run with no schedule of ours, the optimizer's rate set by hand before each step, looked at from outside."""
    job = build(cr.load(blobs()), Options(**{k: v for k, v in OPTIONS.items() if k != "progress"}))
    net, feed, length = job.net, job.feed(), 8 * EPOCHS // CYCLES                 # eight batches an epoch
    optimizer = torch.optim.SGD(net.params.values(), lr=0.3, momentum=0.9)
    for step in range(8 * EPOCHS):
        batch = next(feed.chunks(step // 8, step % 8, 1))[0]
        optimizer.param_groups[0]["lr"] = 0.3 * 0.5 * (1 + math.cos(math.pi * (step % length) / (length - 1)))
        optimizer.zero_grad()
        torch.nn.functional.cross_entropy(net(job.data.ready(batch.x)), batch.y).backward()
        optimizer.step()
        if (step + 1) % length == 0:
            stored = checkpoint.unpack({f"w/{k}": t for k, t in tensors(run.path, (step + 1) // length).items()}, net.tensors, "w")
            for name, t in net.tensors.items():
                torch.testing.assert_close(stored[name], t.detach(), rtol=1e-4, atol=1e-5)


def test_the_first_is_where_a_run_of_one_cycle_ends(run, tmp_path):
    short = cr.train(blobs(), **{**OPTIONS, "epochs": EPOCHS // CYCLES}, schedule="cosine", out=tmp_path / "short")
    last = checkpoint.read(short.path / "last.safetensors")[0]
    assert same(tensors(run.path, 1), {k.removeprefix("run/net/"): t for k, t in last.items() if k.startswith("run/net/")})


def test_a_snapshot_answers_as_a_run_with_its_weights(run):
    assert [one.name for one in run.snapshots] == [f"run snapshot {k}" for k in range(1, CYCLES + 1)]
    for number, one in enumerate(run.snapshots, 1):
        assert same(dict(one.net.state_dict()), tensors(run.path, number))
        assert one.valid.n == 32
    assert not same(dict(run.snapshots[0].net.state_dict()), dict(run.snapshots[1].net.state_dict()))
    with pytest.raises(InputError, match="chainrule committee"):
        run.snapshots[0].test()
    assert not (run.path / "test.json").exists()


@pytest.mark.parametrize("by", ["mean", "product"])
def test_their_committee_is_their_mean_by_hand(run, tmp_path, by):
    made = cr.committee(run, by=by, out=tmp_path / "c")
    part = run.job.data.valid
    x = run.job.data.ready(part.x)
    said = torch.stack([torch.func.functional_call(run.net, tensors(run.path, k), (x,)).detach().double().softmax(1)
                        for k in range(1, CYCLES + 1)])
    by_hand = said.mean(0) if by == "mean" else said.prod(0) ** (1 / CYCLES)
    by_hand = by_hand / by_hand.sum(1, keepdim=True)
    for committee in (made, cr.Committee(tmp_path / "c", data=blobs())):
        torch.testing.assert_close(committee.job.trained.predictions(part).double(), by_hand, rtol=1e-5, atol=1e-6)
        assert len(committee) == CYCLES
    assert made.record["net"] == f"{by} of {CYCLES} snapshots"
    assert made.summary()["members"] == [str(run.path / f"snapshot-{k}.safetensors") for k in range(1, CYCLES + 1)]


@pytest.mark.parametrize("epochs", [1, 2, 5])
def test_an_interrupted_run_goes_on_to_the_same_snapshots(run, tmp_path, epochs):
    stop = After(epochs)
    with pytest.raises(Interrupted):
        cr.train(blobs(), snapshots=CYCLES, **OPTIONS, save_every=0.0, out=tmp_path / "half", stop=stop, sinks=[stop])
    half = cr.Run(tmp_path / "half", data=blobs())
    assert len(half.snapshots) == epochs // 2
    with pytest.raises(InputError, match=f"{epochs // 2} of its 4 snapshots.*chainrule resume"):
        cr.committee(half, out=tmp_path / "c")
    cr.resume(half, progress=False)
    assert all(same(tensors(run.path, k), tensors(tmp_path / "half", k)) for k in range(1, CYCLES + 1))


def test_every_checkpoint_of_a_killed_run_leads_to_the_same_snapshots(run, tmp_path):
    kept = []

    def keep(event):
        if isinstance(event, Saved):
            kept.append(tmp_path / f"at{len(kept)}")
            shutil.copytree(tmp_path / "whole", kept[-1])

    cr.train(blobs(), snapshots=CYCLES, **OPTIONS, save_every=0.0, out=tmp_path / "whole", sinks=[keep])
    for folder in kept[:: len(kept) // 4]:
        cr.resume(cr.Run(folder, data=blobs()), progress=False)
        assert all(same(tensors(run.path, k), tensors(folder, k)) for k in range(1, CYCLES + 1))


def test_repeating_looks_at_the_snapshots_too(run, tmp_path):
    assert cr.repeat(cr.Run(run.path, data=blobs()), progress=False) == (True, 0.0)
    shutil.copytree(run.path, tmp_path / "other")
    found, payload = checkpoint.read(tmp_path / "other" / "snapshot-2.safetensors")
    name = next(iter(found))
    checkpoint.write(tmp_path / "other" / "snapshot-2.safetensors", {**found, name: found[name] + 0.5}, payload)
    same_, difference = cr.repeat(cr.Run(tmp_path / "other", data=blobs()), progress=False)
    assert (same_, difference) == (False, pytest.approx(0.5))


def test_a_snapshot_of_another_run_or_a_broken_one_is_refused(run, tmp_path):
    shutil.copytree(run.path, tmp_path / "other")
    path = tmp_path / "other" / "snapshot-2.safetensors"
    content = path.read_bytes()
    path.write_bytes(content[:-3] + bytes([content[-3] ^ 1]) + content[-2:])
    with pytest.raises(CorruptFile, match=r"snapshot-2\.safetensors"):
        _ = cr.committee(cr.Run(tmp_path / "other", data=blobs()), out=tmp_path / "c").valid
    found, payload = checkpoint.read(run.path / "snapshot-2.safetensors")
    checkpoint.write(path, found, {**payload, "run": "another"})
    with pytest.raises(CorruptFile, match="another"):
        _ = cr.Run(tmp_path / "other", data=blobs()).snapshots[1].net


@pytest.mark.parametrize(("options", "words"), [
    ({"snapshots": 1}, "at least 2 cycles; got 1"), ({"snapshots": 3, "seconds": 1.0}, "--seconds does not keep to"),
    ({"snapshots": 3, "patience": 2}, "--patience does not keep to"), ({"snapshots": 3, "stages": "layers"}, "--stages does not keep to"),
    ({"snapshots": 9, "epochs": None, "steps": 5}, "needs a step for each; got --steps 5"),
    ({"snapshots": 9, "epochs": 1}, "got 8 steps in all"),
    ({"snapshots": 3, "schedule": "cosine-restarts"}, "has cycles of its own"),
    ({"snapshots": 2, "rule": "averaged", "net": "softmax", "optimizer": None}, "follows no schedule"),
    ({"split_seed": -1}, "--split-seed must be"),
])
def test_what_has_no_snapshots_is_refused_in_one_sentence(tmp_path, options, words):
    with pytest.raises(InputError, match=words):
        cr.train(blobs(), **{**OPTIONS, **options}, out=tmp_path / "run")
    assert not (tmp_path / "run").exists()


def test_a_run_without_snapshots_is_no_committee(tmp_path):
    run = cr.train(blobs(), **{**OPTIONS, "epochs": 1}, out=tmp_path / "run")
    with pytest.raises(InputError, match="--snapshots 5"):
        cr.committee(run, out=tmp_path / "c")
    with pytest.raises(InputError, match="kept no snapshots"):
        _ = run.snapshots


def test_left_open_the_schedule_is_cosine_and_nothing_ends_a_cycle_early():
    job = build(cr.load("iris"), Options(snapshots=5))
    assert job.options.schedule == "cosine"
    assert job.options.patience is None
    assert job.options.epochs >= 5
    assert any("begun anew for each snapshot" in sentence for sentence in job.choices)
    assert build(cr.load("iris"), Options(snapshots=5, schedule="linear:final=0.1")).options.schedule == "linear:final=0.1"


def test_a_schedule_runs_over_the_steps_that_there_are():
    """Whichever of epochs and steps ends a run, the schedule ends with it: its last step has the last factor, its middle one half."""
    given = {"net": "linear", "rule": "backprop", "batch": 10, "schedule": "linear", "split": "train=.8,valid=.2"}
    for more, steps in (({"steps": 1000}, 24), ({"steps": 7}, 7), ({}, 24)):
        seat = build(cr.load("iris"), Options(**given, epochs=2, **more)).seat()
        seat.enter()
        assert seat.pace() == {"done": 0.0, "each": 1.0, "whole": steps - 1.0}


def test_the_commands(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    given = ["train", "iris", "--net", "mlp:hidden=4", "--snapshots", "3", "--steps", "20", "--plan", "eager", "--out", "r"]
    assert run_command(given) == 0
    assert run_command(["committee", "r", "--out", "c", "--json"]) == 0
    out = capsys.readouterr().out
    assert "c: mean of 3 snapshots, on validation" in out
    assert json.loads(out.splitlines()[-1])["members"] == [f"r/snapshot-{k}.safetensors" for k in (1, 2, 3)]
    assert run_command(["repeat", "c"]) == 0
    assert "The same weights, bit for bit." in capsys.readouterr().out
    assert run_command(["committee", "r/snapshot-1.safetensors", "--out", "d"]) == 2


def test_seeds_on_one_division_are_a_committee(tmp_path):
    """With `split_seed` nets of several seeds learn from the same rows; without, their seeds divide them."""
    options = {**OPTIONS, "epochs": 2}
    sweep = cr.sweep(blobs(), over={"seed": (0, 1, 2)}, split_seed=5, **options, out=tmp_path / "s")
    rows = [one.job.data.valid.rows for one in sweep]
    assert all(torch.equal(rows[0], other) for other in rows[1:])
    assert torch.equal(rows[0], build(cr.load(blobs()), Options(seed=5, split=OPTIONS["split"])).data.valid.rows)
    assert not same(dict(sweep.runs[0].net.state_dict()), dict(sweep.runs[1].net.state_dict()))
    made = cr.committee(sweep, out=tmp_path / "c")
    part = made.job.data.valid
    alone = torch.stack([one.job.trained.predictions(part) for one in sweep])
    torch.testing.assert_close(made.job.trained.predictions(part), alone.mean(0))
    with pytest.raises(InputError, match="--split-seed 0"):
        cr.committee(cr.sweep(blobs(), over={"seed": (0, 1)}, **options, out=tmp_path / "t"), out=tmp_path / "d")
