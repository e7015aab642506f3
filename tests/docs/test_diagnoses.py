"""docs/diagnoses says what the registrations say, of every diagnosis, and is in the navigation."""

import importlib.util
import re
import sys
from dataclasses import replace
from pathlib import Path
from xml.etree import ElementTree

import pytest

from chainrule.core.errors import InputError
from chainrule.core.registry import diagnoses

ROOT = Path(__file__).parents[2]
sys.path.append(str(ROOT / "scripts"))                # the scripts are run in their folder, where they find one another
from diagnosis_pictures import SUBJECTS, WITHOUT, drawn, slim, train_and_watch  # noqa: E402

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

CODES = sorted({name.removesuffix(".md") for name in PAGES if name != "README.md"} - WITHOUT)
LARGEST, ALTOGETHER = 40_000, 900_000          # bytes of a picture, and of all of them


@pytest.mark.parametrize("code", CODES)
def test_every_diagnosis_has_a_page_with_its_picture(code):
    page, content = PAGES[f"{code}.md"], (script.FOLDER / f"{code}.svg").read_text()
    assert f"![{SUBJECTS[code].caption}]({code}.svg)" in page
    drawing = ElementTree.fromstring(content)
    assert drawing.tag == "{http://www.w3.org/2000/svg}svg"
    words = " ".join("".join(text.itertext()) for text in drawing.iter("{http://www.w3.org/2000/svg}text"))
    names = [entry.name.replace("-", " ") for entry in diagnoses.entries() if entry.traits.code == code]
    assert any(f"{code} {name}" in words for name in names), "draw it: python scripts/diagnosis_pictures.py " + code
    assert "faulty" in words
    assert "healthy" in words
    assert len(content.encode()) < LARGEST
    assert not re.search(r"<script|href=\"(?!#|data:image/png)|url\((?!#)", content)        # it loads nothing, and runs nothing


def test_there_is_no_picture_of_a_diagnosis_that_is_gone_and_all_are_small():
    pictures = list(script.FOLDER.glob("*.svg"))
    assert {path.stem for path in pictures} == set(CODES) == set(SUBJECTS)
    assert sum(path.stat().st_size for path in pictures) < ALTOGETHER


def test_a_picture_is_of_a_run_that_is_told_so_and_of_a_twin_that_is_not():
    one = SUBJECTS["D14"]
    sick, well = (train_and_watch(replace(program, options={**program.options, "steps": 60})) for program in (one.program, one.healthy))
    assert sick.said("D14").layer
    assert well.said("D14") is None
    svg = drawn("D14", sick, well).decode()
    assert "D14 vanishing gradient" in svg
    with pytest.raises(InputError, match="is to be told D14 and its twin is not"):
        drawn("D14", well, well)
    with pytest.raises(InputError, match="is to be told D14 and its twin is not"):
        drawn("D14", sick, sick)


def test_what_is_written_in_a_picture_keeps_its_digits():
    text = slim('<svg>\n  <!-- for editors -->\n  <path d="M1.23456 7.5L0.129 2"/>\n  <text x="3.14159">by 0.0003 of 2.305</text>\n</svg>')
    assert text == '<svg>\n<path d="M1.23 7.5L0.12 2"/>\n<text x="3.14">by 0.0003 of 2.305</text>\n</svg>'
