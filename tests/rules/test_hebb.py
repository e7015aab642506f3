"""Associative memories: the energy never rises, what is stored comes back, and the weights are the sums written out."""

import itertools

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import nn

import chainrule as cr
from chainrule.core.batch import Batch
from chainrule.core.errors import InputError
from chainrule.core.net import Net
from chainrule.nets.hopfield import Hopfield
from chainrule.rules.hebb import Hebb, middles


def signs(count, units, seed=0):
    return torch.randint(2, (count, units), generator=torch.Generator().manual_seed(seed)).double() * 2 - 1


def stored(patterns, form="outer", **options):
    module = Hopfield((patterns.shape[1],), patterns.shape[1], patterns=len(patterns), **options).double()
    net, rule = Net.of(module), Hebb(form=form)
    rule.step(net, rule.init(net), Batch(patterns))
    return module


def test_weights_are_the_sum_of_outer_products_without_the_diagonal():
    patterns = signs(3, 7)
    module = stored(patterns)
    expected = sum(torch.outer(p, p) for p in patterns) / 7
    torch.testing.assert_close(module.weight.detach(), expected.fill_diagonal_(0))


@settings(max_examples=25, deadline=None)
@given(units=st.integers(4, 20), count=st.integers(1, 30), seed=st.integers(0, 10_000), form=st.sampled_from(["outer", "pseudo-inverse"]))
def test_no_single_update_raises_the_energy(units, count, seed, form):
    """One unit after the other, from random states, however many patterns are stored; a step that raises it would be a wrong sign."""
    module = stored(signs(count, units, seed), form, sweeps=1)
    state = signs(5, units, seed + 1)
    weight = module.weight.detach()
    energies = [module.energy(state)]
    for i in range(units):
        field = state @ weight[i]
        state = state.clone()
        state[:, i] = torch.where(field == 0, state[:, i], field.sign())
        energies.append(module.energy(state))
    assert bool((module.energy(module.settle(signs(5, units, seed + 1))) <= energies[0] + 1e-9).all())
    assert all(bool((after <= before + 1e-9).all()) for before, after in itertools.pairwise(energies))


def test_the_projection_recalls_as_many_independent_patterns_as_units():
    patterns = signs(16, 16, seed=3)
    assert int(torch.linalg.matrix_rank(patterns)) == 16
    torch.testing.assert_close(stored(patterns, "pseudo-inverse")(patterns), patterns)
    fewer = signs(12, 24, seed=5)
    assert int(torch.linalg.matrix_rank(fewer)) == 12
    torch.testing.assert_close(stored(fewer, "pseudo-inverse")(fewer), fewer)
    assert not torch.equal(stored(fewer, "outer")(fewer), fewer)


def test_a_tenth_as_many_patterns_come_back_from_a_tenth_of_their_bits_flipped():
    patterns = signs(20, 200)
    flips = torch.rand(20, 200, generator=torch.Generator().manual_seed(1)).argsort(1) < 20
    wrong = (stored(patterns)(torch.where(flips, -patterns, patterns)) != patterns).double().mean(1)
    assert float((wrong <= 0.05).double().mean()) >= 0.95
    module = Hopfield((200,), 200, form="modern", patterns=20).double()
    net, rule = Net.of(module), Hebb()
    rule.step(net, rule.init(net), Batch(patterns))
    torch.testing.assert_close(module(torch.where(flips, -patterns, patterns)).detach(), patterns, atol=1e-6, rtol=0)


def test_continuous_states_lower_their_energy_and_an_update_is_attention():
    torch.manual_seed(0)
    module = Hopfield((6,), 6, form="modern", patterns=9, sweeps=1, beta=0.7).double()
    state = torch.randn(4, 6, dtype=torch.float64)
    energies = [module.energy(state)]
    keys = module.patterns.detach()
    attention = nn.functional.scaled_dot_product_attention(state[None], keys[None], keys[None], scale=0.7)[0]
    torch.testing.assert_close(module.settle(state).detach(), attention)
    for _ in range(6):
        state = module.settle(state).detach()
        energies.append(module.energy(state))
    assert all(bool((after <= before + 1e-12).all()) for before, after in itertools.pairwise(energies))
    assert float((energies[0] - energies[-1]).detach().min()) > 0


@pytest.mark.parametrize(("column", "expected"), [([1.0, 2, 3, 4, 10], 3.0), ([-1.0, -1, 1, 1, 1], 0.0), ([-1.0, 1, 1, 1, 1], 0.0),
                                                  ([5.0, 5, 5], 4.0), ([-1.0, -1, -1], -1.0)])
def test_signs_part_at_the_median_or_below_the_greatest_value(column, expected):
    assert middles(torch.tensor(column)[:, None]).item() == expected


def test_a_run_stores_rows_and_answers_in_their_units(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    run = cr.train("digits", net="hopfield:patterns=6", rule="hebb:form=pseudo-inverse", plan="eager", progress=False)
    job = run.job
    rows = job.data.ready(job.data.train.x)
    patterns = rows[(torch.arange(6) * len(rows)) // 6]
    with torch.no_grad():
        settled = run.net(patterns)
    levels = run.net.levels.detach()
    torch.testing.assert_close(settled, torch.where(patterns.flatten(1) > run.net.thresholds, levels[1], levels[0]))
    above = rows.flatten(1)[:, 20] > run.net.thresholds[20]
    assert float(levels[1, 20]) == pytest.approx(float(rows.flatten(1)[above, 20].mean()), rel=1e-4)
    assert run.valid.measures["squared_error"].value > 0
    assert np.isfinite(run.test().measures["squared_error"].value)


def test_more_patterns_than_rows_and_other_nets_are_refused():
    net = Net.of(Hopfield((5,), 5, patterns=9))
    with pytest.raises(InputError, match=r"store 9 patterns.*there are 4"):
        Hebb().step(net, {}, Batch(torch.randn(4, 5)))
    with pytest.raises(InputError, match=r"Linear.*--net hopfield"):
        Hebb().init(Net.of(nn.Linear(3, 2)))
