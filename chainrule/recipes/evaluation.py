"""Measures, intervals and tests held against worked numbers, simulation and other models on the same cases.

McNemar (1947), https://doi.org/10.1007/BF02295996; Wilson (1927), https://doi.org/10.1080/01621459.1927.10502953
"""

from __future__ import annotations

import torch

import chainrule
from chainrule.core.registry import recipes
from chainrule.evaluate import measures
from chainrule.evaluate.intervals import of_mean, wilson
from chainrule.evaluate.significance import mcnemar, probability
from chainrule.recipes.outcome import Figure, Outcome, Setting
from chainrule.workflows import compare

LECTURE = "lecture"
MATRIX = ((5, 3, 0), (2, 3, 1), (0, 2, 11))            # of cats, dogs, rabbits; rows are the truth
TABLES = ((29, 1, 11, 9959, 0.0063, 5e-5), (15, 15, 25, 9945, 0.154, 5e-4))  # both, first only, second only, none wrong; p, half a digit
CASES = 100


@recipes("three-class-matrix", source=LECTURE)
def three_class_matrix(setting: Setting) -> Outcome:
    """Twenty-seven answers about cats, dogs and rabbits: how many are right, and what is right of each kind."""
    truth = torch.tensor([i for i, row in enumerate(MATRIX) for count in row for _ in range(count)])
    answers = torch.tensor([j for row in MATRIX for j, count in enumerate(row) for _ in range(count)])
    result = measures.classification(torch.nn.functional.one_hot(answers, 3).double(), truth, ("cat", "dog", "rabbit"))
    right = result.n - (result.errors or 0)
    ends = wilson(right, result.n)
    cells = sum(ours != theirs for row, own in zip(result.confusion or [], MATRIX, strict=True)
                for ours, theirs in zip(row, own, strict=True))
    return Outcome([Figure(f"right of {result.n}", right, result.n * ends.low, result.n * ends.high, 19, LECTURE, "about"),
                    Figure("cells of the confusion matrix that differ", cells, published=0, goal="at most")],
                   [["truth", "cat", "dog", "rabbit"], *([name, *map(str, row)] for name, row in zip(("cat", "dog", "rabbit"),
                                                                                                     result.confusion or [], strict=True))])


@recipes("interval-coverage", source="Wilson (1927), https://doi.org/10.1080/01621459.1927.10502953; Hall (1992), "
                                     "https://doi.org/10.1111/j.2517-6161.1992.tb01876.x")
def interval_coverage(setting: Setting) -> Outcome:
    """How often intervals of 95 % hold the true value: Wilson's of a share right, Hall's of a mean absolute error."""
    random = torch.Generator().manual_seed(0)
    shares = torch.rand(100_000, generator=random, dtype=torch.float64)
    counts = torch.bernoulli(shares[:, None].expand(-1, CASES), generator=random).sum(1).long()              # (trials,)
    low, high = torch.tensor([[i.low, i.high] for i in (wilson(k, CASES) for k in range(CASES + 1))], dtype=torch.float64).T
    of_shares = ((low[counts] <= shares) & (shares <= high[counts])).double().mean()
    trials = 500 if setting.short else 4000
    truth = (2 / torch.pi) ** 0.5                                                                            # the mean of |N(0, 1)|
    hits = 0
    for _ in range(trials):
        errors = torch.randn(CASES, generator=random).abs()
        ends = of_mean(errors)
        hits += ends.low <= truth <= ends.high
    of_means = wilson(hits, trials)
    return Outcome([
        Figure("coverage of Wilson's interval %", 100 * float(of_shares), published=95, goal="about", within=1.5,
               source="Wilson (1927), averaged over shares from 0 to 1"),
        Figure("coverage of a mean's interval %", 100 * hits / trials, 100 * of_means.low, 100 * of_means.high, 95,
               "Hall (1992)", "about", 1.5)])


@recipes("mcnemar", source="McNemar (1947), https://doi.org/10.1007/BF02295996")
def exact_test(setting: Setting) -> Outcome:
    """Forty errors against thirty, twice: by the exact test one difference is significant and the other is not."""
    rows, figures = [["both wrong", "first only", "second only", "both right", "p"]], []
    for both, first, second, neither, published, half in TABLES:
        p = mcnemar(first, second)
        rows.append([*map(str, (both, first, second, neither)), probability(p)])
        figures.append(Figure(f"p of ({both}, {first}; {second}, {neither})", p, published=published, source=LECTURE, goal="about",
                              within=half, probability=True))
    return Outcome(figures, rows)


@recipes("comparators", source="Pedregosa et al. (2011), https://jmlr.org/papers/v12/pedregosa11a.html")
def comparators(setting: Setting) -> Outcome:
    """Six models of scikit-learn and a net of ours on the same split of the breast-cancer data, with intervals and paired tests."""
    names = ("knn", "naive-bayes", "svm", "tree", "boosting", "forest")
    run = chainrule.train("breast-cancer", net="mlp:hidden=16", epochs=5 if setting.short else 40, out=setting.out / "run",
                          progress=False)
    comparison = compare.compare(run, *names, out=setting.out / "comparison.html")
    beside = sum(pair.a == run.name for pair in comparison.pairs)
    bounded = sum(ends.low < ends.high for ends in comparison.shares())
    return Outcome([Figure("models paired with ours on the same cases", beside, published=6, goal="at least",
                           source="Pedregosa et al. (2011)"),
                    Figure("models with an interval", bounded - 1, published=6, goal="at least")], comparison.scored())
