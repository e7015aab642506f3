"""The pages of the reference name what is there, and every public name is on one of them."""

import importlib
import importlib.util
import re
from pathlib import Path

import pytest

import chainrule
import chainrule.estimators

PAGES = sorted((Path(__file__).parents[2] / "docs" / "reference").glob("*.md"))
NAMES = [name for page in PAGES for name in re.findall(r"^::: (\S+)$", page.read_text(), re.M)]


def thing(name):
    parts = name.split(".")
    for cut in range(len(parts), 0, -1):
        try:
            found = importlib.import_module(".".join(parts[:cut]))
        except ModuleNotFoundError:
            continue
        for part in parts[cut:]:
            found = getattr(found, part)
        return found
    raise AttributeError(name)


@pytest.mark.parametrize("name", NAMES)
def test_what_a_page_names_is_there_and_says_what_it_is(name):
    assert (thing(name).__doc__ or "").strip()


def test_every_public_name_is_on_a_page():
    public = [getattr(chainrule, name) for name in chainrule.__all__]
    public += [getattr(chainrule.estimators, name) for name in chainrule.estimators.__all__]
    pages = [thing(name) for name in NAMES]
    assert [one for one in public if one not in pages] == []


def test_a_name_that_is_not_there_is_found():
    with pytest.raises(AttributeError):
        thing("chainrule.workflows.train.no_such")


def test_every_page_is_in_the_navigation():
    navigation = (Path(__file__).parents[2] / "mkdocs.yml").read_text().split("nav:")[1]
    assert {page.name for page in PAGES} == set(re.findall(r"reference/(\S+)", navigation))


def test_examples_become_blocks_of_code():
    pytest.importorskip("griffe")
    spec = importlib.util.spec_from_file_location("reference", Path(__file__).parents[2] / "scripts" / "reference.py")
    reference = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(reference)
    assert reference.fenced("Words.\n\n>>> f(1)\n2\n>>> g()\n\nMore.") == "Words.\n\n```python\n>>> f(1)\n2\n>>> g()\n```\n\nMore."
