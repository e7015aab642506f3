"""Fragments of the changelog: those of this checkout read, and what a release makes of them."""

import importlib.util
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
spec = importlib.util.spec_from_file_location("changelog", ROOT / "scripts" / "changelog.py")
changelog = importlib.util.module_from_spec(spec)
spec.loader.exec_module(changelog)


@pytest.fixture
def root(tmp_path):
    (tmp_path / "changelog.d").mkdir()
    (tmp_path / "CHANGELOG.md").write_text("# Changes\n\n## Unreleased\n\nWords.\n\n## 0.1.0\n\nOld.\n")
    return tmp_path


def test_the_fragments_of_this_checkout_are_well_named():
    assert changelog.main([], ROOT) == 0


def test_a_release_moves_them_under_its_version_by_kind(root):
    (root / "changelog.d" / "b.fixed.md").write_text("Mends b.\n")
    (root / "changelog.d" / "a.added.md").write_text("Adds a,\nin two lines.\n")
    changelog.release(root, "0.2.0", "2026-12-01")
    assert (root / "CHANGELOG.md").read_text() == (
        "# Changes\n\n## Unreleased\n\n## 0.2.0, 2026-12-01\n\nWords.\n\n### Added\n\n- Adds a,\n  in two lines.\n\n"
        "### Mended\n\n- Mends b.\n\n## 0.1.0\n\nOld.\n")
    assert not list((root / "changelog.d").iterdir())
    assert changelog.main(["0.3.0"], root) == 2


@pytest.mark.parametrize(("name", "text"), [("a.new.md", "x"), ("a.md", "x"), ("A b.added.md", "x"), ("a.added.md", ""),
                                            ("a.added.md", "# x")])
def test_a_fragment_of_another_form_is_refused(root, name, text, capsys):
    (root / "changelog.d" / name).write_text(text)
    assert changelog.main([], root) == 2
    assert name in capsys.readouterr().err


def test_a_version_has_three_numbers(root):
    assert changelog.main(["2"], root) == 2
