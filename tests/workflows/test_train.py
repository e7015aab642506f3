"""The Python interface end to end: any module, any loss, a folder that suffices to go on, to repeat, to test and to compare."""

from __future__ import annotations

import json
import shlex

import numpy as np
import pytest
import torch
from torch import nn

import chainrule as cr
from chainrule.core.errors import CorruptFile, Diverged, InputError, Interrupted
from chainrule.core.events import Evaluated, Finished, Planned, Saved, Started
from chainrule.engine.stop import Stop


@pytest.fixture(autouse=True)
def _in_a_folder_of_its_own(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)


def train(**options):
    return cr.train("digits", **{"net": "mlp:hidden=20", "epochs": 2, "batch": 50, "plan": "eager", "progress": False, **options})


class Own(nn.Module):
    """Ten lines of a user's own (CANON G1)."""

    def __init__(self):
        super().__init__()
        self.first = nn.Conv2d(1, 8, 3)
        self.norm = nn.BatchNorm2d(8)
        self.last = nn.Linear(8 * 36, 10)

    def forward(self, x):
        return self.last(self.norm(self.first(x)).relu().flatten(1))


def own_loss(outputs, targets):
    return -outputs.log_softmax(1).gather(1, targets[:, None]).mean()


def test_a_run_learns_validates_and_tests_with_intervals():
    run = train(epochs=15, optimizer="adam:rate=0.01")
    assert run.valid.accuracy > 0.9
    result = run.test()
    assert result.accuracy > 0.9
    assert result.interval.low < result.accuracy < result.interval.high
    assert result.opened == 1
    assert run.test().opened == 2
    assert [row["epoch"] for row in run.history] == list(range(1, 16))
    assert {p.name for p in run.path.iterdir()} >= {"run.json", "log.jsonl", "best.safetensors", "last.safetensors", "confusion.png"}


def test_openings_are_counted_over_the_runs_of_a_folder():
    """Two nets tested on the same held-out rows have looked at them twice; other rows are another set."""
    assert train().test().opened == 1
    assert train(seed=0, net="softmax").test().opened == 2
    assert train(seed=1).test().opened == 1


def test_any_module_and_any_loss_train_through_the_same_engine():
    module = Own()
    run = cr.train("digits", net=module, loss=own_loss, epochs=3, batch=64, progress=False, optimizer="adam:rate=0.01")
    assert run.net is module
    assert run.valid.accuracy > 0.9
    assert run.record["own_net"]
    with pytest.raises(InputError, match="Give it again"):
        cr.Run(run.path).net  # noqa: B018
    again = cr.Run(run.path, net=Own(), loss=own_loss)
    for mine, theirs in zip(again.net.state_dict().values(), module.state_dict().values(), strict=True):
        assert torch.equal(mine, theirs)


def test_events_are_the_same_training_as_a_stream():
    run, module = train(), None
    stream = list(cr.events("digits", net="mlp:hidden=20", epochs=2, batch=50, plan="eager"))
    assert isinstance(stream[0], Started)
    assert isinstance(stream[1], Planned)
    assert isinstance(stream[-1], Finished)
    assert [e.at for e in stream] == list(range(len(stream)))
    losses = [e.valid["loss"] for e in stream if isinstance(e, Evaluated)]
    assert losses == [row["valid_loss"] for row in run.history]
    assert module is None


def test_the_same_seed_gives_the_same_weights_and_another_seed_others():
    first, second, other = train(), train(), train(seed=1)
    for name, t in first.net.state_dict().items():
        assert torch.equal(t, second.net.state_dict()[name])
    assert any(not torch.equal(t, other.net.state_dict()[name]) for name, t in first.net.state_dict().items())


def test_training_leaves_the_callers_random_state_alone():
    torch.manual_seed(5)
    expected = torch.rand(3)
    torch.manual_seed(5)
    train(net="mlp:hidden=5,dropout=0.5")
    assert torch.equal(torch.rand(3), expected)


