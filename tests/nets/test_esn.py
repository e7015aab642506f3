"""The echo-state network: its eigenvalues, its memory that fades, steps written out by hand, and states that can be carried."""

import pytest
import torch
from torch import nn
from torch.nn import functional as F

from chainrule.core.errors import InputError
from chainrule.core.kernels import written_out
from chainrule.nets.esn import EchoState, reservoir

N, T, D, UNITS, K = 4, 11, 3, 30, 2


def net(seed=0, **options):
    torch.manual_seed(seed)
    module = EchoState((T, D), K, **{"units": UNITS, "connections": 5, "drive": 0.5, **options}).double()
    nn.init.normal_(module.output.weight)
    return module


def sequences(n=N, steps=T, seed=1):
    return torch.randn(n, steps, D, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)


@pytest.mark.parametrize("radius", [0.5, 0.9, 1.2])
def test_the_spectral_radius_is_that_of_the_eigenvalues_and_of_high_powers(radius):
    torch.manual_seed(0)
    weights = reservoir(60, 7, radius).double()
    assert float(torch.linalg.eigvals(weights).abs().max()) == pytest.approx(radius, rel=1e-5)
    powers = torch.linalg.matrix_power(weights, 512).norm() ** (1 / 512)             # Gelfand (1941)
    assert float(powers) == pytest.approx(radius, rel=0.02)
    assert (weights != 0).sum(1).tolist() == [7] * 60


@pytest.mark.parametrize("leak", [1.0, 0.3])
def test_states_are_the_published_recursion(leak):
    module, x = net(leak=leak), sequences()
    states = []
    for row in x:
        h = torch.zeros(UNITS, dtype=torch.float64)
        for step in row:
            h = (1 - leak) * h + leak * torch.tanh(module.reads @ step + module.bias + module.recurs @ h)
            states.append(torch.cat([h, step]))
    torch.testing.assert_close(module.features(x).flatten(0, 1), torch.stack(states))


def test_whatever_the_state_was_it_is_forgotten_and_not_where_the_radius_is_large():
    """The echo state property: Jaeger (2001), definition 1."""
    x = sequences(1, 300)

    def apart(radius):
        module = net(radius=radius, drive=0.1)
        starts = torch.rand(2, 1, UNITS, generator=torch.Generator().manual_seed(2), dtype=torch.float64) - 0.5
        first, second = (module.echo(x, start)[1] for start in starts)
        return float((first - second).norm() / (starts[0] - starts[1]).norm())

    assert apart(0.8) < 1e-20
    assert apart(3.0) > 1e-3


@pytest.mark.parametrize("leak", [1.0, 0.5])
def test_a_series_read_in_pieces_is_the_series_read_whole_and_connections_alone_are_enough(leak):
    module, x = net(leak=leak), sequences(1, 50)
    whole, end = module.echo(x, module.initial(1))
    state, pieces = module.initial(1), []
    for piece in x.split(17, 1):
        features, state = module.echo(piece, state)
        pieces.append(features)
    torch.testing.assert_close(torch.cat(pieces, 1), whole, rtol=0, atol=1e-12)
    torch.testing.assert_close(state, end, rtol=0, atol=1e-12)
    with written_out():                                                             # the product with all units, zeros included
        torch.testing.assert_close(module.echo(x, module.initial(1))[0], whole, rtol=0, atol=1e-12)


def test_it_reads_out_the_end_the_mean_or_every_step_and_a_shorter_sequence_as_if_it_stood_alone():
    torch.manual_seed(3)
    x = F.one_hot(torch.randint(D, (N, T)), D).double()
    lengths = [T, 4, 1, 7]
    for row, length in enumerate(lengths):
        x[row, length:] = 0
    by_step, by_end, by_mean = (net(answer=answer) for answer in ("steps", "last", "mean"))
    for row, length in enumerate(lengths):
        alone = x[row : row + 1, :length]
        features = by_step.features(alone)[0]                                       # (length, units + d)
        torch.testing.assert_close(by_end.features(x)[row], features[-1])
        torch.testing.assert_close(by_mean.features(x)[row], features.mean(0))
        torch.testing.assert_close(by_end(x)[row], by_step(alone)[0, -1])


def test_a_series_of_one_number_a_step_may_come_without_its_last_axis():
    torch.manual_seed(0)
    module, x = EchoState((T,), K, units=UNITS, answer="last"), torch.randn(N, T)
    torch.testing.assert_close(module(x), module(x[:, :, None]))


def test_nothing_but_the_readout_learns():
    assert {name for name, p in net().named_parameters() if p.requires_grad} == {"output.weight", "output.bias"}
    assert {"reads", "bias", "recurs"} <= set(net().state_dict())


@pytest.mark.parametrize("options", [{"units": 0}, {"leak": 0.0}, {"leak": 1.5}, {"radius": 0.0}, {"ridge": -1.0}, {"drive": -0.1}])
def test_options_out_of_range_are_refused(options):
    with pytest.raises(InputError, match="esn expects"):
        EchoState((T, D), K, **options)


def test_pictures_are_refused():
    with pytest.raises(InputError, match="sequences"):
        EchoState((1, 8, 8), K)


@pytest.mark.parametrize("answer", ["steps", "last", "mean"])
def test_one_graph_of_it_answers_any_number_of_rows(answer):
    module, x = net(answer=answer).eval(), sequences()
    graph = torch.export.export(module, (x,), dynamic_shapes=({0: torch.export.Dim("rows", min=2)},)).module()
    for rows in (x, sequences(7)):
        torch.testing.assert_close(graph(rows), module(rows))
