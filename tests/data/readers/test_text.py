"""Text: exact round trips, windows against Python's own slices, the vocabulary's blindness to test text, and a run from end to end."""

import gzip
import json
import random
import re

import pytest
import torch
from hypothesis import example, given, settings
from hypothesis import strategies as st

import chainrule as cr
from chainrule.core.errors import InputError
from chainrule.core.symbols import TRACE
from chainrule.data.encode.encoder import Encoder
from chainrule.data.encode.vocabulary import UNKNOWN, Symbols, Vocabulary, numbered, one_hot
from chainrule.data.feed.shuffled import CHUNK_BYTES, Feed
from chainrule.data.load import load, load_inputs
from chainrule.data.prepare import prepare
from chainrule.data.readers import text
from chainrule.data.tokens import tokens

some_text = st.text(st.characters(exclude_categories=["Cs"]), max_size=60)
unit = st.sampled_from(["characters", "words"])


@settings(deadline=None, max_examples=80)
@given(some_text, unit)
@example(" don't  stop,\n\tnaïve 北京\r\n😀!", "words")
@example(UNKNOWN + "a", "characters")
def test_decoding_undoes_encoding_for_any_text_of_known_symbols(x, unit):
    vocabulary = Vocabulary.fit(x, unit)
    codes = vocabulary.encode(x)
    assert codes.dtype == torch.int64
    assert vocabulary.decode(codes) == x
    assert bool((codes < vocabulary.unknown).all()) or UNKNOWN in x
    filled = torch.cat([codes, torch.full((3,), vocabulary.padding)])
    assert vocabulary.decode(filled) == x


def test_codes_number_the_sorted_symbols_and_what_is_not_known_is_marked():
    """Python's own sorted() and index() are the oracle."""
    x = "the cat, the hat"
    assert tokens(x, "words") == ["the", " cat", ",", " the", " hat"]
    assert "".join(tokens("a  b\n c.", "words")) == "a  b\n c."
    for unit in ("characters", "words"):
        known = sorted(set(tokens(x, unit)))
        vocabulary = Vocabulary.fit(x, unit)
        assert vocabulary.encode(x).tolist() == [known.index(w) for w in tokens(x, unit)]
    vocabulary = Vocabulary.fit("abc")
    assert vocabulary.encode("azb").tolist() == [0, 3, 1]
    assert vocabulary.decode(vocabulary.encode("azb")) == f"a{UNKNOWN}b"
    with pytest.raises(InputError, match="from 0 to 4; got 9"):
        vocabulary.decode(torch.tensor([0, 9]))


@pytest.mark.parametrize(("count", "dtype"), [(254, torch.uint8), (255, torch.int16), (2**15 - 2, torch.int16), (2**15, torch.int32)])
def test_codes_are_stored_in_the_smallest_dtype(count, dtype):
    words = tuple(chr(0x4E00 + i) if i < 20_000 else f"{i}" for i in range(count))
    vocabulary, held = Vocabulary(words), Symbols(torch.tensor([[0, count - 1, count]]), words)
    stored = vocabulary.recode(held)
    assert (stored.dtype, stored.tolist()) == (dtype, [[0, count - 1, vocabulary.padding]])
    assert stored.max() <= torch.iinfo(dtype).max


def test_windows_are_the_slices_of_the_text_and_not_copied():
    x = "Hello, world! 北京"
    source = text.source(x, "x", context=5)
    assert source.inputs.codes.stride() == (1, 1)
    assert [source.inputs[i] for i in range(len(source))] == [x[i : i + 5] for i in range(len(x) - 5)]
    assert "".join(source.classes[c] for c in source.targets) == x[5:]
    open_end = text.source(x, "x", context=5, targets=False)
    assert (open_end.target_kind, open_end.inputs[len(open_end) - 1]) == ("none", x[-5:])
    words = text.source("the cat sat on the mat", "x", context=3, unit="words")
    assert (words.inputs[0], words.classes[words.targets[0]]) == ("the cat sat", " on")


