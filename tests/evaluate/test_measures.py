"""Measures against scikit-learn, against published counts, and on sets as small as two cases."""

import json
import warnings

import numpy as np
import pytest
import torch
from scipy import stats
from sklearn import metrics

from chainrule.core.errors import InputError
from chainrule.evaluate.curves import operating_points
from chainrule.evaluate.measures import classification, density, quick_regression, regression
from chainrule.evaluate.result import Result


def scored(n=300, c=4, seed=0, ties=False):
    """Probabilities (n, c) that know something, classes (n,); with `ties` they take few values."""
    g = torch.Generator().manual_seed(seed)
    y = torch.randint(c, (n,), generator=g)
    z = torch.randn(n, c, generator=g, dtype=torch.float64)
    z[torch.arange(n), y] += 1.2
    p = z.softmax(1)
    if ties:
        p = (p * 8).round() + 1e-3
        p = p / p.sum(1, keepdim=True)
    return p, y


def from_confusion(rows):
    """One-hot outputs and classes that give this confusion matrix."""
    pairs = [(i, j) for i, row in enumerate(rows) for j, k in enumerate(row) for _ in range(k)]
    true, called = torch.tensor(pairs).T
    return torch.nn.functional.one_hot(called, len(rows)).double(), true


def test_cats_dogs_and_rabbits():
    """CANON A5: 19 of 27 right."""
    confusion = [[5, 3, 0], [2, 3, 1], [0, 2, 11]]
    result = classification(*from_confusion(confusion), ["Cat", "Dog", "Rabbit"])
    assert (result.n, result.errors, result.confusion) == (27, 8, confusion)
    assert result.accuracy == 19 / 27
    assert result.counts["Cat"] == {"tp": 5, "fp": 2, "tn": 17, "fn": 3}
    assert result.interval.low < 19 / 27 < result.interval.high
    assert "70.37 %" in str(result)


@pytest.mark.parametrize(("c", "ties"), [(2, False), (2, True), (4, False), (4, True), (7, False)])
def test_classification_agrees_with_scikit_learn(c, ties):
    p, y = scored(c=c, ties=ties)
    m = {k: v.value for k, v in classification(p, y, [str(i) for i in range(c)], intervals=False).measures.items()}
    p, y = p.numpy(), y.numpy()
    called, hot = p.argmax(1), np.eye(c)[y]
    expected = {"accuracy": metrics.accuracy_score(y, called), "log_loss": metrics.log_loss(y, p),
                "brier": metrics.brier_score_loss(y, p if c > 2 else p[:, 1])}
    for average in ("macro", None):
        precision, recall, f1, _ = metrics.precision_recall_fscore_support(y, called, average=average)
        for name, values in (("precision", precision), ("recall", recall), ("f1", f1)):
            expected |= {f"macro_{name}": values} if average else {f"{name}[{i}]": v for i, v in enumerate(values)}
    if c == 2:
        expected |= {"roc_auc": metrics.roc_auc_score(y, p[:, 1]), "average_precision": metrics.average_precision_score(y, p[:, 1])}
    else:
        for name, score in (("roc_auc", metrics.roc_auc_score), ("average_precision", metrics.average_precision_score)):
            each = [score(hot[:, i], p[:, i]) for i in range(c)]
            expected |= {name: np.mean(each)} | {f"{name}[{i}]": v for i, v in enumerate(each)}
        assert expected["roc_auc"] == pytest.approx(metrics.roc_auc_score(y, p, multi_class="ovr"))
    if not ties:
        expected |= {f"top_{k}": metrics.top_k_accuracy_score(y, p, k=k) for k in (2, 3, 5) if k < c}
        assert [k for k in m if k.startswith("top_")] == [f"top_{k}" for k in (2, 3, 5) if k < c]
    for name, value in expected.items():
        assert m[name] == pytest.approx(value, abs=1e-6), name
    assert set(m) - set(expected) <= {"ece", "top_2", "top_3", "top_5"}


