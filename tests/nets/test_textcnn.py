"""The net for sentences: embeddings looked up, kernels and maxima in loops, its weights counted, classes of a file's sequences learned."""

import numpy as np
import pytest
import torch
from torch.nn import functional as F

import chainrule as cr
from chainrule.core.errors import InputError
from chainrule.core.registry import nets


def net_of(spec="textcnn:size=4,widths=2x3,maps=5", shape=(6, 7), outputs=3):
    torch.manual_seed(0)
    return nets.choose(spec).make(shape, outputs).double().eval()


def test_it_is_an_embedding_kernels_over_all_places_that_touch_the_sequence_and_their_maxima():
    """In loops over places, each product by hand; vectors are looked up by number."""
    net, codes = net_of(), torch.tensor([[0, 3, 6, 2, 2, 1], [5, 5, 0, 1, 4, 6]])
    table = net.embedding.weight.detach().numpy().T                                          # (symbols, size)
    features = []
    for row in codes.numpy():
        vectors, maxima = table[row], []
        for convolution, width in zip(net.convolutions, (2, 3), strict=True):
            kernels, bias = convolution.weight.detach().numpy(), convolution.bias.detach().numpy()
            for kernel, shift in zip(kernels, bias, strict=True):
                sums = [shift + sum(kernel[:, j] @ vectors[at + j] for j in range(width) if 0 <= at + j < 6) for at in range(1 - width, 6)]
                maxima.append(max(0.0, *sums))
        features.append(maxima)
    expected = torch.tensor(np.array(features)) @ net.output.weight.T + net.output.bias
    torch.testing.assert_close(net(F.one_hot(codes, 7).double()), expected)


def test_a_sequence_may_be_shorter_than_a_kernel():
    net = net_of("textcnn:widths=5,maps=3,size=2", shape=(2, 4))
    assert net(torch.rand(3, 2, 4, dtype=torch.float64)).shape == (3, 3)


def test_weights_of_the_papers_sizes_are_counted():
    """Embeddings of 300, a hundred kernels of each width 3, 4 and 5 with a bias, and the output layer."""
    net = nets.choose("textcnn").make((56, 18_765), 2)
    assert sum(p.numel() for p in net.parameters()) == 18_765 * 300 + sum(100 * (300 * w + 1) for w in (3, 4, 5)) + 300 * 2 + 2


def test_it_learns_which_sequences_hold_a_motif_from_a_file(tmp_path, monkeypatch):
    """Wherever it stands: a window that a net of fixed places would have to see at every place."""
    monkeypatch.chdir(tmp_path)
    rng = np.random.default_rng(0)
    lines = []
    for i in range(400):
        letters = rng.choice(list("ACGT"), size=rng.integers(18, 25))
        if i % 2:
            at = rng.integers(0, len(letters) - 5)
            letters[at : at + 5] = list("GATTA")
        text = "".join(letters)
        lines.append(f">s{i} label={'motif' if 'GATTA' in text else 'none'}\n{text}\n")
    (tmp_path / "s.fasta").write_text("".join(lines))
    run = cr.train("s.fasta", net="textcnn:size=8,widths=5,maps=16,dropout=0", optimizer="adam:rate=0.01", epochs=15, plan="eager",
                   progress=False)
    assert run.valid.accuracy > 0.9
    assert run.predict("s.fasta")[0].shape == (400, 2)


@pytest.mark.parametrize(("spec", "shape", "words"), [
    ("textcnn", (8,), r"textcnn reads sequences of symbols \(t, symbols\); got inputs of shape \(8,\)"),
    ("textcnn", (1, 8, 8), "Give text or sequences with a class each"),
    ("textcnn:widths=none", (5, 4), "widths=none. Write e.g. textcnn:size=300"),
    ("textcnn:maps=0", (5, 4), "at least 1; got size=300, maps=0"),
    ("textcnn:dropout=1", (5, 4), "dropout"),
])
def test_what_does_not_fit_is_refused(spec, shape, words):
    with pytest.raises(InputError, match=words):
        nets.choose(spec).make(shape, 2)
