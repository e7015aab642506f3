"""From source to data: nothing of the test part leaks into the encoder, and what cannot be learned is refused."""

from dataclasses import replace

import numpy as np
import pandas as pd
import pytest
import torch
from made_data import people

from chainrule.core.errors import InputError
from chainrule.data.load import load
from chainrule.data.prepare import prepare
from chainrule.data.source import Opening
from chainrule.data.splits import Splits, split


def changed(frame, rows):
    """The frame with other values, gaps and an unseen town in these rows."""
    other = frame.copy()
    other.loc[rows, ["age", "income", "y"]] = 1e6
    other.loc[rows[::2], "income"] = np.nan
    other.loc[rows, "town"] = "Nowhere"
    other.loc[rows, "smoker"] = ~other.loc[rows, "smoker"]
    return other


def state(encoder):
    tensors, meta = encoder.to_state()
    return {k: v.tolist() for k, v in tensors.items()}, meta


@pytest.mark.parametrize("span", ["standard", "unit"])
def test_changing_test_and_validation_rows_never_changes_the_fitted_encoder(span):
    frame = people()
    parts = split(load(frame))
    fitted = state(prepare(load(frame), split=parts, range=span).encoder)
    for rows in (parts.test.numpy(), parts.valid.numpy()):
        data = prepare(load(changed(frame, rows)), split=parts, range=span)
        assert state(data.encoder) == fitted
        assert bool(data.train.x.isfinite().all())
    assert state(prepare(load(changed(frame, parts.train.numpy()[:5])), split=parts, range=span).encoder) != fitted


def test_changing_test_rows_of_arrays_and_pixels_never_changes_the_fitted_encoder():
    rng = np.random.default_rng(0)
    for x in (rng.normal(size=(50, 4)), rng.normal(size=(50, 2, 3, 3)), rng.integers(0, 50, (50, 4, 4), np.uint8)):
        y = np.arange(50) % 2
        parts = split(load((x, y)))
        other = x.copy()
        other[parts.test] = other[parts.test] * 3 + 7
        first, second = (state(prepare(load((v, y)), split=parts).encoder) for v in (x, other))
        assert first == second


def test_changing_one_training_row_does_change_it():
    x, y = np.random.default_rng(0).normal(size=(50, 4)), np.arange(50) % 2
    data = prepare(load((x, y)))
    x2 = x.copy()
    x2[data.train.rows[0]] += 1
    assert state(prepare(load((x2, y))).encoder) != state(data.encoder)


def test_parts_hold_the_rows_they_say():
    source = load("digits")
    data = prepare(source, seed=5)
    for part in (data.train, data.valid, data.door.open("look")):
        assert torch.equal(part.x, source.inputs[part.rows])
        assert torch.equal(part.y, source.targets[part.rows])
    assert (data.input_shape, data.outputs, data.target_kind, len(data.classes)) == ((1, 8, 8), 10, "class", 10)


def test_the_door_counts_through_the_log_it_was_given():
    openings = []

    def log(reason):
        openings.append(reason)
        return Opening(len(openings) + 40, ("as before",))

    data = prepare(load("iris"), open_log=log)
    assert openings == []
    data.door.open("first")
    assert (openings, data.door.opened, data.door.notes) == (["first"], 41, ("as before",))


def test_classes_pick_rows_and_number_the_classes_anew():
    source = load("digits")
    data = prepare(source, classes=["8", "3"])
    assert (data.classes, data.outputs) == (("8", "3"), 2)
    said = source.targets[data.train.rows]
    assert torch.equal(data.train.y, torch.where(said == 8, 0, 1))
    assert set(said.tolist()) == {3, 8}


def test_rows_limit_and_weights():
    source = load("digits")
    some = torch.arange(0, 1797, 2)
    data = prepare(source, rows=some, limit=100, weights=torch.arange(1797.0) + 1)
    assert len(data.train) == 100
    assert set(torch.cat([data.train.rows, data.valid.rows, data.door.rows]).tolist()) <= set(some.tolist())
    assert float(data.train.weight.mean()) == pytest.approx(1)
    ratio = data.train.weight / (data.train.rows + 1)
    assert float(ratio.max() - ratio.min()) < 1e-6
    assert data.valid.weight is None
    assert data.door.open("look").weight is None
    with pytest.raises(InputError, match="a finite weight of at least 0 for each of the 1797 rows"):
        prepare(source, weights=torch.ones(3))


def table(y, **more):
    return load(pd.DataFrame({"x": np.arange(len(y)) * 1.0, **more, "y": y}), **({"group": "g"} if "g" in more else {}))


REFUSED = {
    "one sample": (lambda: prepare(table([1.5])), "has 1 sample;"),
    "constant class": (lambda: prepare(table(["a"] * 30)), r"the target 'y' is constant \(only 'a' in 30 rows"),
    "constant whole number": (lambda: prepare(table([7] * 30)), r"the target 'y' is constant \(only '7'"),
    "constant number": (lambda: prepare(table([0.5] * 30)), r"the target is constant \(0\.5\) in all 21 training rows"),
    "constant in training": (lambda: prepare(table([0.5] * 20 + [0.7, 1.9]),
                                             split=Splits(torch.arange(20), torch.tensor([20]), torch.tensor([21]))),
                             "the target is constant"),
    "unseen class": (lambda: prepare(table(["a", "b"] * 12 + ["c"] * 8, g=[1] * 24 + [2] * 4 + [3] * 4)),
                     r"the class 'c' is in the validation part \(row \d+\); training never saw it"),
    "sign of ten": (lambda: prepare(load("digits"), target="sign"), r"needs targets in \{-1, \+1\}; digits has 10 classes\. Pick two with "
                    "--classes 0,1, or use --rule backprop"),
    "class misspelt": (lambda: prepare(load("iris"), classes=["setosa", "virginca"]), "no class 'virginca'. Did you mean virginica"),
    "classes of numbers": (lambda: prepare(load("diabetes"), classes=["1"]), "has no classes to pick 1 from: its targets are numbers"),
    "no targets": (lambda: prepare(load(np.ones((9, 2))), target="class"), "has no targets; this rule needs them"),
    "words as numbers": (lambda: prepare(load("iris"), target="real"), "expected targets that are numbers; iris has the classes setosa"),
    "shares": (lambda: prepare(load("iris"), split={"train": 0.9, "valid": 0.9}), "add up to 1"),
}


@pytest.mark.parametrize("case", REFUSED)
def test_what_cannot_be_learned_is_refused(case):
    make, message = REFUSED[case]
    with pytest.raises(InputError, match=message):
        make()


def test_a_class_that_training_never_saw_is_named_when_scoring_new_data():
    data = prepare(load("iris"))
    strange = replace(load("iris"), classes=("setosa", "versicolor", "virginca"))
    with pytest.raises(InputError, match=r"row 101: the class 'virginca' was never seen in training.*Did you mean virginica"):
        data.encoder.target.encode(strange)
