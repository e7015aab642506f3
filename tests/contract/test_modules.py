"""Modules as users write them: each trains for two epochs, is opened again with the same answers, and resumes to the same bits."""

import threading

import pytest
import torch
from torch import nn
from torch.nn.parameter import is_lazy
from torch.nn.utils import parametrizations, prune
from torch.utils.checkpoint import checkpoint

import chainrule as cr
from chainrule.core.errors import Interrupted
from chainrule.core.events import Evaluated
from chainrule.core.net import Net
from chainrule.engine.nonfinite import finite, infinite, watched
from chainrule.engine.stop import Stop

ROWS, CLASSES = 40, 3
DRAWN = torch.Generator().manual_seed(0)
FLAT, SEQUENCES, PICTURES = (torch.randn(ROWS, *shape, generator=DRAWN) for shape in ((8,), (6, 4), (3, 8, 8)))
CODES = torch.randint(0, 20, (ROWS, 6), generator=DRAWN)
Y = torch.arange(ROWS) % CLASSES


class CausalTransformer(nn.Module):
    data = SEQUENCES

    def __init__(self):
        super().__init__()
        self.up, self.head = nn.Linear(4, 8), nn.Linear(8, CLASSES)
        self.encoder = nn.TransformerEncoder(nn.TransformerEncoderLayer(8, 2, 16, batch_first=True), 1)
        self.register_buffer("mask", nn.Transformer.generate_square_subsequent_mask(6))     # -inf above the diagonal

    def forward(self, x):
        return self.head(self.encoder(self.up(x), mask=self.mask).mean(1))


class LastState(nn.Module):
    data = SEQUENCES

    def __init__(self):
        super().__init__()
        self.lstm, self.head = nn.LSTM(4, 8, batch_first=True), nn.Linear(8, CLASSES)

    def forward(self, x):
        _, (h, _) = self.lstm(x)
        return self.head(h[-1])


class ResidualBlock(nn.Module):
    data = PICTURES

    def __init__(self):
        super().__init__()
        self.first, self.second = nn.Conv2d(3, 4, 3, padding=1), nn.Conv2d(4, 4, 3, padding=1)
        self.norms, self.skip, self.head = nn.ModuleList([nn.BatchNorm2d(4), nn.BatchNorm2d(4)]), nn.Conv2d(3, 4, 1), nn.Linear(4, CLASSES)

    def forward(self, x):
        hidden = self.norms[0](self.first(x)).relu()
        return self.head((self.norms[1](self.second(hidden)) + self.skip(x)).relu().mean((2, 3)))


class Embedded(nn.Module):
    data = CODES

    def __init__(self):
        super().__init__()
        self.embedding, self.head = nn.Embedding(20, 8), nn.Linear(8, CLASSES)

    def forward(self, x):
        return self.head(self.embedding(x).mean(1))


class Hidden(nn.Module):
    """Two layers, the first of which others replace."""

    data = FLAT

    def __init__(self):
        super().__init__()
        self.first, self.head = nn.Linear(8, 8), nn.Linear(8, CLASSES)

    def forward(self, x):
        return self.head(self.first(x).relu())


class WeightNormDropout(Hidden):
    def __init__(self):
        super().__init__()
        self.first = nn.Sequential(parametrizations.weight_norm(nn.Linear(8, 8)), nn.Dropout(0.5))


class OldWeightNorm(Hidden):
    def __init__(self):
        super().__init__()
        nn.utils.weight_norm(self.first)


class SpectralNorm(Hidden):
    def __init__(self):
        super().__init__()
        parametrizations.spectral_norm(self.first)


class Pruned(Hidden):
    def __init__(self):
        super().__init__()
        prune.l1_unstructured(self.first, "weight", amount=0.5)


class Doubled(Hidden):
    def __init__(self):
        super().__init__()
        self.double()


class Mixed(Hidden):
    """Part of it in double precision, which it sees to itself."""

    def __init__(self):
        super().__init__()
        self.head.double()

    def forward(self, x):
        return self.head(self.first(x).relu().double())


class UnusedHeads(Hidden):
    def __init__(self):
        super().__init__()
        self.heads = nn.ModuleDict({"used": nn.Linear(8, CLASSES), "unused": nn.Linear(8, 5)})

    def forward(self, x):
        return self.heads["used"](self.first(x).relu())


