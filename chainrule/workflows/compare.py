"""Classical models beside our nets: scikit-learn's, fitted on exactly a run's training part and judged on its test part, in one table.

Pedregosa et al. (2011), https://jmlr.org/papers/v12/pedregosa11a.html; the models' own sources stand in scikit-learn's documentation.
"""

from __future__ import annotations

import inspect
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor

from chainrule.core.errors import InputError, suggest
from chainrule.core.files import writable
from chainrule.core.flow import Flow
from chainrule.core.registry import tasks
from chainrule.evaluate import significance
from chainrule.evaluate.significance import Cases, Comparison, unique
from chainrule.report.comparison import write_comparison
from chainrule.report.flow import readings_of
from chainrule.runs.folder import LOG, test_set
from chainrule.sinks import runlog
from chainrule.workflows.open import Answering, open_run

if TYPE_CHECKING:
    from chainrule.data.source import Part

NAMES = ("knn", "naive-bayes", "svm", "tree", "boosting", "forest", "logistic", "linear")
KIND = {"naive-bayes": "classification", "logistic": "classification", "linear": "regression"}  # the others do both


def compare(*several: Answering | str | Path, out: str | Path | None = None, overwrite: bool = False) -> Comparison:
    """Every pair of runs and named comparators on the same test cases: exact McNemar or paired sign flips, Holm-corrected.

    `out` names an HTML file that shows them on one page; one that is there is replaced only with `overwrite`.

    Comparators (`knn naive-bayes svm tree boosting forest logistic linear`, with scikit-learn's own settings) are fitted on the first run's
    training part, its inputs encoded as its net reads them and its rows weighted as the run weighted them (knn has no weights), and
    predict its test part, whose opening is logged. Raises InputError for fewer than two, for a name that is neither, and where no run
    says what the data are.

    >>> import chainrule as cr
    >>> run = cr.train("iris", net="softmax", epochs=5, plan="eager", progress=False)
    >>> comparison = cr.compare(run, "knn")
    >>> comparison.n, comparison.names[1], len(comparison.pairs)
    (22, 'knn', 1)
    """
    page = None if out is None else writable(Path(out), overwrite)
    named = [_named(one) if isinstance(one, str | Path) else one for one in several]
    runs = [one for one in named if not isinstance(one, str)]
    if len(named) < 2 or not runs:
        raise InputError(f"compare needs a run and something to compare it with; got {_counted(len(runs), 'run')} and "
                         f"{_counted(len(named) - len(runs), 'comparator')}. Write e.g. "
                         f"chainrule compare runs/digits-mlp-1 {NAMES[0]} {NAMES[5]}.")
    beside = fitted_cases(runs[0], [one for one in named if isinstance(one, str)])
    names = [one if isinstance(one, str) else one.name for one in named]
    cases = [beside[one] if isinstance(one, str) else one.cases() for one in named]
    comparison = significance.compare(unique(names), cases)
    if page is not None:
        write_comparison(comparison, page, _flows(names, named))
    return comparison


def _counted(n: int, what: str) -> str:
    """`no run`, `1 run`, `2 runs`."""
    return f"{n or 'no'} {what}{'s' * (n > 1)}"


def _flows(names: Sequence[str], named: Sequence[Answering | str]) -> list[tuple[str, Mapping[str, Flow]]]:
    """What looks read of the layers of each run, those that were looked at."""
    logs = [(name, one.path / LOG) for name, one in zip(unique(names), named, strict=True) if not isinstance(one, str)]
    several = [(name, readings_of(runlog.read(log))) for name, log in logs if log.exists()]
    return [(name, readings) for name, readings in several if readings]


