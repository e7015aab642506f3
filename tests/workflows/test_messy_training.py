"""A run on a messy table, from its folder alone: new rows are read as those of training were, for predictions and for measures."""

import numpy as np
import polars as pl
import pytest

import chainrule as cr
from chainrule.core.errors import InputError
from chainrule.data.load import load, load_inputs
from chainrule.data.reading import Reading
from chainrule.workflows.predict import predict_to


def messy(path, n, seed, dates="%d.%m.%Y", header=True):
    """Classes told by a column with decimal commas; prices, dates with the day first, a town in several spellings, and an index."""
    draw = np.random.default_rng(seed)
    size, day = draw.normal(size=n), draw.integers(17_000, 19_000, n)
    columns = {
        "": range(n), "size": [f"{v:.3f}".replace(".", ",") for v in size],
        "price": [f"{v:,.2f} €".replace(",", ".") for v in draw.integers(1e3, 1e6, n)],
        "day": pl.Series(day).cast(pl.Date).dt.strftime(dates), "town": draw.choice(["Ulm", "Ulm", "ULM", "Rom"], n),
        "y": np.where(size > 0, "big", "small")}
    frame = pl.DataFrame(columns, strict=False)
    path.write_text(frame.write_csv(separator=";", include_header=header))
    return frame


@pytest.fixture(scope="module")
def run(tmp_path_factory):
    folder = tmp_path_factory.mktemp("messy")
    messy(folder / "t.csv", 300, 0)
    source = load(folder / "t.csv", reading=Reading(columns="price:out", missing="-1"))
    return cr.train(source, net="linear", epochs=20, optimizer="adam:rate=0.05", plan="eager", out=folder / "run", progress=False)


def test_a_decimal_comma_is_learned_from(run):
    """As words the column would be left out, and half of the rows would be guessed wrong."""
    assert run.valid.accuracy > 0.9
    inputs = run.job.data.encoder.inputs
    assert inputs.feature_names == ("size", "day", "day: sine of the month", "day: cosine of the month", "day: sine of the weekday",
                                    "day: cosine of the weekday", "town=Rom", "town=Ulm")
    notes = " ".join(inputs.notes)
    for part in ("'size' is read as numbers", "'day' is read as dates with the day first", "'town' spells one word in several ways",
                 "The column without a name", "'price' is left out"):
        assert part in notes


def test_a_run_opened_again_reads_new_rows_as_in_training(run, tmp_path):
    """Alone, the new file would be read otherwise: its sizes as thousands, its days with the month first."""
    opened = cr.Run(run.path)
    (tmp_path / "n.csv").write_text("y,town,day,size\nbig,ulm,03.04.2019,\"1,234\"\nsmall,ROM,05.06.2019,\"-2,345\"\n")
    x = opened.job.data.encoder.inputs.encode(load_inputs(tmp_path / "n.csv", like=opened.job.data.encoder.inputs))
    names = opened.job.data.encoder.inputs.feature_names
    centre, factor, _ = opened.job.data.encoder.inputs.features.scale[0].tolist()
    np.testing.assert_allclose(x[:, 0], (np.array([1.234, -2.345]) - centre) * factor, rtol=1e-5)
    centre, factor, _ = opened.job.data.encoder.inputs.features.scale[1].tolist()
    days = np.array(["2019-04-03", "2019-06-05"], "datetime64[D]").astype(float)
    np.testing.assert_allclose(x[:, 1], (days - centre) * factor, rtol=1e-4, atol=1e-5)
    np.testing.assert_allclose(x[:, names.index("day: sine of the month")], np.sin(2 * np.pi * np.array([3, 5]) / 12), atol=1e-6)
    weekdays = np.array([2, 2])                                       # both were Wednesdays
    np.testing.assert_allclose(x[:, names.index("day: cosine of the weekday")], np.cos(2 * np.pi * weekdays / 7), atol=1e-6)
    assert x[:, names.index("town=Ulm")].tolist() == [1, 0]
    values, classes = opened.predict(tmp_path / "n.csv")
    assert [classes[i] for i in values.argmax(1)] == ["big", "small"]
    assert opened.test_on(tmp_path / "n.csv").accuracy == 1


def test_reading_in_pieces_is_reading_at_once(run, tmp_path, capsys):
    frame = messy(tmp_path / "n.csv", 2_000, 1).with_columns(pl.Series("town", ["Oslo" if i % 100 == 7 else "Rom" for i in range(2_000)]))
    (tmp_path / "n.csv").write_text("# a comment\n" + frame.write_csv(separator=";"))
    for name, stream_bytes in (("whole", 2**40), ("pieces", 0)):
        assert predict_to(run.trained, tmp_path / "n.csv", tmp_path / f"{name}.csv", stream_bytes=stream_bytes) == 2_000
        assert "in 20 of 2,000 rows 'town' has a word that training never saw, first 'Oslo' in row 8" in capsys.readouterr().err
    assert (tmp_path / "pieces.csv").read_bytes() == (tmp_path / "whole.csv").read_bytes()


def test_measuring_rows_without_a_target_is_refused(run, tmp_path):
    (tmp_path / "n.csv").write_text("town;day;size\nUlm;03.04.2019;1,2\n")
    with pytest.raises(InputError, match="has no target 'y', or not in every row"):
        run.test_on(tmp_path / "n.csv")


def test_a_task_that_is_named_says_whether_whole_numbers_are_classes_or_amounts(tmp_path, capsys):
    """Seven marks are taken for classes, 25 for amounts; the task decides otherwise, for new rows as well."""
    draw = np.random.default_rng(1)
    for name, marks, usual, other in (("few", 7, "classification", "regression"), ("many", 25, "regression", "classification")):
        frame = pl.DataFrame({"a": draw.normal(size=210).round(3), "y": [i % marks for i in range(210)]})
        frame.write_csv(tmp_path / f"{name}.csv")
        for task in (usual, other):
            run = cr.train(tmp_path / f"{name}.csv", task=task, net="mlp:hidden=4", epochs=1, plan="eager", out=tmp_path / f"{name}-{task}")
            assert run.job.task.name == task
            told = capsys.readouterr().err
            assert ("different whole numbers" in told) == ((name, task) == ("few", "classification"))
            opened = cr.Run(run.path)
            values, names = opened.predict(tmp_path / f"{name}.csv")
            assert len(names) == (1 if task == "regression" else marks)
            result = opened.test_on(tmp_path / f"{name}.csv")
            y = frame["y"].to_numpy()
            if task == "regression":
                assert result.measures["mse"].value == pytest.approx(float(np.square(values[:, 0].numpy() - y).mean()), rel=1e-5)
            else:
                assert result.accuracy == pytest.approx(float((np.array(names, dtype=int)[values.argmax(1)] == y).mean()))
    with pytest.raises(InputError, match="The task regression needs other targets than iris has") as refused:
        cr.train("iris", task="regression", progress=False)
    assert "Use --task classification" in str(refused.value)
    assert "language" not in str(refused.value)                # a row of a table has no steps
