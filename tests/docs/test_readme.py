"""README and CONTRIBUTING are true: their commands and their code run, in short forms, and their tables name what there is."""

import contextlib
import io
import os
import re
import shlex
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import typer

import chainrule
from chainrule.cli.main import app, run_command
from chainrule.core.events import Finished
from chainrule.core.registry import datasets, measures, nets, pictures, rules, tasks

ROOT = Path(__file__).parents[2]
README = (ROOT / "README.md").read_text()
CONTRIBUTING = (ROOT / "CONTRIBUTING.md").read_text()
SHORT = {"mnist": "--steps 2 --classes 3,8 --split train=.9,valid=.05,test=.05 --plan eager",
         "flowers.csv": "--net ensemble:hidden=8 --folds 5 --epochs 3", "digits": "--epochs 3"}
NOT_TOLD = {"lock", "lock.guard", "previous.safetensors", "net.safetensors"}  # of the run folder: bookkeeping, and what export wrote


@dataclass
class Example:
    """A command of a README, the lines shown below it, and the heading it stands under."""

    command: str
    shown: list[str]
    heading: str

    @property
    def arguments(self) -> list[str]:
        """What is run: trained for a moment rather than to the end."""
        words = shlex.split(self.command)[1:]
        return words + (shlex.split(SHORT[words[1]]) if words[0] == "train" else [])


def blocks(page: str, language: str) -> list[tuple[str, str]]:
    """The fenced blocks of a language, each with the heading it stands under."""
    found, heading, inside, kept = [], "", None, []
    for line in page.splitlines():
        if line.startswith("```"):
            if inside == language:
                found.append((heading, "\n".join(kept)))
            inside, kept = (line[3:] if inside is None else None), []
        elif inside is not None:
            kept.append(line)
        elif line.startswith("#"):
            heading = line.lstrip("# ")
    return found


def examples(page: str) -> list[Example]:
    """Every `$ command` of the console blocks, in order."""
    found: list[Example] = []
    for heading, text in blocks(page, "console"):
        for line in text.splitlines():
            if line.startswith("$ "):
                found.append(Example(line[2:], [], heading))
            else:
                found[-1].shown.append(line)
    return found


EXAMPLES = examples(README)


def section(heading: str) -> str:
    return re.split(r"^#+ ", README.split(f"# {heading}\n", 1)[1], maxsplit=1, flags=re.M)[0]


def named(text: str) -> set[str]:
    """The first column of a table: what stands in backquotes there."""
    cells = [line.split("|")[1] for line in text.splitlines() if line.startswith("| `")]
    return {word for cell in cells for word in re.findall(r"`([^`]+)`", cell)}


@pytest.fixture(scope="module")
def folder(tmp_path_factory) -> Path:
    """Where the commands run: with the table that the README speaks of."""
    from sklearn.datasets import load_iris

    here, iris = tmp_path_factory.mktemp("readme"), load_iris()
    rows = [",".join([*map(str, x), iris.target_names[y]]) for x, y in zip(iris.data, iris.target, strict=True)]
    (here / "flowers.csv").write_text("\n".join(["sepal length,sepal width,petal length,petal width,species", *rows]) + "\n")
    return here


@pytest.fixture(scope="module")
def outcomes(folder) -> dict[str, tuple[int, str]]:
    """Every command of the README run in order in one folder: its exit code, and what it printed."""
    found = {}
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(folder)
        for example in EXAMPLES:
            if "mnist" in example.command and not has_mnist():
                continue
            said = io.StringIO()
            with contextlib.redirect_stdout(said), contextlib.redirect_stderr(said):
                code = run_command(example.arguments)
            found[example.command] = code, said.getvalue()
    return found


def has_mnist() -> bool:
    return (Path(os.environ.get("CHAINRULE_DATA", "")) / "train-images-idx3-ubyte.gz").is_file()


@pytest.mark.parametrize("example", EXAMPLES, ids=lambda e: e.command)
def test_a_command_ends_as_the_readme_says_and_prints_the_lines_it_shows(example, outcomes):
    if example.command not in outcomes:
        pytest.skip("needs MNIST in the folder that CHAINRULE_DATA names")
    code, said = outcomes[example.command]
    assert code == (2 if example.heading == "When something is wrong" else 0), said
    for line in example.shown:
        assert line in said.splitlines()


