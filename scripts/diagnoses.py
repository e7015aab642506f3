"""The pages of docs/diagnoses, made of the registrations: `python scripts/diagnoses.py` writes them; `tests/docs` compares."""

from __future__ import annotations

import inspect
import sys
from pathlib import Path

from diagnosis_pictures import SUBJECTS

from chainrule.core.registry import Entry, diagnoses
from chainrule.core.traits import DiagnosisTraits
from chainrule.observe.doctor.doctor import order

ROOT = Path(__file__).parents[1]
FOLDER = ROOT / "docs" / "diagnoses"
WHEN = {"Beginning": "before the first step", "Looked": "at each look", "Evaluated": "after each epoch", "Finished": "at the end",
        "Judged": "when the trained net is judged", "Joined": "when a committee is made", "Broken": "where a number is no longer finite"}
HEAD = """# What the doctor knows

`chainrule train` says what is wrong while it trains, `chainrule doctor RUN` of any run by its log, finished or not, and `cr.doctor(run)` in
Python: each fault with its evidence in numbers and a remedy that is an option of `train` where there is one. One fault has one first cause:
of all that was noticed, the diagnosis that stands highest in the order below; the others are its consequences.

`--doctor report` (the default) says so, `stop` ends training at the first cause, with exit code 1, and `mend` trains again with the remedy,
from the best weights, or anew where the remedy is another beginning; at most three times. The new run names the one that it mends, and
`repeat` of it needs no doctor, since its options are its own. Members of a sweep are ended by `mend` and not trained again. Thresholds are
the numbers in parentheses of `chainrule list diagnoses`; they begin with those that were measured to part healthy from faulty runs.

| order | code | what | when it is looked for |
|---|---|---|---|
"""
ABSENT = """
## What cannot happen here

| code | fault | why not |
|---|---|---|
| D04 | rows that are not shuffled | every feed draws the order of its rows anew for each epoch, by seed and epoch |
| D10 | gradients that are not set to zero | a direction is computed by each step and kept nowhere |
| D27 | waiting for data | the next chunk is gathered while the last one trains; what is waited is not measured yet |

Of D09, an optimizer that does not hold all parameters cannot be written; a module of one's own whose output is detached can. Of D08, named
losses cannot be below zero; one's own can. Of bfloat16 and
float16: `--precision bf16` holds weights in float32, and numbers of bfloat16 reach as far as those of float32, so that nothing there is
scaled or skipped; in a module of one's own with weights of few digits steps are rounded away (D36), and float16 overflows (D21).
"""


def groups() -> dict[str, list[Entry[DiagnosisTraits]]]:
    """The diagnoses of each code, in the order of the codes."""
    grouped: dict[str, list[Entry[DiagnosisTraits]]] = {}
    for entry in sorted(diagnoses.entries(), key=lambda entry: (entry.traits.code, entry.name)):
        grouped.setdefault(entry.traits.code, []).append(entry)
    return grouped


def page(code: str, entries: list[Entry[DiagnosisTraits]]) -> str:
    """The page of a code: its picture, what is looked for, with its thresholds, why it happens, what to do."""
    title = ", ".join(entry.name.replace("-", " ") for entry in entries)
    picture = f"![{SUBJECTS[code].caption}]({code}.svg)\n\n{SUBJECTS[code].caption}\n\n" if code in SUBJECTS else ""
    return f"# {code}: {title}\n\n{picture}" + "\n".join(_section(entry, len(entries) > 1) for entry in entries)


def _section(entry: Entry[DiagnosisTraits], several: bool) -> str:
    traits = entry.traits
    symptom = inspect.getdoc(entry.make) or ""
    thresholds = ", ".join(f"`{name}={option.default}`" for name, option in entry.options.items())
    when = ", ".join(WHEN[kind] for kind in traits.reads)
    parts = [f"## {entry.name.replace('-', ' ').capitalize()}\n" if several else "",
             f"**Symptom.** {symptom}\n", f"Thresholds: {thresholds}.\n" if thresholds else "", f"Looked for {when}.\n",
             f"**Cause.** {traits.cause}\n", f"**Remedy.** {traits.remedy}\n",
             f"**In the order of causes** after {_names(traits.after)}.\n" if traits.after else "**In the order of causes** the first.\n",
             *(f"As found `{variant}`, after {_names(before)}.\n" for variant, before in traits.variants.items()),
             f"Not looked for where there is {_names(traits.unless)}.\n" if traits.unless else "",
             "A note, and never a first cause.\n" if traits.note and not traits.variants else "", f"Source: {entry.source}\n"]
    return "\n".join(part for part in parts if part)


def _names(names: tuple[str, ...]) -> str:
    return ", ".join(name.replace("-", " ").replace("/", ", ") for name in names)


def index() -> str:
    """All diagnoses in the causal order, and those that cannot be made."""
    entries = {entry.name: entry for entry in diagnoses.entries()}
    lines = []
    for at, place in enumerate(order(), 1):
        name, _, variant = place.partition("/")
        entry = entries[name]
        when = ", ".join(WHEN[kind] for kind in entry.traits.reads)
        what = f"{name.replace('-', ' ')}{f' ({variant})' if variant else ''}"
        lines.append(f"| {at} | [{entry.traits.code}]({entry.traits.code}.md) | {what} | {when} |")
    return HEAD + "\n".join(lines) + "\n" + ABSENT


def pages() -> dict[str, str]:
    """Every page by the name of its file."""
    return {"README.md": index(), **{f"{code}.md": page(code, entries) for code, entries in groups().items()}}


def main() -> int:
    FOLDER.mkdir(exist_ok=True)
    for name, text in pages().items():
        (FOLDER / name).write_text(text)
    return 0


if __name__ == "__main__":
    sys.exit(main())
