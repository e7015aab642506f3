"""docs/learning.md names everything there is to choose from, so that what is added is also explained."""

import re
from pathlib import Path

import pytest

from chainrule.core import registry

PAGE = (Path(__file__).parents[2] / "docs" / "learning.md").read_text()
KINDS = {"rules": registry.rules, "optimizers": registry.optimizers, "schedules": registry.schedules, "inits": registry.inits,
         "constraints": registry.constraints}


def named(name: str) -> bool:
    """Whether the page has the name in code, by itself, with options, or after an option of the command line."""
    return re.search(rf"`(?:[^`]*[\s`])?{re.escape(name)}(?:[:=][^`]*)?`", PAGE) is not None


@pytest.mark.parametrize("kind", KINDS)
def test_everything_is_named(kind):
    missing = [name for name in KINDS[kind].names() if not named(name)]
    assert not missing, f"docs/learning.md does not say when to use the {kind} {', '.join(missing)}"


def test_every_family_with_a_rule_of_its_own_is_named():
    missing = [entry.name for entry in registry.nets.entries() if entry.traits.rule and not named(entry.name)]
    assert not missing


def test_a_name_that_is_nowhere_is_missed():
    assert not named("levenshtein")
    assert not named("mome")
