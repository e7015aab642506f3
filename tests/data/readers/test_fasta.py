"""FASTA: writing undoes reading, padding against torch's, and sentences that name record, line and column."""

import gzip
import textwrap

import pytest
import torch
from hypothesis import example, given, settings
from hypothesis import strategies as st

import chainrule as cr
from chainrule.core.errors import InputError
from chainrule.core.symbols import known, there
from chainrule.data.encode.encoder import Encoder
from chainrule.data.load import load, load_inputs
from chainrule.data.prepare import prepare
from chainrule.data.readers.fasta import AMINO_ACIDS, NUCLEOTIDES, Record, coded, read_fasta, write_fasta

letters = st.sampled_from([NUCLEOTIDES, AMINO_ACIDS])
headers = st.text(st.characters(exclude_categories=["Cs", "Cc"]), max_size=20).map(lambda h: " ".join(h.split()))
records = letters.flatmap(lambda a: st.lists(st.builds(Record, headers, st.text(a, min_size=1, max_size=150)), min_size=1, max_size=4))


@settings(deadline=None, max_examples=80)
@given(records)
def test_reading_undoes_writing(made):
    written = write_fasta(made)
    assert read_fasta(written) == made
    assert write_fasta(read_fasta(written)) == written


@settings(deadline=None, max_examples=60)
@given(records, st.integers(1, 90), st.booleans(), st.sampled_from(["\n", "\r\n"]))
@example([Record("long", "ACGT-" * 30)], 70, True, "\n")
@example([Record("", "AA")], 1, False, "\n")
def test_any_layout_becomes_the_canonical_one(made, width, lower, end):
    """Python's textwrap is the second writer: any width, blank lines, small letters, comments, other line ends."""
    lines = ["; a comment"]
    for r in made:
        body = textwrap.wrap(r.sequence, width, break_on_hyphens=False)
        lines += ["> " + r.header.replace(" ", "  "), *(b.lower() if lower else b for b in body), ""]
    want = [line for r in made for line in (f">{r.header}", *textwrap.wrap(r.sequence, 60, break_on_hyphens=False))]
    assert write_fasta(read_fasta(end.join(lines))).splitlines() == want


@settings(deadline=None, max_examples=60)
@given(letters.flatmap(lambda a: st.tuples(st.just(a), st.lists(st.text(a, min_size=1, max_size=40), min_size=1, max_size=6))))
def test_codes_are_padded_as_torch_would_and_decode_exactly(made):
    alphabet, sequences = made
    held = coded([Record("r", s) for s in sequences], alphabet)
    numbers = [torch.tensor([alphabet.index(c) for c in s], dtype=torch.uint8) for s in sequences]
    assert held.codes.dtype == torch.uint8
    want = torch.nn.utils.rnn.pad_sequence(numbers, batch_first=True, padding_value=len(alphabet))
    assert torch.equal(held.codes, want)
    assert held.lengths.tolist() == [len(s) for s in sequences]
    assert [held[i] for i in range(len(held))] == sequences


def write(path, *pairs):
    path.write_text("".join(f">{h}\n{s}\n" for h, s in pairs))
    return path


def test_a_class_in_every_header_is_the_target(tmp_path):
    source = load(write(tmp_path / "a.fasta", ("one label=tail", "ACGT"), ("two|class=head", "ACG"), ("three label=tail;x", "A-N")))
    assert (source.target_kind, source.classes, source.targets.tolist()) == ("class", ("head", "tail"), [1, 0, 1])
    assert source.inputs.alphabet == tuple(NUCLEOTIDES)
    assert source.inputs.mask.tolist() == [[True] * 4, [True] * 3 + [False], [True] * 3 + [False]]
    assert load(tmp_path / "a.fasta", target="none").target_kind == "none"
    assert load(write(tmp_path / "n.fa", ("a label=1", "AC"), ("b label=2", "AC"))).classes == ("1", "2")


