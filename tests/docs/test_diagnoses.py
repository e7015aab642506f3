"""docs/diagnoses says what the registrations say, of every diagnosis, and is in the navigation."""

import importlib.util
import re
from pathlib import Path

import pytest

from chainrule.core.registry import diagnoses

ROOT = Path(__file__).parents[2]
spec = importlib.util.spec_from_file_location("diagnosis_pages", ROOT / "scripts" / "diagnoses.py")
script = importlib.util.module_from_spec(spec)
spec.loader.exec_module(script)
PAGES = script.pages()


@pytest.mark.parametrize("name", PAGES)
def test_a_page_is_what_the_registrations_say(name):
    assert (script.FOLDER / name).read_text() == PAGES[name], "run python scripts/diagnoses.py"


def test_there_is_no_page_of_a_diagnosis_that_is_gone():
    assert {path.name for path in script.FOLDER.glob("*.md")} == set(PAGES)


@pytest.mark.parametrize("entry", diagnoses.entries(), ids=lambda entry: entry.name)
def test_a_registration_says_what_a_page_needs(entry):
    assert re.fullmatch(r"D\d\d", entry.traits.code)
    assert all((entry.summary, entry.source, entry.traits.cause, entry.traits.remedy, entry.traits.reads))
    assert set(entry.traits.reads) <= set(script.WHEN)


def test_the_pages_are_in_the_navigation():
    assert "diagnoses/README.md" in (ROOT / "mkdocs.yml").read_text()
