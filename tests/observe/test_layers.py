import copy
import itertools
import random
import subprocess
import sys

import pytest
import torch
from torch import nn
from torch.nn import functional as F
from torch.utils.flop_counter import FlopCounterMode

from chainrule.core.errors import InputError
from chainrule.observe.layers import Layer, first_weights, layers


def lenet5():
    """LeCun et al. (1998) with all connections in C3 and trained subsampling left out."""
    return nn.Sequential(nn.Conv2d(1, 6, 5, padding=2), nn.Tanh(), nn.AvgPool2d(2), nn.Conv2d(6, 16, 5), nn.Tanh(), nn.AvgPool2d(2),
                         nn.Flatten(), nn.Linear(400, 120), nn.Tanh(), nn.Linear(120, 84), nn.Tanh(), nn.Linear(84, 10))


def test_lenet5_by_hand():
    rows = {r.name: r for r in layers(lenet5(), (1, 28, 28))}
    assert rows["0"] == Layer("0", "Conv2d", (1, 28, 28), (6, 28, 28), 6 * 25 + 6, 6 * 28 * 28 * 25, 4 * 28 * 28)
    assert rows["3"] == Layer("3", "Conv2d", (6, 14, 14), (16, 10, 10), 16 * 150 + 16, 16 * 100 * 150, 4 * 6 * 14 * 14)
    assert [rows[n].parameters for n in ("7", "9", "11")] == [48_120, 10_164, 850]
    assert sum(r.parameters for r in rows.values()) == 61_706
    assert sum(r.multiply_adds for r in rows.values()) == 117_600 + 240_000 + 48_000 + 10_080 + 840
    assert rows["6"].output == (400,)


def test_memory_is_each_tensor_that_the_slopes_need_once():
    """By hand for LeNet-5: what each layer with weights reads, and what each tanh gives, which pooling and dense layers read again."""
    rows = {r.name: r.memory for r in layers(lenet5(), (1, 28, 28))}
    read, given = {"0": 28 * 28, "3": 6 * 14 * 14, "7": 400}, {"1": 6 * 28 * 28, "4": 16 * 10 * 10, "8": 120, "10": 84}
    assert rows == {**dict.fromkeys(rows, 0), **{name: 4 * count for name, count in {**read, **given}.items()}}


class Added(nn.Module):
    """A block that rectifies by itself what its parts give."""

    def __init__(self):
        super().__init__()
        self.inner = nn.Linear(6, 6)

    def forward(self, x):
        return (self.inner(x) + x).relu()


@pytest.mark.parametrize("large", [0, 10**7])
def test_what_a_block_keeps_by_itself_counts_at_its_last_layer(monkeypatch, large):
    """Each dense layer keeps its input, 6 floats: the first the samples, each other one what the block before has rectified."""
    monkeypatch.setattr("chainrule.observe.layers.LARGE", large)
    rows = layers(nn.Sequential(Added(), Added(), Added()), (6,))
    assert [r.name for r in rows] == ["0.inner", "1.inner", "2.inner"]
    assert [r.memory for r in rows] == [2 * 24, 24, 24]


class Renormed(nn.Module):
    """Weights that do not learn, and are brought to length one by each forward pass."""

    def __init__(self):
        super().__init__()
        self.weight = nn.Parameter(torch.ones(2, 3), requires_grad=False)

    def forward(self, x):
        self.weight.div_(self.weight.norm())
        return F.linear(x, self.weight)


def test_what_does_not_learn_keeps_nothing():
    assert [(r.name, r.parameters, r.memory) for r in layers(Renormed(), (3,))] == [("(net)", 6, 0)]


@pytest.mark.parametrize("dtype", [torch.float64, torch.bfloat16])
def test_memory_follows_the_type_of_the_numbers(dtype):
    assert [r.memory for r in layers(nn.Linear(7, 3).to(dtype), (7,))] == [7 * dtype.itemsize]


