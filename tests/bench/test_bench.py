"""The benchmarks compare like with like, take turns, and say what they saw; short forms, no clock is asserted."""

import itertools

import pytest
import torch

from chainrule.bench import harness
from chainrule.bench.memory import activations
from chainrule.bench.overhead import WORKS, Sides
from chainrule.core.errors import InputError
from chainrule.data.load import load


def test_sides_take_turns_and_the_first_round_is_thrown_away():
    told, count = [], itertools.count()

    def side(name):
        return lambda: (told.append(name), next(count))[1]

    found = harness.in_turns({"a": side("a"), "b": side("b")}, 5)
    assert told == ["a", "b"] * 6
    assert found == {"a": [2, 4, 6, 8, 10], "b": [3, 5, 7, 9, 11]}


def test_whatever_threads_a_side_sets_there_are_as_many_afterwards():
    before = torch.get_num_threads()
    harness.in_turns({"a": lambda: torch.set_num_threads(before + 1), "b": lambda: torch.set_num_threads(before + 2)}, 5)
    assert torch.get_num_threads() == before


def test_fewer_than_five_rounds_are_refused():
    with pytest.raises(InputError, match="at least 5"):
        harness.in_turns({"a": int}, 4)


def test_a_ratio_is_of_the_two_of_a_round():
    """Rounds in which the machine was slow for both leave the ratio alone; the ratio of the medians would be 6 / 2."""
    assert harness.ratio([2, 20, 6, 8, 2], [1, 10, 2, 4, 1]) == harness.Spread(2, 2, 3)
    assert harness.Spread.of([3, 1, 2]).shown(".1f", 10) == "20.0 (10.0 to 30.0)"


def test_results_are_kept_newest_first_under_their_own_heading(tmp_path):
    page = tmp_path / "results.md"
    page.write_text("# R\n\n<!-- bench a -->\n\n## B\n\n<!-- bench b -->\n")
    harness.keep(page, "a", "first")
    harness.keep(page, "a", "second")
    before, after = page.read_text().split("## B")
    assert before.index("second") < before.index("first")
    assert "first" not in after
    with pytest.raises(InputError, match="bench c"):
        harness.keep(page, "c", "lost")


def test_the_results_page_has_a_place_for_every_work():
    for name in ("overhead", "start", "memory", "published", "defaults"):
        assert harness.RESULTS.read_text().count(f"<!-- bench {name} -->\n") == 1


@pytest.mark.parametrize("work", WORKS, ids=lambda w: w.name)
def test_the_engine_and_the_loops_by_hand_do_the_same_work(work):
    """Else their times could not be compared: the same losses and the same weights after 30 steps, over an epoch's end."""
    threads = torch.get_num_threads()
    short = type(work)(**{**vars(work), "steps": 30, "rate": 0.1})
    sides = Sides(short, load("digits"), threads)
    ends, losses = [], []
    for side in (sides.engine, sides.by_hand, sides.torch_optim):
        losses.append(side().loss)
        ends.append({k: t.detach().clone() for k, t in sides.job.net.tensors.items()})
    assert losses[0] == pytest.approx(losses[1], rel=1e-5) == pytest.approx(losses[2], rel=1e-5)
    for end in ends[1:]:
        torch.testing.assert_close(end, ends[0], rtol=1e-4, atol=1e-6)
    assert any(not torch.equal(t, sides.start[k]) for k, t in ends[0].items())


def test_activations_are_counted_once_each():
    """By hand: 5 x 4 inputs, 5 x 3 sums, 5 x 3 rectified; what works in place or is a view adds nothing. Four bytes each."""
    net = torch.nn.Sequential(torch.nn.Linear(4, 3), torch.nn.ReLU(), torch.nn.Flatten(), torch.nn.ReLU(inplace=True))
    assert activations(net, torch.rand(5, 4)) == 4 * (5 * 4 + 5 * 3 + 5 * 3)


def test_results_are_kept_in_the_checkout():
    assert harness.RESULTS.is_file()
    assert (harness.ROOT / "pyproject.toml").is_file()
