"""Pieces of words: every merge joins a pair that is there most often, pieces are the library's own, and a run keeps what it learned."""

import sys
from collections import Counter
from itertools import pairwise

import pytest
import torch

import chainrule as cr
from chainrule.core.errors import InputError
from chainrule.data.byte_pairs import learned, pieces
from chainrule.data.encode.vocabulary import Vocabulary
from chainrule.data.reading import Reading
from chainrule.data.tokens import WORDS, merges_of, tokens

TEXT = "the lower lowest newer newest widest wider low new wide river rivers; the newest river is the widest. " * 12
MERGES = (("l", "o"), ("lo", "w"), ("e", "r"), (" ", "low"))
QUICK = {"plan": "eager", "threads": 1, "progress": False}


def replaced(symbols, pair):
    """A word with a pair joined, by the letters of a string: symbols are parted by a mark that no text has."""
    mark = "\0"
    text = mark + mark.join(symbols) + mark
    return text.replace(f"{mark}{pair[0]}{mark}{pair[1]}{mark}", f"{mark}{''.join(pair)}{mark}").strip(mark).split(mark)


def test_pieces_join_the_first_merge_first_and_are_the_text_again():
    assert pieces([" lower", "ow", "lo", ""], MERGES) == [" low", "er", "o", "w", "lo"]
    assert "".join(tokens(TEXT, "pairs", MERGES)) == TEXT
    assert tokens(TEXT, "pairs") == [letter for word in WORDS.findall(TEXT) for letter in word]


def test_each_merge_is_of_a_pair_that_comes_most_often():
    pytest.importorskip("tokenizers")
    words = Counter(WORDS.findall(TEXT))
    merges = learned(words.elements(), 40)
    now = {word: list(word) for word in words}
    assert len(merges) == 40 - len(set("".join(words)))
    for merge in merges:
        pairs = Counter()
        for word, count in words.items():
            for pair in pairwise(now[word]):
                pairs[pair] += count
        assert pairs[merge] == max(pairs.values())
        now = {word: replaced(symbols, merge) for word, symbols in now.items()}
    for word, symbols in now.items():
        assert pieces([word], merges) == symbols


def test_pieces_are_those_of_the_library():
    tokenizers = pytest.importorskip("tokenizers")
    merges = learned(WORDS.findall(TEXT), 45)
    letters = sorted(set(TEXT))
    numbers = {symbol: number for number, symbol in enumerate([*letters, *("".join(pair) for pair in merges)])}
    library = tokenizers.Tokenizer(tokenizers.models.BPE(numbers, list(merges)))
    for word in [*dict.fromkeys(WORDS.findall(TEXT)), "lowwidest", "thethe"]:
        assert pieces([word], merges) == library.encode(word).tokens


def test_what_tests_a_text_is_not_read_for_its_merges():
    pytest.importorskip("tokenizers")
    assert merges_of(TEXT + "x" * len(TEXT), 40) == merges_of(TEXT + "qz" * (len(TEXT) // 2), 40)


def test_without_the_package_a_sentence_says_how_to_install_it(monkeypatch, tmp_path):
    monkeypatch.setitem(sys.modules, "tokenizers", None)
    path = tmp_path / "book.txt"
    path.write_text(TEXT)
    with pytest.raises(InputError, match=r"pip install 'chainrule\[tokens\]'"):
        cr.load(path, reading=Reading(tokens="pairs"))


@pytest.mark.parametrize("tokens", ["pairs:", "pairs:0", "pairs:x", "pears", "characters:5"])
def test_other_words_for_tokens_are_refused(tokens):
    if tokens == "pairs:":
        assert Reading(tokens=tokens).unit == ("pairs", 1000)
        return
    with pytest.raises(InputError, match="--tokens is characters, words or pairs"):
        Reading(tokens=tokens)


def test_a_vocabulary_of_pieces_encodes_and_decodes():
    vocabulary = Vocabulary.fit(TEXT, "pairs", MERGES)
    assert vocabulary.decode(vocabulary.encode(TEXT)) == TEXT
    assert vocabulary.split("lower") == ["low", "er"]


def test_a_run_reads_other_texts_in_the_pieces_that_it_learned(tmp_path):
    pytest.importorskip("tokenizers")
    path, other = tmp_path / "book.txt", tmp_path / "other.txt"
    path.write_text(TEXT * 3)
    other.write_text("a newer river is lower than the widest one. " * 12)
    run = cr.train(path, tokens="pairs:50", net="rnn:hidden=12", rule="bptt:window=16", steps=4, batch=4,
                   out=tmp_path / "run", **QUICK)
    vocabulary = run.job.data.encoder.inputs.vocabulary
    assert vocabulary.merges == merges_of(TEXT * 3, 50)
    again = cr.Run(tmp_path / "run")
    assert again.job.data.encoder.inputs.vocabulary == vocabulary
    assert run.sample(1, "the ri", length=5).texts[0].startswith("the ri")
    result = run.test_on(other)
    assert 0 < result.measures["nats"].value < 10
    answer, _ = run.predict(other)
    assert answer.shape[-1] == len(vocabulary) + 1
    assert torch.isfinite(answer).all()
