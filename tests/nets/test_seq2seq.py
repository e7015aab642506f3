"""Sequence to sequence: the decoder beside its formulas written out, taught beside asked step by step, padding, probabilities, beams."""

import itertools
import math

import pytest
import torch
from torch.nn import functional as F

from chainrule.core.abilities.sequences import Attends, Writes
from chainrule.core.errors import InputError
from chainrule.core.net import Net
from chainrule.evaluate.strings import beam_search, until_end
from chainrule.nets.seq2seq import Seq2Seq
from chainrule.tasks.translation import log_probabilities

T, D, K, H = 6, 4, 5, 7           # steps, symbols read, symbols written with the end, units
FORMS = [{"attention": attention, "cell": cell, "layers": layers}
         for attention, cell, layers in ((True, "gru", 1), (True, "lstm", 2), (False, "gru", 2), (False, "lstm", 1))]
each_form = pytest.mark.parametrize("form", FORMS, ids=lambda form: f"{form['cell']}-{form['layers']}-{form['attention']}")


def varied(seed=0, outputs=K, **options) -> Seq2Seq:
    """A net whose parameters are all random, in double precision."""
    torch.manual_seed(seed)
    net = Seq2Seq((T, D), outputs, **{"hidden": H, **options}).double()
    with torch.no_grad():
        for p in net.parameters():
            p.copy_(torch.randn_like(p) * 0.5)
    return net


def sources(sizes=(6, 3, 1), steps=T) -> torch.Tensor:
    """One-hot rows of so many symbols each, filled up."""
    generator = torch.Generator().manual_seed(1)
    x = torch.zeros(len(sizes), steps, D, dtype=torch.float64)
    for i, size in enumerate(sizes):
        x[i, torch.arange(size), torch.randint(D, (size,), generator=generator)] = 1
    return x


Y = torch.tensor([[0, 3, 1, 2], [2, 2, -1, -1], [1, -1, -1, -1]])


def gru(p, name, x, h):
    """The formulas of a gated recurrent unit, from the net's parameters."""
    reads = x @ p[f"{name}.reads.weight"].T + p[f"{name}.reads.bias"]
    recurs = h @ p[f"{name}.recurs.weight"].T
    r, z = ((reads[k * H : (k + 1) * H] + recurs[k * H : (k + 1) * H]).sigmoid() for k in (0, 1))
    n = torch.tanh(reads[2 * H :] + r * (recurs[2 * H :] + p[f"{name}.candidate_bias"]))
    return z * h + (1 - z) * n


def written_out(p, x, y):
    """Minus the log probability of one string y given one sequence x (t, d), number by number as in Bahdanau et al., appendix A."""
    size = int(x.any(1).sum())
    ahead, back = [p["encoder.layers.0.start_hidden"]], [p["encoder.backward_layers.0.start_hidden"]]
    for t in range(size):
        ahead.append(gru(p, "encoder.layers.0", x[t], ahead[-1]))
        back.append(gru(p, "encoder.backward_layers.0", x[size - 1 - t], back[-1]))
    h = [torch.cat([ahead[t + 1], back[size - t]]) for t in range(size)]
    s = torch.tanh(p["decoder.0.start_hidden"] + p["starts.weight"] @ torch.cat([ahead[-1], back[-1]]))
    cost, before = 0.0, K - 1
    for symbol in [*y, K - 1]:
        energies = torch.stack([p["attention.energy.weight"][0] @ torch.tanh(
            p["attention.of_state.weight"] @ s + p["attention.of_steps.weight"] @ one + p["attention.of_steps.bias"]) for one in h])
        alpha = energies.exp() / energies.exp().sum()
        c = sum(a * one for a, one in zip(alpha, h, strict=True))
        e = p["symbols.weight"][before]
        reads = {**p, "decoder.0.reads.bias": p["decoder.0.reads.bias"] + p["context.weight"] @ c}
        s = gru(reads, "decoder.0", e, s)
        t = p["readout.weight"] @ torch.cat([s, e, c]) + p["readout.bias"]
        scores = p["output.weight"] @ torch.maximum(t[0::2], t[1::2]) + p["output.bias"]
        cost = cost + scores.exp().sum().log() - scores[symbol]
        before = symbol
    return cost


def test_cost_and_slopes_are_those_of_the_formulas_written_out():
    net, x = varied(), sources()
    ours = -log_probabilities_of(net, x).sum()
    p = {name: t.detach().clone().requires_grad_() for name, t in net.named_parameters()}
    theirs = sum(written_out(p, one, [k for k in y if k >= 0]) for one, y in zip(x, Y.tolist(), strict=True))
    torch.testing.assert_close(ours, theirs, rtol=1e-12, atol=0)
    slopes = torch.autograd.grad(ours, list(net.parameters()))
    for (name, t), slope in zip(p.items(), torch.autograd.grad(theirs, list(p.values())), strict=True):
        torch.testing.assert_close(slopes[list(p).index(name)], slope, rtol=1e-9, atol=1e-12, msg=name)
        assert slope.abs().max() > 0, t


def log_probabilities_of(net, x):
    """Of the strings Y with their ends, in double precision."""
    logs = net.teach(x, Y).log_softmax(2)
    symbols = torch.cat([Y, torch.full_like(Y[:, :1], -1)], 1)
    asked = torch.arange(symbols.shape[1]) <= (Y >= 0).sum(1, keepdim=True)
    return (logs.gather(2, torch.where(symbols < 0, K - 1, symbols)[..., None])[..., 0] * asked).sum(1)


