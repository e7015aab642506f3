"""Published figures on MNIST at full size: three seeds each, the mean against the figure. `pytest -m published -s` prints the tables."""

import os
from pathlib import Path

import pytest

from chainrule.bench.published import NAMES
from chainrule.recipes.outcome import Setting, run

MNIST = Path(os.environ.get("CHAINRULE_DATA", "")) / "train-images-idx3-ubyte.gz"


@pytest.mark.published
@pytest.mark.skipif(not MNIST.is_file(), reason="needs the MNIST files in the folder that CHAINRULE_DATA names")
@pytest.mark.parametrize("name", NAMES)
def test_the_published_figure_is_reached(name, tmp_path):
    """LeNet has the further bound of its `seconds`: training ends after five minutes, and what it has by then must be enough."""
    outcome = run(name, Setting(tmp_path))
    print(f"\n{name}\n{outcome}")
    assert outcome.reached
