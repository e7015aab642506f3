"""Made-up series and sequences: what is hidden in them by its formula, and nothing by chance."""

import pytest
import torch

import chainrule as cr
from chainrule.core.errors import InputError


def test_the_events_have_the_means_that_their_formulas_have():
    """At a share s of an event of level 6: 6, 6 s and 6 (1 - s). Seen over many rows from a + 2 = 34 to b - 2 at the least, 46."""
    data = cr.load("cylinder-bell-funnel:train=3000,test=3")
    x, classes = data.inputs[:3000].double(), data.targets[:3000]
    before, certain = x[:, :14], x[:, 33:46]
    assert abs(float(before.mean())) < 4 / before.numel() ** 0.5
    assert float(before.std()) == pytest.approx(1, abs=0.02)
    mean = {name: float(certain[classes == i].mean()) for i, name in enumerate(data.classes)}
    assert mean["cylinder"] == pytest.approx(6, abs=0.15)
    assert mean["bell"] + mean["funnel"] == pytest.approx(6, abs=0.3)
    rise = {name: float((certain[classes == i][:, -1] - certain[classes == i][:, 0]).mean()) for i, name in enumerate(data.classes)}
    assert rise["bell"] > 0.5
    assert rise["funnel"] < -0.5
    assert abs(rise["cylinder"]) < 0.2


def test_rows_are_functions_of_seed_and_number_and_the_rest_tests():
    few, more = cr.load("cylinder-bell-funnel:train=6,test=9"), cr.load("cylinder-bell-funnel:train=12,test=9")
    assert torch.equal(few.inputs, more.inputs[:15])
    assert few.parts["test"].tolist() == list(range(6, 15))
    assert not torch.equal(few.inputs, cr.load("cylinder-bell-funnel:train=6,test=9,seed=1").inputs)
    assert torch.bincount(few.targets).tolist() == [5, 5, 5]


def test_the_motif_is_there_once_in_its_class_and_nowhere_else_and_letters_say_nothing():
    data = cr.load("motifs:count=200,length=30")
    words = ["".join(data.inputs.alphabet[code] for code in row) for row in data.inputs.codes.tolist()]
    for word, y in zip(words, data.targets.tolist(), strict=True):
        assert sum(word[i : i + 6] == "TATAAT" for i in range(25)) == (data.classes[y] == "motif")
        assert any(sorted(word[i : i + 6]) == sorted("TATAAT") for i in range(25))
    assert torch.bincount(data.targets).tolist() == [100, 100]


@pytest.mark.parametrize(("what", "message"), [("cylinder-bell-funnel:train=2", "at least 3 rows"),
                                               ("motifs:length=5", "length of at least 6")])
def test_nonsense_is_refused(what, message):
    with pytest.raises(InputError, match=message):
        cr.load(what)


def test_a_text_net_and_a_net_of_series_train_on_them(tmp_path):
    series = cr.train("cylinder-bell-funnel:train=12,test=6", net="resnet1d:filters=2", epochs=1, batch=6, plan="eager", progress=False,
                      out=tmp_path / "s")
    assert series.test().n == 6
    text = cr.train("motifs:count=40,length=12", net="textcnn:size=4,widths=3,maps=2", epochs=1, plan="eager", progress=False,
                    out=tmp_path / "t")
    assert text.valid.n == 6