def test_an_interrupted_run_goes_on_to_the_same_bits():
    whole = train(out="whole", net="mlp:hidden=20,dropout=0.2", epochs=3)
    stop = Stop()

    def interrupt(event):
        if isinstance(event, Evaluated):
            stop.request("SIGINT")

    with pytest.raises(Interrupted, match="chainrule resume") as interrupted:
        train(out="the part", net="mlp:hidden=20,dropout=0.2", epochs=3, stop=stop, sinks=[interrupt])
    command = shlex.split(str(interrupted.value).partition("Go on with: ")[2])      # as a shell reads what is pasted into it
    assert command[:2] == ["chainrule", "resume"]
    resumed = cr.resume(*command[2:], progress=False)
    assert [row["epoch"] for row in resumed.history] == [1, 2, 3]
    assert [{k: v for k, v in row.items() if k != "seconds"} for row in resumed.history] == whole.history
    for name, t in whole.net.state_dict().items():
        assert torch.equal(t, resumed.net.state_dict()[name])


def test_a_signal_while_the_plan_is_chosen_says_how_to_go_on(monkeypatch):
    stop = Stop()
    with monkeypatch.context() as patched:
        patched.setattr("chainrule.engine.plans.timeline.choose", lambda *_: stop.request("SIGINT"))
        with pytest.raises(Interrupted, match=r"while the plan was chosen; .* Go on with: chainrule resume .*part$"):
            train(out="part", epochs=2, stop=stop)
    assert len(cr.resume("part", progress=False).history) == 2


def test_a_run_is_repeated_from_its_record_alone():
    run = train(net="mlp:hidden=20,dropout=0.2")
    same, difference = cr.repeat(run.path, progress=False)
    assert same
    assert difference == 0
    other = train(net="mlp:hidden=20,dropout=0.2", seed=1, out="other")
    (other.path / "best.safetensors").unlink()
    (other.path / "run.json").write_text((run.path / "run.json").read_text())
    with pytest.raises(InputError):
        cr.repeat(other.path, progress=False)


def test_a_run_that_the_clock_ended_is_repeated_with_the_rates_the_clock_gave():
    """A schedule over seconds: whatever the machine does the second time, the recorded shares give the same bits."""
    run = train(epochs=None, seconds=0.4, schedule="linear", out="by-the-clock")
    end = next(e for e in reversed(run.events) if isinstance(e, Finished))
    assert end.stage_steps == [end.steps]
    assert end.shares[0][:2] == [0, 0]
    assert cr.repeat(run.path, progress=False) == (True, 0.0)


def test_a_weighted_run_is_repeated_with_its_weights_and_refused_without():
    weights = torch.linspace(0.1, 2.0, 1797)
    run = train(weights=weights, out="weighted")
    with pytest.raises(InputError, match="Give the weights again"):
        cr.repeat("weighted", progress=False)
    same, _ = cr.repeat(cr.Run("weighted", weights=weights), progress=False)
    assert same
    plain = train(out="plain")
    assert any(not torch.equal(t, plain.net.state_dict()[name]) for name, t in run.net.state_dict().items())


def test_two_runs_are_compared_on_the_same_cases():
    good, poor = train(epochs=10, optimizer="adam:rate=0.01", out="good"), train(epochs=1, optimizer="sgd:rate=0.01", out="poor")
    comparison = cr.compare(good, poor)
    pair = comparison.pairs[0]
    wrong = {run.name: (~run.cases().right) for run in (good, poor)}
    assert pair.a_only_wrong == int((wrong["good"] & ~wrong["poor"]).sum())
    assert pair.b_only_wrong == int((wrong["poor"] & ~wrong["good"]).sum())
    assert "good is better than poor" in pair.verdict
    with pytest.raises(InputError, match="different cases"):
        cr.compare(good, train(seed=3))


def test_arrays_frames_and_regression():
    rng = np.random.default_rng(0)
    x = rng.normal(size=(300, 4))
    y = 100 + 30 * x[:, 0] - 20 * x[:, 1] + rng.normal(size=300)
    run = cr.train((x, y), net="linear", rule="closedform", progress=False)
    assert run.test().measures["r2"].value > 0.99
    values, names = run.predict(x[:5])
    assert values.shape == (5, 1)
    assert len(names) == 1
    assert np.abs(values[:, 0].numpy() - y[:5]).max() < 5