def fitted_cases(run: Answering, names: list[str]) -> dict[str, Cases]:
    """What each named model gets right, or its squared errors, on the run's test part, opened once for all of them; {} for no names."""
    if not names:
        return {}
    data, name_of_rows = run.job.data, test_set(run.job.data, run.job.source)
    task = run.trained.task
    traits = tasks.find(task.name).traits
    if not traits.rowwise:
        raise InputError(f"{run.path} was trained for {task.name}; {', '.join(names)} know classes and numbers alone. Compare it with "
                         "other runs.")
    classes = bool(task.classes)
    models = {name: model(name, classes if data.train.y is not None else None, run.options.seed) for name in names}
    if data.train.y is None:
        raise InputError(f"{run.path} has no targets; comparators need them. Compare runs that predict a class or a number.")
    x, y = _rows(run, data.train), run.trained.truth(data.train)
    target = y.numpy() if classes or y.shape[1] > 1 else y[:, 0].numpy()
    for one in models.values():
        if data.train.weight is not None and "sample_weight" in inspect.signature(one.fit).parameters:  # all but knn
            one.fit(x, target, sample_weight=data.train.weight.double().numpy())
        else:
            one.fit(x, target)
    part = data.door.open("compare " + " ".join(models))
    if len(part) == 0:
        raise InputError(f"{run.path} held out no test part. Train with --split train=.7,valid=.15,test=.15.")
    x, truth = _rows(run, part), run.trained.truth(part)
    cases = {}
    for name, one in models.items():
        predictions = torch.from_numpy(one.predict(x))
        if classes:
            cases[name] = Cases(part.rows, name_of_rows, right=predictions == truth)
        else:
            own = run.trained.outcomes(part, name_of_rows, predictions.reshape(truth.shape))
            assert own is not None
            cases[name] = own
    return cases


def model(name: str, classes: bool | None, seed: int = 0) -> Any:
    """scikit-learn's model of that name for classes or for numbers, with its own settings, not yet fitted.

    Raises InputError where there is none, or none for such targets; `classes` is None where a run has no targets.
    """
    if name not in NAMES:
        raise InputError(f"There is no comparator called '{name}'. {suggest(name, NAMES)}")
    if classes is None:
        raise InputError(f"{name} is for {KIND.get(name, 'targets')}; this run is without targets. Use a run that predicts a class or a "
                         "number.")
    kind = "classification" if classes else "regression"
    if KIND.get(name, kind) != kind:
        able = ", ".join(n for n in NAMES if KIND.get(n, kind) == kind)
        raise InputError(f"{name} is for {KIND[name]}; this run is {kind}. Use {able}.")
    if name == "knn":
        from sklearn.neighbors import KNeighborsClassifier, KNeighborsRegressor

        return KNeighborsClassifier() if classes else KNeighborsRegressor()
    if name == "naive-bayes":
        from sklearn.naive_bayes import GaussianNB

        return GaussianNB()
    if name == "svm":
        from sklearn.svm import SVC, SVR

        return SVC(random_state=seed) if classes else SVR()
    if name == "tree":
        from sklearn.tree import DecisionTreeClassifier, DecisionTreeRegressor

        return (DecisionTreeClassifier if classes else DecisionTreeRegressor)(random_state=seed)
    if name in ("boosting", "forest"):
        from sklearn import ensemble

        kind = "HistGradientBoosting" if name == "boosting" else "RandomForest"
        return getattr(ensemble, kind + ("Classifier" if classes else "Regressor"))(random_state=seed)
    from sklearn.linear_model import LinearRegression, LogisticRegression

    return LogisticRegression(max_iter=1000) if name == "logistic" else LinearRegression()


def _named(what: str | Path) -> Answering | str:
    """A run folder, or the name of a comparator where no folder bears it."""
    if str(what) in NAMES and not (Path(what) / "run.json").exists():
        return str(what)

    try:
        return open_run(what)
    except InputError:
        if len(Path(what).parts) == 1 and not Path(what).exists():
            raise InputError(f"There is no run and no comparator called '{what}'. {suggest(str(what), NAMES)}") from None
        raise


def _rows(run: Answering, part: Part) -> Any:
    """The inputs of a part as the run's net reads them, in rows of single precision (n, d)."""
    ready: list[Tensor] = [run.job.data.ready(block).flatten(1) for block in part.x.split(4096)]
    return torch.cat(ready).numpy()
