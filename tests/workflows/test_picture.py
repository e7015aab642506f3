"""Pictures of runs: every kind draws, none touches the run, wrong kinds are refused; optimizers race to known ends."""

import hashlib
import itertools
import json

import numpy as np
import pytest
import torch
from torch import nn

import chainrule as cr
from chainrule.audit.labels import mislabelled, outliers
from chainrule.cli.main import run_command
from chainrule.core.errors import InputError
from chainrule.plots import audit as audit_plots
from chainrule.plots import descent as descent_plots
from chainrule.plots import signals as signal_plots
from chainrule.plots.evaluation import weight_pictures
from chainrule.plots.figure import to_png
from chainrule.workflows import optimizer_race, picture

pytestmark = pytest.mark.usefixtures("full_size")


@pytest.fixture(scope="module")
def several(tmp_path_factory):
    folder = tmp_path_factory.mktemp("runs")
    g = np.random.default_rng(0)
    x = g.normal(size=(200, 2))
    y = np.array(["out", "in"])[(x[:, 0] > 0.3).astype(int)]
    (folder / "points.csv").write_text("\n".join(["across (cm),up (cm),kind", *(f"{10 * a + 50:.6f},{b:.6f},{c}" for (a, b), c in
                                                                               zip(x, y, strict=True))]))
    points = cr.train(folder / "points.csv", target="kind", net="mlp:hidden=8", epochs=40, plan="eager", out=folder / "points")
    digits = cr.train("digits", net="softmax", epochs=1, plan="eager", out=folder / "digits")
    return points, digits


def state(run):
    files = {p.name: hashlib.sha256(p.read_bytes()).hexdigest() for p in run.path.iterdir() if p.suffix != ".png"}
    return files, {k: v.detach().clone() for k, v in run.job.net.tensors.items()}


@pytest.mark.parametrize(("which", "kind"), [(0, "boundary"), (1, "weights"), (0, "surface"), (0, "histograms"), (1, "histograms")])
def test_each_kind_is_drawn_and_nothing_is_touched(several, which, kind, tmp_path):
    run = several[which]
    files, tensors = state(run)
    random = torch.get_rng_state()
    drawn = picture.picture(run, kind, tmp_path / "x.png")
    assert drawn.path.read_bytes()[:4] == b"\x89PNG"
    after, now = state(run)
    assert after == files
    assert all(torch.equal(t, now[k]) for k, t in tensors.items())
    assert torch.equal(torch.get_rng_state(), random)


def test_the_boundary_lies_where_the_net_says_in_units_of_the_data(several):
    """The points drawn are the training rows as they are in the file, and the border is near 53 cm, where the classes part."""
    run = several[0]
    figure = picture.boundary(run)
    axes = figure.axes[0]
    drawn = np.concatenate([c.get_offsets() for c in axes.collections if len(c.get_offsets()) > 20])
    raw = np.loadtxt(run.path.parent / "points.csv", delimiter=",", skiprows=1, usecols=(0, 1))
    rows = run.job.data.train.rows.numpy()
    np.testing.assert_allclose(drawn[np.lexsort(drawn.T)], raw[rows][np.lexsort(raw[rows].T)], atol=1e-3)
    border = np.concatenate([p.vertices for c in axes.collections for p in c.get_paths() if len(p.vertices) > 50])
    assert abs(np.median(border[:, 0]) - 53) < 2.5
    assert axes.get_xlabel() == "across (cm)"


def test_the_replayed_descent_ends_where_the_run_did(several):
    """Second derivation of the path: the run's own last weights, from an eager run of one thread."""
    run = several[0]
    steps = picture._steps(run)
    path = picture.descent(run.fresh_job(), steps)
    from chainrule.engine import checkpoint

    last, _ = checkpoint.read(run.path / "last.safetensors")
    for name, p in path[-1].items():
        stored = next(t for key, t in last.items() if key.endswith(name) and "best" not in key and "optim" not in key)
        torch.testing.assert_close(p, stored, rtol=1e-4, atol=1e-5)
    fresh = run.fresh_job().net.params
    assert all(torch.equal(path[0][name], p.detach()) for name, p in fresh.items())


def test_random_planes_and_wrong_use(several, tmp_path):
    points, digits = several
    assert picture.picture(points, "surface", tmp_path / "r.png", plane="random").path.exists()
    for run, kind, word in ((digits, "boundary", "two inputs"), (points, "weights", "pictures"), (points, "wieghts", "weights")):
        with pytest.raises(InputError, match=word):
            picture.picture(run, kind, tmp_path / "no.png")
    with pytest.raises(InputError, match="plane"):
        picture.surface(points, plane="flat")


def test_histograms_of_the_ten_layer_experiment():
    """tanh and normal:0.01: each layer has about sqrt(500) * 0.01 of the spread below it, in activations and in gradients."""
    torch.manual_seed(0)
    layers = [part for _ in range(4) for part in (nn.Linear(500, 500), nn.Tanh())]
    net = nn.Sequential(*layers)
    for layer in layers[::2]:
        nn.init.normal_(layer.weight, std=0.01)
        nn.init.zeros_(layer.bias)
    stats, figure = picture.histograms(net, torch.randn(300, 500), None, None)
    spread = [row["activation_sd"] for row in stats]
    slopes = [row["gradient_sd"] for row in stats]
    shrink = 0.01 * 500**0.5
    for below, above in itertools.pairwise(spread[1:]):
        assert above / below == pytest.approx(shrink, rel=0.05)
    for below, above in itertools.pairwise(slopes):
        assert below / above == pytest.approx(shrink, rel=0.08)
    assert len(figure.axes) == 8


