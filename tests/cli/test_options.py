"""The one dataclass of options, read from the command line, from a TOML file and from Python: the same names, types, defaults, words."""

from __future__ import annotations

import dataclasses
import inspect
import json
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import torch
import typer
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st

import chainrule as cr
from chainrule.cli import main
from chainrule.cli import options as commanding
from chainrule.cli.main import COMMANDS, app, run_command
from chainrule.core.errors import InputError
from chainrule.core.options import About, about, check, flag, kinds, main_kind, option, read, same
from chainrule.job.options import Options
from chainrule.workflows import boosting, find_rate, sweep, train
from chainrule.workflows import check as checking
from chainrule.workflows import options as others
from chainrule.workflows.source import options_of, own_of

FIELDS = {one.name: one for one in dataclasses.fields(Options)}
PARAMETERS = {name: command.params for name, command in typer.main.get_command(app).commands.items()}
TAKING_OPTIONS = {"train": set(), "sweep": set(), "boost": {"bootstrap"}, "check": {"fold", "bootstrap"},
                  "find-rate": {"fold", "bootstrap"}}                     # of each command the options that it has no use for
RECORDS = [Options, *(r for r in vars(others).values() if dataclasses.is_dataclass(r))]
TEXT = st.text(st.characters(codec="utf-8", exclude_categories=("Cs", "Cc")), min_size=1, max_size=20)


def value_of(name: str) -> st.SearchStrategy:
    """Values that an option may have, whatever its range: ranges are looked at later."""
    kind = main_kind(kinds(Options)[name])
    return {bool: st.booleans(), int: st.integers(-2**70, 2**70), float: st.floats(allow_nan=False, allow_infinity=False), str: TEXT}[kind]


some = st.fixed_dictionaries({}, optional={name: value_of(name) for name in FIELDS})


@pytest.fixture
def asked(monkeypatch, tmp_path):
    """What `chainrule train` and its like hand on, in place of training."""
    monkeypatch.chdir(tmp_path)
    arguments = {}

    def stand_in(data, **more):
        arguments.clear()
        arguments.update(data=data, **more)
        raise InputError("enough")

    for module, name in ((train, "train"), (sweep, "sweep"), (boosting, "boost"), (checking, "check"), (find_rate, "find_rate")):
        monkeypatch.setattr(module, name, stand_in)
    return arguments


def typed(*words: str, arguments: dict) -> Options:
    """The options of a command line, as they reach Python."""
    arguments.clear()
    assert run_command(list(words)) == 2
    own = ("net", "loss", *(("steps",) if "lowest" in arguments else ()))          # the steps of a range test are its own
    rest = {name: value for name, value in arguments.items() if name in FIELDS and name not in own}
    return options_of(arguments["net"], arguments["loss"], rest)


# --- from the fields to the command line -------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("command", TAKING_OPTIONS)
def test_the_flags_of_a_command_are_the_fields_of_the_options(command):
    flags = {opt: p for p in PARAMETERS[command] for opt in p.opts}
    for name, one in FIELDS.items():
        if name in TAKING_OPTIONS[command] or (command, name) == ("find-rate", "steps"):
            continue
        parameter = flags[flag(one)]
        assert parameter.name == name
        assert parameter.default == one.default
        assert parameter.help == about(one).help
    assert not {"--" + name for name in TAKING_OPTIONS[command]} & set(flags)
    assert "--config" in flags


@pytest.mark.parametrize(("command", "record"), [
    ("boost", others.Boosting), ("committee", others.Joining), ("find-rate", others.RateRange), ("picture", others.Drawing),
    ("predict", others.Sampling), ("recipe", others.Experiment), ("train", others.Siblings), ("train", others.Dataset),
    ("describe", others.Dataset)])
def test_the_flags_of_the_smaller_records_are_their_fields(command, record):
    parameters = {p.name: p for p in PARAMETERS[command]}
    for one in dataclasses.fields(record):
        assert (parameters[one.name].default, parameters[one.name].help) == (one.default, about(one).help)


@pytest.mark.parametrize(("function", "record"), [
    (cr.boost, others.Boosting), (cr.committee, others.Joining), (cr.find_rate, others.RateRange), (cr.train, others.Siblings)])
def test_the_defaults_of_python_are_those_of_the_records(function, record):
    parameters = inspect.signature(function).parameters
    assert {one.name: parameters[one.name].default for one in dataclasses.fields(record)} == dataclasses.asdict(record())


