"""chainrule: every network of the neural-network canon on your own data, fast, visibly and honestly."""

import importlib
import os
from typing import TYPE_CHECKING, Any

# How long a thread of torch's or of a native program's spins before it sleeps; read when these load the OpenMP library. By its own
# measure, sixty times as long, a step on all cores takes three to seven times as long where something else keeps one of them busy, by
# this one two and a half times (docs/decisions/plans.md).
if "OMP_WAIT_POLICY" not in os.environ:
    os.environ.setdefault("GOMP_SPINCOUNT", "5000")

__version__ = "0.2.0.dev0"
__all__ = ["Committee", "Run", "Sweep", "boost", "check", "committee", "compare", "doctor", "events", "find_rate",
           "load", "repeat", "resume", "sweep", "train"]

if TYPE_CHECKING:
    from chainrule.data.load import load
    from chainrule.workflows.boosting import boost
    from chainrule.workflows.check import check
    from chainrule.workflows.compare import compare
    from chainrule.workflows.doctor import doctor
    from chainrule.workflows.ensemble import Committee, committee
    from chainrule.workflows.find_rate import find_rate
    from chainrule.workflows.resume import resume
    from chainrule.workflows.run import Run
    from chainrule.workflows.sweep import Sweep, sweep
    from chainrule.workflows.train import events, repeat, train

PLACES = {
    "Committee": "workflows.ensemble", "Run": "workflows.run", "Sweep": "workflows.sweep", "boost": "workflows.boosting",
    "check": "workflows.check", "committee": "workflows.ensemble", "compare": "workflows.compare", "doctor": "workflows.doctor",
    "events": "workflows.train",
    "find_rate": "workflows.find_rate", "load": "data.load", "repeat": "workflows.train", "resume": "workflows.resume",
    "sweep": "workflows.sweep", "train": "workflows.train",
}


def __getattr__(name: str) -> Any:
    """Names are imported when first used, so that `import chainrule` costs little more than torch."""
    if name in PLACES:
        return getattr(importlib.import_module(f"chainrule.{PLACES[name]}"), name)
    if name == "estimators":
        return importlib.import_module("chainrule.estimators")
    raise AttributeError(f"module 'chainrule' has no attribute '{name}'")
