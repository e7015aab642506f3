"""The design pages say what is so: the picture of the floors is the table that binds the code, and what they name is there."""

import importlib
import re
from pathlib import Path

import pytest
from structure import FLOORS, MAY, ROOT, SUBPACKAGES

DOCS = Path(__file__).parents[2] / "docs"
DESIGN = (DOCS / "design.md").read_text()
DECISIONS = sorted((DOCS / "decisions").glob("*.md"))
PAGES = [DOCS / "design.md", *DECISIONS]
LINE = re.compile(r"^(\d)  (\w+) +.*?(?:may import (.*)|imports none of the others)$")


def picture(text):
    """The floor of each package and what it may import, as the picture has it; `all of 1` is every package of floor 1."""
    block = text.split("```text\n")[1].split("```")[0]
    drawn = {}
    for line in block.splitlines():
        floor, package, words = LINE.match(line).groups()
        drawn[package] = int(floor), set(filter(None, (words or "").split(", ")))
    whole = {f"all of {floor}": {p for p, (f, _) in drawn.items() if f == floor} for floor in {f for f, _ in drawn.values()}}
    return {package: (floor, set().union(*(whole.get(word, {word}) for word in words))) for package, (floor, words) in drawn.items()}


def test_the_picture_is_the_table_that_binds_the_code():
    level = {package: at for at, floor in enumerate(FLOORS) for package in floor}
    assert picture(DESIGN) == {package: (level[package], set(allowed)) for package, allowed in MAY.items()}


def test_a_picture_that_lacks_an_arrow_is_found():
    wrong = DESIGN.replace("may import core\n", "may import core, data\n", 1)
    assert picture(wrong) != picture(DESIGN)


def test_the_packages_inside_are_named():
    assert set(re.findall(r"`([a-z.]+)`", DESIGN.split("Inside the large ones")[1].split("Families")[0])) == SUBPACKAGES


def missing(text):
    """Files and dotted names of the code in backquotes that are not there."""
    absent = []
    for word in re.findall(r"`([^`\s]+)`", text):
        name = word.split("(")[0]
        if re.fullmatch(r"[\w/]+\.(py|h|md)", name):
            if not any((base / name).exists() for base in (ROOT, ROOT.parent)):
                absent.append(name)
        elif name.split(".")[0] in MAY and re.fullmatch(r"[a-z_]+(\.\w+)+", name) and not _resolves(name):
            absent.append(name)
    return absent


def _resolves(name):
    parts = name.split(".")
    for cut in range(len(parts), 0, -1):
        try:
            thing = importlib.import_module(".".join(["chainrule", *parts[:cut]]))
        except ModuleNotFoundError:
            continue
        for part in parts[cut:]:
            if not hasattr(thing, part):
                return False
            thing = getattr(thing, part)
        return True
    return False


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.stem)
def test_what_the_pages_name_is_there(page):
    assert missing(page.read_text()) == []


def test_what_is_not_there_is_found():
    text = "`core/rules.py` and `core.tree.no_such`, not `core.tree` nor `engine/train.py` nor `y.z`"
    assert missing(text) == ["core/rules.py", "core.tree.no_such"]


def test_every_decision_is_a_page_of_the_index_and_says_in_its_title_what_was_decided():
    index = dict(re.findall(r"^- \[(.+)\]\((.+\.md)\)$", (DOCS / "decisions" / "README.md").read_text(), re.M))
    pages = {page.name: page.read_text().split("\n")[0] for page in DECISIONS if page.name != "README.md"}
    assert {name: f"# {title}" for title, name in index.items()} == pages
    assert all(len(page.read_text().splitlines()) <= 60 for page in DECISIONS)