def test_a_net_that_blows_up_stops_with_the_layer_named_and_keeps_good_weights():
    with pytest.raises(Diverged, match="last good weights") as caught:
        cr.train("digits", net="mlp:hidden=20", loss="squared", optimizer="sgd:rate=1e4", epochs=3, plan="eager", progress=False, out="bad")
    assert any(name in str(caught.value) for name in ("hidden1", "output", "gradient", "loss"))
    run = cr.Run("bad")
    assert all(bool(p.isfinite().all()) for p in run.net.parameters())
    assert "D21" in {one["code"] for one in run.summary()["diagnoses"]}   # looks may see earlier that the rate is too high


def test_corrupt_and_foreign_files_are_refused_by_name():
    run = train(out="run")
    best = (run.path / "best.safetensors").read_bytes()
    (run.path / "best.safetensors").write_bytes(best[:-3] + bytes([best[-3] ^ 1]) + best[-2:])
    damaged = cr.Run("run")
    for mine, theirs in zip(damaged.net.state_dict().values(), run.net.state_dict().values(), strict=True):
        assert torch.equal(mine, theirs)
    assert "best.safetensors" in damaged.warnings[0]

    record = json.loads((run.path / "run.json").read_text())
    (run.path / "run.json").write_text(json.dumps({**record, "format": 99, "chainrule": "9.9"}))
    with pytest.raises(InputError, match=r"9\.9"):
        cr.Run("run")
    (run.path / "run.json").write_text(json.dumps({**record, "net": "lenet"}))
    with pytest.raises(CorruptFile, match=r"run\.json"):
        cr.Run("run")


def test_data_that_changed_since_is_noticed(tmp_path):
    table = tmp_path / "some.csv"
    rows = [f"{i % 7},{(i * 3) % 11},{'ab'[i % 2]}" for i in range(60)]
    table.write_text("\n".join(["u,v,y", *rows]))
    run = cr.train(table, target="y", epochs=2, progress=False)
    table.write_text("\n".join(["u,v,y", *rows[:-1], "9,9,a"]))
    with pytest.raises(InputError, match="changed"):
        cr.Run(run.path).test()


@pytest.mark.parametrize(("options", "sentence"), [
    ({"net": "mpl"}, "Did you mean mlp"),
    ({"net": "mlp:hiden=3"}, "Did you mean hidden"),
    ({"optimizer": "sgd:rate=fast"}, "expects rate to be a number"),
    ({"epoch": 3}, "Did you mean epochs"),
    ({"batch": 0}, "--batch must be at least 1"),
    ({"plan": "eagre"}, "Did you mean eager"),
    ({"device": "tpu"}, "--device is auto"),
    ({"rule": "perceptron", "net": "mlp"}, "single layer"),
    ({"loss": "absolute"}, "Use --loss cross-entropy"),
])
def test_mistakes_get_one_sentence(options, sentence):
    with pytest.raises(InputError, match=sentence):
        train(**options)


def test_a_run_whose_end_could_not_be_saved_says_so_and_can_go_on(monkeypatch):
    from chainrule.core.errors import ChainruleError
    from chainrule.engine.store import Store

    whole, save = train(out="whole"), Store.save

    def full(self, net, state, best, randomness, position):
        if position.epoch == 2:
            raise OSError(28, "No space left on device")
        return save(self, net, state, best, randomness, position)

    monkeypatch.setattr(Store, "save", full)
    with pytest.raises(ChainruleError, match="could not be saved"):
        train(out="full", save_every=0.0)
    monkeypatch.setattr(Store, "save", save)
    resumed = cr.resume("full", progress=False)
    for name, t in whole.net.state_dict().items():
        assert torch.equal(t, resumed.net.state_dict()[name])


def test_saving_never_happens_without_being_said():
    seen = []
    train(save_every=0.0, sinks=[seen.append], out="said")
    assert any(isinstance(e, Saved) for e in seen)