def test_the_past_trains_and_the_future_tests():
    source = text.source("abcdefghij" * 30, "x")
    data = prepare(source)
    n = len(source)
    assert torch.equal(torch.cat([data.train.rows, data.valid.rows, data.door.rows]), torch.arange(n))
    assert len(data.door) == pytest.approx(0.15 * n, abs=1)
    assert len(data.train) == pytest.approx(0.9 * (n - len(data.door)), abs=1)
    shares = prepare(source, split={"train": 0.5, "valid": 0.25, "test": 0.25})
    assert len(shares.train) == pytest.approx(0.5 * n, abs=1)


@pytest.mark.parametrize("flatten", [False, True])
def test_a_net_reads_one_hot_rows_that_decode_to_the_text(flatten):
    x = "To be, or not to be: that is the question." * 5
    data = prepare(text.source(x, "x"), flatten=flatten)
    stored, vocabulary = data.train.x, data.encoder.inputs.vocabulary
    assert stored.dtype == torch.uint8
    hot = data.ready(stored)
    assert tuple(hot.shape[1:]) == data.input_shape
    hot = hot.reshape(len(stored), 8, len(vocabulary))
    assert torch.equal(hot, torch.nn.functional.one_hot(stored.long(), len(vocabulary)).float())
    assert [vocabulary.decode(row) for row in hot.argmax(2)] == [x[i : i + 8] for i in range(len(stored))]
    assert [data.classes[c] for c in data.train.y] == list(x[8 : 8 + len(stored)])


def test_filled_ends_light_nothing_and_unknown_symbols_next_to_nothing():
    vocabulary = Vocabulary(("a", "b"))
    hot = one_hot(torch.tensor([[0, 1, vocabulary.unknown, vocabulary.padding]], dtype=torch.uint8), len(vocabulary))
    assert hot.tolist() == [[[1, 0], [0, 1], [TRACE, 0], [0, 0]]]


@settings(deadline=None, max_examples=20)
@given(st.text(st.characters(codec="utf-8"), min_size=30, max_size=30))
def test_test_text_never_changes_the_vocabulary(other):
    past = "abracadabra, said the cat. " * 10
    plain = prepare(text.source(past + "a" * 30, "x"), split={"train": 0.7, "valid": 0.15, "test": 0.15})
    changed = prepare(text.source(past + other, "x"), split={"train": 0.7, "valid": 0.15, "test": 0.15})
    assert len(plain.train) + 8 < len(past)
    assert changed.encoder.inputs.vocabulary == plain.encoder.inputs.vocabulary
    assert changed.classes == plain.classes
    assert torch.equal(changed.train.x, plain.train.x)
    assert torch.equal(changed.train.y, plain.train.y)


def test_the_vocabulary_is_that_of_the_training_rows_and_strange_targets_are_the_unknown_class():
    x = "ab" * 100 + "Z" * 50
    data = prepare(text.source(x, "x"))
    assert data.classes == ("a", "b", UNKNOWN)
    test = data.door.open("test")
    assert [data.classes[c] for c in test.y] == [UNKNOWN if c == "Z" else c for c in x[-len(test):]]
    assert bool((test.x[-1] == data.encoder.inputs.vocabulary.unknown).all())
    last = text.source("ab" * 10 + "c", "x", context=2)
    rows = torch.arange(len(last))
    assert Encoder.fit(last, rows, target="class").target.classes == ("a", "b", "c", UNKNOWN)
    assert Encoder.fit(last, rows[:-1], target="class").target.classes == ("a", "b", UNKNOWN)


@pytest.mark.parametrize("unit", ["characters", "words"])
def test_the_encoder_survives_tensors_and_json(unit):
    data = prepare(text.source("the cat sat on the mat, and the cat was fat. " * 9, "x", unit=unit))
    tensors, meta = data.encoder.to_state()
    again = Encoder.from_state(tensors, json.loads(json.dumps(meta)))
    assert again == data.encoder
    assert torch.equal(again.inputs.encode(data.source, data.train.rows), data.train.x)
    assert torch.equal(again.inputs.ready(data.train.x), data.ready(data.train.x))


@pytest.mark.parametrize("packed", [False, True])
def test_files_are_read_plain_or_packed_with_their_line_ends(tmp_path, packed):
    x = "Zeile eins\r\nZeile zwei\nZüri ☕"
    path = tmp_path / ("a.txt.gz" if packed else "a.txt")
    path.write_bytes(gzip.compress(x.encode()) if packed else x.encode())
    source = load(path)
    assert source.name == "a"
    assert source.inputs[0] + "".join(source.classes[c] for c in source.targets) == x
    assert source.fingerprint == text.source(x, "x").fingerprint != text.source(x + ".", "x").fingerprint
    assert load(path, target="none").target_kind == "none"


