"""Curvature through torch's own recurrent layers, against the same cells written out; and what cannot be differentiated twice is said."""

import pytest
import torch
from torch import nn

from chainrule.core.batch import Batch
from chainrule.core.criterion import Objective, Solve, Supervised
from chainrule.core.errors import InputError
from chainrule.core.net import Net
from chainrule.core.registry import losses, optimizers
from chainrule.optim.solvers import hessian_free
from chainrule.optim.solvers.curvature import GaussNewton, Surface, flat, hessian

CURVED = ["newton", "levenberg", "hessian-free:damping=0.1", "hessian-free:damping=0.1,structural=3",
          "hessian-free:damping=0.1,preconditioned=yes"]


class Layered(nn.Module):
    """A recurrent layer of torch's and a linear one that reads its last state: (n, t, 2) -> (n, 3); `states` are all, (n, t, 3)."""

    def __init__(self, kind, precision=torch.double):
        super().__init__()
        self.again, self.says = kind(2, 3, batch_first=True, dtype=precision), nn.Linear(3, 3, dtype=precision)

    def states(self, x):
        return self.again(x)[0]

    def forward(self, x):
        return self.says(self.states(x)[:, -1])


class Written(nn.Module):
    """The same under the same names, every gate by its formula: Hochreiter & Schmidhuber (1997), Cho et al. (2014), Elman (1990)."""

    def __init__(self, like: Layered):
        super().__init__()
        self.kind = type(like.again)
        self.again = nn.Module()
        for name, p in like.again.named_parameters():
            self.again.register_parameter(name, nn.Parameter(p.detach().clone()))
        self.says = nn.Linear(3, 3).double()
        self.says.load_state_dict(like.says.state_dict())

    def states(self, x):
        h = c = x.new_zeros(len(x), 3)
        out = []
        for t in range(x.shape[1]):
            read = x[:, t] @ self.again.weight_ih_l0.T + self.again.bias_ih_l0
            back = h @ self.again.weight_hh_l0.T + self.again.bias_hh_l0
            if self.kind is nn.RNN:
                h = torch.tanh(read + back)
            elif self.kind is nn.GRU:
                (r, z, n), (hr, hz, hn) = read.chunk(3, 1), back.chunk(3, 1)
                z = torch.sigmoid(z + hz)
                h = (1 - z) * torch.tanh(n + torch.sigmoid(r + hr) * hn) + z * h
            else:
                i, f, g, o = (read + back).chunk(4, 1)
                c = torch.sigmoid(f) * c + torch.sigmoid(i) * torch.tanh(g)
                h = torch.sigmoid(o) * torch.tanh(c)
            out.append(h)
        return torch.stack(out, 1)

    def forward(self, x):
        return self.says(self.states(x)[:, -1])


def pair(kind):
    torch.manual_seed(0)
    module = Layered(kind)
    return module, Written(module), Batch(torch.randn(6, 4, 2).double(), torch.randint(3, (6,)))


def surface_of(module, batch):
    return Surface(Net.of(module), batch, Objective(Supervised(losses.choose("cross-entropy").make()), l2=0.05))


@pytest.mark.parametrize("kind", [nn.LSTM, nn.GRU, nn.RNN])
def test_products_and_hessians_are_those_of_the_cell_written_out(kind):
    module, written, batch = pair(kind)
    ours, twin = surface_of(module, batch), surface_of(written, batch)
    assert torch.equal(ours.start, twin.start)
    v = torch.randn_like(ours.start)
    for structural in (0.0, 0.7):
        torch.testing.assert_close(GaussNewton(ours, ours.start, batch, structural=structural)(v),
                                   GaussNewton(twin, twin.start, batch, structural=structural)(v), rtol=1e-9, atol=1e-11)
    matrices = []
    for surface in (ours, twin):
        where = surface.start.clone().requires_grad_()
        matrices.append(hessian(surface.slope(where, again=True)[1], where))
    torch.testing.assert_close(*matrices, rtol=1e-9, atol=1e-11)
    torch.testing.assert_close(hessian_free.squared_slopes(ours, batch), hessian_free.squared_slopes(twin, batch), rtol=1e-9, atol=1e-12)
    assert ours.recurrent
    assert not twin.recurrent


@pytest.mark.parametrize("spec", CURVED)
def test_solvers_train_an_lstm_as_its_twin(spec):
    module, written, batch = pair(nn.LSTM)
    ends = []
    for made in (module, written):
        net = Net.of(made)
        loss = "squared" if spec == "levenberg" else "cross-entropy"
        rule = Solve(Objective(Supervised(losses.choose(loss).make()), l2=0.01), optimizers.choose(spec).make())
        state, begun = rule.init(net), flat(net)
        for _ in range(2):
            net, state, report = rule.step(net, state, batch)
            assert not report["failed"]
        ends.append(flat(net))
        assert (ends[-1] - begun).norm() > 1e-2
    torch.testing.assert_close(*ends, rtol=1e-5, atol=1e-7)


def test_kernels_without_a_second_derivative_are_put_aside_only_where_it_is_taken(monkeypatch):
    """cuDNN's recurrent kernels are one such; where the slope alone is taken, or nothing is recurrent, they may be used."""
    seen = []

    class Noting(Layered):
        def forward(self, x):
            seen.append(torch.backends.cudnn.enabled)
            return super().forward(x)

    batch = pair(nn.LSTM)[2]
    noting = Noting(nn.LSTM)
    for spec, expected in (("newton", False), ("levenberg", False), ("hessian-free", False), ("lbfgs", True)):
        seen.clear()
        rule, net = Solve(Objective(Supervised(losses.choose("squared").make())), optimizers.choose(spec).make()), Net.of(noting)
        rule.step(net, rule.init(net), batch)
        assert (False in seen) == (not expected)
        assert torch.backends.cudnn.enabled
    with surface_of(nn.Linear(2, 3), batch).twice():
        assert torch.backends.cudnn.enabled


class Last(torch.autograd.Function):
    """A slope that torch cannot differentiate again, in torch's words."""

    @staticmethod
    def forward(ctx, slope):
        return slope.clone()

    @staticmethod
    def backward(ctx, _):
        raise RuntimeError("derivative for aten::_cudnn_rnn_backward is not implemented")


class Once(torch.autograd.Function):
    @staticmethod
    def forward(ctx, x):
        return x.clone()

    @staticmethod
    def backward(ctx, slope):
        return Last.apply(slope)


class Fused(nn.Module):
    def __init__(self):
        super().__init__()
        self.reads = nn.Linear(2, 3)

    def forward(self, x):
        return Once.apply(self.reads(x))


@pytest.mark.parametrize("spec", ["newton", "hessian-free"])
def test_a_layer_without_a_second_derivative_is_said_in_one_sentence_with_what_to_use(spec):
    torch.manual_seed(0)
    net, batch = Net.of(Fused()), Batch(torch.randn(5, 2), torch.randint(3, (5,)))
    loss = losses.choose("squared").make()
    rule = Solve(Objective(Supervised(loss)), optimizers.choose(spec).make())
    with pytest.raises(InputError, match=r"twice, which a layer of Fused does not bear .*Use --optimizer lbfgs or conjugate"):
        rule.step(net, rule.init(net), batch)
    rule = Solve(Objective(Supervised(loss)), optimizers.choose("lbfgs").make())
    rule.step(net, rule.init(net), batch)
