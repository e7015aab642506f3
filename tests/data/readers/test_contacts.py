"""Chains with contacts from a folder: a FASTA file beside contacts.csv."""

import pytest
import torch

import chainrule as cr
from chainrule.core.errors import InputError

FASTA = ">one\nACDEFGHIKL\n>two\nACDEFGH\n"


@pytest.fixture
def folder(tmp_path):
    def written(contacts, chains=FASTA):
        (tmp_path / "chains.fasta").write_text(chains)
        (tmp_path / "contacts.csv").write_text(contacts)
        return tmp_path

    return written


def test_pairs_are_read_in_either_order_from_one_on(folder):
    source = cr.load(folder("sequence,i,j\none,1,8\none,10,2\ntwo,1,7\none,1,3\n"))
    assert source.target_kind == "pairs"
    assert source.targets.shape == (2, 10, 10)
    assert [(a, i + 1, j + 1) for a, i, j in (source.targets == 1).nonzero().tolist() if i < j] == [(0, 1, 8), (0, 2, 10), (1, 1, 7)]
    assert int((source.targets[0] == 0).sum()) == 2 * (4 + 3 + 2 + 1 - 2)
    assert bool((source.targets[1, 7:] == -1).all())
    assert source.classes == ("apart", "contact")


def test_a_chain_without_contacts_has_none(folder):
    assert not bool((cr.load(folder("sequence,i,j\none,1,8\n")).targets[1] == 1).any())


@pytest.mark.parametrize(("contacts", "complaint"), [
    ("sequence,i,j\nthree,1,8\n", r"line 2: no sequence is called 'three'"),
    ("sequence,i,j\none,1,8\none,0,8\n", r"line 3: expected i and j from 1 to 10, the residues of 'one'; got 0, 8"),
    ("sequence,i,j\ntwo,1,8\n", r"line 2: expected i and j from 1 to 7"),
    ("sequence,i,j\none,x,8\n", r"got x, 8"), ("sequence,i,j\none,,8\n", r"got None, 8"),
    ("name,i,j\none,1,8\n", r"expected the columns sequence, i, j; got name, i, j"), ("", r"could not be read as a table"),
])
def test_what_is_no_pair_is_named_with_its_line(folder, contacts, complaint):
    with pytest.raises(InputError, match=complaint):
        cr.load(folder(contacts))


def test_chains_of_one_name_and_several_files_are_refused(folder, tmp_path):
    with pytest.raises(InputError, match="two are called 'one'"):
        cr.load(folder("sequence,i,j\n", FASTA + ">one\nAC\n"))
    (tmp_path / "more.fa").write_text(FASTA)
    with pytest.raises(InputError, match="expected one FASTA file beside it"):
        cr.load(tmp_path)


def test_letters_alone_are_read_for_predictions(folder):
    path = folder("sequence,i,j\none,1,8\n")
    assert torch.equal(cr.load(path).inputs.codes, cr.load(path / "chains.fasta").inputs.codes)
