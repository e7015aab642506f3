"""What commands print: lines for people on stdout, and one JSON object as the last line where it was asked for."""

from __future__ import annotations

import json
import sys
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

from chainrule.core.errors import InputError
from chainrule.core.terminal import columns, fitting
from chainrule.core.text import counted
from chainrule.sinks.spinner import turning


def say(text: str) -> None:
    """A line, or several; in a terminal they are broken between words."""
    print(fitting(text, sys.stdout))


def to_stderr(words: str) -> None:
    print(fitting(words, sys.stderr), file=sys.stderr, flush=True)


def print_json(value: Any) -> None:
    print(json.dumps(value, default=str))


def width() -> int | None:
    """How many columns there are, None where lines may be as long as they are."""
    return columns(sys.stdout) if sys.stdout.isatty() else None


def say_result(result: Any, full: bool) -> None:
    """A test's measures: what there is no room for is left out, in a terminal; all classes with `full`."""
    say(result.text(full, width()))


def say_files(what: str, paths: Iterable[Path | str]) -> None:
    """Names every file that was written."""
    listed = [str(path) for path in paths]
    if listed:
        say(f"{what}: {', '.join(listed)}")


def show_sweep(sweep: Any, test: bool, as_json: bool, full: bool = False) -> None:
    """The table; with `test`, the test part is opened for the best run alone."""
    say(str(sweep))
    if test:
        say(f"{sweep.best.path}, best on validation, on the test part:")
        before = pictures_of(sweep.best.path)
        say_result(sweep.best.test(), full)
        say_files("Written", drawn_since(before, sweep.best.path))
    if as_json:
        print_json({**sweep.summary(), **({"test": sweep.best.tested.to_dict()} if test else {})})


def show_run(run: Any, test: bool, as_json: bool, full: bool = False) -> None:
    from chainrule.audit.coefficients import coefficients
    from chainrule.audit.one_layer import after  # loads scipy

    before = pictures_of(run.path)
    if test:
        say(f"{run.path}, on the test part:")
        with turning("Testing"):
            result = run.test()
        say_result(result, full)
    else:
        say("\n".join(standing(run)))
    notes, learned = after(run.job), coefficients(run.trained)
    for sentence in dict.fromkeys(notes):
        say(sentence)
    if learned is not None:
        say(str(learned))
    with turning("Writing the report"):
        page = run.report()
    say(f"Report: {page}")
    say_files("Written", [*drawn_since(before, run.path), *sorted(Path(run.path).glob("events.out.tfevents.*"))])
    if as_json:
        print_json({**run.summary(), "notes": notes, **({} if learned is None else {"weights": learned.to_json()})})


def standing(run: Any) -> list[str]:
    """The result on the validation part, once, with simpler answers below it."""
    best = run.summary()["best"]
    try:
        result = run.valid
    except InputError:
        return [f"{run.path}: the last weights; no rows validate"]
    if not result.headline:
        words = ", ".join(f"{name} {value:.4g}" for name, value in best.items() if name != "epoch")
        return [f"{run.path}: {words or 'the last weights'} on {counted(result.n, 'validation sample')}"]
    return [f"{run.path}: {result.headline} on {counted(result.n, 'validation sample')}", *(f"  {line}" for line in result.besides)]


def pictures_of(folder: Path | str) -> dict[Path, int]:
    """The pictures in a run's folder, and when each was written, in nanoseconds."""
    return {path: path.stat().st_mtime_ns for path in sorted(Path(folder).glob("*.png"))}


def drawn_since(before: Mapping[Path, int], folder: Path | str) -> list[Path]:
    """Those that were not there before, or have been written anew."""
    return [path for path, written in pictures_of(folder).items() if before.get(path) != written]


def show_ensemble(ensemble: Any, test: bool, as_json: bool, full: bool = False) -> None:
    say(f"{ensemble.path}: {ensemble.record['net']}, on validation\n{ensemble.standing()}")
    if ensemble.diagnoses.listed:
        say(str(ensemble.diagnoses))
    if test:
        say("On the test part:")
        before = pictures_of(ensemble.path)
        say_result(ensemble.test(), full)
        say(str(ensemble.tested_standing))
        say_files("Written", drawn_since(before, ensemble.path))
    if as_json:
        print_json(ensemble.summary())
    sys.stdout.flush()