@pytest.mark.parametrize(("raw", "says"), [
    (b"", "empty"), (b"short", "has 5 characters; a context of 8 and the one that follows need 9"),
    (b"good\xffbad", r"byte 0xff at offset 4. Save it as UTF-8"), (b"cut in two \xc3", "byte 0xc3 at offset 11"),
])
def test_bad_files_are_refused_in_a_sentence(tmp_path, raw, says):
    for name, written in (("a.txt", raw), ("a.txt.gz", gzip.compress(raw))):
        (tmp_path / name).write_bytes(written)
        with pytest.raises(InputError, match=says) as caught:
            load(tmp_path / name)
        assert str(tmp_path / name) in str(caught.value)
    (tmp_path / "good.txt").write_text("long enough to be read")
    for wrong, says in (({"target": "y"}, "--target y"), ({"time": "t"}, "--time")):
        with pytest.raises(InputError, match=says):
            load(tmp_path / "good.txt", **wrong)


def test_what_does_not_fit_a_text_or_is_one_is_refused(tmp_path):
    data = prepare(text.source("abc" * 30, "x"))
    with pytest.raises(InputError, match="context of 5 symbols; the network was trained on 8"):
        data.encoder.inputs.encode(text.source("abc" * 30, "y", context=5))
    with pytest.raises(InputError, match="expected text"):
        data.encoder.inputs.encode(torch.zeros(3, 8))
    with pytest.raises(InputError, match="is text or sequences"):
        prepare(load("digits")).encoder.inputs.encode(data.source)
    with pytest.raises(InputError, match="constant"):
        prepare(text.source("a" * 90, "x"))
    with pytest.raises(InputError, match="context of at least 1"):
        text.source("abc", "x", context=0)


def test_picked_classes_are_the_classes():
    data = prepare(text.source("abcab" * 30, "x"), classes=["a", "b"])
    assert data.classes == ("a", "b")
    assert prepare(text.source("abcab" * 30, "x"), classes=["b", "c"], target="sign").outputs == 1


def test_a_chunk_of_the_feed_is_bounded_by_what_a_net_reads():
    """Codes are a byte each; their one-hot rows are four bytes for every symbol."""
    data = prepare(text.source(bytes(range(32, 127)).decode() * 20, "x"))
    feed = Feed(data.train, data.ready, batch=100)
    row = 8 * 95 * 4
    assert feed.longest_chunk() * 100 * row <= CHUNK_BYTES < (feed.longest_chunk() + 1) * 100 * row


def test_a_small_text_is_learned_saved_and_continued(tmp_path):
    """What follows is a function of what went before, so a net that sees eight symbols can be right always."""
    path, new = tmp_path / "abc.txt", tmp_path / "new.txt"
    path.write_text("abcabd" * 80)
    new.write_text("abdabcabdabcab?")
    run = cr.train(path, net="mlp:hidden=16", epochs=30, batch=32, plan="eager", threads=1, progress=False, out=tmp_path / "run")
    assert run.test().to_dict()["accuracy"] > 0.9
    for held in (run, cr.Run(tmp_path / "run")):
        said, names = held.predict(new)
        assert names == ("a", "b", "c", "d", UNKNOWN)
        assert said.shape == (15 - 8 + 1, 5)
        assert "".join(names[c] for c in said.argmax(1)[:6]) == new.read_text()[8:14]
    assert load_inputs(new, like=run.job.trained.encoder.inputs).targets is None
    assert re.fullmatch("[abcd]+", run.source.inputs[0])
    assert cr.Run(tmp_path / "run").source.fingerprint == run.source.fingerprint
    with pytest.raises(InputError, match="data in memory"):
        _ = cr.Run(cr.train(text.source("abc" * 90, "x", context=3), epochs=1, plan="eager", threads=1, progress=False,
                            out=tmp_path / "memory").path).source


def test_numbering_is_that_of_a_dictionary():
    words = random.Random(0).choices("xyzzy", k=20)
    codes, alphabet = numbered(words)
    assert [alphabet[c] for c in codes] == words
    assert alphabet == tuple(sorted(set(words)))
