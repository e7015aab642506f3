"""A column of sentences beside TF-IDF and a logistic regression, on one division of sentences whose package is to be named."""

from __future__ import annotations

import math
from typing import Any

import numpy as np

import chainrule
from chainrule.core.registry import recipes
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
    apart, table = list[float](), [["seed", "ours", "TF-IDF and a logistic regression", "test sentences"]]
    for seed in range(1 if setting.short else setting.seeds):
        setting.say(f"text column, seed {seed}")
        source = chainrule.load({"body": list(bodies), "topic": list(topics)}, target="topic")
        run = chainrule.train(source, **options, seed=seed, out=setting.out / f"seed-{seed}", progress=False)
        result, data = run.test(), run.job.data
        reference = _reference(bodies, topics, data.train.rows.numpy(), data.door.rows.numpy())
        apart.append(100 * (reference - float(result.accuracy or 0.0)))
        table.append([str(seed), f"{100 * float(result.accuracy or 0.0):.2f} %", f"{100 * reference:.2f} %", f"{result.n:,}"])
    mean = sum(apart) / len(apart)
    spread = math.sqrt(sum((one - mean) ** 2 for one in apart) / max(len(apart) - 1, 1))
    return Outcome([Figure("points of test accuracy below TF-IDF and a logistic regression", mean, mean - spread, mean + spread, POINTS,
                           SOURCE, "none" if setting.short else "at most")], table,
                   ["The interval is one standard deviation over seeds, each of which divides the sentences anew. Sentences are those of "
                    f"docstrings of {len(set(topics))} packages of this Python's standard library, {len(rows):,} in all."])


def _reference(bodies: tuple[str, ...], topics: tuple[str, ...], train: np.ndarray, test: np.ndarray) -> float:
    """The share of test sentences that scikit-learn's usual TF-IDF and logistic regression have right."""
    from sklearn.feature_extraction.text import TfidfVectorizer
    from sklearn.linear_model import LogisticRegression

    words, classes = np.array(bodies, dtype=object), np.array(topics)
    vectorizer = TfidfVectorizer()
    model = LogisticRegression(max_iter=2000).fit(vectorizer.fit_transform(words[train]), classes[train])
    return float(model.score(vectorizer.transform(words[test]), classes[test]))
