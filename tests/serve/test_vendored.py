"""What comes from elsewhere is what its checksum says, bears its licence, and is all that the page loads; the page asks nobody else."""

import hashlib
import re

import pytest

from chainrule.serve.application import own_files

FILES = own_files()
LINES = FILES["vendor/checksums.txt"][1].decode().splitlines()
SUMS = dict(reversed(line.split("  ")) for line in LINES if not line.startswith("#"))


@pytest.mark.parametrize("name", sorted(SUMS))
def test_a_vendored_file_is_what_was_published(name):
    assert hashlib.sha256(FILES[f"vendor/{name}"][1]).hexdigest() == SUMS[name]


def test_every_vendored_file_has_a_checksum_and_there_is_a_licence_of_each():
    vendored = {name.removeprefix("vendor/") for name in FILES if name.startswith("vendor/")} - {"checksums.txt"}
    assert vendored == set(SUMS)
    assert {name for name in vendored if "LICENSE" in name} == {"uPlot.LICENSE.txt", "dagre.LICENSE.txt"}


@pytest.mark.parametrize("name", [name for name in FILES if not name.startswith("vendor/")])
def test_the_page_names_no_other_place(name):
    text = FILES[name][1].decode()
    addresses = [a for a in re.findall(r"(?:https?:)?//[\w.-]+\.[a-z]{2,}", text) if a not in ("http://www.w3.org", "https://doi.org")]
    assert addresses == []
    assert not re.search(r"\binnerHTML\b|\bouterHTML\b|insertAdjacentHTML|document\.write|\beval\(|new Function", text)


def test_every_import_is_a_file_of_the_page():
    for name, (_, content) in FILES.items():
        if name.endswith(".mjs") and not name.startswith("vendor/"):
            for target in re.findall(r'from "(\.[^"]+)"', content.decode()):
                parts = name.split("/")[:-1]
                for part in target.split("/"):
                    parts = parts[:-1] if part == ".." else parts if part == "." else [*parts, part]
                assert "/".join(parts) in FILES, (name, target)


def test_no_script_stands_in_the_page():
    page = FILES["index.html"][1].decode()
    assert re.findall(r"<script[^>]*>([^<]*)</script>", page) == [""]
    assert not re.search(r"\son\w+=|style=", page)