class TiedWeights(Hidden):
    def __init__(self):
        super().__init__()
        self.second = nn.Linear(8, 8)
        self.second.weight = self.first.weight

    def forward(self, x):
        return self.head(self.second(self.first(x).relu()).relu())


class Square(torch.autograd.Function):
    @staticmethod
    def forward(ctx, x):
        ctx.save_for_backward(x)
        return x * x

    @staticmethod
    def backward(ctx, slope):
        return 2 * ctx.saved_tensors[0] * slope


class OwnFunction(Hidden):
    def forward(self, x):
        return self.head(Square.apply(self.first(x)))


class ControlFlow(Hidden):
    def forward(self, x):
        hidden = self.first(x)
        return self.head(hidden.relu() if hidden.mean() > 0 else hidden.tanh())


class GroupNormPReLU(nn.Sequential):
    data = PICTURES

    def __init__(self):
        super().__init__(nn.Conv2d(3, 4, 3), nn.GroupNorm(2, 4), nn.PReLU(4), nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(4, CLASSES))


class Attention(nn.Module):
    data = SEQUENCES

    def __init__(self):
        super().__init__()
        self.attention, self.head = nn.MultiheadAttention(4, 2, batch_first=True), nn.Linear(4, CLASSES)

    def forward(self, x):
        return self.head(self.attention(x, x, x)[0].mean(1))


class Bilinear(Hidden):
    def __init__(self):
        super().__init__()
        self.pair = nn.Bilinear(4, 4, 8)

    def forward(self, x):
        return self.head(self.pair(x[:, :4], x[:, 4:]).relu())


class Fourier(Hidden):
    """Complex weights of frequencies."""

    def __init__(self):
        super().__init__()
        self.filter = nn.Parameter(torch.randn(5, dtype=torch.complex64))

    def forward(self, x):
        return self.head(torch.fft.irfft(torch.fft.rfft(x) * self.filter, n=8))


class DoubleFourier(Fourier):
    def __init__(self):
        super().__init__()
        self.double()
        self.filter = nn.Parameter(torch.randn(5, dtype=torch.complex128))


class StoredActivation(Hidden):
    def forward(self, x):
        self.last = self.first(x).relu()
        return self.head(self.last)


class CalledBefore(StoredActivation):
    def __init__(self):
        super().__init__()
        self(torch.randn(4, 8))


class Reassigned(Hidden):
    """A running mean that is put in place of the one before."""

    def __init__(self):
        super().__init__()
        self.register_buffer("mean", torch.zeros(8))

    def forward(self, x):
        if self.training:
            self.mean = 0.9 * self.mean + 0.1 * x.mean(0)
        return super().forward(x - self.mean)


class LateBuffer(Hidden):
    """A running mean that is not there before the first batch."""

    def __init__(self):
        super().__init__()
        self.register_buffer("mean", None)

    def forward(self, x):
        if self.training:
            self.mean = x.mean(0) if self.mean is None else 0.9 * self.mean + 0.1 * x.mean(0)
        return super().forward(x - self.mean if self.mean is not None else x)


class Recomputed(Hidden):
    def forward(self, x):
        return self.head(checkpoint(self.first, x, use_reentrant=False).relu())


class WholeNumber(Hidden):
    def __init__(self):
        super().__init__()
        self.power = nn.Parameter(torch.tensor([2]), requires_grad=False)

    def forward(self, x):
        return self.head(self.first(x) ** self.power)


class Locked(Hidden):
    def __init__(self):
        super().__init__()
        self.shared = {"lock": threading.Lock()}

    def forward(self, x):
        with self.shared["lock"]:
            return super().forward(x)


class Lazy(Hidden):
    def __init__(self):
        super().__init__()
        self.first = nn.Sequential(nn.LazyLinear(8), nn.LazyBatchNorm1d())


ZOO = [CausalTransformer, LastState, ResidualBlock, Embedded, WeightNormDropout, OldWeightNorm, SpectralNorm, Pruned, Doubled, Mixed,
       UnusedHeads, TiedWeights, OwnFunction, ControlFlow, GroupNormPReLU, Attention, Bilinear, Fourier, DoubleFourier, StoredActivation,
       CalledBefore, Reassigned, LateBuffer, Recomputed, WholeNumber, Locked, Lazy]


