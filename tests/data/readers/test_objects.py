"""Whatever a program has in memory trains and is predicted: each form against the same rows as a CSV file, or a frame."""

import numpy as np
import pandas as pd
import polars as pl
import pytest
import scipy.sparse as sp
import torch

import chainrule as cr
from chainrule.core.errors import InputError
from chainrule.data.readers import objects

N = 40
DRAW = np.random.default_rng(0)
X = DRAW.normal(size=(N, 3)).round(3)
GAPS = np.where(DRAW.random((N, 3)) < 0.15, np.nan, X)
Y = np.where(X[:, 0] > 0, "yes", "no")
NAMES = ["x1", "x2", "x3"]
FRAME = pd.DataFrame(X, columns=NAMES)
FORMS = {
    "numpy": (X, Y), "torch": (torch.tensor(X, requires_grad=True), torch.tensor(X[:, 0] > 0)), "lists": (X.tolist(), Y.tolist()),
    "pandas": (FRAME, pd.Series(Y, name="label")), "polars": (pl.DataFrame(X, schema=NAMES), pl.Series("label", Y)),
    "another index": (FRAME.set_axis(range(N, 0, -1)), pd.Series(Y)), "dict": ({name: X[:, i].tolist() for i, name in enumerate(NAMES)}, Y),
    "records": (FRAME.to_dict("records"), list(Y)), "csr": (sp.csr_matrix(X), Y), "coo": (sp.coo_array(X), Y),
    "objects": (X.astype(object), Y),
}


def trained(*data, **options):
    return cr.train(*data, net="linear", epochs=2, plan="eager", seed=0, progress=False, **options)


@pytest.fixture(autouse=True)
def _elsewhere(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)


@pytest.fixture(scope="module")
def reference():
    job = [event.valid["loss"] for event in cr.events(FRAME, Y, net="linear", epochs=2, plan="eager", seed=0) if hasattr(event, "valid")]
    return job[-1]


@pytest.mark.parametrize("form", FORMS)
def test_every_form_learns_the_same_and_is_predicted(form, reference):
    run = trained(*FORMS[form])
    assert run.history[-1]["valid_loss"] == pytest.approx(reference, rel=1e-5)
    answers, names = run.predict(FORMS[form][0])
    assert len(answers) == N
    assert names in (("no", "yes"), ("false", "true"))
    torch.testing.assert_close(cr.Run(run.path).predict(FORMS[form][0])[0], answers)


@pytest.mark.parametrize("data", [FRAME.assign(label=Y), {**{n: X[:, i] for i, n in enumerate(NAMES)}, "label": list(Y)},
                                  FRAME.assign(label=Y).to_dict("records")])
def test_a_target_among_the_columns_is_named(data, reference):
    assert trained(data, target="label").history[-1]["valid_loss"] == pytest.approx(reference, rel=1e-5)


def test_gaps_are_filled_as_those_of_a_file(tmp_path):
    """The same encoder, indicators included, as of the CSV file that the array is written to; of new rows as well."""
    pd.DataFrame(GAPS, columns=NAMES).assign(label=Y).to_csv(tmp_path / "rows.csv", index=False)
    file, array = trained(tmp_path / "rows.csv", target="label"), trained(GAPS, Y)
    assert file.trained.encoder.inputs.feature_names == array.trained.encoder.inputs.feature_names
    assert "x1 is missing" in array.trained.encoder.inputs.feature_names
    torch.testing.assert_close(file.trained.encoder.inputs.features.scale, array.trained.encoder.inputs.features.scale)
    torch.testing.assert_close(array.predict(GAPS[:7])[0], file.predict(pd.DataFrame(GAPS[:7], columns=NAMES))[0])
    assert len(array.predict(X)[0]) == N


def test_a_gap_that_training_never_had_gets_the_mean(capsys):
    run = trained(X, Y)
    rows = X[:2].copy()
    rows[0, 1] = np.nan
    filled = rows.copy()
    filled[0, 1] = float(run.trained.encoder.inputs.scale[0][1])
    torch.testing.assert_close(run.predict(rows)[0], run.predict(filled)[0])
    assert "1 missing numbers in 2 rows" in capsys.readouterr().err


def test_estimators_fill_gaps_and_read_sparse_rows():
    from chainrule.estimators import NetworkClassifier

    model = NetworkClassifier("linear", epochs=3, random_state=0, plan="eager")
    table = model.fit(pd.DataFrame(GAPS, columns=NAMES), Y).predict_proba(pd.DataFrame(GAPS, columns=NAMES))
    np.testing.assert_allclose(model.fit(GAPS, Y).predict_proba(GAPS), table)
    dense = model.fit(X, Y).predict_proba(X)
    np.testing.assert_allclose(model.fit(sp.csr_matrix(X), Y).predict_proba(sp.csr_matrix(X)), dense)
    assert model.fit(X, Y).predict_proba(GAPS).shape == (N, 2)


@pytest.mark.parametrize(("data", "words"), [
    (({"a": [1, 2], "b": [1]}, [0, 1]), "columns of one length; got 1 values in 'b' and 2 in 'a'"), (({}, [1]), "has no columns"),
    (([[1.0, 2.0], [1.0]], [0, 1]), "rows of one length, or records"), (("digits", [1, 2]), "y goes with inputs in memory; digits has"),
    ((np.array([[np.nan, 1.0], [np.inf, 2.0]]), [0, 1]), "row 2, feature 1: expected a finite number; got inf"),
])
def test_what_is_no_data_is_one_sentence(data, words):
    with pytest.raises(InputError, match=words):
        cr.train(*data, progress=False)


def test_a_sparse_matrix_beyond_memory_is_refused(monkeypatch):
    monkeypatch.setattr(objects, "free_memory", lambda: 1000)
    with pytest.raises(InputError, match=r"is sparse, 40 x 3: as the dense rows that nets read it takes 0\.0 GB.*TruncatedSVD"):
        cr.load(sp.csr_matrix(X), Y)
