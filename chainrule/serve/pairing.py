"""Compare: runs beside one another on the validation rows that their folders keep; the test part stays shut."""

from __future__ import annotations

from dataclasses import asdict
from typing import Any

import torch

from chainrule.core.errors import InputError
from chainrule.evaluate.significance import Cases, compare, squared_costs, unique
from chainrule.runs.folder import Folder
from chainrule.runs.validation import Validation
from chainrule.serve.opened import Opened


def compare_runs(opened: Opened, question: dict[str, Any]) -> dict[str, Any]:
    """Every pair of runs tested on the validation rows that all of them have, with a sentence of verdict."""
    names = [str(name) for name in question["runs"]]
    several = [_cases(opened, name) for name in names]
    shared = several[0].rows
    for one in several[1:]:
        shared = shared[torch.isin(shared, one.rows)]
    if not len(shared):
        raise InputError("These runs have no validation rows in common. Train them with the same --split-seed.")
    comparison = compare(unique(names), [_only(one, shared) for one in several])
    return {"n": comparison.n, "measure": comparison.measure, "scores": list(comparison.scores), "test": comparison.test,
            "pairs": [asdict(pair) for pair in comparison.pairs],
            "note": "On validation rows, which also chose the best weights; chainrule compare opens the test part."}


def _cases(opened: Opened, name: str) -> Cases:
    folder = Folder(opened.folder({"run": name}))
    record = folder.read_record()
    validation = Validation.read(folder, record["run"])
    if validation is None or validation.truth is None:
        raise InputError(f"{name} has not come to its end yet, or has no targets; pairs are tested when all have.")
    fingerprint = record["data"]["fingerprint"]
    if validation.truth.dim() == 1 and not validation.truth.is_floating_point():
        return Cases(validation.rows, fingerprint, right=validation.answers.argmax(1) == validation.truth)
    if validation.truth.dim() != 2:
        raise InputError(f"{name} answers neither one class nor numbers for a row; chainrule compare pairs such runs.")
    costs, measure = squared_costs(validation.answers, validation.truth)
    return Cases(validation.rows, fingerprint, costs=costs, measure=measure)


def _only(cases: Cases, rows: torch.Tensor) -> Cases:
    chosen = torch.isin(cases.rows, rows)
    return Cases(cases.rows[chosen], cases.fingerprint, None if cases.right is None else cases.right[chosen],
                 None if cases.costs is None else cases.costs[chosen], cases.measure, cases.block)
