"""Sums against Python's integers, the two marked numbers added by hand, copies against what was shown; nothing asked where nothing is."""

import pytest
import torch

import chainrule as cr
from chainrule.core.errors import InputError
from chainrule.data.prepare import prepare
from chainrule.data.synthetic.memory import ABSENT, COPIED, LATE, adding, addition, copying, summands


def number(bits):
    return sum(int(bit) << place for place, bit in enumerate(bits))


def test_sums_are_pythons():
    source = addition(length=9, count=300)
    lengths = set()
    for x, y in zip(source.inputs, source.targets, strict=True):
        asked = (y != ABSENT).nonzero()[:, 0]
        digits = len(asked) - 1
        lengths.add(digits)
        assert asked.tolist() == list(range(LATE, LATE + digits + 1))
        assert number(y[asked]) == number(x[:digits, 0]) + number(x[:digits, 1])
        assert not x[digits:].any()
    assert lengths == set(range(1, 10))
    assert not (addition(length=9, count=50, exact=True).targets[:, LATE:] == ABSENT).any()


def test_the_sum_of_the_lecture():
    one, other = (torch.tensor([int(bit) for bit in reversed(bits)]) for bits in ("00110100", "01001101"))
    _, y = summands(torch.stack([one, other])[None], torch.tensor([8]))
    assert "".join(str(int(bit)) for bit in reversed(y[0, LATE : LATE + 8])) == "10000001"
    assert y[0, -1] == 0


def test_two_marked_numbers_in_either_half_add_up():
    source = adding(length=11, count=200)
    values, marks = source.inputs.unbind(2)
    assert set(marks.unique().tolist()) == {0.0, 1.0}
    assert marks[:, :5].sum(1).tolist() == marks[:, 5:].sum(1).tolist() == [1.0] * 200
    torch.testing.assert_close(source.targets, (values * marks).sum(1))
    assert float(adding(count=20_000, length=4).targets.var()) == pytest.approx(1 / 6, rel=0.03)


def test_copies_are_what_was_shown():
    source = copying(length=5, count=20)
    codes = source.inputs.codes
    assert codes.shape == (20, 25)
    assert torch.equal(source.targets[:, -COPIED:], codes[:, :COPIED].long())
    assert (source.targets[:, :-COPIED] == ABSENT).all()
    assert [source.inputs.alphabet[c] for c in codes[0, COPIED:]] == ["_"] * 4 + [">"] + ["_"] * 10


@pytest.mark.parametrize("name", ["addition", "adding", "copying"])
def test_one_seed_one_set(name):
    first, again, other = (cr.load(f"{name}:length=6,count=30,seed={seed}") for seed in (1, 1, 2))
    assert first.fingerprint == again.fingerprint != other.fingerprint
    assert cr.load(first.origin["what"]).fingerprint == first.fingerprint
    with pytest.raises(InputError, match=f"{name} expects a length of at least"):
        cr.load(f"{name}:length=0")


def test_steps_at_which_nothing_is_asked_are_masked():
    data = prepare(cr.load("addition:length=3,count=40"))
    source = data.source
    assert torch.equal(data.train.mask, source.targets[data.train.rows] != ABSENT)
    assert torch.equal(data.train.y, source.targets[data.train.rows].clamp(min=0))
    data = prepare(cr.load("copying:length=3,count=40"))
    assert data.train.mask.sum(1).tolist() == [COPIED] * len(data.train)


def test_a_net_of_steps_is_tested_on_longer_sequences(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    run = cr.train("addition:length=4,count=60", net="rnn:hidden=3", epochs=1, plan="eager", threads=1, progress=False)
    longer = cr.load("addition:length=9,count=20,exact=yes")
    assert run.test_on(longer).n == 20
    assert run.predict(longer)[0].shape == (20, 12, 2)
    with pytest.raises(InputError, match=r"rows of shape \(12,\); the network was trained on"):
        run.predict(longer.inputs[:, :, 0])
