"""The `committee` and `boost` commands."""

from __future__ import annotations

import inspect
from collections.abc import Callable
from pathlib import Path
from typing import Annotated, Any

import typer

from chainrule.cli.options import configured
from chainrule.cli.output import show_ensemble
from chainrule.cli.signals import Signals
from chainrule.workflows.boosting_options import BY, ROUNDS_AT_MOST, SHRINKAGE

OWN = ("data", "data_dir", "out", "config", "test", "as_json")
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
    from chainrule.workflows.ensemble import committee

    show_ensemble(committee(*several, by=by, out=out), test, as_json)


def boosting_command(train: Callable[..., None]) -> Callable[..., None]:
    """The command whose options are those of `train`, each default still existing once, with --rounds, --by and --shrinkage."""

    def boost(rounds: int, by: str, shrinkage: float, **given: Any) -> None:
        from chainrule.workflows.boosting import boost

        options = {name: value for name, value in given.items() if name not in OWN}
        if given["config"] is not None:
            options = configured(given["config"], options)
        with Signals() as signals:
            done = boost(given["data"], rounds=rounds, by=by, shrinkage=shrinkage, **options, data_dir=given["data_dir"],
                                  out=given["out"], stop=signals.stop)
        show_ensemble(done, given["test"], given["as_json"])

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