def resnet18():
    """He et al. (2016), table 1: 11.69 million parameters, 1.8 billion multiply-adds at 224 x 224."""

    class Block(nn.Module):
        def __init__(self, a, b, stride):
            super().__init__()
            self.one, self.two = nn.Conv2d(a, b, 3, stride, 1, bias=False), nn.Conv2d(b, b, 3, 1, 1, bias=False)
            self.norm1, self.norm2 = nn.BatchNorm2d(b), nn.BatchNorm2d(b)
            self.skip = nn.Identity() if a == b else nn.Sequential(nn.Conv2d(a, b, 1, stride, bias=False), nn.BatchNorm2d(b))

        def forward(self, x):
            return (self.norm2(self.two(self.norm1(self.one(x)).relu())) + self.skip(x)).relu()

    widths = [64, 64, 64, 128, 128, 256, 256, 512, 512]
    stages = [Block(a, b, 1 if a == b else 2) for a, b in itertools.pairwise(widths)]
    return nn.Sequential(nn.Conv2d(3, 64, 7, 2, 3, bias=False), nn.BatchNorm2d(64), nn.ReLU(), nn.MaxPool2d(3, 2, 1), *stages,
                         nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(512, 1000))


def test_resnet18_is_as_published():
    rows = layers(resnet18(), (3, 224, 224))
    assert sum(r.parameters for r in rows) == 11_689_512
    assert round(sum(r.multiply_adds for r in rows) / 1e9, 2) == 1.81


class Attends(nn.Module):
    def __init__(self):
        super().__init__()
        self.codes = nn.Embedding(30, 16)
        self.attention = nn.TransformerEncoderLayer(16, 4, 32, batch_first=True)

    def forward(self, x):
        return self.attention(self.codes(x))


@pytest.mark.parametrize("large", [0, 10**7])
@pytest.mark.parametrize(("module", "shape"), [
    (lenet5(), (1, 28, 28)),
    (nn.Sequential(nn.Conv2d(4, 8, 3, 2, 1, groups=2), nn.ConvTranspose2d(8, 6, (4, 3), 2, groups=2)), (4, 9, 9)),
    (nn.Sequential(nn.Conv1d(3, 5, 3, dilation=2), nn.ConvTranspose1d(5, 2, 4)), (3, 20)),
    (nn.Conv3d(2, 3, 3), (2, 5, 6, 7)),
    (nn.Sequential(nn.Linear(7, 5), nn.Linear(5, 2)), (4, 7)),
    (Attends(), (6,)),
])
def test_multiply_adds_are_half_the_counted_operations(monkeypatch, module, shape, large):
    """Oracle: torch counts two operations to a multiply-add, here on one real sample, without the formulas."""
    x = torch.zeros(1, *shape, dtype=torch.long if isinstance(module, Attends) else torch.float32)
    with FlopCounterMode(display=False) as counter:
        module.train()(x)
    monkeypatch.setattr("chainrule.observe.layers.LARGE", large)
    assert sum(r.multiply_adds for r in layers(module, shape)) == counter.get_total_flops() / 2


PRODUCTS = {
    "@": lambda a, b, v: a @ b,
    "matmul, broadcast": lambda a, b, v: torch.matmul(a.expand(3, 2, 4, 5), b.expand(2, 5, 6)),
    "mm": lambda a, b, v: a.mm(b),
    "reversed": lambda a, b, v: torch.Tensor.__rmatmul__(b, a),
    "vector @": lambda a, b, v: v @ b,
    "bmm": lambda a, b, v: torch.bmm(a[None], b[None]),
    "addmm": lambda a, b, v: torch.addmm(torch.zeros(6), a, b),
    "baddbmm": lambda a, b, v: torch.baddbmm(torch.zeros(6), a[None], b[None]),
    "linear": lambda a, b, v: F.linear(a, b.T, torch.zeros(6)),
    "linear by name": lambda a, b, v: F.linear(weight=b.T, input=a.expand(7, 4, 5)),
    "einsum": lambda a, b, v: torch.einsum("ij, jk -> k", a, b) + 0 * torch.einsum("ij->ji", b).sum(),
    "einsum, dots": lambda a, b, v: torch.einsum("...ij,...jk->...ik", a.expand(7, 3, 4, 5), b.expand(7, 3, 5, 6)),
    "tensordot": lambda a, b, v: torch.tensordot(a.expand(3, 4, 5), b.expand(4, 5, 6), 2),
    "einsum, list": lambda a, b, v: torch.einsum("ij,jk->ik", [a, b]),
}


class Calls(nn.Module):
    def __init__(self, product):
        super().__init__()
        self.product = product

    def forward(self, x):
        self.product(torch.ones(4, 5), torch.ones(5, 6), torch.ones(5))
        return x


@pytest.mark.parametrize("name", PRODUCTS)
def test_hand_written_products_are_counted(name):
    """Oracle: torch's own counter; ours counts two samples and halves, and this product does not depend on them."""
    module = Calls(PRODUCTS[name])
    with FlopCounterMode(display=False) as counter:
        module(torch.ones(1))
    assert counter.get_total_flops() > 0
    assert sum(r.multiply_adds for r in layers(module, (1,))) == counter.get_total_flops() / 2 / 2


