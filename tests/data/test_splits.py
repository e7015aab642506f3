"""Splits: no row in two parts, groups whole, time in order, classes in proportion, the same under the same seed."""

from dataclasses import replace

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from chainrule.core.errors import InputError
from chainrule.data.load import load
from chainrule.data.source import Source
from chainrule.data.splits import kfold, parse_split, sample, split


def source_of(n, classes=0, groups=None, times=None, test=None, seed=0):
    generator = torch.Generator().manual_seed(seed)
    y = torch.randint(0, classes, (n,), generator=generator) if classes else torch.randn(n, generator=generator)
    given = {} if test is None else {"test": test}
    return Source("made", torch.zeros(n, 1), y, "class" if classes else "real", {"kind": "memory"}, "",
                  tuple(map(str, range(classes))), given, groups, times)


shares = st.sampled_from([(0.7, 0.15, 0.15), (0.8, 0.2, 0.0), (0.5, 0.25, 0.25), (0.34, 0.33, 0.33), (0.9, 0.05, 0.05), (1.0, 0.0, 0.0)])


def assert_divides(parts, rows):
    whole = torch.cat([parts.train, parts.valid, parts.test])
    assert whole.dtype == torch.int64
    assert whole.sort().values.tolist() == sorted(rows)


@settings(max_examples=60, deadline=None)
@given(st.integers(3, 200), shares, st.integers(0, 12), st.integers(0, 5))
def test_every_row_is_in_one_part_and_classes_keep_their_share(n, share, classes, seed):
    source = source_of(n, classes, seed=seed)
    options = dict(zip(("train", "valid", "test"), share), seed=seed)
    parts = split(source, **options)
    assert_divides(parts, range(n))
    for rows, s in zip((parts.train, parts.valid, parts.test), share):
        assert abs(len(rows) - s * n) <= 2
        assert (len(rows) > 0) == (s > 0)
    again = split(source, **options)
    assert torch.equal(parts.train, again.train)
    assert torch.equal(parts.test, again.test)
    if classes:
        count = torch.bincount(source.targets, minlength=classes)
        held = torch.bincount(source.targets[parts.train], minlength=classes)
        if n - int((count > 0).sum()) >= len(parts.valid) + len(parts.test):
            assert bool((held[count > 0] > 0).all()), "training saw every class"
            for rows, s in ((parts.valid, share[1]), (parts.test, share[2])):
                got = torch.bincount(source.targets[rows], minlength=classes)
                assert bool(((got - s * count).abs() <= 2 + 2 * s * classes).all())


def test_stratification_is_near_exact_on_digits():
    source = load("digits")
    parts = split(source)
    count = torch.bincount(source.targets)
    for rows, share in ((parts.train, 0.7), (parts.valid, 0.15), (parts.test, 0.15)):
        assert float((torch.bincount(source.targets[rows]) - share * count).abs().max()) <= 1.5


def test_another_seed_is_another_division():
    assert not torch.equal(split(source_of(100)).test, split(source_of(100), seed=1).test)


@settings(max_examples=60, deadline=None)
@given(st.lists(st.integers(1, 9), min_size=3, max_size=30), shares, st.integers(0, 5))
def test_groups_never_straddle(sizes, share, seed):
    groups = torch.cat([torch.full((s,), float(g)) for g, s in enumerate(sizes)])
    groups = groups[torch.randperm(len(groups), generator=torch.Generator().manual_seed(seed))]
    source = source_of(len(groups), 3, groups)
    parts = split(source, **dict(zip(("train", "valid", "test"), share)), seed=seed)
    assert_divides(parts, range(len(groups)))
    found = [set(groups[rows].tolist()) for rows in (parts.train, parts.valid, parts.test)]
    assert not found[0] & found[1]
    assert not found[0] & found[2]
    assert not found[1] & found[2]
    assert [len(f) > 0 for f in found] == [s > 0 for s in share]
    assert abs(len(parts.train) - share[0] * len(groups)) <= 2 * max(sizes) or len(sizes) < 8


@settings(max_examples=60, deadline=None)
@given(st.lists(st.integers(0, 40), min_size=12, max_size=80), st.integers(0, 3))
def test_time_runs_from_training_to_test(times, seed):
    source = source_of(len(times), 2, times=torch.tensor(times, dtype=torch.float64))
    try:
        parts = split(source, seed=seed)
    except InputError as error:
        assert "different times" in str(error)
        assert len(set(times)) < len(times)
        return
    assert_divides(parts, range(len(times)))
    assert source.times[parts.train].max() < source.times[parts.valid].min()
    assert source.times[parts.valid].max() < source.times[parts.test].min()


