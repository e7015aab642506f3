"""Cross-validation inside an ensemble: no row is judged by a member that learned from it, and every row is judged."""

import pytest
import torch

import chainrule as cr
from chainrule.core.errors import InputError
from chainrule.job.build import build
from chainrule.job.options import Options

NET = "ensemble:members=6,hidden=4"


def source(n=60):
    x = torch.randn(n, 3, generator=torch.Generator().manual_seed(0))
    return cr.load((x, (x[:, 0] > 0).long()))


def job(src=None, **more):
    return build(src or source(), Options(**{"net": NET, "folds": 3, "epochs": 2, "batch": 16, "plan": "eager", "seed": 1, **more}))


def test_a_member_learns_from_all_folds_but_its_own():
    data = job().data
    train, valid = data.train, data.valid
    assert torch.equal(train.rows, valid.rows)
    assert torch.equal(train.mask, ~valid.mask)
    assert torch.equal(valid.mask.sum(1), torch.full((len(valid),), 2))          # members m and m + 3 of every fold
    assert torch.equal(valid.mask[:, :3], valid.mask[:, 3:])
    sizes = valid.mask.sum(0)
    assert int(sizes.max() - sizes.min()) <= 1
    assert not set(train.rows.tolist()) & set(data.door.rows.tolist())


def trained(flip=None):
    """A job after one epoch, the label of one training row having been changed to the other."""
    made = job(epochs=1)
    if flip is not None:
        made.data.train.y[flip] = 1 - made.data.train.y[flip]
    for _ in made.events():
        pass
    return made


def test_a_row_does_not_reach_the_members_that_judge_it():
    """Another label of one training row changes the weights of its learners, and not a bit of those that validate it."""
    a, b = trained(), trained(flip=5)
    judges = a.data.valid.mask[5]
    same = torch.stack([(u == v).flatten(1).all(1) for u, v in zip(
        (layer.weight for layer in a.net.module.layers if hasattr(layer, "weight")),
        (layer.weight for layer in b.net.module.layers if hasattr(layer, "weight")), strict=True)]).all(0)
    assert torch.equal(same, judges)


def test_the_validation_answer_is_the_mean_of_those_that_did_not_learn_from_the_row():
    made = trained()
    part = made.data.valid
    said = made.net.module.members(made.data.ready(part.x)).detach()              # (n, members, classes)
    by_hand = torch.stack([said[i][part.mask[i]].mean(0) for i in range(len(part))]).softmax(1)
    torch.testing.assert_close(made.trained.predictions(part), by_hand)
    measured = made.validate(None)
    assert measured["accuracy"] == pytest.approx(float((by_hand.argmax(1) == part.y).double().mean()))
    assert measured["loss"] == pytest.approx(float(-by_hand[torch.arange(len(part)), part.y].log().mean()), rel=1e-5)


def test_new_rows_are_answered_by_all_members():
    made = trained()
    part = made.data.door.open("test")
    all_of_them = made.net.module.members(made.data.ready(part.x)).detach().mean(1).softmax(1)
    torch.testing.assert_close(made.trained.predictions(part), all_of_them)


@pytest.mark.parametrize(("wrong", "says"), [({"net": "mlp"}, "needs a net of several members"), ({"folds": 7}, "needs a member for each"),
                                             ({"folds": 1}, "folds")])
def test_what_cannot_be_cross_validated_is_refused(wrong, says):
    with pytest.raises(InputError, match=says):
        job(**wrong)


def test_the_future_is_not_cross_validated():
    import pandas as pd

    frame = pd.DataFrame({"x": range(40), "when": range(40), "y": [0.5 * i for i in range(40)]})
    with pytest.raises(InputError, match="--time"):
        build(cr.load(frame, target="y", time="when"), Options(net=NET, folds=3))
