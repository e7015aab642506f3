"""Nets with memory: cells written out beside torch's layers and kernels, sequences of unequal length, both directions, shortcuts, state."""

import pytest
import torch
from torch import nn
from torch.nn import functional as F
from torch.nn.utils.rnn import pack_padded_sequence, pad_packed_sequence, pad_sequence

import chainrule as cr
from chainrule.core import kernels
from chainrule.core.errors import InputError
from chainrule.core.net import Net
from chainrule.data.encode.vocabulary import one_hot
from chainrule.nets.gru import GRU
from chainrule.nets.layers.gated import GRULayer, LSTMLayer
from chainrule.nets.layers.recurrent import lengths, taken, turns
from chainrule.nets.lstm import LSTM
from chainrule.nets.rnn import Elman, ElmanLayer

N, T, D, H, K = 4, 9, 5, 7, 3
LENGTHS = (9, 4, 1, 6)
LAYERS = {LSTMLayer: nn.LSTM, GRULayer: nn.GRU, ElmanLayer: nn.RNN}
FAMILIES = {LSTM: nn.LSTM, GRU: nn.GRU, Elman: nn.RNN}

each_layer = pytest.mark.parametrize("layer", LAYERS, ids=lambda layer: layer.__name__)
each_family = pytest.mark.parametrize("family", FAMILIES, ids=lambda family: family.__name__)


def varied(module, seed=0):
    """The module with no weight at a special place: biases and starts away from zero."""
    torch.manual_seed(seed)
    with torch.no_grad():
        for p in module.parameters():
            p.add_(0.3 * torch.randn_like(p))
    return module


def fill(layer, theirs, suffix=""):
    """Our layer's weights in the place of torch's."""
    candidate = getattr(layer, "candidate_bias", None)
    with torch.no_grad():
        getattr(theirs, f"weight_ih{suffix}").copy_(layer.reads.weight)
        getattr(theirs, f"weight_hh{suffix}").copy_(layer.recurs.weight)
        getattr(theirs, f"bias_ih{suffix}").copy_(layer.reads.bias)
        getattr(theirs, f"bias_hh{suffix}").zero_()
        if candidate is not None:
            getattr(theirs, f"bias_hh{suffix}")[2 * layer.hidden :] = candidate


def padded(lengths=LENGTHS, seed=1, dtype=torch.float32):
    """Symbols, one-hot, and zeros where there are none."""
    generator = torch.Generator().manual_seed(seed)
    codes = [torch.randint(D, (n,), generator=generator) for n in lengths]
    return pad_sequence([F.one_hot(one, D).to(dtype) for one in codes], batch_first=True)


def slopes(outputs, state, parameters, seed=2):
    """Of a random sum of outputs and final state, by every parameter."""
    generator = torch.Generator().manual_seed(seed)
    total = sum((torch.randn(t.shape, generator=generator, dtype=t.dtype) * t).sum() for t in (outputs, *state))
    return torch.autograd.grad(total, parameters)


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
@each_layer
def test_a_cell_written_out_and_the_fused_kernel_are_torchs_layer(layer, dtype):
    """Values and gradients, by the inputs, the start and all weights."""
    ours, theirs, x = varied(layer(D, H)).to(dtype), LAYERS[layer](D, H, batch_first=True).to(dtype), padded(dtype=dtype)
    fill(ours, theirs, "_l0")
    start = [p.detach().clone().requires_grad_() for p in ours.initial(1)]
    state = tuple(p.expand(N, -1).contiguous()[None] for p in start)
    outputs, end = theirs(x, state if len(state) > 1 else state[0])
    end = tuple(part[0] for part in (end if isinstance(end, tuple) else (end,)))
    expected = slopes(outputs, end, [theirs.weight_ih_l0, theirs.weight_hh_l0, theirs.bias_ih_l0, *start])
    tolerance = {"rtol": 1e-5, "atol": 1e-6} if dtype == torch.float32 else {"rtol": 1e-11, "atol": 1e-12}
    for way in (ours.written_out, ours.library):
        own, own_end = way(x, ours.initial(N))
        torch.testing.assert_close(own, outputs, **tolerance)
        torch.testing.assert_close(own_end, end, **tolerance)
        mine = [ours.reads.weight, ours.recurs.weight, ours.reads.bias, *(getattr(ours, f"start_{part}") for part in ours.parts)]
        for slope, wanted in zip(slopes(own, own_end, mine), expected, strict=True):
            torch.testing.assert_close(slope, wanted.reshape(slope.shape), rtol=tolerance["rtol"], atol=10 * tolerance["atol"])


def test_the_bias_inside_the_reset_gate_has_its_slope():
    ours, x = varied(GRULayer(D, H)).double(), padded(dtype=torch.float64)
    both = [slopes(*way(x, ours.initial(N)), [ours.candidate_bias])[0] for way in (ours.written_out, ours.library)]
    torch.testing.assert_close(*both, rtol=1e-11, atol=1e-12)