def test_the_race_is_gradient_descent_written_out():
    (one,), _ = optimizer_race.race(["sgd:rate=0.02"], "bowl", steps=50)
    a, b = optimizer_race.START["bowl"]
    for i in range(51):
        assert one.path[i].tolist() == pytest.approx([a * 0.98**i, b * (1 - 0.02 * optimizer_race.CONDITION) ** i])
        assert one.heights[i] == pytest.approx(0.5 * (float(one.path[i, 0]) ** 2 + optimizer_race.CONDITION * float(one.path[i, 1]) ** 2))


def test_rosenbrock_is_what_it_is_called_and_momentum_wins():
    a, b = torch.tensor([0.3, -1.0]), torch.tensor([0.7, 2.0])
    torch.testing.assert_close(0.5 * optimizer_race.residuals("rosenbrock", a, b).square().sum(-1), (1 - a) ** 2 + 100 * (b - a * a) ** 2)
    raced, figure = optimizer_race.race(optimizer_race.split_specs("sgd,momentum"), steps=150)
    assert raced[1].heights[-1] < raced[0].heights[-1] < raced[0].heights[0]
    assert to_png(figure)[:4] == b"\x89PNG"


def test_specs_are_split_at_names():
    specs = optimizer_race.split_specs("sgd:rate=0.1,momentum=0.9,adam,momentum")
    assert specs == ["sgd:rate=0.1,momentum=0.9", "adam", "sgd:momentum=0.9"]
    with pytest.raises(InputError, match="at least one"):
        optimizer_race.race([])
    with pytest.raises(InputError, match="rosenbrock"):
        optimizer_race.race(["sgd"], "rosenbrok")


def test_pictures_from_the_command_line(several, tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    assert run_command(["picture", str(several[1].path), "weights", "--out", "w.png", "--json"]) == 0
    assert json.loads(capsys.readouterr().out.splitlines()[-1])["out"] == "w.png"
    assert run_command(["picture", "paths", "--optimizers", "sgd:rate=0.001", "--json"]) == 0
    assert json.loads(capsys.readouterr().out.splitlines()[-1])["figures"][0]["optimizer"] == "sgd:rate=0.001"
    assert run_command(["picture", str(several[1].path)]) == 2
    assert "expected a kind" in capsys.readouterr().err
    assert run_command(["find-rate", "iris", "--steps", "30", "--plan", "eager", "--net", "softmax", "--json"]) == 0
    assert json.loads(capsys.readouterr().out.splitlines()[-1])["optimizer"].startswith("adam:rate=")
    assert run_command(["check", "iris", "--epochs", "2", "--net", "softmax", "--plan", "eager", "--out", "c", "--json"]) == 0
    assert set(json.loads(capsys.readouterr().out.splitlines()[-1])) == {"out", "data", "rows", "findings", "skipped", "notes"}


def test_a_surface_says_where_a_path_starts_and_ends():
    line, way = torch.linspace(0.0, 1.0, 5), torch.tensor([[0.1, 0.2], [0.5, 0.5], [0.9, 0.7]])
    heights = torch.logspace(0, 4, 25).reshape(5, 5)

    def legend(paths):
        figure = descent_plots.surface(line, line, heights, paths, labels=("a", "b"))
        return [text.get_text() for text in figure.legends[0].get_texts()], figure.axes[1]

    names, bar = legend({"way": way})
    assert names == ["way", "end", "start"]
    assert bar.get_yticklabels()[-1].get_text() == "3,012"                    # and not 3e+03
    assert legend({"here": way[:1]})[0] == ["here"]
    assert legend({"one": way, "two": way * 0.5})[0] == ["one", "two", "start"]


def test_drawing_functions_refuse_what_does_not_fit():
    line = torch.linspace(0, 1, 3)
    with pytest.raises(InputError, match="heights"):
        descent_plots.surface(line, line, torch.zeros(2, 3), {}, labels=("a", "b"))
    with pytest.raises(InputError, match="probabilities"):
        signal_plots.boundary(line, line, torch.zeros(3, 3, 1), torch.zeros(1, 2), torch.zeros(1), ["a", "b"], labels=("a", "b"))
    with pytest.raises(InputError, match="neither"):
        audit_plots.suspicions(None, None, [])
    with pytest.raises(InputError, match="at least one layer"):
        signal_plots.histograms([])


def test_flat_and_odd_surfaces_are_drawn():
    line = torch.linspace(0, 1, 5)
    holed = torch.full((5, 5), torch.nan).fill_diagonal_(1.0)
    for heights in (torch.ones(5, 5), torch.full((5, 5), -2.0), torch.eye(5) * 1e6 + 1e-3, holed):
        figure = descent_plots.surface(line, line, heights.double(), {"a": torch.tensor([[0.0, 0], [torch.nan, 1]])}, labels=("a", "b"))
        assert to_png(figure)[:4] == b"\x89PNG"
    constant = [signal_plots.Spread("a", torch.ones(4, 4), torch.full((4, 4), torch.nan))]
    assert to_png(signal_plots.histograms(constant))[:4] == b"\x89PNG"
    g = torch.Generator().manual_seed(0)
    p = torch.rand(60, 3, generator=g).softmax(1)
    doubted, apart = mislabelled(p, torch.arange(60) % 3), outliers(torch.ones(60, 2))
    drawn = audit_plots.suspicions(audit_plots.Joint(doubted.joint, len(doubted.rows)),
                                   audit_plots.Distances(apart.distance, apart.threshold, len(apart.rows), apart.how), ["a", "b", "c"])
    assert to_png(drawn)[:4] == b"\x89PNG"
    assert [a.get_title() for a in weight_pictures(torch.randn(2, 16), (4, 4), titles=("no", "yes")).axes[:2]] == ["no", "yes"]
