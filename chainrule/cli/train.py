"""The commands that train one run: `train`, `resume` and `repeat`."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from chainrule.cli.options import Ending, Listing, OfRun, Printing, command
from chainrule.cli.output import print_json, say, show_ensemble, show_run, show_sweep
from chainrule.cli.signals import Signals
from chainrule.core.options import option, required
from chainrule.job.options import Options
from chainrule.sinks.spinner import turning
from chainrule.workflows.options import Dataset, Siblings


@dataclass(frozen=True)
class RunFolder:
    """Where the run is kept."""

    out: Path | None = option(None, "The run folder to make.")


@dataclass(frozen=True)
class Logging:
    """Who else writes a training down."""

    log: str | None = option(None, "tensorboard: write an event file that TensorBoard reads into the run folder, beside the log.",
                             words=("tensorboard",))


@dataclass(frozen=True)
class Watching:
    """How a training is watched."""

    live: bool = option(False, "Show the run in a browser while it trains, as chainrule serve does.")


@dataclass(frozen=True)
class Unfinished:
    """What is to be gone on with."""

    run: Path = required("A run folder, or the folder of a sweep or a boosting.", positional=True)


@command()
def train(options: Options, siblings: Siblings, dataset: Dataset, folder: RunFolder, logging: Logging, watching: Watching, ending: Ending,
          listing: Listing, printing: Printing) -> None:
    """Read, split, train, validate and save a run. Example: chainrule train iris.csv --target species --test"""
    with turning("Starting"):
        from chainrule.serve.live import Live
        from chainrule.workflows.sweep import Sweep
        from chainrule.workflows.train import train

    with Signals() as signals:
        trained = train(dataset.data, members=siblings.members, **options.to_json(), data_dir=dataset.data_dir, out=folder.out,
                        log=logging.log, stop=signals.stop, sinks=[Live()] if watching.live else ())
    (show_sweep if isinstance(trained, Sweep) else show_run)(trained, ending.test, printing.as_json, listing.full)


@command()
def resume(unfinished: Unfinished, logging: Logging, ending: Ending, listing: Listing, printing: Printing) -> None:
    """Go on with an interrupted run, bit for bit. Example: chainrule resume runs/mnist-lenet-1"""
    from chainrule.workflows.ensemble import Committee
    from chainrule.workflows.resume import resume
    from chainrule.workflows.sweep import Sweep

    with Signals() as signals:
        done = resume(unfinished.run, log=logging.log, stop=signals.stop)
    show = show_sweep if isinstance(done, Sweep) else show_ensemble if isinstance(done, Committee) else show_run
    show(done, ending.test, printing.as_json, listing.full)


@command()
def repeat(of: OfRun, printing: Printing) -> None:
    """Train again from run.json alone and say whether the weights are the same. Example: chainrule repeat runs/digits-mlp-1"""
    from chainrule.workflows.train import repeat

    same, difference = repeat(of.run)
    say("The same weights, bit for bit." if same else f"Not the same: the largest difference is {difference:.3g}.")
    if printing.as_json:
        print_json({"same": same, "difference": difference})
