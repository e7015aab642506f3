"""R02: leave any one part of the state out of a checkpoint, and the run that goes on from it is no longer the same run."""

import shutil

import pytest
import torch
from worker import BATCHES, differences, fresh_net, fresh_rule, outcome, stopping_at, training

from chainrule.core.errors import InputError
from chainrule.core.events import Finished
from chainrule.core.tree import clone
from chainrule.engine import checkpoint
from chainrule.engine.randomness import Randomness
from chainrule.engine.store import LAST

EPOCHS, PATIENCE = 6, 3
STOPPED = 2 * BATCHES + 3  # in the third epoch: the best is an epoch old and training has waited once


def run(folder, stop_at=None):
    """A run whose validation loss is best after its first epoch and then only rises, so that patience ends it after the fourth."""
    stop, watch = stopping_at(stop_at)

    def validate(learner):
        return {"loss": float(learner.state["inner"]["pace"]["done"])}

    folder.mkdir(exist_ok=True)
    return list(training(folder, epochs=EPOCHS, patience=PATIENCE, save_every=1e9, stop=stop, watch=watch, validate=validate).run())


@pytest.fixture(scope="module")
def interrupted(tmp_path_factory):
    """A folder stopped in mid-epoch, and the outcome of the run that never stopped."""
    whole, half = tmp_path_factory.mktemp("whole"), tmp_path_factory.mktemp("half")
    finished = run(whole)[-1]
    assert isinstance(finished, Finished)
    assert (finished.reason, finished.epochs) == ("patience", 1 + PATIENCE)
    assert run(half, stop_at=STOPPED)[-1].reason == "interrupted"
    return half, outcome(whole)


def resumed(interrupted, tmp_path, forget):
    """How a run differs that goes on from a checkpoint after `forget(tensors, payload)` has been at it."""
    half, expected = interrupted
    folder = tmp_path / "run"
    shutil.copytree(half, folder)
    tensors, payload = checkpoint.read(folder / LAST)
    forget(tensors, payload)
    checkpoint.write(folder / LAST, tensors, payload)
    run(folder)
    return differences(outcome(folder), expected)


def test_with_nothing_left_out_it_is_the_same_run(interrupted, tmp_path):
    assert resumed(interrupted, tmp_path, lambda tensors, payload: None) == []


def fresh(what):
    """The tensors of a run that has not begun, under their names in a checkpoint."""
    net, random = fresh_net(), Randomness(5, torch.device("cpu"))
    return checkpoint.pack({"net": net.tensors, "state": fresh_rule().init(net), "random": random.state()[0]}, "run")[what]


def tensors_like(*words):
    def forget(tensors, payload):
        names = [name for name in tensors if any(word in name for word in words)]
        assert names, f"nothing in the checkpoint is called {words}"
        for name in names:
            tensors[name] = fresh(name).clone()

    return forget


def at(**values):
    def forget(tensors, payload):
        for name, value in values.items():
            assert payload["position"][name] != value, f"{name} is {value} anyway"
            payload["position"][name] = value

    return forget


def best_weights(tensors, payload):
    """As if the weights now were the best ones."""
    for name in [name for name in tensors if name.startswith("run/best/")]:
        tensors[name] = clone(tensors[name.replace("run/best/", "run/net/")])


def best_score(tensors, payload):
    payload["position"]["best"]["score"] = [-1e9]


def best_altogether(tensors, payload):
    payload["position"]["best"] = {}


def numpy_place(tensors, payload):
    """NumPy's generator is words and a place among them."""
    assert payload["random"]["numpy"][1] != Randomness(5, torch.device("cpu")).state()[1]["numpy"][1]
    payload["random"]["numpy"] = Randomness(5, torch.device("cpu")).state()[1]["numpy"]


OMISSIONS = {
    "parameters": tensors_like("net/first.weight", "net/last.bias"),
    "one parameter": tensors_like("net/norm.bias"),
    "batch-norm mean": tensors_like("net/norm.running_mean"),
    "batch-norm variance": tensors_like("net/norm.running_var"),
    "batch-norm count": tensors_like("net/norm.num_batches_tracked"),
    "optimizer": tensors_like("state/inner/optimizer"),
    "rule's own state": tensors_like("state/order"),
    "random state of torch": tensors_like("random/torch"),
    "random state of NumPy": tensors_like("random/numpy"),
    "place in the random state of NumPy": numpy_place,
    "random state of Python": tensors_like("random/python"),
    "epoch": at(epoch=0),
    "batch": at(batch=0),
    "step": at(step=0),
    "steps of the stage": at(stage_step=0),
    "best weights": best_weights,
    "best score": best_score,
    "best altogether": best_altogether,
    "patience": at(waited=0),
    "history": at(history=[]),
    "sum of losses": at(loss_sum=0.0),
    "count of losses": at(loss_count=0),
}


@pytest.mark.parametrize("what", OMISSIONS)
def test_whatever_is_left_out_is_missed(interrupted, tmp_path, what):
    assert resumed(interrupted, tmp_path, OMISSIONS[what]), f"{what} could be left out of a checkpoint and nobody would know"


def test_a_missing_tensor_is_refused_by_name(interrupted, tmp_path):
    half, _ = interrupted
    tensors, payload = checkpoint.read(half / LAST)
    for name in tensors:
        if "random" not in name:
            folder = tmp_path / name.replace("/", "-")
            folder.mkdir()
            checkpoint.write(folder / LAST, {k: t for k, t in tensors.items() if k != name}, payload)
            with pytest.raises(InputError, match=name):
                run(folder)