@pytest.mark.parametrize("layers", [1, 2])
@each_family
def test_both_directions_are_torchs_over_packed_sequences(family, layers):
    """Of sequences of unequal length each is read from its own end; what fills them up is never read back."""
    net, x = varied(family((T, D), K, hidden=H, layers=layers, bidirectional=True)).double(), padded(dtype=torch.float64)
    with torch.no_grad():
        for part in (*net.layers, *net.backward_layers):
            for name in part.parts:
                getattr(part, f"start_{name}").zero_()
    theirs = FAMILIES[family](D, H, layers, batch_first=True, bidirectional=True).double()
    for i in range(layers):
        fill(net.layers[i], theirs, f"_l{i}")
        fill(net.backward_layers[i], theirs, f"_l{i}_reverse")
    packed, end = theirs(pack_padded_sequence(x, torch.tensor(LENGTHS), batch_first=True, enforce_sorted=False))
    outputs, _ = pad_packed_sequence(packed, batch_first=True, total_length=T)
    exists = torch.arange(T) < torch.tensor(LENGTHS)[:, None]
    torch.testing.assert_close(net.states(x)[exists], outputs[exists], rtol=1e-10, atol=1e-12)
    torch.testing.assert_close(net(x)[exists], net.output(outputs)[exists], rtol=1e-10, atol=1e-12)
    net.answer = "last"
    hidden = (end[0] if isinstance(end, tuple) else end)[-2:]                                    # (directions, n, hidden)
    torch.testing.assert_close(net(x), net.output(torch.cat([*hidden], 1)), rtol=1e-10, atol=1e-12)
    net.answer = "mean"
    means = torch.stack([row[:n].mean(0) for row, n in zip(outputs, LENGTHS, strict=True)])
    torch.testing.assert_close(net(x), net.output(means), rtol=1e-10, atol=1e-12)


@each_family
def test_one_answer_of_a_sequence_is_that_of_the_sequence_alone(family):
    """What fills up does not count, whatever else is in the batch, in either direction and by either way of answering."""
    for answer in ("last", "mean"):
        for both in (False, True):
            net, x = varied(family((T, D), K, hidden=H, layers=2, bidirectional=both, answer=answer)), padded()
            alone = torch.cat([net(row[None, :n]) for row, n in zip(x, LENGTHS, strict=True)])
            torch.testing.assert_close(net(x), alone)


def test_lengths_and_turns():
    x = padded()
    x[0, 3] = 0                                                  # an empty step in the middle is one that exists
    assert lengths(x).tolist() == list(LENGTHS)
    assert lengths(torch.zeros(2, 5, 3)).tolist() == [1, 1]
    hot = one_hot(torch.tensor([[0, 2, 3, 4], [3, 3, 4, 4], [3, 4, 0, 4]]), 3)                   # 3 is unknown, 4 fills up
    assert lengths(hot).tolist() == [3, 2, 3], "an unknown symbol is a step, at the end too"
    numbers = torch.randn(2, 5, 3)
    numbers[0, 3:] = 0
    assert lengths(numbers).tolist() == [5, 5], "any number may be zero"
    places = turns(x)
    assert places[1].tolist() == [3, 2, 1, 0, 4, 5, 6, 7, 8]
    assert torch.equal(taken(taken(x, places), places), x)


@each_family
def test_windows_with_carried_state_are_the_whole_sequence(family):
    """The state is a tree by parts with the rows first, of all layers; handed on, it makes windows one sequence."""
    net, x = varied(family((T, D), K, hidden=H, layers=3, residual=True)).double(), padded((T,) * N, dtype=torch.float64)
    whole, last = net.unroll(x, net.initial(N))
    assert {part: t.shape for part, t in last.items()} == dict.fromkeys(net.parts, (N, 3, H))
    state, outputs = net.initial(N), []
    for window in x.split(4, 1):
        some, state = net.unroll(window, state)
        outputs.append(some)
    torch.testing.assert_close(torch.cat(outputs, 1), whole, rtol=1e-12, atol=1e-13)
    torch.testing.assert_close(state, last, rtol=1e-12, atol=1e-13)
    torch.testing.assert_close(net(x), whole, rtol=1e-12, atol=1e-13)


@each_family
def test_shortcuts_add_what_a_layer_reads_where_it_is_as_wide(family):
    net, x = varied(family((T, D), K, hidden=H, layers=2, residual=True)).double(), padded(dtype=torch.float64)
    first, _ = net.layers[0].written_out(x, net.layers[0].initial(N))
    second, _ = net.layers[1].written_out(first, net.layers[1].initial(N))
    torch.testing.assert_close(net.states(x), first + second, rtol=1e-12, atol=1e-13)
    as_wide = varied(family((T, H), K, hidden=H, residual=True)).double()
    y = torch.randn(N, T, H, dtype=torch.float64)
    torch.testing.assert_close(as_wide.states(y), y + as_wide.layers[0].written_out(y, as_wide.layers[0].initial(N))[0])


