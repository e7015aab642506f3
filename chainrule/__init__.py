"""chainrule: every network of the neural-network canon on your own data, fast, visibly and honestly."""

import importlib
from typing import TYPE_CHECKING, Any

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