def test_attention_counts_both_products():
    """By hand: 7 queries meet 9 keys of 8 numbers, and 7 rows of shares meet 9 values of 5, in 3 heads."""
    module = Calls(lambda *_: F.scaled_dot_product_attention(torch.ones(2, 3, 7, 8), torch.ones(2, 3, 9, 8), torch.ones(2, 3, 9, 5)))
    assert sum(r.multiply_adds for r in layers(module, (1,))) == 3 * (7 * 9 * 8 + 7 * 9 * 5)


def test_looking_does_not_load_the_compiler():
    """It takes a second, and every report looks at the layers."""
    code = ("import sys; from torch import nn; from chainrule.observe.layers import layers; layers(nn.Linear(3, 4), (3,));"
            "print('torch._dynamo' in sys.modules)")
    assert subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout == "False\n"


class Recurs(nn.Module):
    def __init__(self, kind):
        super().__init__()
        self.kind = kind
        self.memory = {"lstm": nn.LSTM, "gru": nn.GRU, "rnn": nn.RNN}[kind](3, 4, num_layers=2, bidirectional=True, batch_first=True)

    def forward(self, x):
        return self.memory(x)[0][:, -1]


class Steps(nn.Module):
    def __init__(self, kind):
        super().__init__()
        self.cell = {"lstm": nn.LSTMCell, "gru": nn.GRUCell, "rnn": nn.RNNCell}[kind](3, 4)

    def forward(self, x):
        state = None
        for t in range(x.shape[1]):
            state = self.cell(x[:, t], state)
        return state[0] if isinstance(state, tuple) else state


@pytest.mark.parametrize(("kind", "gates"), [("lstm", 4), ("gru", 3), ("rnn", 1)])
def test_recurrent_layers_count_every_matrix_at_every_step(kind, gates):
    """By hand: each gate reads the input and the last state; the second layer reads both directions of the first."""
    first, second = gates * 4 * (3 + 4), gates * 4 * (8 + 4)
    row, = layers(Recurs(kind), (10, 3))
    assert row.multiply_adds == 10 * 2 * (first + second)
    assert row.output == (10, 8)
    cell, = layers(Steps(kind), (10, 3))
    assert cell.multiply_adds == 10 * first
    assert cell.parameters == gates * 4 * (3 + 4 + 2)


class Odd(nn.Module):
    """Tied, unused, loose and hand-multiplied parameters, and a part that is used twice."""

    def __init__(self):
        super().__init__()
        self.codes = nn.Linear(5, 8, bias=False)
        self.twice = nn.Linear(8, 8)
        self.back = nn.Linear(8, 5)
        self.back.weight = nn.Parameter(self.codes.weight.detach().T.clone())
        self.tied = nn.Linear(5, 8, bias=False)
        self.tied.weight = self.codes.weight
        self.loose = nn.Parameter(torch.ones(5, 3))
        self.unused = nn.Linear(2, 2)

    def forward(self, x):
        h = self.codes(x) + self.tied(x)
        return F.linear(self.back(self.twice(self.twice(h))), self.loose.T)


def test_every_parameter_is_counted_exactly_once():
    module = Odd()
    rows = {r.name: r for r in layers(module, (5,))}
    assert sum(r.parameters for r in rows.values()) == sum(p.numel() for p in module.parameters())
    assert (rows["codes"].parameters, rows["tied"].parameters) == (40, 0)
    assert rows["tied"].multiply_adds == 40
    assert (rows["twice"].parameters, rows["twice"].multiply_adds) == (72, 128)
    assert rows["(net)"] == Layer("(net)", "Odd", (5,), (3,), 15, 15, 4 * 5)
    assert rows["unused"] == Layer("unused", "Linear", None, None, 6, 0, 0)


class Aided(nn.Module):
    """A second head that helps in training only, as in GoogLeNet."""

    def __init__(self):
        super().__init__()
        self.head, self.helper = nn.Linear(3, 2), nn.Linear(3, 2)

    def forward(self, x):
        return (self.head(x), self.helper(x)) if self.training else self.head(x)


def test_what_runs_in_training_only_has_parameters_but_no_output():
    module = Aided().train()
    assert layers(module, (3,)) == [Layer("head", "Linear", (3,), (2,), 8, 6, 12), Layer("helper", "Linear", None, None, 8, 0, 0)]
    assert module.training