@each_form
def test_taught_is_asked_step_by_step_with_the_true_symbols_before(form):
    net, x = varied(**form), sources()
    assert isinstance(net, Writes)
    taught, state = net.teach(x, Y), net.begin(x)
    last = torch.full((3,), K - 1)
    for step in range(5):
        scores, state = net.write(last, state)
        torch.testing.assert_close(scores, taught[:, step])
        last = torch.where(Y[:, step] < 0, K - 1, Y[:, step]) if step < 4 else last
    assert not torch.allclose(taught[:, 1], net.teach(x, Y.roll(1, 1))[:, 1])          # so what stands before is read


@each_form
def test_an_answer_depends_neither_on_padding_nor_on_neighbours(form):
    net, x = varied(longest=5, **form).eval(), sources()
    for row, size in enumerate((6, 3, 1)):
        alone, y = x[row : row + 1, :size], Y[row : row + 1]
        torch.testing.assert_close(net(x)[row : row + 1], net(alone))
        torch.testing.assert_close(net.teach(x, Y)[row : row + 1], net.teach(alone, y))
        wider = F.pad(alone, (0, 0, 0, 4))
        torch.testing.assert_close(net(wider), net(alone))


@each_form
def test_each_answer_follows_the_likeliest_before(form):
    net, x = varied(longest=4, **form).eval(), sources()
    scores = net(x)
    torch.testing.assert_close(net.teach(x, scores.argmax(2)[:, :3]), scores)
    assert scores.shape == (3, 4, K)
    assert varied(**form)(x).shape == (3, T, K)


@pytest.mark.parametrize("form", FORMS[:2], ids=["gru", "lstm"])
def test_shares_of_attention_are_those_of_steps_that_exist(form):
    net, x = varied(**form), sources()
    assert isinstance(net, Attends)
    shares = net.attend(x, Y)
    assert shares.shape == (3, 5, T)
    torch.testing.assert_close(shares.sum(2), torch.ones(3, 5).double())
    assert not shares[1, :, 3:].any()
    assert not shares[2, :, 1:].any()
    assert shares[0].std(1).min() > 1e-3
    with pytest.raises(InputError, match="attention=no"):
        varied(attention=False).attend(x, Y)


@each_form
def test_all_strings_together_have_a_probability_of_one(form):
    net, x = varied(outputs=3, **form).float(), sources((4,)).float()
    steps, total = 4, 0.0
    for size in range(steps + 1):
        strings = torch.tensor([[*s, *[-1] * (steps - size)] for s in itertools.product(range(2), repeat=size)]).view(-1, steps)
        total += log_probabilities(Net.of(net), x.expand(len(strings), -1, -1), strings).exp().sum().item()
    assert total == pytest.approx(1, abs=1e-5)


@each_form
def test_a_beam_finds_what_is_likelier_than_the_greedy_string_and_a_wide_one_the_likeliest(form):
    net, x, steps = Net.of(varied(outputs=3, longest=4, seed=3, **form).float().eval()), sources().float(), 4
    greedy = until_end(net(x).argmax(2), 2)
    every = [torch.tensor([*s, *[-1] * (steps - size)]) for size in range(steps + 1) for s in itertools.product(range(2), repeat=size)]
    with torch.no_grad():
        one, own = beam_search(lambda last, state: net.call("write", last, state), net.call("begin", x), 3, 2, steps, 1)
        assert one.tolist() == greedy.tolist()
        torch.testing.assert_close(own, log_probabilities(net, x, greedy))
        wide, logs = beam_search(lambda last, state: net.call("write", last, state), net.call("begin", x), 3, 2, steps, 40)
        for row in range(3):
            rows = x[row : row + 1].expand(len(every), -1, -1)
            each = log_probabilities(net, rows, torch.stack(every))
            assert wide[row].tolist() == every[int(each.argmax())].tolist()
            assert float(logs[row]) == pytest.approx(float(each.max()), abs=1e-4)
            assert logs[row] >= own[row] - 1e-5


def test_a_beam_keeps_what_the_greedy_string_lost():
    """A language in which the likeliest first symbol leads nowhere: after a nothing is likely, after b the end is certain."""
    follows = torch.tensor([[0.34, 0.33, 0.33], [0.005, 0.005, 0.99], [0.55, 0.45, 1e-9]]).log()

    def follow(last, state):
        return follows[last], state

    start = {"nothing": torch.zeros(1, 1)}
    assert beam_search(follow, start, 1, 2, 3, 1)[0].tolist()[0][0] == 0
    strings, logs = beam_search(follow, start, 1, 2, 3, 2)
    assert strings.tolist() == [[1, -1, -1]]
    assert float(logs) == pytest.approx(math.log(0.45 * 0.99), abs=1e-5)


def test_what_is_no_sequence_or_has_no_size_is_refused():
    for inputs, options in (((5,), {}), ((1, 8, 8), {}), ((4, 3), {"hidden": 0}), ((4, 3), {"longest": -1})):
        with pytest.raises(InputError, match="seq2seq"):
            Seq2Seq(inputs, 3, **options)
