"""Bad data planted in good, and found: labels, columns, leaks, twins across parts; the test targets are never read."""

import json
from dataclasses import replace

import numpy as np
import pytest
import torch

import chainrule as cr
from chainrule.core.errors import InputError
from chainrule.workflows.check import FEWEST_ROWS


@pytest.fixture(autouse=True)
def _in_a_folder_of_its_own(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)


QUICK = {"plan": "eager", "net": "mlp:hidden=10", "epochs": 6}


def flipped(seed=0, share=0.05):
    source = cr.load("digits")
    g = torch.Generator().manual_seed(seed)
    at = torch.randperm(len(source), generator=g)[: round(share * len(source))]
    targets = source.targets.clone()
    targets[at] = (targets[at] + torch.randint(1, 10, (len(at),), generator=g)) % 10
    planted = torch.zeros(len(source), dtype=torch.bool)
    planted[at] = True
    return source, replace(source, targets=targets, fingerprint=f"flipped {seed}"), planted


def test_flipped_digits_are_found(tmp_path):
    """5 % of the labels of digits: precision and recall of at least .8, and of the flagged top 5 % at least 80 % planted."""
    source, bad, planted = flipped()
    found = cr.check(bad, plan="eager", epochs=15, out=tmp_path / "out")
    (labels,) = found.of("label")
    rows = torch.tensor(labels.rows)
    free = torch.tensor(sorted(set(range(len(source))) - set(_test_rows(bad))))
    hits = int(planted[rows].sum())
    assert hits / len(rows) >= 0.8
    assert hits / int(planted[free].sum()) >= 0.8
    assert int(planted[rows[: round(0.05 * len(free))]].sum()) >= 0.8 * min(len(rows), round(0.05 * len(free)))
    right = [row["suggested"] == source.classes[int(source.targets[row["row"] - 1])] for row in labels.table if planted[row["row"] - 1]]
    assert sum(right) >= 0.9 * len(right)
    stored = json.loads((tmp_path / "out" / "check.json").read_text())
    assert stored["findings"][0]["rows"] == labels.rows
    assert (tmp_path / "out" / "check.png").read_bytes()[:4] == b"\x89PNG"
    assert (tmp_path / "out" / "labels.png").exists()


def plane(n=1500, seed=0):
    """Four columns, and how far each row lies from a plane through two of them, with a generator to draw labels from."""
    g = np.random.default_rng(seed)
    x = g.normal(size=(n, 4))
    return {f"x{i}": x[:, i] for i in range(4)}, 1.5 * x[:, 0] + x[:, 1], g


def test_labels_thrown_with_a_coin_are_not_called_wrong(tmp_path):
    """Nets that know nothing disagree with half of them, and half were called wrong."""
    columns, _, g = plane()
    found = cr.check(write(tmp_path / "t.csv", columns, np.where(g.random(1500) < 0.5, "no", "yes")), target="said", **QUICK)
    assert found.of("label") == []
    assert any(line.startswith("mislabelled rows: ") and "without skill above that" in line for line in found.skipped)


@pytest.mark.parametrize("seed", [0, 1])
def test_labels_of_classes_that_overlap_are_not_called_wrong(tmp_path, seed):
    """Drawn from a logistic curve: a quarter of them lie on the other side of the plane, and none is wrong."""
    columns, height, g = plane(seed=seed)
    y = np.where(g.random(1500) < 1 / (1 + np.exp(-height)), "yes", "no")
    found = cr.check(write(tmp_path / "t.csv", columns, y), target="said", plan="eager", out=tmp_path / "out")
    assert found.of("label") == []
    assert any(line.startswith("mislabelled rows: ") and "the classes overlap" in line for line in found.skipped)


def test_labels_moved_where_classes_do_not_overlap_are_called_wrong(tmp_path):
    """The same columns, the plane itself as the classes, and one label in twenty moved."""
    columns, height, g = plane()
    moved = g.random(1500) < 0.05
    y = np.where((height > 0) ^ moved, "yes", "no")
    found = cr.check(write(tmp_path / "t.csv", columns, y), target="said", plan="eager", out=tmp_path / "out")
    (labels,) = found.of("label")
    assert moved[labels.rows].mean() > 0.6


def _test_rows(source):
    from chainrule.job.build import build
    from chainrule.job.options import Options

    return build(source, Options()).data.door.rows.tolist()


def table(n=400, seed=0, leak=True):
    """Two classes told by `a` and `b` with noise; columns that are constant, copied, summed, noise, a category of noise, and a leak."""
    g = np.random.default_rng(seed)
    a, b, noise = g.normal(size=(3, n))
    y = (a + b + 0.7 * g.normal(size=n) > 0).astype(int)
    columns = {"a": a, "b": b, "noise": noise, "same": np.full(n, 4.0), "copy": 10 * a + 3, "sum": a - 2 * b}
    if leak:
        columns["ledger"] = y * 5.0 + g.normal(size=n) * 0.1
    columns["colour"] = np.array(["red", "green"])[g.integers(0, 2, n)]
    return columns, np.array(["no", "yes"])[y]


