"""The estimators under scikit-learn's own checks, and against its closed forms: what they learn must be what it learns."""

import pickle
import random
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pandas as pd
import polars as pl
import pytest
import torch
from sklearn.base import clone
from sklearn.datasets import load_breast_cancer, load_diabetes, load_digits, load_iris, load_wine, make_blobs
from sklearn.linear_model import LinearRegression, LogisticRegression
from sklearn.model_selection import GridSearchCV, cross_val_score, train_test_split
from sklearn.neural_network import MLPClassifier
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler
from sklearn.utils.estimator_checks import parametrize_with_checks
from torch import nn
from torch.nn import functional as F

from chainrule.core.errors import Diverged
from chainrule.data.source import Part
from chainrule.estimators.estimators import NetworkClassifier, NetworkGenerator, NetworkRegressor, NetworkTransformer
from chainrule.estimators.fit import ROUNDS, Rounds
from chainrule.nets.rbm import RBM

pytestmark = pytest.mark.filterwarnings("ignore::sklearn.exceptions.ConvergenceWarning")


@parametrize_with_checks([NetworkClassifier(epochs=60), NetworkRegressor(epochs=60), NetworkTransformer("rbm:hidden=5", epochs=5),
                          NetworkGenerator("mixture:components=2", epochs=5),
                          NetworkTransformer("autoencoder:hidden=4,code=2", epochs=5), NetworkTransformer("vae:hidden=4,code=2", epochs=5)])
def test_scikit_learns_contract(estimator, check):
    check(estimator)


@pytest.mark.slow
@parametrize_with_checks([NetworkClassifier(), NetworkRegressor(), NetworkTransformer(), NetworkGenerator()])
def test_scikit_learns_contract_without_options(estimator, check):
    check(estimator)


# ---- what is learned, derived a second time

@pytest.mark.parametrize("weighted", [False, True])
def test_the_closed_form_is_least_squares(weighted):
    """Scaling there and back, weights and several targets must leave scikit-learn's own solution."""
    X, y = load_diabetes(return_X_y=True)
    X, Y = 50 + 1e3 * X[:300], np.stack([y, 1e4 - 7 * y**1.5], 1)[:300]
    w = np.random.RandomState(0).randint(0, 4, 300) if weighted else None
    ours = NetworkRegressor("linear", rule="closedform").fit(X, Y, w).predict(X)
    np.testing.assert_allclose(ours, LinearRegression().fit(X, Y, w).predict(X), rtol=1e-3)
    one = NetworkRegressor("linear", rule="closedform").fit(X, Y[:, 0], w).predict(X)
    np.testing.assert_allclose(one, ours[:, 0], rtol=1e-4)


@pytest.mark.parametrize("class_weight", [None, "balanced", {0: 1.0, 1: 3.0, 2: 0.5}])
@pytest.mark.parametrize("weighted", [False, True])
def test_softmax_with_a_penalty_is_logistic_regression(class_weight, weighted):
    """mean loss + l2 |w|^2 / 2 has the minimum of C sum loss + |w|^2 / 2 with C = 1 / (l2 * sum of the weights)."""
    X, y = load_iris(return_X_y=True)
    X, y = X[:130], y[:130]                                                # classes of unequal size
    w = np.random.RandomState(0).randint(0, 4, 130).astype(float) if weighted else np.ones(130)
    ours = NetworkClassifier("softmax", rule="backprop:l2=0.05", optimizer="momentum:rate=0.5", epochs=1000, class_weight=class_weight)
    ours.fit(X, y, w if weighted else None)

    kept = w > 0
    mass = np.bincount(y[kept], weights=w[kept])
    each = {None: np.ones(3), "balanced": mass.sum() / (3 * mass)}.get(class_weight) if not isinstance(class_weight, dict) else None
    each = np.array(list(class_weight.values())) if each is None else each
    full = w * each[y]
    scaler = StandardScaler().fit(X, sample_weight=w)
    theirs = LogisticRegression(C=1 / (0.05 * full.sum()), tol=1e-10, max_iter=10_000).fit(scaler.transform(X), y, full)
    np.testing.assert_allclose(ours.predict_proba(X), theirs.predict_proba(scaler.transform(X)), atol=1e-4)