@pytest.mark.parametrize(("suffix", "alphabet"), [(".fa", NUCLEOTIDES), (".faa", AMINO_ACIDS), (".fna.gz", NUCLEOTIDES)])
def test_the_suffix_or_the_letters_say_the_alphabet(tmp_path, suffix, alphabet):
    path = tmp_path / f"a{suffix}"
    raw = b">r x\nacgu\nN-\n"
    path.write_bytes(gzip.compress(raw) if suffix.endswith(".gz") else raw)
    source = load(path)
    assert (source.name, source.target_kind, source.inputs.alphabet, source.inputs[0]) == ("a", "none", tuple(alphabet), "ACGUN-")
    assert load(write(tmp_path / "p.fasta", ("r", "MKV*"))).inputs.alphabet == tuple(AMINO_ACIDS)


@pytest.mark.parametrize(("suffix", "raw", "says"), [
    (".fa", ">a\nAC\n>bee\nACG\nAC1T\n", r"record 2 \(bee\), line 5, column 3: '1' is no letter of amino acids"),
    (".fna", ">a\nACL\n", r"record 1 \(a\), line 2, column 3: 'L' is no letter of nucleotides"),
    (".fa", ">a\nACß\n", "column 3: 'ß'"),
    (".fa", "ACGT\n", "line 1: expected a header"), (".fa", "\n", "holds no sequence"),
    (".fa", ">a\n>b\nAC\n", r"record 1 \(a\) has no sequence"),
    (".fa", ">a label=x\nAC\n>b\nAC\n", r"record 2 \(b\) has no label="), (".faa", "", "empty"),
])
def test_bad_files_are_refused_with_their_place(tmp_path, suffix, raw, says):
    path = tmp_path / f"bad{suffix}"
    path.write_text(raw)
    with pytest.raises(InputError, match=says) as caught:
        load(path)
    assert str(path) in str(caught.value)


def test_the_encoder_knows_the_training_letters_and_takes_shorter_and_longer_files(tmp_path):
    pairs = [(f"r{i} label={'ab'[i % 2]}", "AC" * (1 + i % 3)) for i in range(12)] + [("last label=a", "TTTT")]
    source = load(write(tmp_path / "a.fa", *pairs))
    data = prepare(source, split={"train": 0.6, "valid": 0.2, "test": 0.2}, rows=torch.arange(12))
    vocabulary = data.encoder.inputs.vocabulary
    assert vocabulary.symbols == ("A", "C")
    assert data.input_shape == (6, 2)
    everything = data.encoder.inputs.encode(source)
    assert [vocabulary.decode(row) for row in everything[:12]] == [s for _, s in pairs[:12]]
    last = data.ready(everything)[-1]
    assert (there(last).tolist(), bool(known(last).any())) == ([True] * 4 + [False] * 2, False)      # letters that training never saw
    again = Encoder.from_state(*data.encoder.to_state()).inputs
    short = load_inputs(write(tmp_path / "s.fa", ("x", "CA"), ("y label=b", "A")), like=again)
    assert short.targets is None
    assert [vocabulary.decode(row) for row in again.encode(short)] == ["CA", "A"]
    assert again.encode(short).shape == (2, 6)
    with pytest.raises(InputError, match=r"sequence 2: 7 symbols; the network was trained on at most 6"):
        again.encode(load(write(tmp_path / "l.fa", ("x", "CA"), ("y", "ACACACA"))))


def test_a_net_tells_classes_of_sequences_apart(tmp_path):
    path = write(tmp_path / "a.fa", *((f"r{i} label={'xy'[i % 2]}", ("ACGT", "TTGC")[i % 2] * (1 + i % 5)) for i in range(60)))
    run = cr.train(path, epochs=20, plan="eager", threads=1, progress=False, out=tmp_path / "run")
    assert run.test().to_dict()["accuracy"] == 1
    said, names = cr.Run(tmp_path / "run").predict(write(tmp_path / "new.fa", ("p", "TTGC"), ("q", "ACGTACGT")))
    assert [names[c] for c in said.argmax(1)] == ["y", "x"]