def test_ece_is_its_definition():
    p, y = scored(n=500)
    confidence, called = p.max(1)
    total = 0.0
    for i in range(15):
        inside = (confidence > i / 15) & (confidence <= (i + 1) / 15)
        if inside.any():
            total += float(inside.sum()) * abs(float((called == y)[inside].double().mean()) - float(confidence[inside].mean()))
    assert classification(p, y, list("abcd"), intervals=False).measures["ece"].value == pytest.approx(total / 500, abs=1e-12)


@pytest.mark.parametrize("c", [2, 3])
def test_bootstrap_intervals_are_those_of_rows_resampled(c):
    """Second derivation: rows drawn with replacement and measured one set at a time, without our weights."""
    p, y = scored(n=120, c=c, seed=3)
    ours = classification(p, y, list("abc")[:c]).measures
    p, y, random = p.numpy(), y.numpy(), np.random.default_rng(9)

    def roc_auc(score, positive):
        k = positive.sum()
        return (stats.rankdata(score)[positive].sum() - k * (k + 1) / 2) / (k * (len(positive) - k))

    drawn = {"roc_auc": [], "average_precision": [], "macro_f1": [], "macro_precision": [], "log_loss": [], "brier": []}
    for _ in range(400):
        rows = random.integers(0, 120, 120)
        q, t, hot = p[rows], y[rows], np.eye(c)[y[rows]]
        counts, which = np.eye(c)[t].T @ np.eye(c)[q.argmax(1)], range(c) if c > 2 else [1]
        drawn["roc_auc"].append(np.mean([roc_auc(q[:, i], hot[:, i] > 0) for i in which]))
        drawn["average_precision"].append(np.mean([metrics.average_precision_score(hot[:, i], q[:, i]) for i in which]))
        drawn["macro_f1"].append(np.mean(2 * counts.diagonal() / (counts.sum(0) + counts.sum(1))))
        drawn["macro_precision"].append(np.mean(counts.diagonal() / counts.sum(0)))
        drawn["log_loss"].append(-np.log(q[np.arange(120), t]).mean())
        drawn["brier"].append(((q - hot) ** 2).sum(1).mean() / (1 if c > 2 else 2))
    for name, values in drawn.items():
        low, high = np.quantile(values, [0.025, 0.975])
        assert (ours[name].low, ours[name].high) == pytest.approx((low, high), abs=0.15 * (high - low)), name


def test_the_interval_of_f1_covers():
    """F1 of a known population is inside its interval in about 95 of 100 samples."""
    random, truth, hits = np.random.default_rng(0), 2 * 0.3 / (2 * 0.3 + 0.1 + 0.2), 0
    for tp, fp, fn, tn in random.multinomial(60, [0.3, 0.1, 0.2, 0.4], 300):
        m = classification(*from_confusion([[int(tn), int(fp)], [int(fn), int(tp)]]), ["no", "yes"], intervals=False).measures["f1[yes]"]
        hits += m.low <= truth <= m.high
    assert 0.92 <= hits / 300 <= 0.98


def test_macro_measures_of_empty_classes_are_scikit_learns():
    """A class that is never called, one that never occurs, and one that does neither."""
    for rows in ([[4, 1, 0, 0], [2, 3, 1, 0], [0, 0, 0, 0], [0, 0, 0, 0]], [[4, 0, 0], [3, 0, 0], [1, 0, 5]],
                 [[3, 0, 2], [0, 4, 1], [0, 0, 0]]):
        p, y = from_confusion(rows)
        m = classification(p, y, list("abcd")[:len(rows)]).measures
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            theirs = metrics.precision_recall_fscore_support(y.numpy(), p.argmax(1).numpy(), average="macro")
        assert [m[f"macro_{k}"].value for k in ("precision", "recall", "f1")] == pytest.approx(theirs[:3])


