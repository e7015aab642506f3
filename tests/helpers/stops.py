"""Requests to stop that come by themselves."""

from chainrule.core.events import Evaluated
from chainrule.engine.stop import Stop


class After(Stop):
    """Asks to stop once so many evaluations have been seen."""

    def __init__(self, evaluations):
        super().__init__()
        self.left = evaluations

    def __call__(self, event):
        self.left -= isinstance(event, Evaluated)
        if self.left == 0:
            self.request("SIGINT")