def test_every_function_reads_the_same_data_by_default():
    for function in (cr.train, cr.events, cr.sweep, cr.boost, cr.check, cr.find_rate):
        assert inspect.signature(function).parameters["data"].default == others.Dataset().data


def test_no_two_options_of_a_command_share_a_flag():
    for name, parameters in PARAMETERS.items():
        flags = [opt for p in parameters for opt in p.opts]
        assert len(flags) == len(set(flags)), name


@pytest.mark.parametrize("record", RECORDS, ids=lambda r: r.__name__)
def test_every_default_is_of_its_type_and_in_its_range_and_every_option_has_help(record):
    plain = record()
    assert read(record, {name: value for name, value in dataclasses.asdict(plain).items() if value is not None}) == plain
    check(plain)
    for one in dataclasses.fields(record):
        assert about(one).help[-1] in ".)", one.name
        if about(one).example is not None:
            assert read(record, {one.name: about(one).example})


def test_the_commands_of_the_table_are_those_of_the_command_line():
    assert list(PARAMETERS) == list(COMMANDS)
    for one in typer.main.get_command(app).commands.values():
        assert "Example: chainrule" in one.help


# --- three ways, one result --------------------------------------------------------------------------------------------------------------


def typed_words(name, value):
    """An option as one types it: a yes is its flag alone, a no is nothing."""
    spelled = flag(FIELDS[name])
    if isinstance(value, bool):
        return [spelled] * value
    return [f"{spelled}={value!r}" if isinstance(value, float) else f"{spelled}={value}"]


