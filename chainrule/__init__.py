"""chainrule: every network of the neural-network canon on your own data, fast, visibly and honestly."""

from typing import TYPE_CHECKING, Any

__version__ = "0.1.0"
__all__ = ["Committee", "Run", "Sweep", "boost", "check", "committee", "compare", "events", "find_rate",
           "load", "repeat", "resume", "sweep", "train"]

if TYPE_CHECKING:
    from chainrule.api import events, load, repeat, resume, sweep, train
    from chainrule.boosting import boost
    from chainrule.checking import check
    from chainrule.committees import Committee, committee
    from chainrule.comparators import compare
    from chainrule.finding import find_rate
    from chainrule.run import Run
    from chainrule.sweeps import Sweep


def __getattr__(name: str) -> Any:
    """Names are imported when first used, so that `import chainrule` costs little more than torch."""
    import importlib

    if name == "Run":
        return importlib.import_module("chainrule.run").Run
    if name == "compare":
        return importlib.import_module("chainrule.comparators").compare
    if name in ("Committee", "committee"):
        return getattr(importlib.import_module("chainrule.committees"), name)
    if name in ("check", "find_rate"):
        return getattr(importlib.import_module("chainrule.checking" if name == "check" else "chainrule.finding"), name)
    if name == "boost":
        return importlib.import_module("chainrule.boosting").boost
    if name in __all__ or name in ("api", "estimators"):
        module = importlib.import_module("chainrule.estimators" if name == "estimators" else "chainrule.api")
        return module if name in ("api", "estimators") else getattr(module, name)
    raise AttributeError(f"module 'chainrule' has no attribute '{name}'")
