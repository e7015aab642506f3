"""The `check` command, a look at data before it is trusted."""

from __future__ import annotations

from chainrule.cli.options import NewFolder, Printing, command
from chainrule.cli.output import print_json, say
from chainrule.cli.signals import Signals
from chainrule.job.options import Options
from chainrule.workflows.options import Dataset


@command(without=("fold", "bootstrap"))
def check(options: Options, dataset: Dataset, folder: NewFolder, printing: Printing) -> None:
    """Look for wrong labels, outliers, duplicates between parts, leaks, useless columns. Example: chainrule check digits"""
    from chainrule.workflows.check import check

    with Signals() as signals:
        report = check(dataset.data, data_dir=dataset.data_dir, out=folder.out, stop=signals.stop, **options.to_json())
    say(str(report))
    if printing.as_json:
        print_json(report.to_dict())
