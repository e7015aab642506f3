"""Where a folder cannot be made is said before data is read, which may take minutes."""

import pytest

import chainrule as cr
from chainrule.core.errors import InputError


def commands(out):
    return {
        "train": lambda: cr.train("nowhere.csv", out=out), "members": lambda: cr.train("nowhere.csv", members=2, out=out),
        "sweep": lambda: cr.sweep("nowhere.csv", over={"seed": (0, 1)}, out=out),
        "boost": lambda: cr.boost("nowhere.csv", net="mlp:hidden=4", out=out), "check": lambda: cr.check("nowhere.csv", out=out),
        "find-rate": lambda: cr.find_rate("nowhere.csv", out=out)}


@pytest.mark.parametrize("name", commands(None))
def test_a_file_in_the_place_of_the_folder_is_refused_before_the_data_is_read(name, tmp_path):
    (tmp_path / "taken").write_text("mine")
    with pytest.raises(InputError, match="taken is a file; a folder is expected"):
        commands(tmp_path / "taken")[name]()
    assert (tmp_path / "taken").read_text() == "mine"


@pytest.mark.parametrize("name", commands(None))
@pytest.mark.parametrize("record", ["run.json", "committee.json"])
def test_so_is_a_folder_that_holds_something_already(name, record, tmp_path):
    (tmp_path / "taken").mkdir()
    (tmp_path / "taken" / record).write_text("{}")
    with pytest.raises(InputError, match="taken already holds a"):
        commands(tmp_path / "taken")[name]()
