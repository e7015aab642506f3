"""The cost of a string against the sum over all its alignments, against torch's, and its slope."""

import itertools

import pytest
import torch

from chainrule.losses.ctc import alignment_costs, ctc

SYMBOLS = 3


def collapsed(path: tuple[int, ...]) -> tuple[int, ...]:
    """Runs once, then blanks left out."""
    return tuple(symbol for symbol, _ in itertools.groupby(path) if symbol != SYMBOLS)


@pytest.mark.parametrize("string", [(), (0,), (1, 2), (1, 1), (2, 0, 2), (0, 0, 1), (0, 1, 2, 1, 0)])
def test_it_is_minus_the_log_of_the_sum_over_all_paths_that_say_it(string):
    torch.manual_seed(len(string))
    outputs = torch.randn(1, 5, SYMBOLS + 1, dtype=torch.float64)
    shares = outputs[0].softmax(1)
    total = sum(float(torch.stack([shares[t, s] for t, s in enumerate(path)]).prod())
                for path in itertools.product(range(SYMBOLS + 1), repeat=5) if collapsed(path) == string)
    y = torch.tensor([[*string, *[-1] * (6 - len(string))]])
    assert float(alignment_costs(outputs, y)[0].neg().exp()) == pytest.approx(total, rel=1e-9)


def test_it_is_torchs_with_the_same_slope():
    torch.manual_seed(0)
    outputs = torch.randn(6, 30, 8, dtype=torch.float64, requires_grad=True)
    lengths = torch.tensor([0, 1, 5, 9, 3, 9])
    y = torch.where(torch.arange(9) < lengths[:, None], torch.randint(7, (6, 9)), -1)
    theirs = torch.nn.functional.ctc_loss(outputs.log_softmax(2).transpose(0, 1), y.clamp(min=0), torch.full((6,), 30), lengths, blank=7,
                                          reduction="none")
    ours = ctc().each(outputs, y)
    torch.testing.assert_close(ours, theirs)
    weights = torch.rand(6, dtype=torch.float64)
    a, b = (torch.autograd.grad((cost * weights).sum(), outputs, retain_graph=True)[0] for cost in (ours, theirs))
    torch.testing.assert_close(a, b)


def test_slopes_stay_finite_where_a_string_cannot_be_said():
    outputs = torch.randn(1, 2, 4, requires_grad=True)
    cost = alignment_costs(outputs, torch.tensor([[0, 0, 1]]))
    assert cost > 1e6
    assert torch.autograd.grad(cost.sum(), outputs)[0].isfinite().all()
