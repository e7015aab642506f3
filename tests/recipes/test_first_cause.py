"""The nets in which the recipe of first causes plants its faults are without fault, from every seed that it runs."""

import pytest

import chainrule
from chainrule.core.events import Evaluated, first_cause
from chainrule.recipes.first_cause import FAULTS, PLAIN
from chainrule.workflows.options import Experiment


@pytest.mark.parametrize("seed", range(Experiment.seeds))
def test_eight_layers_without_a_fault_learn_and_the_doctor_is_silent(seed):
    events = list(chainrule.events("digits", **{**PLAIN, **FAULTS[0].healthy, "seed": seed}))
    assert first_cause(events) is None
    assert [e.valid["accuracy"] for e in events if isinstance(e, Evaluated)][-1] > 0.9
