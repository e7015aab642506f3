"""The constant answer beside every headline: its score recomputed by hand for every task, its interval, and where it is told."""

import json
import math
import re

import numpy as np
import pytest
import torch

import chainrule as cr
from chainrule.cli.main import run_command
from chainrule.cli.output import standing
from chainrule.core.registry import tasks
from chainrule.evaluate.decision import Threshold
from chainrule.evaluate.intervals import of_mean
from chainrule.evaluate.result import Result
from chainrule.job.trained import Trained

QUICK = {"epochs": 1, "plan": "eager", "threads": 1, "progress": False}
TEXT = "abracadabra, said the cat. " * 30


@pytest.fixture(autouse=True)
def _here(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    torch.set_num_threads(1)


def wilson(k, n, z=1.959964):
    """Wilson (1927), by his formula."""
    share = k / n
    middle, half = share + z * z / (2 * n), z * (share * (1 - share) / n + z * z / (4 * n * n)) ** 0.5
    return (middle - half) / (1 + z * z / n), (middle + half) / (1 + z * z / n)


def of_classes(folder):
    """Always the most frequent class of the training part."""
    run = cr.train("wine", net="softmax", **QUICK)
    data = run.job.data
    counts = np.bincount(data.train.y, minlength=3)
    usual, test = int(counts.argmax()), data.door.open("by hand").y.numpy()
    k, n = int((test == usual).sum()), len(test)
    low, high = wilson(k, n)
    surprise = -np.log(counts / counts.sum())[test].mean()
    return run, f"always {data.classes[usual]}", {"accuracy": (k / n, low, high), "log_loss": (surprise, None, None)}


def of_numbers(folder):
    """Always the mean of the training targets."""
    run = cr.train("diabetes", net="linear", rule="closedform", plan="eager", progress=False)
    data = run.job.data
    y = data.source.targets.double().reshape(-1)
    off = y[data.door.rows] - y[data.train.rows].mean()
    ends = of_mean(off.square(), 0.95)
    return run, "always the mean", {"rmse": (float(off.square().mean()) ** 0.5, ends.low**0.5, ends.high**0.5),
                                    "mae": (float(off.abs().mean()), None, None)}


def of_a_text(folder):
    """The unigram of the training part, each symbol counted once more."""
    (folder / "t.txt").write_text(TEXT)
    run = cr.train("t.txt", net="rnn:hidden=4", rule="bptt:window=8", **QUICK)
    data = run.job.data
    seen = data.train.y.flatten().tolist()
    shares = [(seen.count(c) + 1) / (len(seen) + len(data.classes)) for c in range(len(data.classes))]
    each = torch.tensor([[-math.log(shares[c]) for c in row] for row in data.door.open("by hand").y.tolist()], dtype=torch.float64).mean(1)
    ends, mean = of_mean(each, 0.95), float(each.mean())
    return run, "the unigram", {"nats": (mean, ends.low, ends.high), "bits": (mean / math.log(2), None, None),
                                "perplexity": (math.exp(mean), None, None)}


def of_labels(folder):
    """Always the label that most training steps have, of the steps that exist."""
    lines = [f">s{i}\n{'ACDE'[i % 4] * (4 + i % 3)}\n{'HHE'[i % 3] * (4 + i % 3)}" for i in range(60)]
    (folder / "t.fasta").write_text("\n".join(lines) + "\n")
    run = cr.train("t.fasta", net="rnn:hidden=4", **QUICK)
    data, test = run.job.data, run.job.data.door.open("by hand")
    usual = int(data.train.y[data.train.mask].bincount().argmax())
    right = [[int(c) == usual for c, there in zip(row, mask, strict=True) if there] for row, mask in zip(test.y, test.mask, strict=True)]
    k, n = sum(all(row) for row in right), len(right)
    return run, f"always {data.classes[usual]}", {"accuracy": (sum(map(sum, right)) / sum(map(len, right)), None, None),
                                                  "exact": (k / n, *wilson(k, n))}


def of_rows(folder):
    """Always the mean training row."""
    run = cr.train("digits", net="autoencoder:code=2", **QUICK)
    data = run.job.data
    pixels = data.source.inputs.flatten(1).double() / 16
    each = (pixels[data.door.rows] - pixels[data.train.rows].mean(0)).square().sum(1)
    ends = of_mean(each, 0.95)
    return run, "always the mean row", {"squared_error": (float(each.mean()), ends.low, ends.high)}


def of_a_density(folder):
    """The same everywhere in the box of the training rows: minus the sum of the logs of its sides."""
    x = torch.rand(80, 3, generator=torch.Generator().manual_seed(0)) * torch.tensor([1.0, 5.0, 0.1])
    run = cr.train(x, rule="expectation", plan="eager", progress=False, epochs=2)
    train = run.job.data.source.inputs[run.job.data.train.rows].double()
    sides = (train.amax(0) - train.amin(0)) / train.std(0, unbiased=False)
    value = -float(sides.log().sum())
    return run, "a constant density", {"log_likelihood": (value, value, value)}


def of_maps(folder):
    """The class that most training pixels have, everywhere; the others overlap nowhere."""
    run = cr.train("roads:count=24,side=16", net="unet:width=2,depth=1", **QUICK)
    data, test = run.job.data, run.job.data.door.open("by hand").y
    usual = int(data.train.y.flatten().bincount().argmax())
    share = float((test == usual).double().mean())
    return run, f"always {data.classes[usual]}", {"iou": (share / len(test.unique()), None, None), "accuracy": (share, None, None)}


def of_boxes(folder):
    """The mean box of the most frequent class, in every picture."""
    run = cr.train("scenes:count=60,side=32,objects=1", net="detector:filters=4x8", **QUICK)
    data, test = run.job.data, run.job.data.door.open("by hand").y
    usual = int(data.train.y.labels.flatten().bincount().argmax())
    x0, y0, x1, y1 = data.train.y.corners[data.train.y.labels == usual].double().mean(0).tolist()
    shares = []
    for (a0, b0, a1, b1), label in zip(test.corners[:, 0].tolist(), test.labels[:, 0].tolist(), strict=True):
        common = max(0.0, min(x1, a1) - max(x0, a0)) * max(0.0, min(y1, b1) - max(y0, b0))
        either = (x1 - x0) * (y1 - y0) + (a1 - a0) * (b1 - b0) - common
        shares.append(common / either if label == usual else 0.0)
    right = sum(share >= 0.5 for share in shares) / len(shares)
    return run, f"always one {data.classes[usual]}", {"iou": (sum(shares) / len(shares), None, None), "precision": (right, None, None),
                                                      "recall": (right, None, None)}


def of_pairs(folder):
    """Each pair as often as training pairs so far apart along the chain touch."""
    run = cr.train("chains:count=20", net="contactnet:hidden=4,depth=1,pairs=2,pair_depth=1", **QUICK)
    data, errors, right, counts = run.job.data, [], [], {}
    places = [(i, j) for i in range(data.train.y.shape[1]) for j in range(data.train.y.shape[1])]
    for chain in data.train.y.tolist():
        for i, j in places:
            if chain[i][j] >= 0:
                touch, number = counts.get(abs(i - j), (0, 0))
                counts[abs(i - j)] = touch + chain[i][j], number + 1
    for chain in data.door.open("by hand").y.tolist():
        asked = [(chain[i][j], counts.get(abs(i - j), (0, 1))) for i, j in places if chain[i][j] >= 0]
        errors.append(sum((true - touch / number) ** 2 for true, (touch, number) in asked) / len(asked))
        length = max(j for i, j in places if chain[i][j] >= 0) + 1
        far = [(counts.get(j - i, (0, 1)), chain[i][j]) for i, j in places if j - i >= 24 and chain[i][j] >= 0]
        far.sort(key=lambda pair: -pair[0][0] / pair[0][1])                                       # stable: as they come where alike
        right += [sum(true for _, true in far[: round(length / 5)]) / round(length / 5)] if far else []
    return run, "how far apart they are", {"precision_l5": (sum(right) / len(right), None, None),
                                           "brier": (sum(errors) / len(errors), None, None)}


def of_a_series(folder):
    """The last value again and again, its errors over those of one step ahead in training."""
    values = torch.randn(120, generator=torch.Generator().manual_seed(0)).cumsum(0).tolist()
    (folder / "t.csv").write_text("\n".join(["y", *(f"{v:.6f}" for v in values)]) + "\n")
    run = cr.train("t.csv", target="y", horizon=3, lags=4, net="ar", progress=False)
    data = run.job.data
    values = [round(v, 6) for v in values]
    trained = range(int(data.train.rows.min()), int(data.train.rows.max()) + 4 + 3)
    usual = sum(abs(values[i + 1] - values[i]) for i in trained[:-1]) / (len(trained) - 1)
    apart = [abs(values[row + 4 + step] - values[row + 3]) for row in data.door.rows.tolist() for step in range(3)]
    return run, "the naive forecast, the last value", {"mase": (sum(apart) / len(apart) / usual, None, None)}


def edits(a, b):
    """The recursion of Wagner and Fischer (1974)."""
    if not a or not b:
        return len(a) + len(b)
    return min(edits(a[1:], b) + 1, edits(a, b[1:]) + 1, edits(a[1:], b[1:]) + (a[0] != b[0]))


def of_strings(folder, what="strips:count=60,fewest=1,digits=2,source=digits", net="rnn:hidden=4", names="0123456789"):
    """The string that most training rows have, the first of those that are there as often."""
    run = cr.train(what, net=net, **QUICK)
    data = run.job.data
    rows = [tuple(row) for row in data.train.y.tolist()]
    usual = [k for k in min(rows, key=lambda row: (-rows.count(row), row)) if k >= 0]
    truth = [[k for k in row if k >= 0] for row in data.door.open("by hand").y.tolist()]
    away, k, n = [edits(usual, row) for row in truth], sum(row == usual for row in truth), len(truth)
    return run, f"always {''.join(names[k] for k in usual)}", {"edit_distance": (sum(away) / sum(map(len, truth)), None, None),
                                                               "exact": (k / n, *wilson(k, n))}


def of_pairs_of_strings(folder):
    """The same of strings that are written."""
    return of_strings(folder, "reversal:length=3,letters=4,fewest=2,count=40", "seq2seq:hidden=4", "abcd")


def of_samples(folder):
    """Samples of a Gaussian with the mean and deviation of each number of the training rows, held against the test rows by force."""
    run = cr.train("ring8:count=300", net="gan:hidden=4", **QUICK)
    data = run.job.data
    train, rows = (data.ready(part.x).double() for part in (data.train, data.door.open("by hand")))
    noise = torch.randn(rows.shape, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
    samples = (train.mean(0) + train.std(0, unbiased=False) * noise).tolist()
    rows = rows.tolist()
    reach = [sorted(math.dist(row, other) for other in rows)[5] for row in rows]
    k = sum(min(math.dist(row, sample) for sample in samples) <= far for row, far in zip(rows, reach, strict=True))
    precise = sum(any(math.dist(row, sample) <= far for row, far in zip(rows, reach, strict=True)) for sample in samples)
    n = len(rows)
    return run, "one Gaussian for each number", {"coverage": (k / n, *wilson(k, n)), "precision": (precise / n, *wilson(precise, n))}


BY_HAND = {"classification": of_classes, "regression": of_numbers, "language": of_a_text, "tagging": of_labels, "reconstruction": of_rows,
           "density": of_a_density, "segmentation": of_maps,
           "detection": of_boxes, "contacts": of_pairs, "forecast": of_a_series, "transcription": of_strings,
           "translation": of_pairs_of_strings, "generation": of_samples}


def test_every_task_has_one():
    assert set(BY_HAND) == set(tasks.names())


@pytest.mark.parametrize("task", BY_HAND)
def test_it_scores_what_is_reckoned_by_hand(task, tmp_path):
    run, name, expected = BY_HAND[task](tmp_path)
    result = run.test()
    assert result.baseline.name == name
    assert set(result.baseline.measures) <= set(result.measures)
    assert task == "forecast" or not any("[" in key for key in result.baseline.measures), "none of a single class or target"
    for key, (value, low, high) in expected.items():
        found = result.baseline.measures[key]
        assert found.value == pytest.approx(value, rel=1e-5), key
        assert low is None or (found.low, found.high) == pytest.approx((low, high), rel=1e-4, abs=1e-6), key
        assert found.low <= found.value <= found.high, key
    assert Result.from_json(result.to_json()) == result
    stored = json.loads((run.path / "test.json").read_text())["baseline"]
    assert stored["name"] == name
    assert set(stored) - {"name"} == set(result.baseline.measures)
    first = next(iter(expected))
    assert str(result).splitlines()[-1].startswith(f"{name}: {first.replace('_', ' ')} ")
    page = run.report().read_text()
    assert page.count(name) >= 2, "below the headline, and at the head of its column"
    opened = Trained.open(run.path)
    assert torch.equal(opened.constant, run.trained.constant)
    assert opened.measure(run.job.data.valid).baseline == run.valid.baseline


def test_commands_tell_it_beside_their_numbers(capsys):
    assert run_command(["train", "iris", "--net", "softmax", "--epochs", "2", "--plan", "eager", "--threads", "1", "--json"]) == 0
    *lines, last = capsys.readouterr().out.strip().splitlines()
    told = json.loads(last)
    assert told["task"] == "classification"
    assert told["test"] is None
    beside = told["valid"]["baseline"]
    number = rf"accuracy {100 * beside['accuracy']:.2f} % \(\d+\.\d+ to \d+\.\d+\)"
    assert re.search(rf"on 23 validation samples\n(?:.*\n)?  {beside['name']}: {number}", "\n".join(lines))
    assert run_command(["test", told["run"], "--json"]) == 0
    *lines, last = capsys.readouterr().out.strip().splitlines()
    baseline = json.loads(last)["baseline"]
    assert lines[-1].startswith("Written: ")
    assert lines[-2].startswith(f"{baseline['name']}: accuracy {100 * baseline['accuracy']['value']:.2f} % (")
    assert set(baseline["accuracy"]) == {"value", "low", "high", "method"}


def test_a_threshold_of_the_net_moves_no_constant_answer():
    """A class that is answered from any probability on would make the constant answer another one than its name says."""
    run = cr.train("breast-cancer", net="softmax", **QUICK)
    trained, valid = run.trained, run.job.data.valid
    before, rarest = trained.measure(valid), int(trained.constant.argmin())
    trained.task.threshold = Threshold(rarest, 0.0)
    after = trained.measure(valid)
    assert after.accuracy == float((valid.y == rarest).double().mean()) != before.accuracy
    assert after.baseline == before.baseline


def test_a_free_energy_has_none_and_says_why():
    result = cr.train("digits", net="rbm:hidden=3,units=relu", **QUICK).test()
    assert result.baseline is None
    assert "no constant answer stands beside it" in str(result)


def test_it_is_of_the_training_part_alone():
    """Test and validation targets changed at will, it stays."""
    x, y = torch.randn(60, 2, generator=torch.Generator().manual_seed(1)), torch.arange(60.0) * 0.37 % 7
    first = cr.train((x, y), net="linear", **QUICK)
    rows = torch.cat([first.job.data.door.rows, first.job.data.valid.rows])
    changed = y.clone()
    changed[rows] = changed[rows] * 3 + 5
    second = cr.train((x, changed), net="linear", **QUICK)
    assert torch.equal(first.job.data.train.rows, second.job.data.train.rows)
    assert torch.equal(first.trained.constant, second.trained.constant)


def test_one_validation_sample_is_one(tmp_path):
    run = cr.train({"a": list(range(8)), "y": list("xzxzxzxz")}, target="y", net="softmax", epochs=1, plan="eager", progress=False,
                   out=tmp_path / "r")
    assert run.valid.n == 1
    assert standing(run)[0].endswith("on 1 validation sample")
