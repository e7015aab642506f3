"""Records with a right seal and a wrong value, settings and specs that mean nothing: one sentence each, and no traceback."""

import random
import shutil
from pathlib import Path

import pytest
from hostile import mutants, places, read_json, write_json
from stops import After

import chainrule as cr
from chainrule.cli.main import run_command
from chainrule.core.errors import ChainruleError, CorruptFile, InputError, Interrupted
from chainrule.data.reading import Reading
from chainrule.data.splits import parse_split
from chainrule.workflows.open import open_run

DEFAULT = 12                   # changes of each file in the default suite
PLAIN = {"net": "mlp:hidden=4", "plan": "eager", "progress": False}


@pytest.fixture(scope="module")
def made(tmp_path_factory):
    """A finished run with a threshold, an interrupted one, a sweep, a committee and a boosting."""
    top = tmp_path_factory.mktemp("made")
    run = cr.train("iris", epochs=2, out=top / "run", **PLAIN)
    run.test()
    run.threshold("setosa", recall=0.9)
    after = After(2)
    with pytest.raises(Interrupted):
        cr.train("iris", epochs=30, out=top / "begun", save_every=0, stop=after, sinks=[after], **PLAIN)
    swept = cr.sweep("iris", over={"bootstrap": (1, 2)}, epochs=1, out=top / "sweep", **PLAIN)
    cr.committee(swept, out=top / "committee").test()
    cr.boost("wine", rounds=2, by="gradient", epochs=3, batch=4, optimizer="adam:rate=0.01", out=top / "boosted", **PLAIN)
    return top


def use_run(folder):
    run = cr.Run(folder / "run")
    run.trained.predictions(run.job.data.valid)
    run.summary()
    _ = run.valid, run.tested, run.history
    run.cases()
    run.report(overwrite=True)


def resume(folder):
    cr.resume(folder / "begun", progress=False)


def use_sweep(folder):
    swept = cr.resume(folder / "sweep", progress=False)
    str(swept)
    swept.summary()


def use_committee(folder, name="committee"):
    together = open_run(folder / name)
    together.summary()
    _ = together.tested, together.tested_standing, together.growth(), together.valid
    together.trained.outputs(together.trained.encoder.inputs.blank(2))
    together.report(overwrite=True)


def resume_boosting(folder):
    cr.resume(folder / "boosted", progress=False)


FILES = {
    **{f"run/{name}.json": use_run for name in ("run", "valid", "test", "summary", "threshold")},
    **{f"run/{name}.safetensors": use_run for name in ("encoder", "valid", "test", "best")},
    "begun/run.json": resume, "begun/last.safetensors": resume, "begun/encoder.safetensors": resume,
    "sweep/sweep.json": use_sweep, "committee/committee.json": use_committee, "committee/standing.json": use_committee,
    "committee/valid-standing.json": use_committee, "committee/encoder.safetensors": use_committee,
    "boosted/boosting.json": resume_boosting, "boosted/committee.json": lambda folder: use_committee(folder, "boosted"),
}


def try_mutants(made, name, count, tmp_path):
    """Change one place of a record at a time and use it: it works, or one error of ours says why not."""
    use, work, value = FILES[name], tmp_path / "work", read_json(made / name)
    every = list(mutants(value))
    refused = 0
    for path, by, mutant in every if count is None else random.Random(name).sample(every, min(count, len(every))):
        shutil.rmtree(work, ignore_errors=True)
        shutil.copytree(made, work)
        try:
            write_json(work / name, mutant)
        except (TypeError, ValueError, AttributeError):                     # nothing that our own format can hold
            continue
        try:
            use(work)
        except ChainruleError as error:
            refused += 1
            assert "\n" not in str(error), (path, by, error)
        except Exception as error:
            raise AssertionError(f"{name} with {'.'.join(map(str, path))} = {by!r}: {type(error).__name__}: {error}") from error
    return refused


@pytest.mark.parametrize("name", FILES)
def test_a_strange_value_in_a_record_costs_one_sentence(made, name, tmp_path):
    try_mutants(made, name, DEFAULT, tmp_path)


@pytest.mark.slow
@pytest.mark.parametrize("name", FILES)
def test_every_strange_value_at_every_place_of_a_record(made, name, tmp_path):
    assert try_mutants(made, name, None, tmp_path) > 0