def test_a_weight_of_two_is_a_row_given_twice_in_a_frame_with_words():
    frame, y = mixed_frame(60)
    w = np.random.RandomState(1).randint(0, 4, 60)
    at = np.repeat(np.arange(60), w)
    net = NetworkClassifier(random_state=0)
    weighted, repeated = clone(net).fit(frame, y, w), clone(net).fit(frame.iloc[at], y[at])
    np.testing.assert_allclose(weighted.predict_proba(frame), repeated.predict_proba(frame), atol=1e-6)
    assert np.abs(weighted.predict_proba(frame) - clone(net).fit(frame, y).predict_proba(frame)).max() > 1e-3


def test_rows_of_no_weight_are_absent():
    """They do not even make a set large: without them it is one batch, with them it would be many."""
    X, y = load_digits(return_X_y=True)
    X, y, w = X[:1200], y[:1200], np.arange(1200) % 3 == 0
    net = NetworkClassifier("mlp:hidden=8", epochs=5, random_state=0)
    few = clone(net).fit(X[w], y[w])
    some = clone(net).fit(np.where(w[:, None], X, 1e9), np.where(w, y, 99), w)
    np.testing.assert_allclose(some.predict_proba(X), few.predict_proba(X), atol=1e-6)
    assert list(some.classes_) == list(range(10))


@pytest.mark.parametrize("optimizer", ["adam:rate=0.01", "momentum:rate=0.1"])
def test_passes_add_up_to_a_fit(optimizer):
    """Five passes over one batch are five epochs, which they can only be if the optimizer's state is carried along."""
    X, y = load_iris(return_X_y=True)
    net = NetworkClassifier("mlp:hidden=8", rule="backprop", optimizer=optimizer, batch=150, epochs=5, precision="fp32", random_state=3)
    whole, steps = clone(net).fit(X, y), clone(net)
    for done in range(5):
        steps.partial_fit(X, y, classes=[0, 1, 2])
        assert steps.n_iter_ == done + 1
    np.testing.assert_allclose(steps.predict_proba(X), whole.predict_proba(X), atol=1e-5)


@pytest.mark.parametrize("read", [load_iris, load_wine, load_breast_cancer])
def test_small_sets_come_out_as_well_as_the_peers(read):
    X, y = read(return_X_y=True)
    peer = make_pipeline(StandardScaler(), MLPClassifier(random_state=0, max_iter=500))
    assert cross_val_score(NetworkClassifier(random_state=0), X, y, cv=3).mean() >= cross_val_score(peer, X, y, cv=3).mean() - 0.02


def test_diabetes_is_explained_to_two_fifths():
    X, y = load_diabetes(return_X_y=True)
    assert cross_val_score(NetworkRegressor(random_state=0), X, y, cv=5).mean() >= 0.4


def test_more_rows_are_batched_and_validated():
    X, y = load_digits(return_X_y=True)
    train, test = train_test_split(np.arange(len(y)), test_size=0.25, random_state=0, stratify=y)
    net = NetworkClassifier(epochs=20, random_state=0).fit(X[train], y[train])
    assert net.options_["batch"] == 32
    assert "valid_accuracy" in net.history_[0]
    assert net.score(X[test], y[test]) >= 0.95


# ---- nets and losses of one's own

class Ten(nn.Module):
    """Ten lines that know nothing of chainrule."""

    def __init__(self, features, classes):
        super().__init__()
        self.into = nn.Linear(features, 16)
        self.out = nn.Linear(16, classes)

    def forward(self, x):
        return self.out(torch.tanh(self.into(x)))


def make_ten(inputs, outputs):
    return Ten(inputs[0], outputs)


def own_loss(outputs, targets):
    return F.cross_entropy(outputs, targets, label_smoothing=0.1)


@pytest.mark.parametrize("own", [Ten(4, 3), make_ten])
def test_a_module_and_a_loss_of_ones_own(own):
    X, y = load_iris(return_X_y=True)
    before = None if own is make_ten else [p.clone() for p in own.parameters()]
    net = NetworkClassifier(own, loss=own_loss, optimizer="adam:rate=0.02", epochs=40, random_state=0).fit(X, y)
    assert isinstance(net.module_, Ten)
    assert not net.module_.training
    assert net.score(X, y) > 0.9
    if before is not None:
        assert all(torch.equal(p, q) for p, q in zip(before, own.parameters(), strict=True)), "the caller's module was trained itself"
    again = pickle.loads(pickle.dumps(net))
    np.testing.assert_array_equal(again.predict_proba(X), net.predict_proba(X))


