"""FASTA: named sequences of nucleotides or amino acids. Pearson & Lipman (1988), https://doi.org/10.1073/pnas.85.8.2444

Letters are those of IUPAC-IUB (1985), https://doi.org/10.1093/nar/13.9.3021, and IUPAC-IUB (1984), https://doi.org/10.1111/j.1432-1033.1984.tb07877.x
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import torch

from chainrule.core.errors import InputError
from chainrule.data import fingerprint
from chainrule.data.encode.columns import of_words
from chainrule.data.encode.targets import of_column
from chainrule.data.encode.vocabulary import Symbols
from chainrule.data.memory import afford
from chainrule.data.readers.sequences import pad
from chainrule.data.readers.text import read
from chainrule.data.source import Source

NUCLEOTIDES = "ACGTURYSWKMBDHVN-"
AMINO_ACIDS = "ACDEFGHIKLMNPQRSTVWYBJOUXZ*-"
LETTERS = {".fna": NUCLEOTIDES, ".faa": AMINO_ACIDS}
SUFFIXES = (".fasta", ".fa", *LETTERS)
LINE = 60
MOST_LABELS = 12  # kinds of labels that a line below a sequence may have; with more it is taken for more of the sequence
# what reading takes in memory, so many bytes for each byte and each sequence: measured on 2026-12-01 by tests/helpers/reading_memory.py
BYTE_TIMES, RECORD_BYTES = 5, 1500
LINE_END = re.compile(r"\r\n|\n|\r")
LABEL = re.compile(r"(?:^|[\s|;])(?:label|class)=([^\s|;]+)")


@dataclass(frozen=True)
class Record:
    """One sequence, in capitals, under its header: what follows `>`; `labels` has one for each letter, where the file has them."""

    header: str
    sequence: str
    labels: str = ""

    @property
    def name(self) -> str:
        return self.header.split(maxsplit=1)[0] if self.header else ""

    @property
    def label(self) -> str | None:
        """The value of `label=` or `class=` in the header, where it has one."""
        match = LABEL.search(self.header)
        return match[1] if match else None


def read_fasta(text: str, where: str = "the text", letters: str | None = None) -> list[Record]:
    """The records of a FASTA text. Without `letters` those of amino acids are taken; nucleotides are among them.

    Raises InputError naming record, line and column of the first letter that is none.
    """
    allowed = set(letters or AMINO_ACIDS)
    headers: list[str] = []
    bodies: list[list[str]] = []
    for number, line in enumerate(LINE_END.split(text), 1):
        if line.startswith(">"):
            headers.append(" ".join(line[1:].split()))
            bodies.append([])
        elif line.strip() and not line.startswith(";"):
            if not headers:
                raise InputError(f"{where}, line {number}: expected a header that starts with '>'; got '{line[:20]}'. Is it FASTA?")
            upper = "".join(c.upper() if c.isascii() else c for c in line.rstrip())
            wrong = next((i for i, c in enumerate(upper) if c not in allowed), None)
            if wrong is not None:
                raise InputError(f"{where}, record {len(headers)} ({headers[-1][:40]}), line {number}, column {wrong + 1}: "
                                 f"'{line[wrong]}' is no letter of {'nucleotides' if letters == NUCLEOTIDES else 'amino acids'}; expected "
                                 f"{''.join(sorted(allowed))}. Correct it.")
            bodies[-1].append(upper)
    if not headers:
        raise InputError(f"{where} holds no sequence; expected lines that start with '>' and letters below them.")
    if labelled(bodies):
        return [Record(h, sequence, labels) for h, (sequence, labels) in zip(headers, bodies, strict=True)]
    records = [Record(h, "".join(b)) for h, b in zip(headers, bodies)]
    for number, record in enumerate(records, 1):
        if not record.sequence:
            raise InputError(f"{where}, record {number} ({record.header[:40]}) has no sequence. Add its letters or remove it.")
    return records


def labelled(bodies: Sequence[Sequence[str]]) -> bool:
    """Whether every record is a line of letters and a line of as many labels.

    There must be few kinds of labels, and two lengths or more: a file whose lines are all as long is one that breaks its sequences there.
    """
    if not bodies or any(len(body) != 2 or len(body[0]) != len(body[1]) for body in bodies):
        return False
    kinds = {letter for _, labels in bodies for letter in labels}
    return len(kinds) <= MOST_LABELS and len({len(body[0]) for body in bodies}) > 1


def write_fasta(records: Sequence[Record]) -> str:
    """FASTA as it is usually written: capitals, 60 to a line."""
    lines = [line for r in records
             for line in (f">{r.header}", *(r.sequence[i : i + LINE] for i in range(0, len(r.sequence), LINE)))]
    return "".join(f"{line}\n" for line in lines)


def alphabet_of(records: Sequence[Record]) -> str:
    """Nucleotides where every letter is one, else amino acids."""
    return NUCLEOTIDES if all(set(r.sequence) <= set(NUCLEOTIDES) for r in records) else AMINO_ACIDS


def coded(records: Sequence[Record], letters: str) -> Symbols:
    """Codes (n, longest) uint8; `len(letters)` fills the end of short ones."""
    place = torch.zeros(128, dtype=torch.uint8)
    place[[ord(c) for c in letters]] = torch.arange(len(letters), dtype=torch.uint8)
    codes = [place[torch.frombuffer(bytearray(r.sequence, "ascii"), dtype=torch.uint8).long()] for r in records]
    return Symbols(pad(codes, fill=len(letters))[0], tuple(letters))


def source(path: Path, suffix: str, *, origin: dict[str, Any], name: str, targets: bool = True, lenient: bool = False) -> Source:
    """The sequences of a file; their classes where headers say `label=` or `class=`. `lenient` lets some lack it: then none is read."""
    letters = LETTERS.get(suffix)
    content = read(path, BYTE_TIMES)
    count = content.count(">")
    afford(BYTE_TIMES * len(content) + RECORD_BYTES * count, f"reading {path}, which has about {count:,} sequences,")
    records = read_fasta(content, str(path), letters)
    symbols = coded(records, letters or alphabet_of(records))
    headers = {"sequence": [r.name for r in records]}
    if targets and all(r.labels for r in records):
        return replace(_tagged(records, symbols, origin, name), labels=headers)
    labels = [r.label for r in records] if targets else []
    lacking = next((i for i, word in enumerate(labels) if word is None), None)
    if lacking is not None and any(labels) and not lenient:
        raise InputError(f"{path}, record {lacking + 1} ({records[lacking].header[:40]}) has no label= in its header, but others do. Add "
                         "it, or write --target none.")
    if lacking is not None or not labels:
        return Source(name, symbols, None, "none", origin, fingerprint.of(symbols.codes, None, symbols.alphabet), labels=headers)
    _, y, classes = of_column(of_words("label", labels), str(path))
    digest = fingerprint.of(symbols.codes, y, (*symbols.alphabet, *classes))
    return Source(name, symbols, y, "class", origin, digest, classes, labels=headers)


def _tagged(records: Sequence[Record], symbols: Symbols, origin: dict[str, Any], name: str) -> Source:
    """Sequences with a label for each of their letters; what fills the end of short ones has the first label, and is masked."""
    kinds = tuple(sorted({letter for r in records for letter in r.labels}))
    place = {kind: i for i, kind in enumerate(kinds)}
    y, _ = pad([torch.tensor([place[letter] for letter in r.labels]) for r in records])
    return Source(name, symbols, y, "steps", origin, fingerprint.of(symbols.codes, y, (*symbols.alphabet, *kinds)), kinds)
