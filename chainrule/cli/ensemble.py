"""The `committee` and `boost` commands."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from chainrule.cli.options import Ending, Listing, NewFolder, Printing, command
from chainrule.cli.output import show_ensemble
from chainrule.cli.signals import Signals
from chainrule.core.options import required
from chainrule.job.options import Options
from chainrule.workflows.options import Boosting, Dataset, Joining


@dataclass(frozen=True)
class Members:
    """The trained nets of a committee."""

    several: list[Path] = required("Run folders, or the folder of a sweep.", positional=True, metavar="RUN|SWEEP...")


@command()
def committee(members: Members, joining: Joining, folder: NewFolder, ending: Ending, listing: Listing, printing: Printing) -> None:
    """Let several trained nets answer together, and say whether that is better. Example: chainrule committee runs/digits-mlp-sweep-1"""
    from chainrule.workflows.ensemble import committee

    show_ensemble(committee(*members.several, by=joining.by, out=folder.out), ending.test, printing.as_json, listing.full)


@command(without=("bootstrap",))
def boost(boosting: Boosting, options: Options, dataset: Dataset, folder: NewFolder, ending: Ending, listing: Listing,
          printing: Printing) -> None:
    """Train nets one after the other, each on what the others do badly. Example: chainrule boost digits --rounds 10 --net mlp:hidden=8"""
    from chainrule.workflows.boosting import boost

    with Signals() as signals:
        boosted = boost(dataset.data, rounds=boosting.rounds, by=boosting.by, shrinkage=boosting.shrinkage, **options.to_json(),
                        data_dir=dataset.data_dir, out=folder.out, stop=signals.stop)
    show_ensemble(boosted, ending.test, printing.as_json, listing.full)