def test_pictures_keep_their_shape():
    X, y = load_digits(return_X_y=True)
    X = X[:300].reshape(-1, 8, 8).astype(np.uint8)
    net = NetworkClassifier("lenet:filters=4x8,hidden=16", epochs=8, optimizer="adam:rate=0.01", random_state=0).fit(X, y[:300])
    assert net.options_["net"].startswith("lenet")
    assert net.score(X, y[:300]) > 0.8


# ---- scikit-learn's tools

def test_searching_in_a_pipeline():
    X, y = load_iris(return_X_y=True)
    pipe = make_pipeline(StandardScaler(), NetworkClassifier(epochs=60, random_state=0))
    search = GridSearchCV(pipe, {"networkclassifier__net": ["softmax", "mlp:hidden=1,activation=step"],
                                 "networkclassifier__optimizer": ["adam:rate=0.05", "sgd:rate=1e-6"]}, cv=3).fit(X, y)
    assert search.best_score_ > 0.93
    assert search.best_params_["networkclassifier__net"] == "softmax"
    assert search.best_params_["networkclassifier__optimizer"] == "adam:rate=0.05"


def mixed_frame(n):
    draw = np.random.RandomState(0)
    color = draw.choice(["red", "green", "blue"], n)
    size = draw.randn(n)
    frame = pd.DataFrame({"size": size, "color": color, "noise": np.where(draw.rand(n) < 0.2, np.nan, draw.randn(n))})
    return frame, np.where((color == "red") == (size > 0), "yes", "no")


def test_frames_with_words_and_gaps():
    frame, y = mixed_frame(180)
    net = NetworkClassifier(random_state=0).fit(frame, y)
    assert list(net.feature_names_in_) == ["size", "color", "noise"]
    assert net.score(frame, y) > 0.95                                      # neither column tells anything without the other
    strange = frame.assign(color="violet")
    assert net.predict(strange).shape == (180,)
    with pytest.raises(ValueError, match="feature names should match"):
        net.predict(frame[["color", "size", "noise"]])
    with pytest.warns(UserWarning, match="feature names"), pytest.raises(ValueError, match="table with the columns size, color, noise"):
        net.predict(np.zeros((2, 3)))
    same = NetworkClassifier(random_state=0).fit(pl.DataFrame(frame.to_dict("list")), y)
    np.testing.assert_allclose(same.predict_proba(pl.DataFrame(frame.to_dict("list"))), net.predict_proba(frame), atol=1e-6)


def test_early_stopping_keeps_the_best_weights():
    X, y = make_blobs(400, centers=2, cluster_std=6.0, random_state=0)
    net = NetworkClassifier("mlp:hidden=64", patience=4, epochs=200, optimizer="adam:rate=0.02", batch=32, random_state=0).fit(X, y)
    assert 5 < net.n_iter_ < 200
    seen = [(row["valid_accuracy"], -row["valid_loss"]) for row in net.history_]
    assert seen.index(max(seen)) == len(seen) - 1 - 4
    shorter = clone(net).set_params(patience=None, validation_fraction=0.1, epochs=len(seen) - 4).fit(X, y)
    np.testing.assert_array_equal(shorter.predict_proba(X), net.predict_proba(X))


# ---- chance

def test_the_seed_decides_and_nothing_leaks():
    X, y = load_iris(return_X_y=True)
    net = NetworkClassifier("mlp:hidden=8,dropout=0.5", epochs=5, random_state=1)
    threads = torch.get_num_threads()
    torch.set_num_threads(threads + 1)
    torch.manual_seed(5), np.random.seed(5), random.seed(5)
    expected = torch.rand(3), np.random.rand(3), random.random()
    torch.manual_seed(5), np.random.seed(5), random.seed(5)
    first = clone(net).fit(X, y).predict_proba(X)
    found = torch.rand(3), np.random.rand(3), random.random()
    assert torch.equal(expected[0], found[0])
    assert np.array_equal(expected[1], found[1])
    assert expected[2] == found[2]
    assert torch.get_num_threads() == threads + 1
    np.testing.assert_array_equal(clone(net).fit(X, y).predict_proba(X), first)
    assert not np.array_equal(clone(net).set_params(random_state=2).fit(X, y).predict_proba(X), first)
    free = clone(net).set_params(random_state=None)
    assert not np.array_equal(free.fit(X, y).predict_proba(X), free.fit(X, y).predict_proba(X))