def test_the_examples_were_found():
    commands = {e.command.split()[1] for e in EXAMPLES}
    assert commands == {"train", "predict", "compare", "sweep", "committee", "resume", "repeat", "list", "describe", "report", "export",
                        "test", "threshold", "solve"}
    assert sum(len(e.shown) for e in EXAMPLES) >= 5


def test_the_code_of_the_readme_runs(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    namespace: dict = {}
    for _, code in blocks(README, "python"):
        exec(compile(code, "README.md", "exec"), namespace)
    said = capsys.readouterr().out
    assert "errors in 269 cases" in said
    assert "torch.Size([1, 10])" in said
    assert namespace["result"].opened == 1
    assert namespace["own"].net is namespace["module"]


def test_the_table_of_a_run_folder_names_its_files(outcomes, folder):
    files = {p.name for p in (folder / "runs" / "digits-mlp-1").iterdir()}
    where_asked = {"threshold.json", "start.safetensors", "intervals.safetensors", "commands.jsonl", "columns.json"}   # of some runs
    assert named(section("What a run folder holds")) == files - NOT_TOLD | where_asked
    assert (folder / "runs" / "openings.jsonl").exists()


def test_the_table_of_options_names_them_all():
    command = typer.main.get_command(app).commands["train"]
    flags = {flag for p in command.params for flag in p.opts if flag.startswith("--")} - {"--help"}
    assert named(section("Options of `train`")) == flags


def test_every_named_set_is_told_where_data_is_found():
    assert set(re.findall(r"`([a-z][a-z0-9-]+)`", section("Where data is found"))) == set(datasets.names())


def test_every_make_target_spoken_of_exists_and_ci_runs_the_readmes():
    targets = set(re.findall(r"^([a-z]+):", (ROOT / "Makefile").read_text(), re.M))
    spoken = set(re.findall(r"(?:`|^)make ([a-z]+)", README + CONTRIBUTING, re.M))
    assert {"digits", "test", "check"} <= spoken <= targets
    ci = ROOT / ".ci" / "run"
    assert os.access(ci, os.X_OK)
    assert "\nmake test\nmake check\n" in ci.read_text()


def test_the_family_the_rule_the_reader_the_task_the_measure_and_the_picture_of_contributing_work(monkeypatch, tmp_path):
    for registry in (nets, rules, datasets, tasks, measures, pictures):
        registry.discover()
        monkeypatch.setattr(registry, "_entries", dict(registry._entries))
    namespace: dict = {"__name__": "contributing"}
    for _, code in blocks(CONTRIBUTING, "python"):
        exec(compile(code, "CONTRIBUTING.md", "exec"), namespace)
    for test in [name for name in namespace if name.startswith("test_")]:
        namespace[test]()
    *_, finished = chainrule.events("half-circles", net="rbf:centres=20", rule="signs", epochs=10)
    assert isinstance(finished, Finished)
    assert finished.best["accuracy"] > 0.8
    *_, finished = chainrule.events("half-circles", net="mlp:hidden=30", rule="two-speeds:output=(sgd:rate=0.3,momentum=0.9)",
                                    constraint="output=max-norm:9", epochs=20)
    assert finished.best["accuracy"] > 0.8
    frame = pd.DataFrame({"dose": np.arange(120.0) % 40, "visits": np.arange(120) % 40 + np.arange(120) % 3})
    run = chainrule.train(frame, target="visits", task="counts", net="linear", rule="closedform", out=tmp_path / "run", progress=False)
    result = run.test()
    m = result.measures["within-one"]
    assert 0 <= m.low <= m.value <= m.high <= 1
    assert m.value > 0.5
    assert f"{100 * m.value:.2f} %" in next(line for line in str(result).splitlines() if "within-one" in line)
    assert (tmp_path / "run" / "hanging-bars.png").read_bytes().startswith(b"\x89PNG")


def test_a_block_a_table_and_a_shown_line_are_read_as_such():
    page = "# A\n```console\n$ chainrule list nets\nmlp\n```\n## B\n```python\nx = 1\n```\n"
    assert blocks(page, "python") == [("B", "x = 1")]
    assert examples(page) == [Example("chainrule list nets", ["mlp"], "A")]
    assert named("| file | what |\n|---|---|\n| `a`, `b` | `c` |") == {"a", "b"}
