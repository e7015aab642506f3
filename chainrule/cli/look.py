"""The commands that look before training and at what was trained: `check`, `find-rate` and `picture`."""

from __future__ import annotations

import inspect
import json
from collections.abc import Callable
from pathlib import Path
from typing import Annotated, Any

import typer

from chainrule.cli.options import configured
from chainrule.cli.signals import Signals

NOT_THEIRS = ("data", "data_dir", "out", "config", "test", "as_json", "members", "fold", "bootstrap")   # of train's options
Steps = Annotated[int, typer.Option(help="Steps of the test.")]
Lowest = Annotated[float, typer.Option(help="The rate it begins with.")]
Highest = Annotated[float, typer.Option(help="The rate it ends with.")]


def commands(train: Callable[..., None]) -> dict[str, Callable[..., None]]:
    """The three commands by name; the first two take the options of `train`, each default still existing once."""
    return {"check": _as_train(train, check, ()), "find-rate": _as_train(train, find_rate, _own(find_rate)), "picture": picture}


def check(given: dict[str, Any], options: dict[str, Any]) -> None:
    """Look for wrong labels, outliers, duplicates between parts, leaks, useless columns. Example: chainrule check digits"""
    from chainrule.audit.check import check

    with Signals() as signals:
        found = check(given["data"], data_dir=given["data_dir"], out=given["out"], stop=signals.stop, **options)
    print(found)
    if given["as_json"]:
        print(json.dumps(found.to_dict(), default=str))


def find_rate(given: dict[str, Any], options: dict[str, Any], *, steps: Steps = 100, lowest: Lowest = 1e-6,
              highest: Highest = 10.0) -> None:
    """Suggest a rate: train a copy while the rate rises. Example: chainrule find-rate digits --optimizer sgd:momentum=0.9"""
    from chainrule.workflows.find_rate import find_rate

    options = {name: value for name, value in options.items() if name != "steps"}
    found = find_rate(given["data"], data_dir=given["data_dir"], out=given["out"], steps=steps, lowest=lowest, highest=highest,
                              **options)
    print(found)
    if given["as_json"]:
        print(json.dumps(found.to_dict()))


def picture(what: Annotated[str, typer.Argument(help="A run folder; or paths, a race of optimizers that takes no run.", metavar="RUN")],
            kind: Annotated[str | None, typer.Argument(help="boundary, weights, surface or histograms.")] = None,
            out: Annotated[Path | None, typer.Option(help="The PNG file to write.")] = None,
            plane: Annotated[str, typer.Option(help="For surface: path or random directions.")] = "path",
            optimizers: Annotated[str, typer.Option(help="For paths: which race, e.g. sgd,momentum,adam:rate=0.3.")] = "sgd,momentum,adam",
            on: Annotated[str, typer.Option(help="For paths: bowl or rosenbrock.")] = "rosenbrock",
            as_json: Annotated[bool, typer.Option("--json", help="Print one JSON object as the last line of stdout.")] = False) -> None:
    """Draw a run, or optimizers racing downhill. Example: chainrule picture runs/digits-mlp-1 histograms"""
    from chainrule.core.errors import InputError
    from chainrule.workflows.optimizer_race import race, split_specs
    from chainrule.workflows.picture import Drawn, picture, write
    from chainrule.workflows.run import Run

    if what == "paths" and kind is None:
        raced, figure = race(split_specs(optimizers), on)
        figures = [{"optimizer": d.spec, "steps": len(d.path) - 1, "height": d.heights[-1]} for d in raced]
        drawn = Drawn(write(figure, out or Path("paths.png")), figures)
    elif kind is None:
        raise InputError(f"expected a kind of picture after {what}: boundary, weights, surface or histograms; or paths alone.")
    else:
        drawn = picture(Run(what), kind, out, plane=plane)
    for row in drawn.figures:
        print("  ".join(f"{key} {value:.3g}" if isinstance(value, float) else f"{key} {value}" for key, value in row.items()))
    print(drawn.path)
    if as_json:
        print(json.dumps({"out": str(drawn.path), "figures": drawn.figures}))


def _own(body: Callable[..., None]) -> tuple[inspect.Parameter, ...]:
    return tuple(p for p in inspect.signature(body, eval_str=True).parameters.values() if p.kind is inspect.Parameter.KEYWORD_ONLY)


def _as_train(train: Callable[..., None], body: Callable[..., None], own: tuple[inspect.Parameter, ...]) -> Callable[..., None]:
    """A command with the options of `train` that decide what is trained, and its own."""
    named = [p.name for p in own]

    def command(**given: Any) -> None:

        options = {name: value for name, value in given.items() if name not in (*NOT_THEIRS, *named)}
        if given["config"] is not None:
            stored = configured(given["config"], options)
            options = {name: value for name, value in stored.items() if name not in NOT_THEIRS}
        body(given, options, **{name: given[name] for name in named})

    kept = [p for name, p in inspect.signature(train, eval_str=True).parameters.items()
            if name not in ("members", "fold", "bootstrap", "test", *named)]
    parameters = [p.replace(kind=inspect.Parameter.KEYWORD_ONLY) for p in (*kept, *own)]
    command.__signature__ = inspect.Signature(parameters)  # type: ignore[attr-defined]
    command.__annotations__ = {p.name: p.annotation for p in parameters}
    command.__doc__ = body.__doc__
    return command