@each_family
def test_dropout_lies_between_layers_and_before_the_readout_and_never_along_time(family):
    """As Zaremba et al. have it: torch's layers one by one with its dropout on what each gives, under the same draws."""
    net, x = varied(family((T, D), K, hidden=H, layers=2, dropout=0.4)), padded()
    theirs = [FAMILIES[family](layer.reads.in_features, H, batch_first=True) for layer in net.layers]
    expected = x
    torch.manual_seed(5)
    for ours, layer in zip(net.layers, theirs, strict=True):
        fill(ours, layer, "_l0")
        start = tuple(part.contiguous()[None] for part in ours.initial(N))
        expected = F.dropout(layer(expected, start if len(start) > 1 else start[0])[0], 0.4)
    torch.manual_seed(5)
    torch.testing.assert_close(net.train()(x), net.output(expected), rtol=1e-5, atol=1e-5)
    torch.manual_seed(5)
    torch.testing.assert_close(net.unroll(x, net.initial(N))[0], net.output(expected), rtol=1e-5, atol=1e-5)
    whole = family((T, D), K, hidden=H, layers=2)
    whole.load_state_dict(net.state_dict())
    torch.testing.assert_close(net.eval()(x), whole(x), rtol=0, atol=0)


def test_the_gate_that_keeps_begins_open_and_the_others_do_not():
    bias = LSTM((T, D), K, hidden=H).layers[0].reads.bias
    assert torch.equal(bias, torch.tensor([0.0, 1.0, 0.0, 0.0]).repeat_interleave(H))


def test_a_series_of_one_number_a_step_is_a_sequence_of_width_one():
    net, x = varied(GRU((T,), K, hidden=H)), torch.randn(N, T)
    wide = GRU((T, 1), K, hidden=H)
    wide.load_state_dict(net.state_dict())
    assert torch.equal(net(x), wide(x[:, :, None]))


def test_kernels_stand_in_only_where_nothing_looks_into_them(monkeypatch):
    """A kernel that is offered is used in plain computing, and nowhere that a transformation, a count or a second slope needs the cell."""
    net, x, calls = varied(LSTM((T, D), K, hidden=H)), padded(), []
    monkeypatch.setattr(kernels, "_offered", {})
    kernels.offer("lstm", lambda x, state, *weights: calls.append(len(weights)))
    answer = net(x)
    assert calls == [3]
    stacked = torch.vmap(lambda net, x: net(x), in_dims=(0, None))(Net.stack([Net.of(net)]), x)
    torch.testing.assert_close(stacked[0], answer)
    with kernels.written_out():
        torch.testing.assert_close(net(x), answer)
        assert not kernels.plain(x)
    torch.func.grad(lambda x: net(x).sum())(x)
    torch.export.export(net, (x,))
    assert len(calls) == 1
    assert kernels.plain(x)
    assert not kernels.plain(x.to("meta"))


@pytest.mark.parametrize(("options", "message"), [
    ({"hidden": 0}, "at least one hidden unit and one layer; got hidden=0, layers=1"),
    ({"layers": 0}, "got hidden=256, layers=0. Write e.g. gru:hidden=256,layers=1"),
])
def test_sizes_below_one_are_refused(options, message):
    with pytest.raises(InputError, match=message):
        GRU((T, D), K, **options)


def test_pictures_are_refused():
    with pytest.raises(InputError, match=r"rnn reads sequences of rows \(t, d\), or series \(t,\); got inputs of shape \(1, 8, 8\)"):
        Elman((1, 8, 8), K)


def test_a_net_that_reads_from_the_end_carries_no_state():
    net = LSTM((T, D), K, hidden=H, bidirectional=True)
    for asked in (lambda: net.initial(2), lambda: net.unroll(padded(), {})):
        with pytest.raises(InputError, match="bidirectional lstm reads a sequence from its end too, and no state can be carried past that"):
            asked()


@pytest.mark.parametrize("rule", ["bptt", "backprop"])
def test_a_net_that_reads_from_the_end_is_refused_for_language(rule, tmp_path):
    (tmp_path / "t.txt").write_text("abracadabra, said the cat. " * 30)
    with pytest.raises(InputError, match="reads a sequence from its end too, and language asks what comes next, which it would see") as one:
        cr.train(tmp_path / "t.txt", net="gru:hidden=4,bidirectional=yes", task="language", rule=rule, progress=False)
    assert "\n" not in str(one.value)
