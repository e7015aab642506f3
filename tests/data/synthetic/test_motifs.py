"""Made-up sequences: what is hidden in them, and nothing by chance."""

import pytest
import torch

import chainrule as cr
from chainrule.core.errors import InputError


def test_the_motif_is_there_once_in_its_class_and_nowhere_else_and_letters_say_nothing():
    data = cr.load("motifs:count=200,length=30")
    words = ["".join(data.inputs.alphabet[code] for code in row) for row in data.inputs.codes.tolist()]
    for word, y in zip(words, data.targets.tolist(), strict=True):
        assert sum(word[i : i + 6] == "TATAAT" for i in range(25)) == (data.classes[y] == "motif")
        assert any(sorted(word[i : i + 6]) == sorted("TATAAT") for i in range(25))
    assert torch.bincount(data.targets).tolist() == [100, 100]


def test_a_sequence_that_is_too_short_is_refused():
    with pytest.raises(InputError, match="length of at least 6"):
        cr.load("motifs:length=5")


def test_a_text_net_trains_on_them(tmp_path):
    run = cr.train("motifs:count=40,length=12", net="textcnn:size=4,widths=3,maps=2", epochs=1, plan="eager", progress=False,
                   out=tmp_path / "t")
    assert run.valid.n == 6