def test_a_class_of_one_case_does_not_lift_the_interval_of_macro_recall():
    """49 cases of one class right, the one of the other wrong: resamples without it had a recall of 1, and the interval was .5 to 1."""
    m = classification(*from_confusion([[49, 0], [1, 0]]), ["a", "b"]).measures["macro_recall"]
    assert m.value == 0.5
    assert m.low < 0.35
    assert 0.65 < m.high < 1


def test_with_classes_of_one_size_all_right_macro_recall_is_accuracy_with_its_interval():
    """Closed form: nothing tells the classes apart, so both are Wilson's of 60 cases."""
    m = classification(*from_confusion([[20, 0, 0], [0, 20, 0], [0, 0, 20]]), list("abc")).measures
    for key in ("macro_recall", "macro_precision", "macro_f1"):
        assert (m[key].value, m[key].low, m[key].high) == pytest.approx((1.0, m["accuracy"].low, 1.0))


@pytest.mark.parametrize("n", [20, 50, 400])
def test_a_net_that_was_always_sure_and_right_may_have_a_calibration_error(n):
    """Closed form: an error e leaves all n right with probability (1 - e)^n, which is .025 at the upper end."""
    m = classification(torch.eye(2)[torch.arange(n) % 2], torch.arange(n) % 2, ["no", "yes"]).measures["ece"]
    assert (m.value, m.low) == (0, 0)
    assert m.high == pytest.approx(1 - 0.025 ** (1 / n), rel=0.1)


def test_the_interval_of_ece_reaches_zero_for_a_calibrated_net():
    """Labels drawn from the very probabilities: the true error is 0, and the plain bootstrap would never reach it."""
    hits = 0
    for seed in range(20):
        g = torch.Generator().manual_seed(seed)
        p = torch.randn(400, 3, generator=g, dtype=torch.float64).mul(2).softmax(1)
        y = torch.multinomial(p, 1, generator=g).squeeze(1)
        m = classification(p, y, list("abc")).measures["ece"]
        assert m.low <= m.value <= m.high
        hits += m.low <= 0.01
    assert hits >= 15


@pytest.mark.parametrize("seed", range(4))
@pytest.mark.parametrize("c", [2, 3, 6])
def test_two_cases_and_missing_classes_leave_out_what_is_undefined(c, seed):
    g = torch.Generator().manual_seed(seed)
    p, y = torch.rand(2, c, generator=g).softmax(1), torch.randint(c, (2,), generator=g)
    result = classification(p, y, [f"class {i}" for i in range(c)])
    assert "nan" not in str(result)
    assert Result.from_json(result.to_json()) == result                  # which refuses NaN
    for name, m in result.measures.items():
        assert m.low <= m.value <= m.high, name
    present = {f"recall[class {i}]" for i in set(y.tolist())}
    assert {k for k in result.measures if k.startswith("recall")} == present
    assert any("recall is undefined" in note for note in result.notes) == (len(present) < c)


def test_one_class_alone_has_no_ranking():
    result = classification(torch.tensor([[0.9, 0.1], [0.9, 0.1]]), torch.tensor([0, 0]), ["no", "yes"])
    assert "roc_auc" not in result.measures
    assert any("ROC area" in note for note in result.notes)
    assert any("no width" in note and "not certainty" in note for note in result.notes)


def test_scores_that_are_no_probabilities_lose_only_what_needs_them():
    p, y = scored()
    plain, scores = (classification(v, y, list("abcd"), intervals=False) for v in (p, 10 * p - 3))
    assert set(plain.measures) - set(scores.measures) == {"log_loss", "brier", "ece"}
    assert scores.measures["roc_auc"].value == pytest.approx(plain.measures["roc_auc"].value)
    assert any("not probabilities" in note for note in scores.notes)


def test_a_constant_net_is_not_rewarded_by_ties():
    result = classification(torch.full((40, 4), 0.25), torch.arange(40) % 4, list("abcd"), intervals=False)
    assert result.accuracy == 0.25
    assert result.measures["top_2"].value == 0.5
    assert result.measures["roc_auc"].value == 0.5


