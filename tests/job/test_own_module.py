"""What a module of the user's own is refused for, in one sentence that names the reason, and what it is given."""

import numpy as np
import pytest
import torch
from torch import nn
from torch.utils.checkpoint import checkpoint

import chainrule as cr
from chainrule.core.errors import InputError
from chainrule.job.own_module import reason

ROWS = torch.randn(40, 8, generator=torch.Generator().manual_seed(0))
CODES = torch.randint(0, 20, (40, 6), generator=torch.Generator().manual_seed(0))
Y = torch.arange(40) % 3


@pytest.fixture(autouse=True)
def _in_a_folder_of_its_own(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)


class Own(nn.Module):
    def __init__(self, forward, **parts):
        super().__init__()
        self.a, self.b, self.run = nn.Linear(8, 8), nn.Linear(8, 3), forward
        for name, part in parts.items():
            self.add_module(name, part)

    def forward(self, x):
        return self.run(self, x)


def grown(net, x):
    net.late = nn.Linear(8, 3)
    return net.late(net.a(x))


def train(net, x=ROWS, **options):
    return cr.train((x, Y), net=net, **{"epochs": 1, "batch": 10, "plan": "eager", "progress": False, **options})


@pytest.mark.parametrize(("net", "words"), [
    (Own(lambda net, x: (net.b(x), x)), r"Own gives a tuple for a batch; expected one tensor, the answers of shape \(n, 3\)"),
    (Own(lambda net, x: {"scores": net.b(x)}), "Own gives a dict for a batch"),
    (Own(lambda net, x: net.b(x)[None]), r"Own gives a tensor of shape \(1, 8, 3\) for 8 rows; expected the rows first"),
    (Own(lambda net, x: net.b(x).sum()), r"Own gives a tensor of shape \(\) for \d+ rows"),
    (Own(lambda net, x: net.b(x) + 0j), "Own gives complex numbers; expected real ones"),
    (Own(lambda net, x: net.b(checkpoint(net.a, net.a(x), use_reentrant=True))), "use_reentrant=False"),
    (Own(grown), r"Own makes its parameter late\.\w+ while it runs"),
    (Own(lambda net, x: net.c(x)), r"inputs of shape \(8,\), 3 outputs wanted \(AttributeError: .*test_own_module.py line"),
    (nn.Linear(7, 3), r"Linear does not fit arrays: inputs of shape \(8,\)"),
    (nn.Linear(8, 1), r"it gives them of shape \(1,\)"),
    (nn.Identity(), "Identity has no parameters: there is nothing to train"),
    (nn.Sequential(nn.LazyConv2d(3, 3)), r"takes? their shapes from the first inputs, and fails on inputs of shape \(8, 8\)"),
])
@pytest.mark.filterwarnings("ignore")
def test_one_sentence_names_the_reason(net, words):
    with pytest.raises(InputError, match=words):
        train(net)


def test_batch_normalisation_of_single_samples_is_refused_before_training():
    net = nn.Sequential(nn.Linear(8, 8), nn.BatchNorm1d(8), nn.Linear(8, 3))
    with pytest.raises(InputError, match=r"normalises over the batch, which takes more than one sample\. Use --batch 2 or more; it is 1"):
        train(net, batch=1)
    assert len(train(net, batch=2).history) == 1


class Embedded(nn.Module):
    def __init__(self, places=20):
        super().__init__()
        self.embedding, self.head = nn.Embedding(places, 4), nn.Linear(4, 3)

    def forward(self, x):
        assert x.dtype == torch.int64
        return self.head(self.embedding(x).mean(1))


@pytest.mark.parametrize("codes", [CODES, CODES.numpy().astype(np.int32), CODES.float()])
def test_whole_numbers_reach_an_embedding_as_they_are(codes):
    run = train(Embedded(), codes, epochs=2)
    assert torch.equal(run.job.data.train.x, CODES[run.job.data.train.rows])
    assert any("as they are to the net, which has an embedding" in note for note in run.trained.encoder.inputs.notes)
    again = cr.Run(run.path, net=Embedded())
    assert torch.equal(again.predict(codes)[0], run.predict(CODES)[0])
    with pytest.raises(InputError, match=r"row 2, feature 1: expected a whole number of at least 0.*got 0\.5"):
        again.predict(np.array([[1.0] * 6, [0.5] * 6]))


def test_a_number_beyond_the_embedding_is_named_by_its_row():
    row = int((CODES.max() == CODES).any(1).nonzero()[0]) + 1
    with pytest.raises(InputError, match=rf"row {row}: expected numbers below 12, the places of the embedding.*num_embeddings=20"):
        train(Embedded(12), CODES)


class Positions(nn.Module):
    """An embedding of places in the row, of which the numbers of the row know nothing."""

    def __init__(self):
        super().__init__()
        self.places, self.head = nn.Embedding(6, 1), nn.Linear(6, 3)

    def forward(self, x):
        return self.head(x + self.places.weight[:, 0])


def test_numbers_that_no_embedding_reads_are_standardised():
    run = train(Positions(), CODES)
    torch.testing.assert_close(run.job.data.train.x.mean(0), torch.zeros(6), atol=1e-6, rtol=0)


def test_a_module_from_a_folder_that_is_called_as_we_are_is_the_users_own():
    """The place of a fault is named by where the packages lie, not by what a path contains."""
    code = "class Mine(nn.Linear):\n    def forward(self, x):\n        return self.missing(x)\n"
    names = {"nn": nn}
    exec(compile(code, "/home/ada/chainrule/torch/nets.py", "exec"), names)
    with pytest.raises(AttributeError) as caught:
        names["Mine"](2, 2)(torch.zeros(1, 2))
    assert reason(caught.value).endswith("nets.py line 3")
