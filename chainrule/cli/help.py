"""The pages of `--help`: options under titles that say what they are about, commands under what they are for."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

from typer.core import TyperCommand, TyperGroup

FURTHER = "Further options"
OPTIONS: dict[str, tuple[str, ...]] = {     # titles, each with the names of the fields that stand under it
    "Net and task": ("net", "task", "loss", "init", "from", "freeze", "constraint", "members"),
    "Learning": ("rule", "optimizer", "schedule", "epochs", "steps", "seconds", "batch", "patience", "seed", "snapshots",
                 "class_weights", "augment", "bootstrap", "buckets"),
    "Learning layer by layer": ("stages", "stage_epochs", "stage_optimizer"),
    "Data and its parts": ("scale", "split", "split_seed", "group", "time", "weight", "fold", "folds", "classes", "data_dir"),
    "Tables and texts": ("target", "columns", "text", "missing", "decimal", "separator", "encoding", "dates", "header", "tokens",
                         "skip_bad", "drop_unlabelled"),
    "Series": ("horizon", "lags", "fill"),
    "Pictures": ("resize", "views"),
    "How steps are run": ("plan", "precision", "device", "threads", "processes", "save_every"),
    "What is watched": ("look", "doctor", "live", "log"),
    "What is written": ("out", "overwrite", "test", "full", "as_json", "config", "no_open", "port"),
}
COMMANDS: dict[str, tuple[str, ...]] = {
    "Train": ("train", "resume", "repeat", "sweep", "boost", "committee", "find-rate"),
    "Judge": ("test", "compare", "check", "threshold", "doctor"),
    "Use": ("predict", "sample", "encode", "export"),
    "Look": ("report", "picture", "serve", "describe", "list", "solve"),
    "Published results": ("recipe", "canon", "bench"),
}


class TitledOptions(TyperCommand):
    """A command whose options stand under titles; of these only those under which it has an option."""

    def format_options(self, ctx: Any, formatter: Any) -> None:
        arguments, options = [], dict[str, list[tuple[str, str]]]()
        for parameter in self.get_params(ctx):
            record = parameter.get_help_record(ctx)
            if record is None:
                continue
            if parameter.param_type_name == "argument":
                arguments.append(record)
            else:
                options.setdefault(title_of(parameter.name or ""), []).append(record)
        if list(options) == [FURTHER]:
            options = {"Options": options[FURTHER]}
        ordered = {title: options[title] for title in (*OPTIONS, FURTHER, "Options") if title in options}
        _write(formatter, {"Arguments": arguments, **ordered})


class TitledCommands(TyperGroup):
    """The commands under what they are for."""

    def format_commands(self, ctx: Any, formatter: Any) -> None:
        titled: dict[str, list[tuple[str, str]]] = {title: [] for title in COMMANDS}
        longest = max(map(len, self.list_commands(ctx)), default=0)
        for name in self.list_commands(ctx):
            one = self.get_command(ctx, name)
            if one is None or one.hidden:
                continue
            title = next((title for title, names in COMMANDS.items() if name in names), "Further commands")
            titled.setdefault(title, []).append((name.ljust(longest), one.get_short_help_str(formatter.width - 6 - longest)))
        _write(formatter, titled)


def title_of(field: str) -> str:
    """Under which title the option of a field stands."""
    return next((title for title, names in OPTIONS.items() if field.rstrip("_") in names), FURTHER)


def _write(formatter: Any, titled: Mapping[str, Iterable[tuple[str, str]]]) -> None:
    for title, rows in titled.items():
        if listed := list(rows):
            with formatter.section(title):
                formatter.write_dl(listed)
