"""Commands made of records: each field of the dataclasses that a function takes is a flag or an argument of its command."""

from __future__ import annotations

import dataclasses
import inspect
import keyword
import tomllib
import typing
from collections.abc import Callable, Collection, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any

import typer

from chainrule.core.errors import InputError
from chainrule.core.files import read_plain
from chainrule.core.options import about, check, flag, kinds, main_kind, option, read, required
from chainrule.job.options import Options

Command = Callable[..., None]
CONFIG = Annotated[Path | None, typer.Option("--config", help="A TOML file of these options; the command line wins.")]


@dataclass(frozen=True)
class Printing:
    """What a command prints for programs."""

    as_json: bool = option(False, "Print one JSON object as the last line of stdout.", flag="--json")


@dataclass(frozen=True)
class Ending:
    """What follows a training."""

    test: bool = option(False, "Open the test part at the end.")


@dataclass(frozen=True)
class Listing:
    """How much of a test is listed."""

    full: bool = option(False, "Of a test list every class, not the ten with the lowest recall.")


@dataclass(frozen=True)
class OfRun:
    """The run that a command is about."""

    run: Path = required("A run folder, e.g. runs/digits-mlp-1.", positional=True)


@dataclass(frozen=True)
class Writing:
    """Where a command writes."""

    out: Path | None = option(None, "Where to write.")
    overwrite: bool = option(False, "Replace the file that is there.")


@dataclass(frozen=True)
class NewFolder:
    """The folder that a command makes."""

    out: Path | None = option(None, "The folder to make.")


def command(*, without: Collection[str] = ()) -> Callable[[Command], Command]:
    """Makes a command of a function whose parameters are records; `without` are the fields of `Options` that it does not take.

    Its flags stand in the order of the parameters and their fields. Where it takes `Options`, it has `--config` too; what a TOML file
    says of options in `without` is passed over, since one file may serve several commands.
    """
    unknown = set(without) - {one.name for one in dataclasses.fields(Options)}
    if unknown:
        raise ValueError(f"{', '.join(sorted(unknown))}: no field of Options")

    def decorated(body: Command) -> Command:
        records = {name: hint for name, hint in typing.get_type_hints(body).items() if name != "return"}

        def run(context: typer.Context, **values: Any) -> None:
            config = values.pop("config", None)
            built = {}
            for name, record in records.items():
                own = {one.name: values[one.name] for one in _fields(record, without)}
                built[name] = _under(config, own, typed_in(context, own), without) if record is Options else _checked(record(**own))
            body(**built)

        run.__signature__ = inspect.Signature([*_parameters(records, without)])  # type: ignore[attr-defined]
        run.__annotations__ = {p.name: p.annotation for p in _parameters(records, without)}
        run.__doc__, run.__name__ = body.__doc__, body.__name__
        return run

    return decorated


def _checked(record: Any) -> Any:
    """The record, once its numbers are in their ranges and its words known. Raises InputError naming the option."""
    check(record)
    return record


def typed_in(context: typer.Context, names: Collection[str]) -> list[str]:
    """Those of the options that stand on the command line, whatever their values."""
    return [name for name in names if (source := context.get_parameter_source(name)) is not None and source.name == "COMMANDLINE"]


def stored(path: Path) -> Options:
    """The options of a TOML file. Raises InputError that names the file, and the option, what it expects and what came."""
    return read(Options, _toml(path), where=str(path))


def _under(config: Path | None, values: Mapping[str, Any], typed: Collection[str], without: Collection[str]) -> Options:
    """The options of the command line over those of a file."""
    if config is None:
        return read(Options, values)
    under = {name: value for name, value in dataclasses.asdict(stored(config)).items() if name not in without}
    return read(Options, {**under, **{name: values[name] for name in typed}})


def _toml(path: Path) -> dict[str, Any]:
    try:
        table = tomllib.loads(read_plain(path).decode())
    except FileNotFoundError:
        raise InputError(f"--config {path} is not there.") from None
    except OSError as error:
        raise InputError(f"--config {path} cannot be read: {error.strerror}.") from None
    except (ValueError, RecursionError) as error:       # what is no TOML, no UTF-8, or nested without end
        raise InputError(f"--config {path} is not TOML: {error}.") from None
    spelled = {_field_name(key): value for key, value in table.items()}
    if len(spelled) < len(table):
        twice = next(_field_name(key) for key in table if _field_name(key) != key and _field_name(key) in table)
        raise InputError(f"{path}: {twice} is given twice. Leave one of them out.")
    return spelled


def _field_name(key: str) -> str:
    """The field that a key of a file is about: `save_every` of `save-every`, `from_` of `from`, which Python keeps for itself."""
    return key + "_" if keyword.iskeyword(key) else key.replace("-", "_")


def _fields(record: type, without: Collection[str]) -> list[dataclasses.Field[Any]]:
    return [one for one in dataclasses.fields(record) if record is not Options or one.name not in without]


def _parameters(records: Mapping[str, type], without: Collection[str]) -> Iterator[inspect.Parameter]:
    """What typer reads: the context, and a parameter for each field."""
    yield _parameter("context", typer.Context)
    for record in records.values():
        hints = kinds(record)
        for one in _fields(record, without):
            several = hints[one.name]
            kind = main_kind(several)
            hint = kind | None if type(None) in several else kind
            known = about(one)
            shape = (typer.Argument(help=known.help, metavar=known.metavar) if known.positional
                     else typer.Option(flag(one), help=known.help, metavar=known.metavar))
            default = inspect.Parameter.empty if one.default is dataclasses.MISSING else one.default
            yield _parameter(one.name, Annotated[hint, shape], default)
        if record is Options:
            yield _parameter("config", CONFIG, None)


def _parameter(name: str, annotation: Any, default: Any = inspect.Parameter.empty) -> inspect.Parameter:
    return inspect.Parameter(name, inspect.Parameter.KEYWORD_ONLY, annotation=annotation, default=default)
