"""A folder whose net answers: what a run and a committee share, each with a `Trained`, a validation part and a test part of its own."""

from __future__ import annotations

from abc import ABC, abstractmethod
from pathlib import Path
from typing import Any

from torch import Tensor, nn

from chainrule.core.files import writable
from chainrule.data.source import Opening, Part
from chainrule.evaluate.result import Result
from chainrule.evaluate.significance import Cases
from chainrule.job.job import Job
from chainrule.job.options import Options
from chainrule.job.trained import Trained
from chainrule.runs.folder import Folder, test_set
from chainrule.runs.validation import Validation
from chainrule.workflows.evaluation import cases_of, log_opening, open_test, tested
from chainrule.workflows.onnx_rows import exported
from chainrule.workflows.predict import answers, uncertain_answers


class TrainedFolder(ABC):
    """Predicts, is measured, tested, compared and exported. `folder` is where it is kept, `record` what was written of its training."""

    folder: Folder
    path: Path
    record: dict[str, Any]

    @property
    @abstractmethod
    def trained(self) -> Trained:
        """The net with its best weights and all that its answers need."""

    @property
    @abstractmethod
    def job(self) -> Job:
        """The training with its data, the net holding its best weights. Raises InputError where the data is gone or has changed."""

    @property
    @abstractmethod
    def validation(self) -> Validation:
        """What the folder keeps of the validation part; where training has not come to its end, from the data."""

    @property
    def name(self) -> str:
        return self.path.name

    @property
    def options(self) -> Options:
        return Options.from_json(self.record["options"])

    @property
    def net(self) -> nn.Module:
        """A plain torch module with the best weights, in evaluation mode; of a committee the members joined."""
        return self.trained.net.module

    @property
    def valid(self) -> Result:
        """Measures with intervals on the validation part. Raises InputError where no rows validate."""
        return self.validation.measured

    def test(self, reason: str = "test") -> Result:
        """Open the test part, once more, and measure. The opening is counted in the ledger of the runs folder."""
        return open_test(self, reason)

    @property
    def tested(self) -> Result | None:
        """What the last opening of the test part found, if there was one."""
        return tested(self.folder)

    @property
    def test_set(self) -> str:
        """The name under which openings of its test part are counted."""
        return test_set(self.job.data, self.job.source)

    def cases(self) -> Cases:
        """What each test case contributed to paired tests; opens the test part where it has not been yet."""
        if self.folder.read_predictions() is None:
            self.test("compare")
        return cases_of(self)

    def truth(self, part: Part) -> Tensor:
        """Class numbers (n,), or targets in their own units (n, k)."""
        return self.trained.truth(part)

    def predict(self, what: Any) -> tuple[Tensor, tuple[str, ...]]:
        """Class probabilities (n, classes), or values in target units (n, k), for new rows in the form that was trained on.

        Returns them with the names of the columns. Raises InputError where columns or shapes do not match.
        """
        return answers(self.trained, what)

    def uncertainty(self, what: Any, samples: int = 50) -> tuple[Tensor, dict[str, Tensor]]:
        """Mean predictions (n, k) of so many passes with dropout left on, and how uncertain they are. Raises InputError without dropout."""
        return uncertain_answers(self.trained, what, samples)

    def columns(self, count: int) -> tuple[str, ...]:
        """What `count` columns of predictions are called: classes, targets, or numbers."""
        return self.trained.columns(count)

    def export(self, to: str, out: str | Path | None = None, overwrite: bool = False) -> tuple[Path, float]:
        """Write the net as `onnx`, `pt2` or `safetensors`; the path, and the largest difference of an answer on rows of the data.

        Raises InputError where `out` is there and is not to be overwritten.
        """
        return exported(self.trained, self.validation, self.record, to, writable(Path(out), overwrite) if out else self.path / f"net.{to}")

    def log_opening(self, reason: str) -> Opening:
        """Write an opening of its test part into the ledgers, and into its log."""
        return log_opening(self, reason)
