"""A column of sentences beside TF-IDF and a logistic regression, on one division of sentences whose package is to be named."""

from __future__ import annotations

from typing import Any

import numpy as np
import torch

import chainrule
from chainrule.core.registry import recipes
from chainrule.evaluate.intervals import of_mean
from chainrule.recipes.outcome import Figure, Outcome, Setting
from chainrule.recipes.texts import sentences

SOURCE = "Salton & Buckley (1988), https://doi.org/10.1016/0306-4573(88)90021-0; the reference is scikit-learn's"
POINTS = 2.0   # that ours may be below it


@recipes("text-column", source=SOURCE)
def text_column(setting: Setting) -> Outcome:
    """Which package of the standard library a sentence of its docstrings is of, by words alone: the default net, and scikit-learn's."""
    rows = sentences(("logging", "email")) if setting.short else sentences()
    draw = np.random.default_rng(0).permutation(len(rows))
    topics, bodies = zip(*(rows[i] for i in draw), strict=True)
    options: dict[str, Any] = {"epochs": 3, "plan": "eager"} if setting.short else {}
    behind: dict[int, list[float]] = {}   # of every sentence that was tested: by how much ours is behind, 1, 0 or -1 a division
    table = [["seed", "ours", "TF-IDF and a logistic regression", "test sentences"]]
    for seed in range(1 if setting.short else setting.seeds):
        setting.say(f"text column, seed {seed}")
        source = chainrule.load({"body": list(bodies), "topic": list(topics)}, target="topic")
        run = chainrule.train(source, **options, seed=seed, out=setting.out / f"seed-{seed}", progress=False)
        result, data = run.test(), run.job.data
        tested = data.door.rows.numpy()
        stored = run.folder.read_predictions()
        assert stored is not None
        ours = stored[0]["predictions"].argmax(-1).numpy() == stored[0]["truth"].numpy()
        theirs = _reference(bodies, topics, data.train.rows.numpy(), tested)
        for row, difference in zip(tested.tolist(), theirs.astype(float) - ours, strict=True):
            behind.setdefault(row, []).append(float(difference))
        table.append([str(seed), f"{100 * ours.mean():.2f} %", f"{100 * theirs.mean():.2f} %", f"{result.n:,}"])
    points = 100 * torch.tensor([sum(some) / len(some) for some in behind.values()], dtype=torch.float64)
    ends = of_mean(points)
    return Outcome([Figure("points of test accuracy below TF-IDF and a logistic regression", float(points.mean()), ends.low, ends.high,
                           POINTS, SOURCE, "none" if setting.short else "at most")], table,
                   ["The interval is over test sentences, each by the mean of the divisions in which it is tested. Sentences are those of "
                    f"docstrings of {len(set(topics))} packages of this Python's standard library, {len(rows):,} in all."])


def _reference(bodies: tuple[str, ...], topics: tuple[str, ...], train: np.ndarray, test: np.ndarray) -> np.ndarray:
    """Which test sentences (n,) scikit-learn's usual TF-IDF and logistic regression name rightly."""
    from sklearn.feature_extraction.text import TfidfVectorizer
    from sklearn.linear_model import LogisticRegression

    words, classes = np.array(bodies, dtype=object), np.array(topics)
    vectorizer = TfidfVectorizer()
    model = LogisticRegression(max_iter=2000).fit(vectorizer.fit_transform(words[train]), classes[train])
    return np.asarray(model.predict(vectorizer.transform(words[test])) == classes[test])
