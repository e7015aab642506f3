"""The `find-rate` command."""

from __future__ import annotations

from chainrule.cli.options import NewFolder, Printing, command
from chainrule.cli.output import print_json, say
from chainrule.job.options import Options
from chainrule.workflows.options import Dataset, RateRange


@command(without=("fold", "bootstrap", "steps"))
def find_rate(span: RateRange, options: Options, dataset: Dataset, folder: NewFolder, printing: Printing) -> None:
    """Suggest a rate: train a copy while the rate rises. Example: chainrule find-rate digits --optimizer sgd:momentum=0.9"""
    from chainrule.workflows.find_rate import find_rate

    settings = {name: value for name, value in options.to_json().items() if name != "steps"}
    rates = find_rate(dataset.data, data_dir=dataset.data_dir, out=folder.out, steps=span.steps, lowest=span.lowest,
                      highest=span.highest, **settings)
    say(str(rates))
    if printing.as_json:
        print_json(rates.to_dict())
