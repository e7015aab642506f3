"""The `sweep` command: the options of a training, and what to go over."""

from __future__ import annotations

from dataclasses import dataclass

from chainrule.cli.options import Ending, Listing, NewFolder, Printing, command
from chainrule.cli.output import show_sweep
from chainrule.cli.signals import Signals
from chainrule.core.options import required
from chainrule.job.options import Options
from chainrule.sinks.spinner import turning
from chainrule.workflows.options import Dataset


@dataclass(frozen=True)
class Axes:
    """What a sweep goes over."""

    over: list[str] = required("key=v1,v2,...: an option of train or of its net (hidden=8,32,128), rule or optimizer (rate=0.01,0.1), "
                               "fold=1..5, bootstrap=1..10, seed=0..15. Several are combined.")


@command()
def sweep(axes: Axes, options: Options, dataset: Dataset, folder: NewFolder, ending: Ending, listing: Listing, printing: Printing) -> None:
    """Train a net for every combination of settings, side by side. Example: chainrule sweep digits --over rate=0.01,0.1 --over seed=0..4"""
    with turning("Starting"):
        from chainrule.workflows.grid import read_over
        from chainrule.workflows.sweep import sweep

    with Signals() as signals:
        swept = sweep(dataset.data, over=read_over(axes.over), **options.to_json(), data_dir=dataset.data_dir, out=folder.out,
                      stop=signals.stop)
    show_sweep(swept, ending.test, printing.as_json, listing.full)
