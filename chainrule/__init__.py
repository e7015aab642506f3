"""chainrule: every network of the neural-network canon on your own data, fast, visibly and honestly."""

from typing import TYPE_CHECKING, Any

__version__ = "0.1.0"
__all__ = ["Run", "Sweep", "compare", "events", "load", "repeat", "resume", "sweep", "train"]

if TYPE_CHECKING:
    from chainrule.api import events, load, repeat, resume, sweep, train
    from chainrule.run import Run, compare
    from chainrule.sweeps import Sweep


def __getattr__(name: str) -> Any:
    """Names are imported when first used, so that `import chainrule` costs little more than torch."""
    import importlib

    if name in ("Run", "compare"):
        return getattr(importlib.import_module("chainrule.run"), name)
    if name in __all__ or name in ("api", "estimators"):
        module = importlib.import_module("chainrule.estimators" if name == "estimators" else "chainrule.api")
        return module if name in ("api", "estimators") else getattr(module, name)
    raise AttributeError(f"module 'chainrule' has no attribute '{name}'")