def test_results_are_the_same_under_one_seed_and_survive_json():
    p, y = scored()
    first = classification(p.float(), y, list("abcd"), seed=4, opened=2)
    assert first == classification(p.float(), y, list("abcd"), seed=4, opened=2)
    assert Result.from_json(first.to_json()) == first
    record = json.loads(first.to_json())
    assert {"task", "n", "errors", "accuracy", "interval", "confusion", "measures", "opened", "counts"} <= set(record)
    assert "opened 2 times" in str(first)


@pytest.mark.parametrize("k", [1, 3])
def test_regression_agrees_with_scikit_learn(k):
    g = torch.Generator().manual_seed(0)
    y = torch.randn(200, k, generator=g) * torch.arange(1, k + 1) * 10 + 1000
    p = y + torch.randn(200, k, generator=g)
    names = [f"t{i}" for i in range(k)]
    m = regression(p, y, names).measures
    p, y = p.double().numpy(), y.double().numpy()
    mse = metrics.mean_squared_error(y, p, multioutput="raw_values")
    expected = {"mse": mse.mean(), "rmse": np.sqrt(mse.mean()), "mae": metrics.mean_absolute_error(y, p), "r2": metrics.r2_score(y, p)}
    for i in range(k):
        expected |= {f"mse[t{i}]": mse[i], f"rmse[t{i}]": metrics.root_mean_squared_error(y[:, i], p[:, i]),
                     f"mae[t{i}]": metrics.mean_absolute_error(y[:, i], p[:, i]), f"r2[t{i}]": metrics.r2_score(y[:, i], p[:, i])}
    assert {name: v.value for name, v in m.items()} == pytest.approx(expected, rel=1e-6)
    assert all(v.low < v.value < v.high for v in m.values())


def test_regression_intervals_are_those_of_resampled_scikit_learn():
    g = torch.Generator().manual_seed(5)
    y = torch.randn(300, 1, generator=g)
    p = y + 0.5 * torch.randn(300, 1, generator=g)
    ours, random = regression(p, y).measures, np.random.default_rng(1)
    rows = [random.integers(0, 300, 300) for _ in range(1500)]
    low, high = np.quantile([metrics.r2_score(y[r], p[r]) for r in rows], [0.025, 0.975])
    assert (ours["r2"].low, ours["r2"].high) == pytest.approx((low, high), abs=0.1 * (high - low))


def test_the_error_of_r2_is_the_jackknifes_by_leaving_each_case_out():
    """Second derivation: scikit-learn's r2 on all cases but one."""
    g = torch.Generator().manual_seed(6)
    y = torch.randn(40, 2, generator=g, dtype=torch.float64)
    p = y + 0.5 * torch.randn(40, 2, generator=g, dtype=torch.float64)
    m = regression(p, y).measures["r2"]
    logs = []
    for i in range(40):
        rest = [j for j in range(40) if j != i]
        logs.append(np.log(1 - metrics.r2_score(y[rest], p[rest])))
    error = (39 / 40 * np.sum((np.array(logs) - np.mean(logs)) ** 2)) ** 0.5
    half = stats.t.ppf(0.975, 39) * error
    assert (m.low, m.high) == pytest.approx((1 - (1 - m.value) * np.exp(half), 1 - (1 - m.value) * np.exp(-half)), rel=1e-9)


def test_two_cases_alike_say_that_no_width_is_not_certainty():
    """Two cases equally far off, and equally far from their mean: neither moves r2, so its interval has no width, and a note says so."""
    result = regression(torch.tensor([[0.25], [0.75]]), torch.tensor([[0.0], [1.0]]))
    assert any("r2" in note and "not certainty" in note for note in result.notes)
    m = result.measures["r2"]
    assert (m.low, m.value, m.high) == pytest.approx((0.75, 0.75, 0.75), abs=1e-6)


