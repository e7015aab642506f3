"""Monte-Carlo dropout: a net with its dropout left on, run many times, as an approximate posterior over nets.

Gal & Ghahramani (2016), https://arxiv.org/abs/1506.02142; what the entropies say apart: Houlsby, Huszar, Ghahramani & Lengyel (2011),
https://arxiv.org/abs/1112.5745
"""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor, nn

from chainrule.core.errors import InputError
from chainrule.core.registry import tasks
from chainrule.engine.randomness import Aside
from chainrule.job.trained import Trained

DROPOUTS = (nn.Dropout, nn.Dropout1d, nn.Dropout2d, nn.Dropout3d, nn.AlphaDropout, nn.FeatureAlphaDropout)
FEWEST = 2


class Sampler:
    """Predictions of a net with its dropout left on, everything else evaluating. Raises InputError for a net without dropout.

    Blocks of rows that come in one order draw the same masks each time: they follow from the run's seed and how many rows came before.
    """

    def __init__(self, trained: Trained, samples: int):
        if samples < FEWEST:
            raise InputError(f"--samples expects at least {FEWEST} passes, for a spread; got {samples}. Write e.g. --samples 50.")
        self.dropouts = [part for part in trained.net.module.modules() if isinstance(part, DROPOUTS) and part.p > 0]
        if not self.dropouts:
            raise InputError(f"{trained.net_name} has no dropout, so that every pass would say the same. Leave --samples out, or train a "
                             "net that has some, e.g. --net mlp:dropout=0.5.")
        traits = tasks.find(trained.task.name).traits
        if traits.steps or not (traits.rowwise or traits.targetless):
            raise InputError(f"--samples tells how answers to whole rows spread; the task is {trained.task.name}. Leave it out.")
        if trained.loss is None:
            raise InputError(f"{trained.net_name} predicts no targets, so there is no uncertainty of them. Leave --samples out.")
        self.trained, self.samples, self.rows = trained, samples, 0

    def __call__(self, x: Any) -> tuple[Tensor, dict[str, Tensor]]:
        """Mean predictions (n, k), and further columns by name, (n,) or (n, k): how uncertain they are; see `spread`."""
        module = self.trained.net.module
        module.eval()
        for part in self.dropouts:
            part.train()
        try:
            with Aside(self.trained.seed + self.rows, self.trained.device):
                drawn = [self._once(x) for _ in range(self.samples)]
        finally:
            module.eval()
        self.rows += len(x)
        return spread(torch.stack(drawn), bool(self.trained.task.classes))

    def _once(self, x: Any) -> Tensor:
        return self.trained.answer(self.trained.inference.plainly(x).double()).double().cpu()


def spread(drawn: Tensor, classes: bool) -> tuple[Tensor, dict[str, Tensor]]:
    """The mean of predictions (samples, n, k), and how they spread.

    For classes `entropy`, of the mean probabilities, in nats, and `mutual_information`, that less the mean entropy of each pass: what
    the nets disagree about, as more data would teach. For numbers `sd`, the standard deviation of each over the passes.
    """
    mean = drawn.mean(0)                                                          # (n, k)
    if not classes:
        return mean, {"sd": drawn.std(0)}
    whole = torch.special.entr(mean).sum(-1)                                      # (n,)
    each = torch.special.entr(drawn).sum(-1).mean(0)                              # (n,)
    return mean, {"entropy": whole, "mutual_information": (whole - each).clamp(min=0)}