class Restless(nn.Module):
    """Everything a forward pass can leave behind: batch norm, noise, a counter, a kept activation, a hook."""

    def __init__(self, looks_at_numbers):
        super().__init__()
        self.linear, self.norm, self.drop = nn.Linear(3, 4), nn.BatchNorm1d(4), nn.Dropout(0.5)
        self.looks_at_numbers, self.calls, self.kept = looks_at_numbers, 0, None

    def forward(self, x):
        self.calls += 1
        self.kept = self.drop(self.norm(self.linear(x))) + torch.randn(4)
        return self.kept * 2 if not self.looks_at_numbers or bool((x > 5).any()) else self.kept


@pytest.mark.parametrize(("looks_at_numbers", "large"), [(False, 0), (False, 10**7), (True, 0)])  # the last fails on the meta device
def test_looking_leaves_no_trace(monkeypatch, looks_at_numbers, large):
    monkeypatch.setattr("chainrule.observe.layers.LARGE", large)
    module = Restless(looks_at_numbers).train()
    heard = []
    module.linear.register_forward_hook(lambda *_: heard.append(1))
    module(torch.randn(6, 3)).sum().backward()  # `kept` now hangs on a graph
    heard.clear()
    before, kept, calls = copy.deepcopy(module.state_dict()), module.kept, module.calls
    grads = {name: p.grad for name, p in module.named_parameters()}
    torch.manual_seed(3), random.seed(3)
    state = torch.get_rng_state()
    rows = layers(module, (3,))
    assert [r.kind for r in rows] == ["Linear", "BatchNorm1d", "Dropout"]
    assert torch.equal(torch.get_rng_state(), state)
    assert module.training
    assert module.norm.training
    assert module.kept is kept
    assert (module.calls, heard) == (calls, [])
    assert all(p.grad is grads[name] for name, p in module.named_parameters())
    for name, tensor in module.state_dict().items():
        assert torch.equal(tensor, before[name]), name
    assert torch.backends.mha.get_fastpath_enabled()


def test_what_cannot_be_read_is_one_message_naming_the_layer_and_the_shape():
    with pytest.raises(InputError) as small:
        layers(lenet5(), (1, 8, 8))
    assert str(small.value) == ("3 (Conv2d) cannot read an input of shape (6, 4, 4), which samples of shape (1, 8, 8) have become there: "
                                "its kernel covers 5 x 5. Use samples of another size, or a net made for this one.")
    with pytest.raises(InputError, match=r"7 \(Linear\) cannot read an input of shape \(576,\), .*: it needs 400 numbers"):
        layers(lenet5(), (1, 32, 32))
    with pytest.raises(InputError, match=r"^0 \(Conv2d\) cannot read an input of shape \(3, 28, 28\): it needs 1 channel\."):
        layers(lenet5(), (3, 28, 28))


def test_a_large_net_is_looked_at_without_its_memory():
    """The copy is empty: 4 * 10^12 numbers that no machine here holds."""
    with torch.device("meta"):
        module = nn.Linear(2_000_000, 2_000_000, bias=False)
    row, = layers(module, (2_000_000,))
    assert row.parameters == row.multiply_adds == 4 * 10**12


def test_first_weights_are_filters_or_rows_shaped_like_the_picture():
    net = lenet5()
    filters, shape = first_weights(net, (1, 28, 28))
    assert shape == (1, 5, 5)
    assert torch.equal(filters, net[0].weight)
    filters[:] = 0
    assert net[0].weight.any()  # a copy

    dense = nn.Sequential(nn.Flatten(), nn.Linear(12, 7), nn.Linear(7, 12))
    for shape_in in [(1, 3, 4), (3, 4)]:
        rows, shape = first_weights(dense, shape_in)
        assert shape == (1, 3, 4)
        assert torch.equal(rows[2, 0, 1], dense[1].weight[2, 4:8])

    class Columns(nn.Module):
        def __init__(self):
            super().__init__()
            self.weight = nn.Parameter(torch.randn(12, 5))

    columns = Columns()
    assert torch.equal(first_weights(columns, (1, 3, 4))[0][4].flatten(), columns.weight[:, 4])
    assert first_weights(nn.Conv2d(5, 2, 3), (5, 8, 8))[0].shape == (10, 1, 3, 3)
    assert first_weights(nn.Conv2d(3, 2, 1), (3, 8, 8)) is None
    assert first_weights(nn.Linear(12, 3), (12,)) is None
