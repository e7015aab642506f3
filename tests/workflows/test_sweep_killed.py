"""A sweep that was killed before it said what it is made of is started again by the same command."""

import pytest

import chainrule as cr
from chainrule.core.errors import InputError
from chainrule.runs.folder import SWEEP, Folder
from chainrule.workflows import sweep as workflow

OVER = {"seed": (0, 1, 2)}
ASKED = {"net": "mlp:hidden=4", "epochs": 2, "plan": "eager", "progress": False}


class Killed(BaseException):
    """As SIGKILL: nothing catches it."""


@pytest.mark.parametrize("members", [1, 2, 3])
def test_it_starts_again_under_the_same_name(members, tmp_path, monkeypatch):
    laid, lay_down = [], workflow.lay_down

    def killed(folder, *rest):
        laid.append(folder)
        if len(laid) > members:
            raise Killed
        lay_down(folder, *rest)

    def write_json(folder, name, value):
        if name == SWEEP:
            raise Killed
        original(folder, name, value)

    original = Folder.write_json
    with monkeypatch.context() as patch:
        patch.setattr(workflow, "lay_down", killed)
        patch.setattr(Folder, "write_json", write_json)
        with pytest.raises(Killed):
            cr.sweep("iris", over=OVER, out=tmp_path / "s", **ASKED)
    assert not (tmp_path / "s" / SWEEP).exists()
    again = cr.sweep("iris", over=OVER, out=tmp_path / "s", **ASKED)
    assert [len(run.history) for run in again.runs] == [2, 2, 2]


def test_a_run_that_was_trained_is_not_replaced(tmp_path):
    cr.train("iris", out=tmp_path / "s" / "seed=1", **ASKED)
    with pytest.raises(InputError, match="already holds a run"):
        cr.sweep("iris", over=OVER, out=tmp_path / "s", **ASKED)
    assert len(cr.Run(tmp_path / "s" / "seed=1").history) == 2
