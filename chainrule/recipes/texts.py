"""Texts for recipes: tiny Shakespeare where it is at hand, and sentences of the standard library's documentation by its packages."""

from __future__ import annotations

import ast
import re
import sysconfig
from collections.abc import Iterator, Sequence
from pathlib import Path

from chainrule.core.errors import InputError
from chainrule.data.readers.download import roots

SHAKESPEARE = "tinyshakespeare.txt"
SENTENCE_END = re.compile(r"(?<=[.!?])\s+(?=[A-Z])")
FEWEST_WORDS = 5
PACKAGES = ("email", "asyncio", "unittest", "logging", "xml", "http", "urllib", "multiprocessing")


def shakespeare(data_dir: Path | None) -> Path:
    """The file of tiny Shakespeare: Karpathy (2015). Raises InputError where it is in none of the folders of data sets."""
    places = [root / SHAKESPEARE for root in roots(data_dir)]
    present = next((path for path in places if path.is_file()), None)
    if present is None:
        raise InputError(f"{SHAKESPEARE} is in none of {', '.join(str(path.parent) for path in places)}. Put it there "
                         "(https://raw.githubusercontent.com/karpathy/char-rnn/master/data/tinyshakespeare/input.txt), or name its folder "
                         "with --data-dir.")
    return present


def sentences(packages: Sequence[str] = PACKAGES) -> list[tuple[str, str]]:
    """Package and sentence for each sentence, of five words or more, in the docstrings of packages of the standard library, once each."""
    library, seen, rows = Path(sysconfig.get_paths()["stdlib"]), set[str](), list[tuple[str, str]]()
    for package in packages:
        for path in sorted((library / package).rglob("*.py")):
            for paragraph in [] if {"test", "tests"} & set(path.parts) else _paragraphs(path):
                for sentence in SENTENCE_END.split(paragraph):
                    if len(sentence.split()) >= FEWEST_WORDS and sentence not in seen:
                        seen.add(sentence)
                        rows.append((package, sentence))
    return rows


def _paragraphs(path: Path) -> Iterator[str]:
    """The paragraphs of all docstrings of a file, each on one line."""
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Module | ast.ClassDef | ast.FunctionDef | ast.AsyncFunctionDef):
            for paragraph in re.split(r"\n\s*\n", ast.get_docstring(node) or ""):
                yield " ".join(paragraph.split())
