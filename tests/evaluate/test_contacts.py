"""Precision of the likeliest contacts, against counting them one by one."""

import torch

from chainrule.evaluate.contacts import precision, residues


def drawn(n=5, t=40, shortest=30):
    generator = torch.Generator().manual_seed(0)
    chances = torch.rand(n, t, t, generator=generator)
    truth = (torch.rand(n, t, t, generator=generator) < 0.2).to(torch.int8)
    truth = torch.triu(truth, 1) + torch.triu(truth, 1).mT
    apart = (torch.arange(t)[:, None] - torch.arange(t)).abs()
    truth[:, apart < 6] = -1
    lengths = torch.arange(n) * 2 + shortest
    for row, length in zip(truth, lengths.tolist(), strict=True):
        row[length:] = row[:, length:] = -1
    return (chances + chances.mT) / 2, truth, lengths


def test_residues_are_counted_by_what_is_asked():
    _, truth, lengths = drawn()
    assert torch.equal(residues(truth), lengths)


def test_precision_is_that_of_pairs_counted_one_by_one():
    chances, truth, lengths = drawn()
    for share, apart in ((0.2, 24), (1.0, 24), (0.5, 6)):
        for row, length in enumerate(lengths.tolist()):
            pairs = sorted(((float(chances[row, i, j]), int(truth[row, i, j])) for i in range(length) for j in range(i + apart, length)),
                           reverse=True)[: max(1, round(length * share))]
            expected = sum(true for _, true in pairs) / len(pairs)
            assert abs(float(precision(chances, truth, share, apart)[row]) - expected) < 1e-12


def test_a_chain_with_no_pair_so_far_apart_has_no_precision():
    chances, truth, _ = drawn(n=1, t=40, shortest=20)
    assert bool(precision(chances, truth, 0.2).isnan().all())
    assert not bool(precision(chances, truth, 0.2, apart=6).isnan().any())
