"""The `committee` and `boost` commands."""

from __future__ import annotations

import inspect
import json
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Annotated, Any

import typer

OWN = ("data", "data_dir", "out", "config", "test", "as_json")
ROUNDS_AT_MOST, BY, SHRINKAGE = 10, "samme", 0.5
Rounds = Annotated[int, typer.Option("--rounds", help="How many nets at most.")]
By = Annotated[str, typer.Option("--by", help="samme (samples weighted, for classes) or gradient (residuals fitted).")]
Shrinkage = Annotated[float, typer.Option("--shrinkage", help="The share of the best step that gradient boosting takes.")]


def committee(
    several: Annotated[list[Path], typer.Argument(help="Run folders, or the folder of a sweep.", metavar="RUN|SWEEP...")],
    by: Annotated[str, typer.Option(help="mean (mixture), product (geometric mean) or vote.")] = "mean",
    out: Annotated[Path | None, typer.Option(help="The folder to make.")] = None,
    test: Annotated[bool, typer.Option("--test", help="Open the test part at the end.")] = False,
    as_json: Annotated[bool, typer.Option("--json", help="Print one JSON object as the last line of stdout.")] = False,
) -> None:
    """Let several trained nets answer together, and say whether that is better. Example: chainrule committee runs/digits-mlp-sweep-1"""
    from chainrule import committees

    _after(committees.committee(*several, by=by, out=out), test, as_json)


def boosting_command(train: Callable[..., None]) -> Callable[..., None]:
    """The command whose options are those of `train`, each default still existing once, with --rounds, --by and --shrinkage."""

    def boost(rounds: int, by: str, shrinkage: float, **given: Any) -> None:
        from chainrule import boosting, cli

        options = {name: value for name, value in given.items() if name not in OWN}
        if given["config"] is not None:
            options = cli._configured(given["config"], options)
        with cli.Signals() as signals:
            done = boosting.boost(given["data"], rounds=rounds, by=by, shrinkage=shrinkage, **options, data_dir=given["data_dir"],
                                  out=given["out"], stop=signals.stop)
        _after(done, given["test"], given["as_json"])

    signature = inspect.signature(train, eval_str=True)
    first, *others = [p for name, p in signature.parameters.items() if name not in ("members", "bootstrap")]
    own = [inspect.Parameter(name, inspect.Parameter.KEYWORD_ONLY, annotation=kind, default=default)
           for name, kind, default in (("rounds", Rounds, ROUNDS_AT_MOST), ("by", By, BY), ("shrinkage", Shrinkage, SHRINKAGE))]
    parameters = [p.replace(kind=inspect.Parameter.KEYWORD_ONLY) for p in (first, *own, *others)]
    boost.__signature__ = signature.replace(parameters=parameters)  # type: ignore[attr-defined]
    boost.__annotations__ = {p.name: p.annotation for p in parameters}
    boost.__doc__ = ("Train nets one after the other, each on what the others do badly, as a committee. "
                     "Example: chainrule boost digits --rounds 10 --net mlp:hidden=8")
    return boost


def _after(made: Any, test: bool, as_json: bool) -> None:
    print(f"{made.path}: {made.record['net']}, on validation\n{made.standing()}")
    if test:
        print(f"On the test part:\n{made.test()}\n{made.tested_standing}")
    if as_json:
        print(json.dumps(made.summary(), default=str))
    sys.stdout.flush()