def test_parts_that_a_source_defines_are_kept():
    test = torch.arange(40, 60)
    parts = split(source_of(60, 3, test=test))
    assert torch.equal(parts.test, test)
    assert_divides(parts, range(60))
    assert len(parts.valid) == round(40 * 0.15 / 0.85)


@pytest.mark.parametrize("kind", ["classes", "groups", "numbers"])
def test_each_row_validates_once_over_the_folds(kind):
    n = 63
    groups = torch.arange(n) // 4 if kind == "groups" else None
    source = source_of(n, 3 if kind == "classes" else 0, groups)
    made = kfold(source, 5, test=0.2, seed=3)
    assert len(made) == 5
    seen = torch.cat([f.valid for f in made])
    for fold in made:
        assert_divides(fold, range(n))
        assert torch.equal(fold.test, made[0].test)
        if groups is not None:
            assert not set(groups[fold.train].tolist()) & set(groups[fold.valid].tolist())
    assert seen.sort().values.tolist() == sorted(set(range(n)) - set(made[0].test.tolist()))
    if kind == "classes":
        counts = torch.stack([torch.bincount(source.targets[f.valid], minlength=3) for f in made])
        assert int((counts.amax(0) - counts.amin(0)).max()) <= 1


def test_folds_over_time_never_look_ahead():
    source = source_of(60, times=torch.randperm(60).double())
    for fold in kfold(source, 4, test=0.2):
        assert source.times[fold.train].max() < source.times[fold.valid].min()
        assert source.times[fold.valid].max() < source.times[fold.test].min()


def test_a_sample_holds_every_class():
    source = source_of(500, 7)
    rows = sample(source, torch.arange(500), 20)
    assert len(rows) == 20
    assert set(source.targets[rows].tolist()) == set(range(7))


def test_shares_are_read_as_written():
    assert parse_split("train=.8,valid=.1,test=.1") == {"train": 0.8, "valid": 0.1, "test": 0.1}
    assert parse_split("train=.8,valid=.2")["test"] == 0
    assert parse_split("test=.4") == pytest.approx({"train": 0.6 * 0.7 / 0.85, "valid": 0.6 * 0.15 / 0.85, "test": 0.4})


@pytest.mark.parametrize(("text", "message"), [
    ("trian=.5", "no part 'trian'. Did you mean train"), ("train=much", "a number for train; got 'much'"),
    ("train=.8,valid=.8", "add up to 1"), ("train=-1", "add up to 1"), ("train=0,valid=.5,test=.5", "add up to 1")])
def test_bad_shares_are_refused(text, message):
    with pytest.raises(InputError, match=message):
        parse_split(text)


@pytest.mark.parametrize(("source", "message"), [
    (source_of(2), "has 2 rows to divide into train and valid and test; at least 3 are needed"),
    (source_of(9, groups=torch.arange(9) % 2), "has 2 groups to divide into 3 parts"),
    (source_of(9, times=torch.zeros(9)), "has 1 different times"),
    (source_of(9, groups=torch.arange(9), times=torch.arange(9.0)), "--group or --time; got both"),
])
def test_too_little_to_divide_is_refused(source, message):
    with pytest.raises(InputError, match=message):
        split(source)


def test_parts_that_are_all_given_are_kept_and_divided_into_folds():
    """Nothing is left to divide, and no share asks for it: what boosting's residuals are, split and in folds."""
    rows = torch.arange(30)
    source = replace(source_of(30), parts={"train": rows[:15], "valid": rows[15:24], "test": rows[24:]})
    parts = split(source)
    assert all(torch.equal(getattr(parts, name), given) for name, given in source.parts.items())
    free = replace(source, parts={"train": rows[:20], "valid": rows[20:]})
    assert len(split(free).test) == 0
    folds = kfold(free, 3, test=0.0)
    assert torch.cat([fold.valid for fold in folds]).sort().values.tolist() == list(range(30))
    assert all(len(fold.train) == 20 and len(fold.test) == 0 for fold in folds)
    with pytest.raises(InputError, match="has 0 rows to divide into train and valid"):
        split(replace(source, parts={"test": rows}))
