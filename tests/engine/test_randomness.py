"""Random state: a run's own numbers, the same whatever its caller draws, and the same again from a checkpoint."""

import json
import random
import threading
import time

import numpy as np
import pytest
import torch

from chainrule.engine.randomness import Aside, Randomness

CPU = torch.device("cpu")


def draw():
    """Numbers of every generator; one normal each of NumPy and Python leaves a second one stored in the generator."""
    return [*torch.rand(2).tolist(), *torch.randn(1).tolist(), np.random.rand(), np.random.randn(), random.random(), random.gauss(0, 1)]


def test_inside_it_is_the_runs_outside_the_callers():
    torch.manual_seed(7)
    np.random.seed(7)
    random.seed(7)
    undisturbed = [draw(), draw()]
    torch.manual_seed(7)
    np.random.seed(7)
    random.seed(7)
    one = Randomness(3, CPU)
    mixed = [draw()]
    with one:
        first = draw()
    mixed.append(draw())
    assert mixed == undisturbed

    two = Randomness(3, CPU)
    with two:
        assert draw() == first
    draw()
    with one:
        second = draw()
    with two:
        assert draw() == second
    assert second != first


@pytest.mark.parametrize("seed", [0, 1, 2**32, 2**63 - 1])
def test_every_seed_is_taken_and_seeds_differ(seed):
    with Randomness(seed, CPU):
        one = draw()
    with Randomness(seed + 1 if seed < 2**62 else 5, CPU):
        assert draw() != one


def test_state_goes_through_tensors_and_json_and_comes_back():
    """Also in mid-pair: a second normal number that NumPy and Python keep for later."""
    one = Randomness(3, CPU)
    with one:
        draw()
    tensors, plain = one.state()
    copied = {k: t.clone() for k, t in tensors.items()}, json.loads(json.dumps(plain))
    with one:
        expected = draw()
    other = Randomness(99, CPU)
    other.restore(*copied)
    with other:
        assert draw() == expected


def test_what_was_saved_does_not_move_on_with_the_run():
    one = Randomness(3, CPU)
    tensors, _ = one.state()
    before = {k: t.clone() for k, t in tensors.items()}
    with one:
        draw()
    assert all(torch.equal(tensors[k], t) for k, t in before.items())


def test_aside_draws_from_its_own_seed_and_nobody_notices():
    torch.manual_seed(1)
    expected = draw()[:3]
    torch.manual_seed(1)
    drawn = []
    for _ in range(2):
        with Aside(5, CPU):
            drawn.append(draw())
    assert drawn[0] == drawn[1]
    assert draw()[:3] == expected


def test_an_error_inside_gives_the_caller_its_numbers_back():
    torch.manual_seed(1)
    expected = torch.rand(3)
    torch.manual_seed(1)
    with pytest.raises(ZeroDivisionError), Aside(5, CPU):
        int(torch.rand(1)) / 0
    assert torch.equal(torch.rand(3), expected)


def test_runs_in_threads_draw_as_each_would_alone():
    """A barrier makes them enter at once; each draws in pieces, so that another would come in between."""
    def drawn(seed):
        own, found = Randomness(seed, torch.device("cpu")), []
        for _ in range(20):
            with own:
                for _ in range(5):
                    found.append(torch.rand(2))
                    time.sleep(0)
        return torch.stack(found)

    alone = [drawn(seed) for seed in range(3)]
    barrier, results = threading.Barrier(3), {}

    def run(seed):
        barrier.wait()
        results[seed] = drawn(seed)

    threads = [threading.Thread(target=run, args=(seed,)) for seed in range(3)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    for seed, numbers in enumerate(alone):
        assert torch.equal(results[seed], numbers)
