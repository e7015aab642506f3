"""The `describe` command."""

from __future__ import annotations

import dataclasses
from dataclasses import dataclass

from chainrule.cli.options import Printing, command
from chainrule.cli.output import print_json, say
from chainrule.core.options import required, same
from chainrule.job.options import Options
from chainrule.workflows.options import Dataset


@dataclass(frozen=True)
class Described:
    """The net that is described, and what it is to predict."""

    net: str = required("A net, e.g. lenet or mlp:hidden=300x100.", positional=True)
    target: str | int | None = same(Options, "target")


@command()
def describe(described: Described, dataset: Dataset, printing: Printing) -> None:
    """Table of layers: output shapes, parameters, multiply-adds. Example: chainrule describe lenet mnist"""
    from chainrule.job.build import build
    from chainrule.observe.layers import layers, table
    from chainrule.workflows.source import as_source

    asked = Options(net=described.net, target=described.target)
    job = build(as_source(dataset.data, asked, dataset.data_dir), asked)
    rows = layers(job.net.module, job.data.input_shape)
    say(table(rows))
    if printing.as_json:
        print_json({"layers": [dataclasses.asdict(r) for r in rows], "parameters": job.net.count()})
