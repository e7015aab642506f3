"""Mixture, product and vote: the worked example, the limits, and each against what defines it."""

import pytest
import torch

from chainrule.core.errors import InputError
from chainrule.evaluate.combination import combine

A, B = [0.3, 0.2, 0.5], [0.1, 0.8, 0.1]


def said(*members, dtype=torch.float64):
    return torch.tensor(members, dtype=dtype)[:, None]


def test_the_mixture_of_two_nets():
    torch.testing.assert_close(combine(said(A, B), "mean")[0], torch.tensor([0.2, 0.5, 0.3], dtype=torch.float64))


def test_the_product_of_two_nets():
    roots = torch.tensor([0.03, 0.16, 0.05], dtype=torch.float64).sqrt()
    torch.testing.assert_close(combine(said(A, B), "product")[0], roots / roots.sum())


def test_the_product_is_the_distribution_nearest_to_all_members():
    """It minimises the mean Kullback-Leibler divergence KL(q || p_m), and the mixture the mean of KL(p_m || q)."""
    torch.manual_seed(0)
    members = torch.rand(4, 1, 5, dtype=torch.float64).add(0.05)
    members /= members.sum(-1, keepdim=True)

    def to_members(q):
        return (q * (q / members).log()).sum(-1).mean()

    def from_members(q):
        return (members * (members / q).log()).sum(-1).mean()

    for by, distance in (("product", to_members), ("mean", from_members)):
        best = combine(members, by)
        for _ in range(50):
            other = best * torch.rand(5, dtype=torch.float64).add(0.5)
            assert distance(best) < distance(other / other.sum())


def test_votes_are_counted_and_weighted():
    three = said(A, B, [0.4, 0.3, 0.3])
    torch.testing.assert_close(combine(three, "vote")[0], torch.ones(3, dtype=torch.float64) / 3)
    torch.testing.assert_close(combine(three, "vote", [3, 1, 0])[0], torch.tensor([0, 0.25, 0.75], dtype=torch.float64))
    torch.testing.assert_close(combine(three, "mean", [0, 1, 0])[0], torch.tensor(B, dtype=torch.float64))


def test_a_class_that_one_member_rules_out_leaves_a_product_that_sums_to_one():
    out = combine(said([1.0, 0.0], [0.0, 1.0], dtype=torch.float32), "product")
    torch.testing.assert_close(out, torch.full((1, 2), 0.5))


@pytest.mark.parametrize(("by", "weights", "shape", "words"), [
    ("median", None, (2, 3, 4), "mean, product or vote"),
    ("mean", [1.0], (2, 3, 4), "each member"),
    ("mean", [1.0, -1.0], (2, 3, 4), "at least 0"),
    ("mean", [0.0, 0.0], (2, 3, 4), "above 0"),
    ("mean", None, (3, 4), "shape"),
])
def test_what_does_not_fit_is_refused(by, weights, shape, words):
    with pytest.raises(InputError, match=words):
        combine(torch.rand(shape), by, weights)