def test_fits_in_threads_are_those_done_in_turn():
    X, y = load_iris(return_X_y=True)
    nets = [NetworkClassifier("mlp:hidden=8,dropout=0.5", epochs=30, random_state=seed) for seed in range(4)]
    alone = [clone(net).fit(X, y).predict_proba(X) for net in nets]
    with ThreadPoolExecutor(4) as pool:
        together = list(pool.map(lambda net: clone(net).fit(X, y).predict_proba(X), nets))
    np.testing.assert_array_equal(together, alone)


@pytest.mark.parametrize("net", ["mlp:hidden=8", "perceptron", "linear"])
@pytest.mark.parametrize("classes", [2, 3])
def test_probabilities_add_up(net, classes):
    X, y = load_iris(return_X_y=True)
    X, y = X[y < classes], y[y < classes]
    said = NetworkClassifier(net, rule="perceptron" if net == "perceptron" else None, epochs=80, random_state=0).fit(X, y)
    shares = said.predict_proba(X)
    assert shares.shape == (len(X), classes)
    assert (shares >= 0).all()
    np.testing.assert_allclose(shares.sum(1), 1, rtol=1e-14)
    assert said.score(X, y) > 0.65


def test_only_the_talkative_talk(capsys):
    X, y = load_iris(return_X_y=True)
    NetworkClassifier(epochs=5).fit(X, y)
    assert capsys.readouterr() == ("", "")
    NetworkClassifier(epochs=5, verbose=True).fit(X, y)
    out, err = capsys.readouterr()
    assert not out
    assert "5" in err


@pytest.mark.parametrize("size", [1, 7, ROUNDS, 2 * ROUNDS])
def test_a_round_is_the_same_rows_over_and_over(size):
    part = Part(torch.arange(6.0).reshape(3, 2), torch.tensor([1, 0, 2]), torch.tensor([7, 8, 9]))
    chunks = list(Rounds(part, lambda x: 2 * x, device=torch.device("cpu")).chunks(0, 0, size))
    assert sum(map(len, chunks)) == ROUNDS
    assert max(map(len, chunks)) <= size
    for batch in (chunk[i] for chunk in chunks for i in range(len(chunk))):
        assert torch.equal(batch.x, 2 * part.x)
        assert torch.equal(batch.y, part.y)


# ---- going on

def test_streams_may_come_class_by_class():
    X, y = make_blobs(90, centers=3, cluster_std=0.5, random_state=0)
    X, y = X - X.mean(0), np.array(["a", "b", "c"])[y]
    net = NetworkClassifier("softmax", optimizer="adam:rate=0.05", random_state=0)
    order = np.random.RandomState(0).permutation(90)
    net.partial_fit(X[order[:30]], y[order[:30]], classes=["a", "b", "c"])
    for at in range(60):                                                   # then single rows, of a single class of course
        net.partial_fit(X[order[30 + at : 31 + at]], y[order[30 + at : 31 + at]])
    assert net.score(X, y) > 0.9
    assert net.n_iter_ == 61
    assert len(net.history_) == 61
    with pytest.raises(ValueError, match="does not name"):
        net.partial_fit(X[:2], ["a", "d"])
    with pytest.raises(ValueError, match="first call of partial_fit needs classes"):
        clone(net).partial_fit(X, y)


def test_a_regressor_goes_on_from_a_fit():
    X, y = load_diabetes(return_X_y=True)
    net = NetworkRegressor(random_state=0).fit(X[:150], y[:150])
    before = net.predict(X)
    net.partial_fit(X[150:300], y[150:300])
    moved = np.abs(net.predict(X) - before).max()
    assert 0 < moved < 100                                                 # a pass from good weights is a nudge, not a new start


# ---- without targets

