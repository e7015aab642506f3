"""A run stands alone: its data deleted and its folder moved, it predicts, reports and is exported as before, to the byte."""

from __future__ import annotations

import random
import shutil
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from safetensors.torch import load_file

import chainrule as cr
from chainrule.cli.main import run_command

QUICK = ("--plan", "eager", "--threads", "1")


def table(path: Path, *, rows: int = 60, target: bool = True) -> None:
    lines = [f"{i % 7},{'uv'[i % 2]},{'yes' if (i % 7 < 3) != (i % 11 == 0) else 'no'}" for i in range(rows)]
    path.write_text("\n".join(["a,b,y", *lines]) if target else "\n".join(["a,b", *(line.rsplit(",", 1)[0] for line in lines)]))


def pictures(folder: Path, each: int, seed: int) -> None:
    draw = np.random.default_rng(seed)
    for name, low in (("dark", 0), ("light", 120)):
        (folder / name).mkdir(parents=True)
        for i in range(each):
            Image.fromarray(draw.integers(low, low + 130, (6, 6), np.uint8)).save(folder / name / f"{i}.png")


def text(path: Path, length: int) -> None:
    draw = random.Random(length)
    path.write_text("".join(draw.choice(["ab ", "abc ", "ba "]) for _ in range(length // 3)))


def of_table(folder: Path) -> tuple[list[tuple[str, ...]], Path, Path]:
    table(folder / "train.csv")
    table(folder / "new.csv", rows=9, target=False)
    return [("train", "train.csv", "--net", "mlp:hidden=4", "--epochs", "2", "--out", "run", *QUICK)], folder / "train.csv", Path("run")


def of_numbers(folder: Path) -> tuple[list[tuple[str, ...]], Path, Path]:
    lines = [f"{i % 7},{i % 5},{2.5 * (i % 7) - i % 5}" for i in range(60)]
    (folder / "train.csv").write_text("\n".join(["a,b,z", *lines]))
    (folder / "new.csv").write_text("\n".join(["b,a,z", *(f"{i % 5},{i % 7}," for i in range(9))]))
    command = ("train", "train.csv", "--target", "z", "--net", "expert-values:experts=2,hidden=0", "--epochs", "2", "--out", "run", *QUICK)
    return [command], folder / "train.csv", Path("run")


def of_text(folder: Path) -> tuple[list[tuple[str, ...]], Path, Path]:
    text(folder / "train.txt", 3000)
    text(folder / "new.txt", 240)
    return [("train", "train.txt", "--net", "rnn:hidden=4", "--epochs", "1", "--out", "run", *QUICK)], folder / "train.txt", Path("run")


def of_pictures(folder: Path) -> tuple[list[tuple[str, ...]], Path, Path]:
    pictures(folder / "pictures", 20, 0)
    pictures(folder / "new", 3, 1)
    return [("train", "pictures", "--net", "softmax", "--epochs", "1", "--out", "run", *QUICK)], folder / "pictures", Path("run")


def of_a_member(folder: Path) -> tuple[list[tuple[str, ...]], Path, Path]:
    commands, data, _ = of_table(folder)
    return [(*commands[0], "--members", "2")], data, Path("run/seed=1")


def of_a_committee(folder: Path) -> tuple[list[tuple[str, ...]], Path, Path]:
    _, data, _ = of_table(folder)
    sweep = ("sweep", "train.csv", "--over", "bootstrap=1..3", "--net", "mlp:hidden=4", "--epochs", "2", "--out", "run/sweep", *QUICK)
    return [sweep, ("committee", "run/sweep", "--out", "run/all")], data, Path("run/all")


def of_snapshots(folder: Path) -> tuple[list[tuple[str, ...]], Path, Path]:
    commands, data, _ = of_table(folder)
    return [(*commands[0][:-6], "--epochs", "4", "--snapshots", "2", "--out", "run/one", *QUICK),
            ("committee", "run/one", "--out", "run/all")], data, Path("run/all")


def boosted(by: str):
    def of_boosting(folder: Path) -> tuple[list[tuple[str, ...]], Path, Path]:
        _, data, _ = of_table(folder)
        return [("boost", "train.csv", "--rounds", "2", "--by", by, "--net", "mlp:hidden=4", "--epochs", "20", "--optimizer",
                 "adam:rate=0.05", "--out", "run", *QUICK)], data, Path("run")

    return of_boosting


def answers(place: Path, run: Path, new: Path, monkeypatch, capsys) -> dict[str, bytes]:
    """What the commands write and say, called in `place`, where the run's folder has the same name as ever."""
    monkeypatch.chdir(place)
    out = Path("out")
    out.mkdir()
    capsys.readouterr()
    assert run_command(["predict", str(run), str(new), "--out", str(out / "said.csv")]) == 0, capsys.readouterr().err
    assert run_command(["report", str(run), "--out", str(out / "page.html")]) == 0, capsys.readouterr().err
    for to in ("safetensors", "pt2"):
        code = run_command(["export", str(run), "--to", to, "--out", str(out / f"net.{to}")])
        said = capsys.readouterr()
        assert code == 0 or "cannot be written as pt2" in said.err, said.err
        (out / f"{to}.txt").write_text(said.out + said.err)
    weights = load_file(out / "net.safetensors")    # the order of its header differs from call to call
    written = {path.name: path.read_bytes() for path in out.iterdir() if path.suffix in (".csv", ".html", ".txt")}
    return written | {name: t.numpy().tobytes() for name, t in weights.items()}


def remove(data: Path) -> None:
    if data.is_dir():
        shutil.rmtree(data)
    else:
        data.unlink()


CASES = {"table": of_table, "numbers": of_numbers, "text": of_text, "pictures": of_pictures, "a member": of_a_member,
         "a committee": of_a_committee, "snapshots": of_snapshots, "samme": boosted("samme"), "gradient": boosted("gradient")}


@pytest.mark.parametrize("case", CASES)
def test_a_moved_run_without_its_data_answers_to_the_byte(tmp_path, monkeypatch, capsys, case):
    first, second = tmp_path / "first", tmp_path / "second"
    first.mkdir()
    second.mkdir()
    commands, data, run = CASES[case](first)
    new = next(path for path in first.iterdir() if path.stem == "new")
    new = Path(shutil.move(new, tmp_path / new.name))
    monkeypatch.chdir(first)
    for command in commands:
        assert run_command([*command]) == 0, capsys.readouterr().err
    before = answers(first, run, new, monkeypatch, capsys)
    remove(data)
    shutil.move(first / run.parts[0], second / run.parts[0])
    after = answers(second, run, new, monkeypatch, capsys)
    assert before.keys() == after.keys() > {"said.csv", "page.html", "safetensors.txt", "pt2.txt"}
    assert [name for name in before if before[name] != after[name]] == []
    verbs = ("test", "repeat") if (second / run / "committee.json").exists() else ("test", "resume", "repeat")
    for verb in verbs:
        capsys.readouterr()
        assert run_command([verb, str(run)]) == 2
        said = capsys.readouterr().err
        assert said.count("\n") == 1
        assert f"{data} is not there any more. Put it back" in said


def test_a_named_set_is_found_again_wherever_the_folder_lies(tmp_path, monkeypatch, capsys):
    first, second = tmp_path / "first", tmp_path / "second"
    first.mkdir()
    second.mkdir()
    monkeypatch.chdir(first)
    assert run_command(["train", "digits", "--net", "softmax", "--epochs", "1", "--out", "run", *QUICK]) == 0
    table(tmp_path / "wrong.csv", rows=3)
    before = answers(first, Path("run"), Path("digits"), monkeypatch, capsys)
    shutil.move("run", second / "run")
    assert answers(second, Path("run"), Path("digits"), monkeypatch, capsys) == before
    assert run_command(["test", "run"]) == 0


def test_a_row_appended_to_the_training_file_disturbs_no_prediction(tmp_path, monkeypatch, capsys):
    commands, data, run = of_table(tmp_path)
    monkeypatch.chdir(tmp_path)
    assert run_command([*commands[0]]) == 0
    before = answers(tmp_path, run, tmp_path / "new.csv", monkeypatch, capsys)
    shutil.rmtree(tmp_path / "out")
    with data.open("a") as file:
        file.write("\n3,w,perhaps")
    assert answers(tmp_path, run, tmp_path / "new.csv", monkeypatch, capsys) == before
    assert run_command(["test", "run"]) == 2
    assert "train has changed since run was trained" in capsys.readouterr().err


def test_two_tested_runs_are_compared_without_their_data(tmp_path, monkeypatch, capsys):
    table(tmp_path / "train.csv")
    monkeypatch.chdir(tmp_path)
    for name in ("one", "other"):
        command = ["train", "train.csv", "--net", f"mlp:hidden={len(name)}", "--epochs", "1", "--out", name, "--test", *QUICK]
        assert run_command(command) == 0
    capsys.readouterr()
    assert run_command(["compare", "one", "other"]) == 0
    before = capsys.readouterr().out
    (tmp_path / "train.csv").unlink()
    assert run_command(["compare", "one", "other"]) == 0
    assert capsys.readouterr().out == before
    assert run_command(["compare", "one", "knn"]) == 2
    assert "is not there any more" in capsys.readouterr().err


def test_a_folder_of_the_old_layout_is_refused_by_its_version(tmp_path, monkeypatch, capsys):
    """Format 2 had one encoder for inputs and targets."""
    commands, _, run = of_table(tmp_path)
    monkeypatch.chdir(tmp_path)
    assert run_command([*commands[0]]) == 0
    record = (run / "run.json").read_text()
    assert '"format": 3' in record
    (run / "run.json").write_text(record.replace('"format": 3', '"format": 2'))
    for verb in ("predict", "report"):
        capsys.readouterr()
        assert run_command([verb, "run", *(["new.csv"] if verb == "predict" else [])]) == 2
        assert capsys.readouterr().err == (f"run/run.json was written by chainrule {cr.__version__} (format 2); this is {cr.__version__} "
                                           "(format 3). Use the version that wrote it, or train again.\n")
