"""Published figures on MNIST at full size: three seeds each, the mean against the figure. `pytest -m published -s` prints the tables."""

import os
from pathlib import Path

import pytest

from bench.published import EXPERIMENTS, lines, reached, run_experiment

MNIST = Path(os.environ.get("CHAINRULE_DATA", "")) / "train-images-idx3-ubyte.gz"


@pytest.mark.published
@pytest.mark.skipif(not MNIST.is_file(), reason="needs the MNIST files in the folder that CHAINRULE_DATA names")
@pytest.mark.parametrize("name", list(EXPERIMENTS))
def test_the_published_figure_is_reached(name):
    """LeNet has the further bound of its `seconds`: training ends after five minutes, and what it has by then must be enough."""
    outcomes = run_experiment(EXPERIMENTS[name], seeds=3)
    print("\n" + "\n".join(lines(EXPERIMENTS[name], outcomes)))
    assert reached(EXPERIMENTS[name], outcomes)