def test_targets_that_do_not_vary_have_no_r2():
    y = torch.stack([torch.ones(10), torch.arange(10.0)], 1)
    result = regression(y + 0.1, y, ["flat", "steep"])
    assert "r2[flat]" not in result.measures
    assert result.measures["r2"].value == result.measures["r2[steep]"].value
    assert any("flat" in note for note in result.notes)
    assert "r2" not in regression(torch.rand(2, 1), torch.ones(2, 1)).measures
    assert Result.from_json(result.to_json()) == result
    assert "steep" in str(result)


def test_density_is_a_mean_with_its_interval():
    scores = torch.tensor([-3.0, -1.0, -2.0, -6.0])
    result = density(scores)
    m = result.measures["log_likelihood"]
    assert (result.task, result.n, m.value) == ("density", 4, -3.0)
    assert m.low < -6 < m.value < -1 < m.high < 0                        # four cases, one of them far below: longer downwards


def test_quick_is_the_value_of_the_full_measures():
    g = torch.Generator().manual_seed(0)
    t = torch.randn(50, 2, generator=g)
    full = regression(t + 0.3, t * 1.1, intervals=False).measures
    assert quick_regression(t + 0.3, t * 1.1) == pytest.approx({k: full[k].value for k in ("rmse", "mae", "r2")}, rel=1e-5)
    assert set(quick_regression(t, torch.ones(50, 2))) == {"rmse", "mae"}




def test_roc_area_by_groups_is_the_trapezoid_and_the_count_of_pairs():
    """Three derivations of one number, with ties."""
    p, y = scored(c=2, ties=True)
    ours = classification(p, y, ["no", "yes"], intervals=False).measures["roc_auc"].value
    s = p[:, 1] - p[:, 0]
    pairs = s[y == 1][:, None] - s[y == 0][None]
    assert ours == pytest.approx(float(((pairs > 0).double() + 0.5 * (pairs == 0)).mean()), abs=1e-12)
    assert ours == pytest.approx(operating_points(s, y).auc, abs=1e-12)


@pytest.mark.parametrize(("outputs", "y", "message"), [
    (torch.rand(3, 3), torch.tensor([0, 1, 2]), r"outputs \(n, 2\)"),
    (torch.rand(3, 2), torch.tensor([0, 1]), r"outputs \(n, 2\)"),
    (torch.rand(2, 2), torch.tensor([0, 2]), "from 0 to 1"),
    (torch.rand(2, 2), torch.tensor([0.0, 1.0]), "whole class numbers"),
    (torch.tensor([[0.1, 0.9], [float("nan"), 1.0]]), torch.tensor([0, 1]), "row 1 is not"),
])
def test_what_does_not_fit_is_refused(outputs, y, message):
    with pytest.raises(InputError, match=message):
        classification(outputs, y, ["a", "b"])


def test_regression_refuses_what_does_not_fit():
    with pytest.raises(InputError, match="one shape"):
        regression(torch.rand(3, 2), torch.rand(3, 1))
    with pytest.raises(InputError, match="row 0 is not"):
        regression(torch.tensor([[float("inf")]]), torch.zeros(1, 1))
    with pytest.raises(InputError, match="name for each"):
        regression(torch.rand(3, 2), torch.rand(3, 2), ["only one"])


def test_blank_classes_and_line_ends_are_shown_in_quotation_marks():
    scores = torch.eye(4)[torch.tensor([0, 0, 3, 3, 0, 3])]
    lines = classification(scores, torch.tensor([0, 1, 2, 3, 0, 3]), (" ", "\n", "a ", "b")).text(full=True).splitlines()
    assert {line.split("  ")[1] for line in lines[-5:] if line.startswith("  ")} >= {"' '", "'\\n'", "'a '", "b"} - {"b"}
    assert any(line.startswith("  no case is called '\\n', 'a ': precision") for line in lines)
