"""Which rows are strange: those that a net's reconstruction or density misses by more than nearly all rows of the validation part.

Pimentel, Clifton, Clifton & Tarassenko (2014), https://doi.org/10.1016/j.sigpro.2013.12.026
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from chainrule.core.abilities.tasks import Scores
from chainrule.core.errors import InputError
from chainrule.data.source import Part
from chainrule.job.trained import Trained
from chainrule.runs.validation import Validation


@dataclass(frozen=True)
class Flag:
    """From which score on a row is an anomaly."""

    trained: Trained
    threshold: float

    def scores(self, part: Part) -> Tensor:
        """How strange the rows of a part are, (n,)."""
        trained, task = self.trained, self.trained.task
        assert isinstance(task, Scores)
        trained.net.module.eval()
        return task.strangeness(trained.inference, part, trained.loss).cpu()

    def columns(self, part: Part) -> dict[str, Any]:
        """Columns (n,): the `score`, and whether it makes the row an `anomaly`."""
        scores = self.scores(part)
        return {"score": scores.numpy(), "anomaly": (scores > self.threshold).numpy()}


def flag_of(trained: Trained, validation: Validation, share: float) -> Flag:
    """Rows stranger than this share of the validation rows. Raises InputError where the net or the run cannot say."""
    if not 0 < share < 1:
        raise InputError(f"--anomaly is the share of ordinary rows that are less strange, above 0 and below 1; got {share}. Use --anomaly "
                         "0.99.")
    if not isinstance(trained.task, Scores):
        raise InputError(f"{trained.net_name} answers {trained.task.name} and says nothing of how strange a row is. Train an autoencoder, "
                         "vae, mixture or rbm.")
    if validation.scores is None or not len(validation.scores):
        raise InputError("This run has no scores of validation rows to choose a threshold from. Train again with rows that validate: "
                         "--split train=.7,valid=.15,test=.15.")
    return Flag(trained, float(torch.quantile(validation.scores.double(), share)))