@settings(max_examples=25, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(values=some)
@example(values=dict.fromkeys(FIELDS, None) | {"seed": 0, "plan": "eager", "precision": "fp32", "device": "cpu"})
@example(values={"seed": 0, "plan": "auto", "target": "none", "seconds": 3.0, "save_every": 0.0, "net": "a=b,c"})
def test_command_line_file_and_python_give_the_same_options(values, asked, tmp_path):
    """Derived thrice: words that typer reads, a table that tomllib reads, keywords; each must equal the dataclass built by hand."""
    values = {name: value for name, value in values.items() if value is not None}
    expected = Options(**values)
    words = [word for name, value in values.items() for word in typed_words(name, value)]
    assert typed("train", "digits", *words, arguments=asked) == expected
    if all(not isinstance(value, int) or -2**63 <= value < 2**63 for value in values.values()):
        lines = [f"{name.replace('_', '-')} = {json.dumps(value, ensure_ascii=False)}\n" for name, value in values.items()]
        (tmp_path / "c.toml").write_text("".join(lines), encoding="utf-8")
        assert typed("train", "digits", "--config", "c.toml", arguments=asked) == expected
    keywords = {name: value for name, value in values.items() if name not in ("net", "loss")}
    assert options_of(values.get("net"), values.get("loss"), keywords) == expected
    assert Options.from_json(json.loads(json.dumps(expected.to_json()))) == expected


@pytest.mark.parametrize("command", TAKING_OPTIONS)
def test_each_command_hands_every_option_on(command, asked):
    values = {name: {bool: True, int: at, float: at + 0.5, str: f"word{at}"}[main_kind(kinds(Options)[name])]
              for at, name in enumerate(FIELDS, 1) if name not in TAKING_OPTIONS[command] and (command, name) != ("find-rate", "steps")}
    words = [word for name, value in values.items() for word in (flag(FIELDS[name]), *([] if value is True else [str(value)]))]
    extra = ("--over", "seed=0..1") if command == "sweep" else ()
    assert typed(command, "digits", *extra, *words, arguments=asked) == Options(**values)


def test_the_own_options_of_a_command_arrive(asked):
    typed("boost", "digits", "--rounds", "3", "--by", "gradient", "--shrinkage", "0.25", "--out", "x", arguments=asked)
    assert (asked["rounds"], asked["by"], asked["shrinkage"], asked["out"], asked["data"]) == (3, "gradient", 0.25, Path("x"), "digits")
    typed("find-rate", "--steps", "30", "--lowest", "1e-3", "--highest", "2", "--data-dir", "d", arguments=asked)
    assert (asked["steps"], asked["lowest"], asked["highest"], asked["data_dir"]) == (30, 1e-3, 2.0, Path("d"))
    typed("sweep", "iris", "--over", "rate=0.1,0.2", "--over", "seed=0..4", arguments=asked)
    assert asked["over"] == {"rate": "0.1,0.2", "seed": "0..4"}


# --- a file under the command line -------------------------------------------------------------------------------------------------------


def test_the_command_line_wins_even_where_it_repeats_a_default(asked, tmp_path):
    (tmp_path / "c.toml").write_text('seed = 5\nplan = "eager"\nepochs = 7\nsave-every = 2\n')
    options = typed("train", "digits", "--config", "c.toml", "--seed", "0", "--plan=auto", arguments=asked)
    assert options == Options(seed=0, plan="auto", epochs=7, save_every=2.0)
    assert typed("train", "digits", "--config", "c.toml", arguments=asked) == Options(seed=5, plan="eager", epochs=7, save_every=2.0)


def test_one_file_serves_commands_that_divide_the_rows_themselves(asked, tmp_path):
    (tmp_path / "c.toml").write_text('fold = "1/5"\nsteps = 7\nbatch = 9\n')
    assert typed("check", "digits", "--config", "c.toml", arguments=asked) == Options(steps=7, batch=9)
    typed("find-rate", "digits", "--config", "c.toml", arguments=asked)
    assert (asked["steps"], asked["batch"], asked.get("fold")) == (others.RateRange().steps, 9, None)


@pytest.mark.parametrize(("text", "message"), [
    ('epochs = "3"', "c.toml: epochs expects a whole number; got the text '3'. Write epochs = 3."),
    ('seconds = "1e3"', "c.toml: seconds expects a number; got the text '1e3'. Write seconds = 1000.0."),
    ('epochs = "three"', "c.toml: epochs expects a whole number; got the text 'three'."),
    ("epochs = 3.5", "c.toml: epochs expects a whole number; got 3.5."),
    ("epochs = true", "c.toml: epochs expects a whole number; got True."),
    ("seconds = false", "c.toml: seconds expects a number; got False."),
    ("seed = [0]", "c.toml: seed expects a whole number; got [0]."),
    ("classes = [3, 8]", "c.toml: classes expects text, e.g. '3,8'; got [3, 8]."),
    ("fold = 2020-01-01", "c.toml: fold expects text, e.g. '1/5'; got datetime.date(2020, 1, 1) (date)."),
    ("[class_weights]\nyes = 5", "c.toml: class_weights expects text, e.g. 'yes=5,no=1'; got {'yes': 5}."),
    ("epoch = 3", "c.toml: There is no option 'epoch'. Did you mean epochs?"),
    ("saveevery = 3", "c.toml: There is no option 'saveevery'. Did you mean save_every"),
    ("split-seed = 1\nsplit_seed = 2", "c.toml: split_seed is given twice. Leave one of them out."),
    ("[train]\nepochs = 3", "c.toml: There is no option 'train'. "),
    ("epochs = ", "--config c.toml is not TOML: Invalid value (at end of document)."),
    ("epochs = 0", "--epochs must be at least 1; got 0. Leave it out to have one chosen."),
    ('stages = "towers"', "--stages is layers, none or a rule that learns from batches without targets, e.g. divergence; got 'towers'."),
])
def test_a_file_with_a_mistake_is_one_sentence(text, message, tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "c.toml").write_text(text)
    assert run_command(["train", "digits", "--config", "c.toml"]) == 2
    printed = capsys.readouterr()
    assert printed.err.startswith(message)
    assert len(printed.err.splitlines()) == 1
    assert not printed.out
    assert not (tmp_path / "runs").exists()


def test_a_file_that_cannot_be_read_is_one_sentence(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "folder.toml").mkdir()
    (tmp_path / "latin.toml").write_bytes(b'target = "gr\xf6\xdfe"\n')
    for name, words in (("folder.toml", "cannot be read: Is a directory."), ("latin.toml", "is not TOML: 'utf-8' codec"),
                        ("none.toml", "is not there.")):
        assert run_command(["train", "digits", "--config", name]) == 2
        assert f"--config {name} {words}" in capsys.readouterr().err


# --- wrong types in Python ---------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(("options", "message"), [
    ({"class_weights": {"yes": 5.0, "no": 1.0}}, "class_weights expects text or None, e.g. 'yes=5,no=1'; got {'no': 1.0, 'yes': 5.0}."),
    ({"classes": [3, 8]}, "classes expects text or None, e.g. '3,8'; got [3, 8]."),
    ({"seed": None}, "seed expects a whole number; got None. Leave it out for 0."),
    ({"plan": None}, "plan expects text; got None. Leave it out for 'auto'."),
    ({"epochs": "3"}, "epochs expects a whole number or None; got the text '3'. Write epochs=3."),
    ({"epochs": 2.0}, "epochs expects a whole number or None; got 2.0."),
    ({"epochs": True}, "epochs expects a whole number or None; got True."),
    ({"seconds": True}, "seconds expects a number or None; got True."),
    ({"seconds": 1j}, "seconds expects a number or None; got 1j (complex)."),
    ({"seconds": 10**400}, "seconds expects a number or None; got 1000000"),
    ({"batch": torch.tensor(3)}, "batch expects a whole number or None; got tensor(3) (Tensor)."),
    ({"split": (0.7, 0.3)}, "split expects text or None, e.g. 'train=.7,valid=.15,test=.15'; got (0.7, 0.3)."),
    ({"target": 1.5}, "target expects text or a whole number or None, e.g. 'species'; got 1.5."),
    ({"optimizer": torch.optim.SGD}, "optimizer expects text or None, e.g. 'sgd:rate=0.1,momentum=0.9'; got <class 'torch"),
    ({"net": 3}, "net is a name or a torch.nn.Module; got int."),
    ({"loss": 3}, "loss is a name or a function of (outputs, targets); got int."),
    ({"epoch": 3}, "There is no option 'epoch'. Did you mean epochs"),
    ({"weights": ["a"]}, "weights is a tensor of one number for each row; got list."),
    ({"weights": object()}, "weights is a tensor of one number for each row; got object."),
    ({"out": 3}, "out is a path; got int."), ({"data_dir": 3}, "data_dir is a path; got int."),
    ({"sinks": print}, "sinks is a list of functions of one event; got builtin_function_or_method."),
    ({"sinks": [3]}, "sinks is a list of functions of one event; got int among them."),
    ({"stop": True}, "stop is a chainrule.engine.stop.Stop; got bool."),
    ({"members": "3"}, "members expects a whole number or None; got the text '3'. Write members=3."),
    ({"members": 0}, "--members must be at least 1; got 0. Leave it out to train one net."),
    ({"seed": -1}, "--seed must be a whole number of at least 0 and below 2**63; got -1."),
    ({"split_seed": 2**63}, "--split-seed must be a whole number of at least 0 and below 2**63; got 9223372036854775808."),
    ({"seconds": float("nan")}, "seconds expects a finite number or None; got nan."),
    ({"save_every": -1}, "--save-every must be at least 0; got -1.0."),
])
def test_a_wrong_value_in_python_is_one_sentence(options, message, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    with pytest.raises(InputError) as refused:
        cr.train("digits", progress=False, **options)
    assert str(refused.value).startswith(message)
    assert "\n" not in str(refused.value)
    assert not (tmp_path / "runs").exists()


@pytest.mark.parametrize(("call", "message"), [
    (lambda: cr.boost("iris", rounds="3"), "rounds expects a whole number; got the text '3'. Write rounds=3."),
    (lambda: cr.boost("iris", shrinkage=None), "shrinkage expects a number; got None. Leave it out for 0.5."),
    (lambda: cr.boost("iris", by="adaboost"), "--by is samme or gradient; got 'adaboost'."),
    (lambda: cr.boost("iris", shrinkage=0), "--shrinkage is above 0 and at most 1; got 0.0."),
    (lambda: cr.find_rate("iris", steps=None), "steps expects a whole number; got None. Leave it out for 100."),
    (lambda: cr.find_rate("iris", steps=3), "--steps must be at least 20 to see a slope; got 3. Use --steps 100."),
    (lambda: cr.committee("a", "b", by=3), "by expects text; got 3."),
    (lambda: cr.committee("a", "b", by="median"), "--by is mean, product or vote; got 'median'."),
    (lambda: cr.check("iris", epochs="3"), "epochs expects a whole number or None; got the text '3'. Write epochs=3."),
    (lambda: cr.sweep("iris", over={"seed": (0, 1)}, classes=[1, 2]), "classes expects text or None, e.g. '3,8'; got [1, 2]."),
    (lambda: list(cr.events("iris", seed=None)), "seed expects a whole number; got None. Leave it out for 0."),
])
def test_the_other_functions_refuse_in_one_sentence_too(call, message, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    with pytest.raises(InputError) as refused:
        call()
    assert str(refused.value) == message


def test_numbers_of_numpy_are_numbers():
    options = options_of(None, None, {"epochs": np.int64(3), "seconds": np.float32(0.5), "seed": np.uint8(7), "save_every": 2})
    assert options == Options(epochs=3, seconds=0.5, seed=7, save_every=2.0)
    assert json.loads(json.dumps(options.to_json()))["epochs"] == 3
    assert [type(v) for v in (options.epochs, options.seconds, options.save_every)] == [int, float, float]
    assert type(options_of(None, None, {"target": np.str_("y")}).target) is str


def test_columns_may_be_numbered(tmp_path):
    options = options_of(None, None, {"target": 0, "group": np.int64(1)})
    assert (options.target, options.group) == (0, 1)


def test_weights_come_as_any_numbers():
    for weights in ([1, 2], np.ones(2, np.float32), torch.ones(2)):
        assert own_of(None, None, weights).weights.shape == (2,)
    net, loss = torch.nn.Linear(1, 1), torch.nn.functional.mse_loss
    own = own_of(net, loss)
    assert (own.net, own.loss, own.weights) == (net, loss, None)
    assert own.record() == {"own_net": True, "own_loss": True, "own_weights": False}
    assert own.copied().net is not net
    assert own_of("mlp", "squared").record() == {"own_net": False, "own_loss": False, "own_weights": False}


# --- the parts ---------------------------------------------------------------------------------------------------------------------------


@dataclasses.dataclass(frozen=True)
class Sample:
    """Every kind of range."""

    low: int = option(2, "L.", least=1, advice="Leave it out.")
    open_end: float = option(0.5, "O.", above=0, most=1)
    word: str | None = option(None, "W.", words=("a", "b", "c"))
    sure: str = option("a", "S.", words=("a", "b"))
    shown: bool = option(False, "B.", flag="--show")
    twin: float = same(others.Boosting, "shrinkage")


@pytest.mark.parametrize(("value", "message"), [
    ({"low": 0}, "--low must be at least 1; got 0. Leave it out."), ({"low": 1}, None),
    ({"open_end": 0.0}, "--open-end must be above 0 and at most 1"),
    ({"open_end": 1.0}, None), ({"open_end": 1.1}, "--open-end must be"), ({"open_end": float("nan")}, "--open-end must be"),
    ({"word": "d"}, "--word is a, b or c, or left out; got 'd'."), ({"word": "c"}, None), ({"sure": "c"}, "--sure is a or b; got 'c'."),
    ({"twin": 0.0}, "--twin is above 0 and at most 1; got 0.0."),
])
def test_ranges(value, message):
    if message is None:
        check(Sample(**value))
        return
    with pytest.raises(InputError) as refused:
        check(Sample(**value))
    assert str(refused.value).startswith(message)


def test_a_field_names_its_flag_and_copies_another():
    assert [flag(one) for one in dataclasses.fields(Sample)] == ["--low", "--open-end", "--word", "--sure", "--show", "--twin"]
    assert Sample().twin == others.Boosting().shrinkage
    with pytest.raises(TypeError):
        About("help", lest=1)  # type: ignore[call-arg]


def test_a_misspelt_or_doubled_field_fails_where_the_command_stands():
    with pytest.raises(ValueError, match="epoch: no field of Options"):
        commanding.command(without=("epoch",))

    def twice(options: Options, span: others.RateRange) -> None:
        """Both have steps."""

    with pytest.raises(ValueError, match="duplicate parameter name: 'steps'"):
        commanding.command()(twice)


def test_the_version_is_printed(capsys):
    assert run_command(["--version"]) == 0
    assert capsys.readouterr().out == f"chainrule {cr.__version__}\n"


def test_a_word_after_the_version_changes_nothing(capsys):
    assert run_command(["--version", "train"]) == 0
    assert capsys.readouterr().out == f"chainrule {cr.__version__}\n"


SLOW = ("torch", "numpy", "scipy", "polars", "pandas", "sklearn", "matplotlib", "rich", "jinja2")


@pytest.mark.parametrize("words", [["--help"], ["--version"], ["train", "--help"], ["train", "--epochs", "x"]])
def test_help_and_mistakes_load_nothing_slow(words):
    code = (f"import sys\nfrom chainrule.cli.main import run_command\nrun_command({words!r})\n"
            f"print([name for name in {SLOW!r} if name in sys.modules], file=sys.stderr)")
    process = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True,
                             cwd=Path(main.__file__).parents[2])
    assert process.stderr.splitlines()[-1] == "[]"
