"""The `describe` command."""

from __future__ import annotations

import dataclasses
from dataclasses import dataclass

from chainrule.cli.options import Printing, command
from chainrule.cli.output import print_json, say
from chainrule.core.options import option, required, same
from chainrule.job.options import Options
from chainrule.workflows.options import Dataset


@dataclass(frozen=True)
class Described:
    """The net that is described, what it is to predict, and how many samples its memory is added up for."""

    net: str = required("A net, e.g. lenet or mlp:hidden=300x100.", positional=True)
    target: str | int | None = same(Options, "target")
    batch: int | None = same(Options, "batch")
    full: bool = option(False, "Every layer, where equal blocks that follow one another would stand once.")


@command()
def describe(described: Described, dataset: Dataset, printing: Printing) -> None:
    """Table of layers: shapes, parameters, multiply-adds; the memory of a step. Example: chainrule describe resnet:depth=56 cifar10"""
    from chainrule.core.text import size
    from chainrule.job.build import build
    from chainrule.observe.layer_table import layer_table
    from chainrule.observe.layers import layers
    from chainrule.workflows.source import as_source

    asked = Options(net=described.net, target=described.target, batch=described.batch)
    job = build(as_source(dataset.data, asked, dataset.data_dir), asked)
    rows, count, batch = layers(job.net.module, job.data.input_shape), job.net.count(), job.options.batch or len(job.data.train)
    weights = sum(p.numel() * p.element_size() for p in job.net.module.parameters())
    activations = batch * sum(row.memory for row in rows)
    say(layer_table(rows, described.full))
    say(f"memory: weights {size(weights)}; of the forward pass, training keeps {size(activations)} for a batch of {batch}")
    if printing.as_json:
        shares = [r.parameters / max(count, 1) for r in rows]
        print_json({"input": job.data.input_shape, "parameters": count,
                    "layers": [{**dataclasses.asdict(r), "share": share} for r, share in zip(rows, shares, strict=True)],
                    "multiply_adds": sum(r.multiply_adds for r in rows),
                    "memory": {"weights": weights, "activations": activations, "batch": batch}})
