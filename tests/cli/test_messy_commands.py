"""Messy files from the command line: read and trained on, or refused in one sentence, and looked at in the same way."""

import pytest
from messy_files import CASES

from chainrule.cli.main import run_command

READ, REFUSED = ([case for case in CASES if bool(case.error) == refused] for refused in (False, True))


def run(tmp_path, command, case, *more):
    (tmp_path / case.name).write_bytes(case.content)
    target = [] if case.target is None else ["--target", str(case.target)]
    options = [word for name, value in case.options.items()
               for word in (f"--{name.replace('_', '-')}", *([] if value is True else [str(value)]))]
    return run_command([command, str(tmp_path / case.name), "--out", str(tmp_path / "out"), *target, *options, *more])


@pytest.mark.parametrize("case", READ[::4], ids=lambda case: case.name)
def test_train_says_how_a_file_was_read(tmp_path, capsys, case):
    assert run(tmp_path, "train", case, "--epochs", "1", "--net", "linear", "--plan", "eager") == 0
    assert case.note in capsys.readouterr().err


@pytest.mark.parametrize("case", READ[2::8], ids=lambda case: case.name)
def test_check_says_the_same(tmp_path, capsys, case):
    assert run(tmp_path, "check", case) == 0
    assert case.note in capsys.readouterr().out


@pytest.mark.parametrize("command", ["train", "check"])
@pytest.mark.parametrize("case", REFUSED, ids=lambda case: case.name)
def test_a_refusal_is_one_sentence(tmp_path, capsys, case, command):
    assert run(tmp_path, command, case) == 2
    out, err = capsys.readouterr()
    *before, said = err.strip().splitlines()
    assert case.error in said
    assert all("is what is predicted" in line for line in before)
    assert not (tmp_path / "out").exists()
    assert out == ""
