"""The `sweep` command: the options of `train`, and what to go over."""

from __future__ import annotations

import inspect
from collections.abc import Callable
from typing import Annotated, Any

import typer

from chainrule.cli.options import configured
from chainrule.cli.output import show_sweep
from chainrule.cli.signals import Signals

OWN = ("data", "data_dir", "out", "config", "test", "as_json")   # what is not an option of each run
Overs = Annotated[list[str], typer.Option("--over", help="key=v1,v2,...: an option of train or of its net (hidden=8,32,128), rule or "
                                                         "optimizer (rate=0.01,0.1), fold=1..5, "
                                                         "bootstrap=1..10, seed=0..15. Several are combined.")]


def command(train: Callable[..., None]) -> Callable[..., None]:
    """The command whose options are those of `train`, each default still existing once, with --over in place of --members."""

    def sweep(over: list[str], **given: Any) -> None:
        from chainrule.workflows.grid import read_over
        from chainrule.workflows.sweep import sweep

        options = {name: value for name, value in given.items() if name not in OWN}
        if given["config"] is not None:
            options = configured(given["config"], options)
        with Signals() as signals:
            done = sweep(given["data"], over=read_over(over), **options, data_dir=given["data_dir"], out=given["out"],
                             stop=signals.stop)
        show_sweep(done, given["test"], given["as_json"])

    signature = inspect.signature(train, eval_str=True)
    first, *others = [p for name, p in signature.parameters.items() if name != "members"]
    over = inspect.Parameter("over", inspect.Parameter.KEYWORD_ONLY, annotation=Overs)
    parameters = [p.replace(kind=inspect.Parameter.KEYWORD_ONLY) for p in (first, *others)]
    sweep.__signature__ = signature.replace(parameters=[over, *parameters])  # type: ignore[attr-defined]
    sweep.__annotations__ = {p.name: p.annotation for p in (over, *parameters)}
    sweep.__doc__ = ("Train a net for every combination of settings, side by side; each is an ordinary run. "
                     "Example: chainrule sweep digits --over rate=0.01,0.1 --over seed=0..4")
    return sweep
