"""What members have in common of their errors: against counting pair by pair, and Krogh and Vedelsby's identity."""

import pytest
import torch

from chainrule.evaluate.agreement import of_classes, of_numbers


def test_classes_are_counted_pair_by_pair_and_row_by_row():
    generator = torch.Generator().manual_seed(0)
    answers, truth = torch.randint(3, (4, 50), generator=generator), torch.randint(3, (50,), generator=generator)
    shares = []
    for i in range(4):
        for j in range(i):
            rows = [k for k in range(50) if answers[i, k] != truth[k] or answers[j, k] != truth[k]]
            shares.append(sum(bool(answers[i, k] == answers[j, k]) for k in rows) / len(rows))
    alike = of_classes(answers, truth)
    assert alike.share == pytest.approx(sum(shares) / 6)
    assert alike.n == sum(any(answers[i, k] != truth[k] for i in range(4)) for k in range(50))


def test_the_error_of_a_mean_is_the_mean_error_less_how_far_members_differ():
    """Krogh & Vedelsby (1995): what is not in common is the members' variance about their mean."""
    generator = torch.Generator().manual_seed(1)
    answers, truth = torch.randn(5, 40, 1, generator=generator), torch.randn(40, 1, generator=generator)
    mean_error = (answers - truth).square().mean()
    ambiguity = answers.var(0, unbiased=False).mean()
    assert of_numbers(answers, truth).share == pytest.approx(float(1 - ambiguity / mean_error), rel=1e-5)


def test_one_net_several_times_has_all_errors_in_common_and_independent_ones_of_two_numbers_half():
    generator = torch.Generator().manual_seed(2)
    truth = torch.randn(20_000, 2, generator=generator)
    one = truth + torch.randn(20_000, 2, generator=generator)
    other = truth + torch.randn(20_000, 2, generator=generator)
    assert of_numbers(torch.stack([one, one]), truth).share == pytest.approx(1)
    assert of_numbers(torch.stack([one, other]), truth).share == pytest.approx(0.5, abs=0.02)
    classes = torch.tensor([0, 1, 2, 0])
    assert of_classes(torch.stack([classes, classes]), torch.tensor([0, 1, 1, 1])).share == 1


def test_nothing_is_told_of_one_member_or_where_nobody_errs():
    right = torch.tensor([[0, 1, 2], [0, 1, 2]])
    assert of_classes(right, right[0]) is None
    assert of_classes(right[:1], torch.tensor([1, 1, 1])) is None
    assert of_numbers(torch.ones(2, 3, 1), torch.ones(3, 1)) is None