def test_a_refusal_names_the_key_what_was_expected_and_what_came(made, tmp_path):
    shutil.copytree(made, tmp_path / "work")
    record = read_json(tmp_path / "work" / "run" / "run.json")
    record["data"]["splits"]["valid"] = "many"
    write_json(tmp_path / "work" / "run" / "run.json", record)
    with pytest.raises(CorruptFile, match=r"run\.json: data\.splits\.valid expects a whole number; got the text 'many'\."):
        cr.Run(tmp_path / "work" / "run")
    payload = read_json(tmp_path / "work" / "begun" / "last.safetensors")
    payload["position"]["plan"][0]["made"]["threads"] = 10**6
    write_json(tmp_path / "work" / "begun" / "last.safetensors", payload)
    with pytest.raises(CorruptFile, match=r"last\.safetensors: position\.plan\[0\]\.made\.threads expects .*at most 512; got 1000000"):
        resume(tmp_path / "work")


def test_all_records_of_ours_have_places_to_change(made):
    for name in FILES:
        assert len(list(places(read_json(made / name)))) >= 2, name
    known = {Path(name).name for name in FILES} | {"log.jsonl", "lock", "lock.guard", "rows.safetensors", "previous.safetensors"}
    written = {p.name for p in made.rglob("*") if p.is_file() and p.suffix in (".json", ".safetensors")}
    assert written - known <= {"rounds.safetensors"}


TOML = [
    "epochs = 2.5", "epochs = true", 'epochs = "3"', "epochs = -1", "epochs = 0", "epochs = [1]", "epochs = 1979-05-27",
    "save_every = nan", "save_every = inf", "save_every = -inf", "seconds = nan", "seconds = inf", "seed = 1e400", "seed = -1",
    "seed = 9223372036854775808", "net = 3", "net = {}", "net = []", "net = ''", 'net = "mlp:hidden=1,hidden=2"',
    'net = "mlp:hidden=nan"', 'optimizer = "sgd:rate=nan"', 'optimizer = "sgd:rate=inf"', 'optimizer = "sgd:rate=1_0"',
    'rule = "backprop:clip=-inf"', "split = {train = 0.7}", 'split = "train=.7,train=.3"', 'split = "train=nan"',
    'split = "train=1e999"', 'split = "test"', "threads = 100000", "threads = 0", "batch = 0", "patience = 0", 'fold = "9/5"',
    f'fold = "1/{"9" * 5000}"', "skip_bad = 1", "drop_unlabelled = 'yes'", "[net]\nx = 1", "epochs = 3\nepochs = 4", "a = 1",
    'class_weights = "setosa=nan"', 'freeze = "x"', 'init = "normal:nan"', 'schedule = "cosine:x=1"', 'views = "0"',
    'augment = "shift:-1"', "epochs = ", "\x00", "from = 3", 'from = ""', "horizon = 0", 'constraint = "max-norm:nan"',
    'stages = "nothing"', "snapshots = 1", 'precision = "fp8"', 'device = "abacus"', 'plan = "eager+eager+x"', 'task = "x"',
    'loss = "x:y"', "target = 99", "target = true", 'classes = ","', "members = 3"]


@pytest.mark.parametrize("text", TOML)
def test_settings_that_mean_nothing_are_refused(text, tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    Path("c.toml").write_text(text)
    assert run_command(["train", "iris", "--config", "c.toml", "--out", "r"]) == 2
    said = capsys.readouterr().err.strip()
    assert said
    assert "Traceback" not in said
    assert not Path("r").exists()
    assert not list(Path().glob("crash*"))


def test_parts_and_columns_that_are_named_twice():
    with pytest.raises(InputError, match="names train twice"):
        parse_split("train=.7,train=.3")
    with pytest.raises(InputError, match="says that a of t is a number and a word"):
        Reading(columns="a:number,a:word").kinds(["a", "b"], "t")


@pytest.mark.parametrize("over", ["seed=0..1000000000", "seed=0..99999 ", "epochs=2.5", "skip-bad=perhaps",
                                  f"seed=0..{'9' * 5000}"])
def test_a_sweep_over_what_means_nothing_or_has_no_end(over, tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    assert run_command(["sweep", "iris", "--net", "linear", "--over", over, "--out", "s"]) == 2
    assert "--over" in capsys.readouterr().err
    assert not Path("s").exists()
