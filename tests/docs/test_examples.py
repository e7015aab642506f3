"""The examples in docstrings give what they show, each module's in a folder of its own; every public name has one."""

import doctest
import importlib
import inspect

import pytest
from structure import files, module_of

import chainrule

MODULES = [module_of(path) for path in files() if ">>> " in path.read_text()]


@pytest.mark.parametrize("name", MODULES)
def test_the_examples_of_a_module_give_what_they_show(name, tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    module = importlib.import_module(name)
    done = doctest.testmod(module, optionflags=doctest.ELLIPSIS)
    assert done.attempted
    assert not done.failed, capsys.readouterr().out


@pytest.mark.parametrize("name", [name for name in chainrule.__all__ if not inspect.isclass(getattr(chainrule, name))])
def test_every_public_function_has_an_example(name):
    assert ">>> " in (inspect.getdoc(getattr(chainrule, name)) or "")


def test_an_example_that_shows_something_else_is_found():
    wrong = doctest.DocTestParser().get_doctest(">>> 1 + 1\n3\n", {}, "wrong", None, 0)
    assert doctest.DocTestRunner(verbose=False).run(wrong, out=lambda _: None).failed == 1