def test_codes_are_the_hidden_probabilities():
    X = load_digits().data[:100]
    codes = NetworkTransformer("rbm:hidden=6,units=binary", epochs=3, random_state=0).fit(X)
    low, high = X.min(0), X.max(0)
    unit = np.where(high > low, (X - low) / np.where(high > low, high - low, 1), 0)
    w, c = (codes.module_.state_dict()[k].numpy() for k in ("weight", "hidden_bias"))
    np.testing.assert_allclose(codes.transform(X), 1 / (1 + np.exp(-(unit @ w.T + c))), atol=1e-6)
    shares = NetworkTransformer("mixture:components=3,covariance=diagonal", epochs=3, random_state=0).fit_transform(load_iris().data)
    np.testing.assert_allclose(shares.sum(1), 1)
    assert list(codes.get_feature_names_out()) == [f"networktransformer{i}" for i in range(6)]
    assert make_pipeline(codes, NetworkClassifier(epochs=20)).fit(X, load_digits().target[:100]).predict(X).shape == (100,)


def test_samples_are_spread_as_the_data_are():
    draw = np.random.RandomState(0)
    X = np.concatenate([draw.randn(300, 2) * [1, 30] + [5, 400], draw.randn(100, 2) * [1, 30] + [-5, 0]])
    net = NetworkGenerator("mixture:components=2", random_state=0).fit(X)
    state = torch.get_rng_state()
    made = net.sample(4000, random_state=0)
    assert torch.equal(torch.get_rng_state(), state)
    np.testing.assert_array_equal(made, net.sample(4000, random_state=0))
    np.testing.assert_allclose(made.mean(0), X.mean(0), rtol=0.1)
    np.testing.assert_allclose(np.cov(made.T), np.cov(X.T), rtol=0.15)


@pytest.mark.parametrize(("net", "shape"), [("gan:hidden=8x8", (4,)), ("rbm:hidden=5", (4,)), ("gan:hidden=8x8", (1, 8, 8))])
def test_samples_have_the_shape_of_a_row(net, shape):
    X = load_iris().data[:40] if shape == (4,) else load_digits().images[:40].astype(np.uint8)
    assert NetworkGenerator(net, epochs=2, random_state=0).fit(X).sample(7, random_state=0).shape == (7, *shape)


# ---- what is refused

@pytest.mark.parametrize(("options", "message"), [
    ({"net": "mpl"}, "Did you mean mlp"),
    ({"optimizer": "adam:rte=1"}, "rate"),
    ({"loss": "absolute"}, "Use --loss cross-entropy"),
    ({"rule": "divergence"}, "learns without targets"),
    ({"epochs": 0}, "at least 1"),
    ({"patience": 3, "validation_fraction": 0}, "validation_fraction to 0.1"),
    ({"validation_fraction": 1.5}, "below 1"),
    ({"net": Ten(7, 3)}, "does not fit"),
    ({"net": lambda inputs, outputs: "a net"}, "made a str"),
    ({"class_weight": "even"}, "class_weight"),
])
def test_wrong_parameters_are_said(options, message):
    X, y = load_iris(return_X_y=True)
    with pytest.raises(ValueError, match=message):
        NetworkClassifier(**options).fit(X, y)


def test_wrong_uses_are_said():
    X, y = load_iris(return_X_y=True)
    with pytest.raises(ValueError, match="sorts into classes"):
        NetworkRegressor(rule="perceptron").fit(X, y)
    with pytest.raises(ValueError, match="zero"):
        NetworkRegressor().fit(X, y, np.zeros(150))
    with pytest.raises(ValueError, match="no method encode"):
        NetworkTransformer("gan", epochs=1).fit(X)
    with pytest.raises(ValueError, match="no method sample"):
        NetworkGenerator(type("Mute", (RBM,), {"sample": None})((4,), 0), rule="divergence", epochs=1).fit(X)
    with pytest.raises(Diverged, match="stopped being finite"):
        NetworkRegressor(optimizer="sgd:rate=1e30", epochs=20).fit(X, y)


def test_a_constant_target_is_predicted():
    X = load_iris().data[:20]
    np.testing.assert_allclose(NetworkRegressor(random_state=2).fit(X, np.full(20, 7.0)).predict(X), 7.0, atol=0.05)


def test_codes_of_an_autoencoder_stand_in_a_pipeline():
    X, y = load_digits(return_X_y=True)
    coder = NetworkTransformer("autoencoder:code=12,noise=0.2,units=sigmoid,tied=yes", epochs=10, random_state=0)
    pipeline = make_pipeline(coder, NetworkClassifier(epochs=30, random_state=0)).fit(X[:900], y[:900])
    assert pipeline.score(X[900:], y[900:]) > 0.7
    assert clone(coder).fit(X).transform(X).shape == (len(X), 12)
