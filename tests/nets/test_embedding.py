"""The neural language model: by hand from its formula at every step, windows that go on from one another, its weights counted."""

import pytest
import torch
from torch.nn import functional as F

from chainrule.core.abilities.sequences import HasVectors, Recurrent
from chainrule.core.errors import InputError
from chainrule.core.registry import nets


def net_of(spec, shape=(6, 7), outputs=5):
    torch.manual_seed(0)
    return nets.choose(spec).make(shape, outputs).double().eval()


CODES = torch.tensor([[0, 3, 6, 2, 2, 1], [5, 5, 1, 0, 4, 6]])


@pytest.mark.parametrize("direct", [False, True])
def test_it_is_the_papers_formula_with_vectors_looked_up_by_number(direct):
    net = net_of(f"embedding:size=4,hidden=6,context=3,direct={'yes' if direct else 'no'}")
    assert isinstance(net, HasVectors)
    assert isinstance(net, Recurrent)
    table = torch.cat([net.vectors(), torch.zeros(1, 4)])                        # C, (symbols + 1, size); the last is of no symbol
    for codes, scores in zip(CODES.tolist(), net(F.one_hot(CODES, 7).double()), strict=True):
        padded = [7, 7, *codes]
        for t in range(6):
            x = torch.cat([table[c] for c in padded[t : t + 3]])
            expected = net.output.bias + net.output.weight @ torch.tanh(net.hidden.bias + net.hidden.weight @ x)
            torch.testing.assert_close(scores[t], expected + net.direct.weight @ x if direct else expected)


@pytest.mark.parametrize("cuts", [[2, 4], [1, 1, 1, 3], [5, 1]])
def test_windows_go_on_from_one_another(cuts):
    net, x = net_of("embedding:size=4,hidden=6,context=4"), F.one_hot(CODES, 7).double()
    state, outputs = net.initial(2), []
    for window in x.split(cuts, 1):
        said, state = net.unroll(window, state)
        outputs.append(said)
    torch.testing.assert_close(torch.cat(outputs, 1), net(x))


def test_weights_of_the_papers_sizes_are_counted():
    """|V| (1 + n m + h) + h (1 + (n - 1) m) with direct connections, the vectors among them, as in section 2 of the paper."""
    v, n, m, h = 16_383, 6, 30, 100
    net = nets.choose(f"embedding:size={m},hidden={h},context={n - 1},direct=yes").make((9, v), v)
    assert sum(p.numel() for p in net.parameters()) == v * (1 + n * m + h) + h * (1 + (n - 1) * m)


@pytest.mark.parametrize(("spec", "shape", "words"), [
    ("embedding", (5,), "reads sequences of symbols"), ("embedding:size=0", (3, 7), "size, hidden and context of at least 1"),
    ("embedding:dropout=1.0", (3, 7), "dropout")])
def test_what_it_cannot_be_is_refused(spec, shape, words):
    with pytest.raises(InputError, match=words):
        nets.choose(spec).make(shape, 2)
