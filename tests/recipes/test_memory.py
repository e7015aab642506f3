"""The recipes of memory: who adds rightly is found right, one wrong digit is a wrong sum, and the automaton is that of addition."""

from types import SimpleNamespace

import pytest
import torch
from torch.nn import functional as F

from chainrule.data.synthetic.memory import ABSENT, LATE
from chainrule.nets.lstm import LSTM
from chainrule.nets.rnn import Elman
from chainrule.plots.automaton import automaton, plane
from chainrule.plots.through_time import gates_over_time, slopes_through_time
from chainrule.recipes.adding_problem import gates_of, slope_lengths
from chainrule.recipes.binary_addition import WORKED, answer_to, hidden_states, pairs_of, wrong_sums


def answering(answers):
    """A run whose net says these digits (n, t), and nothing where none is asked."""
    return SimpleNamespace(predict=lambda source: (F.one_hot(answers.clamp(min=0), 2).float(), ("0", "1")))


def test_a_sum_with_any_wrong_digit_is_wrong_and_what_is_not_asked_does_not_count():
    pairs = pairs_of(30, 1, 12, seed=0)
    right = pairs.targets.clone()
    assert wrong_sums(answering(right), pairs) == 0
    right[pairs.targets == ABSENT] = 1
    assert wrong_sums(answering(right), pairs) == 0
    for row, place in ((3, LATE), (7, LATE + 1)):
        right[row, place] = 1 - right[row, place]
    assert wrong_sums(answering(right), pairs) == 2


class Adder:
    """A run that adds by Python's integers."""

    def predict(self, source):
        digits = torch.zeros(source.inputs.shape[:2], dtype=torch.int64)
        for row, x in enumerate(source.inputs):
            total = sum(int(bit) << place for column in x.unbind(1) for place, bit in enumerate(column))
            for place in range(x.shape[0] - LATE):
                digits[row, LATE + place] = total >> place & 1
        return F.one_hot(digits, 2).float(), ("0", "1")


def test_an_adder_adds():
    assert wrong_sums(Adder(), pairs_of(40, 1, 64, seed=1)) == 0
    assert answer_to(Adder(), *WORKED[:2]) == WORKED[2]


def test_states_are_those_of_the_automaton():
    """A net whose state is what was printed and what is carried is labelled by just that."""

    class Net:
        def states(self, x):
            total, states = torch.zeros(len(x), dtype=torch.int64), []
            for t, column in enumerate(x.long().sum(2).unbind(1)):
                total = total + (column << t)
                states.append(torch.stack([total >> t & 1, total >> t + 1 & 1], 1))
            return torch.stack(states, 1).float()

    pairs = pairs_of(6, 40, 40, seed=2)
    inputs = SimpleNamespace(encode=lambda x: x, ready=lambda x: x)
    run = SimpleNamespace(net=Net(), trained=SimpleNamespace(encoder=SimpleNamespace(inputs=inputs)))
    states, labels = hidden_states(run, pairs)
    whole = (torch.arange(64) < 60).repeat(6)                              # above, a sum no longer fits into an integer
    assert torch.equal(labels[whole], (states[:, 0] + 2 * states[:, 1]).long()[whole])
    assert set(labels.tolist()) == {0, 1, 2, 3}


def test_the_plane_is_that_of_the_means():
    """Three groups in a plane of five dimensions, noise across it: the plane is found, and has all of their spread."""
    generator = torch.Generator().manual_seed(0)
    axes, _ = torch.linalg.qr(torch.randn(5, 5, generator=generator, dtype=torch.float64))
    labels = torch.arange(300) % 3
    means = torch.tensor([[3.0, 0.0], [0.0, 2.0], [-1.0, -1.0]], dtype=torch.float64)
    states = means[labels] @ axes[:2]
    points, share = plane(states, labels)
    assert float(share) == 1.0
    torch.testing.assert_close(torch.cdist(points, points), torch.cdist(means[labels], means[labels]), rtol=1e-6, atol=1e-6)
    figure = automaton(states, labels, ("a", "b", "c"))
    assert [text.get_text() for text in figure.axes[0].get_legend().get_texts()] == ["a", "b", "c"]


@pytest.mark.parametrize("family", [Elman, LSTM])
def test_slopes_through_time_are_those_of_the_rest_of_the_sequence(family):
    """By the state after each step: the error of what is left, begun anew from that state."""
    torch.manual_seed(0)
    net, x, y = family((6, 2), 1, hidden=4, answer="last").double(), torch.randn(3, 6, 2).double(), torch.randn(3, 1).double()
    lengths = slope_lengths(net, x, y)
    layer = net.layers[0]
    state = layer.initial(3)
    for t in range(6):
        _, state = layer.written_out(x[:, t : t + 1], state)
        leaves = [part.detach().clone().requires_grad_() for part in state]
        end = leaves if t == 5 else layer.written_out(x[:, t + 1 :], tuple(leaves))[1]
        slopes = torch.autograd.grad((net.output(end[0]) - y).square().sum(), leaves, materialize_grads=True)
        square = sum(slope.square().sum(1).mean() for slope in slopes)
        torch.testing.assert_close(lengths[t], square.sqrt())


def test_gates_are_what_writes_keeps_and_reads_the_cell():
    torch.manual_seed(0)
    net, x = LSTM((5, 2), 1, hidden=4).double(), torch.randn(1, 5, 2).double()
    gates = gates_of(net, x)
    layer, state = net.layers[0], net.layers[0].initial(1)
    for t in range(5):
        before = state
        state = layer.cell(layer.reads(x[:, t]), state)
        written = torch.tanh((layer.reads(x[:, t]) + layer.recurs(before[0]))[:, 8:12])
        torch.testing.assert_close(gates["keep"][t] * before[1] + gates["write"][t] * written, state[1])
        torch.testing.assert_close(gates["read"][t] * torch.tanh(state[1][0]), state[0][0])


def test_lines_are_relative_to_the_last_step_and_gates_stand_below_the_inputs():
    figure = slopes_through_time({"a": torch.tensor([0.5, 1.0, 2.0]), "b": torch.tensor([0.0, 0.0, 3.0])})
    first, second = figure.axes[0].lines
    assert first.get_ydata().tolist() == [1.0, 0.5, 0.25]
    assert second.get_ydata().tolist() == pytest.approx([1.0, 1e-12, 1e-12])
    figure = gates_over_time({"write": torch.rand(7, 3), "keep": torch.rand(7, 3)}, torch.rand(7, 2))
    assert [axes.get_ylabel() for axes in figure.axes[:3]] == ["inputs", "write", "keep"]