def write(path, columns, y):
    names = [*columns, "said"]
    rows = zip(*columns.values(), y, strict=True)
    path.write_text("\n".join([",".join(names), *(",".join(v if isinstance(v, str) else f"{v:.9g}" for v in row) for row in rows)]))
    return path


def test_columns_are_named(tmp_path):
    found = cr.check(write(tmp_path / "t.csv", *table()), target="said", **QUICK)
    redundant = {tuple(f.columns) for f in found.of("redundant")}
    assert ("same",) in redundant
    assert ("a", "copy") in redundant
    assert any(set(c) == {"a", "b", "sum"} for c in redundant)
    (leak,) = found.of("leak")
    assert leak.columns == ["ledger"]
    (idle,) = found.of("irrelevant")
    assert "same" in idle.columns
    assert "ledger" not in idle.columns
    assert "'ledger' may leak" in str(found)


def test_without_a_leak_none_is_named_and_noise_is_idle(tmp_path):
    columns, y = table(1000, leak=False)
    columns = {name: columns[name] for name in ("a", "b", "same")}
    found = cr.check(write(tmp_path / "t.csv", columns, y), target="said", **QUICK)
    assert found.of("leak") == []
    (idle,) = found.of("irrelevant")
    assert idle.columns == ["same"]                                          # and neither a nor b


def test_iris_leaks_nothing():
    """Its best column alone does nearly as well as all four; so does the next best: that is no leak."""
    assert cr.check("iris", plan="eager", epochs=20).of("leak") == []


def test_twins_across_parts_are_found_and_the_opening_is_logged(tmp_path):
    columns, y = table(400, leak=False)
    columns = {name: columns[name] for name in ("a", "b", "noise")}
    for name in columns:
        columns[name][:3] = columns[name][100:103]                           # rows 0 to 49 are the test part
        columns[name][3] = columns[name][105] + 1e-4
    y[:4] = y[[100, 101, 102, 105]]
    source = replace(cr.load(write(tmp_path / "t.csv", columns, y), target="said"), parts={"test": torch.arange(50)})
    found = cr.check(source, out=tmp_path / "runs" / "one", **QUICK)
    said = found.of("duplicate")
    assert sorted(r for f in said if "nearly" not in f.found for r in f.rows) == [0, 1, 2]
    assert [r for f in said if "nearly" in f.found for r in f.rows] == [3]
    assert all("opening 1 in this folder" in f.evidence for f in said)
    ledger = [json.loads(line) for line in (tmp_path / "runs" / "openings.jsonl").read_text().splitlines()]
    assert [entry["reason"] for entry in ledger] == ["check: inputs only, for rows that other parts hold too"]


def test_test_targets_are_not_read(tmp_path):
    """Other targets of the test rows, the same findings."""
    _, bad, _ = flipped()
    test = torch.tensor(_test_rows(bad))
    targets = bad.targets.clone()
    targets[test] = targets[test].flip(0)
    one, other = (cr.check(replace(bad, targets=t, parts={"test": test}), out=tmp_path / n, plan="eager", net="softmax", epochs=4)
                  for n, t in (("1", bad.targets), ("2", targets)))
    assert one.of("label")
    assert [f.rows for f in one.findings] == [f.rows for f in other.findings]
    assert [f.found for f in one.findings] == [f.found for f in other.findings]


def test_equal_inputs_with_unequal_labels(tmp_path):
    columns, y = table(300, leak=False)
    columns = {name: columns[name] for name in ("a", "b", "noise")}
    for name in columns:
        columns[name][1] = columns[name][0]
    y[0], y[1] = "yes", "no"
    found = cr.check(write(tmp_path / "t.csv", columns, y), target="said", split="train=.9,valid=.1,test=0", **QUICK)
    assert [0, 1] in [sorted(f.rows) for f in found.of("label")]


def test_without_targets_and_with_few_rows_parts_are_skipped(tmp_path):
    g = torch.Generator().manual_seed(0)
    found = cr.check(torch.randn(200, 4, generator=g).numpy(), out=tmp_path / "x")
    assert found.of("label") == []
    assert any("no targets" in line for line in found.skipped)
    columns, y = table(FEWEST_ROWS)
    found = cr.check(write(tmp_path / "t.csv", columns, y), target="said", **QUICK)
    assert any(f"at least {FEWEST_ROWS} are needed" in line for line in found.skipped)
    assert ("same",) in {tuple(f.columns) for f in found.of("redundant")}


def test_wrong_use():
    with pytest.raises(InputError, match="folds by itself"):
        cr.check("digits", fold="1/5")


def test_numeric_targets(tmp_path):
    columns, _ = table(300, leak=False)
    columns = {name: columns[name] for name in ("a", "b", "noise")}
    y = 2 * columns["a"] - columns["b"] + 0.5 * np.random.default_rng(5).normal(size=300)
    columns["price_in_cents"] = 100 * y + 7
    found = cr.check(write(tmp_path / "t.csv", columns, y), target="said", **QUICK)
    (leak,) = found.of("leak")
    assert leak.columns == ["price_in_cents"]
    assert any("confident learning is for a class a row" in line for line in found.skipped)
