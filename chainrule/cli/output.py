"""What commands print: lines for people on stdout, and one JSON object as the last line where it was asked for."""

from __future__ import annotations

import json
import sys
from typing import Any


def say(text: str) -> None:
    print(text)


def to_stderr(words: str) -> None:
    print(words, file=sys.stderr, flush=True)


def print_json(value: Any) -> None:
    print(json.dumps(value, default=str))


def show_sweep(sweep: Any, test: bool, as_json: bool) -> None:
    """The table; with `test`, the test part is opened for the best run alone."""
    say(str(sweep))
    if test:
        say(f"{sweep.best.path}, best on validation, on the test part:\n{sweep.best.test()}")
    if as_json:
        print_json({**sweep.summary(), **({"test": sweep.best.tested.to_dict()} if test else {})})


def show_run(run: Any, test: bool, as_json: bool) -> None:
    from chainrule.audit.coefficients import coefficients
    from chainrule.audit.one_layer import after  # loads scipy

    summary = run.summary()
    if test:
        say(str(run.test()))
    else:
        best = ", ".join(f"{k} {v:.4g}" for k, v in summary["best"].items() if k != "epoch")
        beside = run.valid.beside if best else ""
        told = f"{best} on {summary['valid'].get('n', 0)} validation samples" if best else "the last weights; no rows validate"
        say(f"{run.path}: {told}{'; ' if beside else ''}{beside}")
    notes, learned = after(run.job), coefficients(run.trained)
    for sentence in notes:
        say(sentence)
    if learned is not None:
        say(str(learned))
    say(f"Report: {run.report()}")
    if as_json:
        print_json({**run.summary(), "notes": notes, **({} if learned is None else {"weights": learned.to_json()})})


def show_ensemble(ensemble: Any, test: bool, as_json: bool) -> None:
    print(f"{ensemble.path}: {ensemble.record['net']}, on validation\n{ensemble.standing()}")
    if test:
        print(f"On the test part:\n{ensemble.test()}\n{ensemble.tested_standing}")
    if as_json:
        print(json.dumps(ensemble.summary(), default=str))
    sys.stdout.flush()