def made(kind):
    torch.manual_seed(0)
    return kind()


def train(kind, **options):
    return cr.train((kind.data, Y), net=made(kind), epochs=2, batch=10, plan="eager", optimizer="adam:rate=0.05", progress=False, **options)


@pytest.fixture(autouse=True)
def _in_a_folder_of_its_own(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)


@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize("kind", ZOO, ids=lambda kind: kind.__name__)
def test_a_module_trains_opens_again_and_resumes(kind, tmp_path):
    run = train(kind, out=tmp_path / "whole")
    begun = zip(made(kind).parameters(), run.net.parameters(), strict=True)
    assert any(not torch.equal(p, q) for p, q in begun if not is_lazy(p))
    opened = cr.Run(run.path, net=made(kind))
    assert torch.equal(opened.predict(kind.data)[0], run.predict(kind.data)[0])
    for name, t in run.net.state_dict().items():
        assert opened.net.state_dict()[name].dtype == t.dtype
        assert torch.equal(opened.net.state_dict()[name], t), name

    stop = Stop()
    with pytest.raises(Interrupted):
        train(kind, out=tmp_path / "part", stop=stop, sinks=[lambda e: stop.request("SIGINT") if isinstance(e, Evaluated) else None])
    resumed = cr.resume(cr.Run(tmp_path / "part", net=made(kind), data=(kind.data, Y)), progress=False)
    for name, t in run.net.state_dict().items():
        assert torch.equal(resumed.net.state_dict()[name], t), name


def test_types_of_weights_stay():
    for kind in (Doubled, DoubleFourier, Fourier, Mixed):
        types = {name: t.dtype for name, t in made(kind).state_dict().items()}
        *_, _ = cr.events((kind.data, Y), net=(net := made(kind)), epochs=1, batch=10, plan="eager")
        assert {name: t.dtype for name, t in net.state_dict().items()} == types


def test_complex_weights_learn_as_their_parts_would():
    """Second derivation: the same filter written as two real vectors, by the same optimizer with every part of the step that measures."""

    class Parts(Fourier):
        def __init__(self):
            super().__init__()
            self.filter = nn.Parameter(torch.view_as_real(self.filter.detach()).clone())

        def forward(self, x):
            return self.head(torch.fft.irfft(torch.fft.rfft(x) * torch.view_as_complex(self.filter), n=8))

    whole, parts = made(Fourier), made(Parts)
    for net in (whole, parts):
        list(cr.events((FLAT, Y), net=net, rule="backprop:clip=0.1", epochs=3, batch=10, plan="eager", optimizer="adam:rate=0.05"))
    torch.testing.assert_close(torch.view_as_real(whole.filter), parts.filter)
    torch.testing.assert_close(whole.head.weight, parts.head.weight)


def test_a_mask_of_minus_infinity_may_stay_and_nothing_else_may_become_infinite():
    net = Net.of(made(CausalTransformer))
    masks = infinite(net)
    assert masks == {"mask"}
    assert finite(watched(net, masks))
    with torch.no_grad():
        net.params["head.bias"][0] = float("nan")
    assert not finite(watched(net, masks))


def test_a_running_mean_is_that_of_the_batches():
    """Second derivation: the mean written out over the batches as the feed hands them out."""
    run = cr.train((FLAT, Y), net=made(Reassigned), epochs=1, batch=10, plan="eager", progress=False)
    mean = torch.zeros(8)
    for chunk in run.job.feed().chunks(0):
        mean = 0.9 * mean + 0.1 * run.job.data.ready(chunk.x[0]).mean(0)
    torch.testing.assert_close(cr.Run(run.path, net=made(Reassigned)).net.mean, mean)


def test_members_whose_buffers_are_put_in_place_of_others_keep_them(tmp_path):
    """Each as it is alone: a stack, which would lose them, is not taken."""
    options = {"net": made(Reassigned), "epochs": 2, "batch": 10, "plan": "eager", "progress": False}
    both = cr.train((FLAT, Y), members=2, out=tmp_path / "both", **options)
    for seed, run in enumerate(both.runs):
        lone = cr.train((FLAT, Y), seed=seed, out=tmp_path / str(seed), **{**options, "net": made(Reassigned)})
        assert torch.equal(run.net.mean, lone.net.mean)
