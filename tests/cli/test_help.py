"""The pages of `--help`: every option once, under a title; titles only where a command has an option under them."""

import re

import pytest
import typer

from chainrule.cli.help import COMMANDS, FURTHER, OPTIONS, title_of
from chainrule.cli.main import app, run_command

COMMAND = typer.main.get_command(app)
TITLE = re.compile(r"^([A-Z][^:]*):$", re.M)


def page(capsys, *words):
    assert run_command([*words, "--help"]) == 0
    return capsys.readouterr().out


@pytest.mark.parametrize("name", sorted(COMMAND.commands))
def test_every_option_stands_once_under_its_title(capsys, name):
    shown = page(capsys, name)
    sections = dict(zip(TITLE.findall(shown), re.split(TITLE, shown)[2::2], strict=True))
    command = COMMAND.commands[name]
    for parameter in command.params:
        if parameter.param_type_name != "option":
            continue
        title, flag = title_of(parameter.name), parameter.opts[0]
        holding = [one for one, rows in sections.items() if re.search(rf"^  {flag}\b(?!-)", rows, re.M)]
        assert len(holding) == 1, flag
        assert holding[0] == title or (title == FURTHER and holding == ["Options"])
    assert not set(sections) - {*OPTIONS, FURTHER, "Options", "Arguments"}
    assert max(map(len, shown.splitlines())) <= 80


def test_options_that_do_not_apply_have_no_title(capsys):
    assert "Tables and texts:" in page(capsys, "train")
    assert "Tables and texts:" not in page(capsys, "threshold")


def test_no_field_stands_under_two_titles():
    fields = [name for names in OPTIONS.values() for name in names]
    assert len(fields) == len(set(fields))
    commands = [name for names in COMMANDS.values() for name in names]
    assert len(commands) == len(set(commands))


def test_commands_stand_under_what_they_are_for(capsys):
    shown = page(capsys)
    assert [title for title in TITLE.findall(shown) if title in COMMANDS] == list(COMMANDS)
    for name in COMMAND.commands:
        assert len(re.findall(rf"^  {name}  ", shown, re.M)) == 1, name
    assert max(map(len, shown.splitlines())) <= 80
