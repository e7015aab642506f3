"""The command line: `chainrule COMMAND`; results on stdout, progress on stderr, one sentence for a mistake."""

from __future__ import annotations

import contextlib
import errno
import gc
import os
import re
import sys
from typing import Annotated

import typer

import chainrule
from chainrule.bench.command import bench
from chainrule.cli.canon import canon
from chainrule.cli.check import check
from chainrule.cli.crash import crashed
from chainrule.cli.describe import describe
from chainrule.cli.doctor import doctor
from chainrule.cli.encode import encode
from chainrule.cli.ensemble import boost, committee
from chainrule.cli.evaluation import compare, test
from chainrule.cli.find_rate import find_rate
from chainrule.cli.help import TitledCommands, TitledOptions
from chainrule.cli.names import list_names
from chainrule.cli.output import to_stderr
from chainrule.cli.picture import picture
from chainrule.cli.predict import predict
from chainrule.cli.recipe import recipe
from chainrule.cli.report import export, report
from chainrule.cli.sample import sample
from chainrule.cli.serve import serve
from chainrule.cli.signals import SIGNALS, again, as_interrupted, end_by_signal, heed_no_longer
from chainrule.cli.solve import solve
from chainrule.cli.sweep import sweep
from chainrule.cli.threshold import threshold
from chainrule.cli.train import repeat, resume, train
from chainrule.core.errors import ChainruleError, InputError, Interrupted, nearest
from chainrule.core.terminal import OutputFailed, Printable

COMMANDS = {
    "train": train, "sweep": sweep, "check": check, "find-rate": find_rate, "picture": picture, "boost": boost, "committee": committee,
    "resume": resume, "test": test, "predict": predict, "compare": compare, "bench": bench, "recipe": recipe, "canon": canon,
    "repeat": repeat, "list": list_names, "describe": describe, "report": report, "export": export,
    "threshold": threshold, "doctor": doctor, "solve": solve, "sample": sample, "encode": encode, "serve": serve,
}
MOST_SIGNS = 255        # of the name of a file, on the file systems that are usual
PATHS = ("--out", "--data-dir", "--config", "--on", "--from", "--record")
app = typer.Typer(cls=TitledCommands, add_completion=False, no_args_is_help=True, pretty_exceptions_enable=False, rich_markup_mode=None,
                  help="Train every network of the neural-network canon on your own data: fast, visibly and honestly.")
for name, one in COMMANDS.items():
    app.command(name, cls=TitledOptions)(one)


def _print_version(asked: bool) -> None:
    if asked:
        print(f"chainrule {chainrule.__version__}")
        raise typer.Exit


@app.callback()
def options(version: Annotated[bool, typer.Option("--version", help="Print the version.", is_eager=True,
                                                  callback=_print_version)] = False) -> None:
    """Options before the command."""


def main() -> None:
    """Run the command line; every mistake of the user is one sentence on stderr and exit code 2."""
    gc.set_threshold(50_000, 20, 100)  # importing torch makes many objects that last: going through them again took 6 % of a short run
    open_streams()
    end_by_signal()
    sys.stdout, sys.stderr = Printable(sys.stdout), Printable(sys.stderr)
    code = run_command(sys.argv[1:])
    heed_no_longer()
    sys.exit(code)


def run_command(arguments: list[str]) -> int:
    """The exit code of `chainrule *arguments`."""
    try:
        _check_paths(arguments)
        with as_interrupted():
            code = app(arguments, standalone_mode=False)
        if code == SIGNALS["SIGINT"]:  # what the parser makes of SIGINT, without a word
            raise KeyboardInterrupt
        sys.stdout.flush()  # here, where a reader that has gone is met quietly
    except SystemExit:  # what the parser makes of a reader that closed the pipe, `| head -1`: no failure of the command
        return 0
    except typer.TyperException as error:
        context = getattr(error, "ctx", None)
        command = context.command_path if context else " ".join(["chainrule", *(word for word in arguments[:1] if word in COMMANDS)])
        if type(error).__name__ == "NoArgsIsHelpError":
            print(error.format_message())
            return 0
        to_stderr(f"{_mistake(error, arguments)} See {command} --help.")
        return 2
    except ChainruleError as error:
        to_stderr(again(str(error), arguments) if isinstance(error, Interrupted) else str(error))
        return SIGNALS.get(getattr(error, "signal", ""), error.exit_code)
    except (KeyboardInterrupt, typer.Abort):
        print(again("Interrupted.", arguments), file=sys.stderr)
        return SIGNALS["SIGINT"]
    except BrokenPipeError:
        _give_up_stdout()
        return 0
    except OSError as error:
        return _failed(error, arguments)
    except BaseException as error:  # panics of compiled parsers are no Exception
        with contextlib.suppress(OSError, ValueError):
            print(crashed(error, arguments), file=sys.stderr)
        return 1
    return code or 0


def open_streams() -> None:
    """Standard streams that are closed lead nowhere: else the next file that is opened would take their place, and be printed into."""
    for number, name, mode in ((0, "stdin", "r"), (1, "stdout", "w"), (2, "stderr", "w")):
        try:
            os.fstat(number)
        except OSError:
            os.open(os.devnull, os.O_RDWR)                      # takes the lowest number that is free, which is this one
        if getattr(sys, name) is None:
            setattr(sys, name, open(number, mode, closefd=False))  # noqa: SIM115 (as long as the process lives)


def _check_paths(arguments: list[str]) -> None:
    """Raises InputError for an option of a path that is given nothing, which would be the folder one is in."""
    for at, word in enumerate(arguments):
        name, equals, value = word.partition("=")
        given = value if equals else arguments[at + 1] if at + 1 < len(arguments) else None
        if name in PATHS and given == "":
            raise InputError(f"{name} is given nothing; expected a path. Write . for the folder that you are in.")
        if name in PATHS and given and len(longest := max(given.split(os.sep), key=len)) > MOST_SIGNS:
            raise InputError(f"{name}: '{longest[:40]}...' has {len(longest)} characters; a name has at most {MOST_SIGNS}. Use a shorter "
                             "one.")


def _failed(error: OSError, arguments: list[str]) -> int:
    """The exit code after a failure of the system; what a user can put right is said without a traceback."""
    if isinstance(error, OutputFailed):
        _give_up_stdout()
        with contextlib.suppress(OSError, ValueError):
            print(f"The output cannot be written: {error.strerror or error}.", file=sys.stderr)
        return 1
    if error.errno == errno.ENAMETOOLONG:
        name = str(error.filename)
        print(f"'{name[:40]}...' has {len(name)} characters, more than a name may have here. Use a shorter one.", file=sys.stderr)
        return 2
    print(crashed(error, arguments), file=sys.stderr)
    return 1


def _give_up_stdout() -> None:
    """Print nowhere from here on: what is left in the buffer would fail again when the process ends."""
    with contextlib.suppress(OSError, ValueError):
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())


def _mistake(error: typer.TyperException, arguments: list[str]) -> str:
    """What was typed wrong, with the nearest option offered."""
    name, near = getattr(error, "option_name", None), getattr(error, "possibilities", None)
    if name and near is not None:
        near = nearest(name, near)
        return f"There is no option {name}." + (f" Did you mean {' or '.join(near)}?" if near else "")
    if name and "requires an argument" in error.format_message():
        return f"{name} lacks its value."
    param = getattr(error, "param", None)
    flag = (getattr(param, "opts", None) or [""])[-1]
    if type(error).__name__ == "MissingParameter" and param is not None:
        return f"{flag if flag.startswith('-') else param.metavar or flag.upper()} is missing: {param.help}"
    for at, word in enumerate(arguments):
        before = arguments[at - 1] if at else ""
        if before == flag != "" and "valid integer" in error.format_message():
            return f"{flag} expects a whole number; got '{word}'."
        if before == flag != "" and "valid number" in error.format_message():
            return f"{flag} expects a number; got '{word}'."
        if re.fullmatch("--[a-z-]+", before) and re.fullmatch("--[a-z-]+", word) and "extra argument" in error.format_message():
            return f"{before} may lack its value, since {word} follows it: {error.format_message()}."
    message = error.format_message()
    return message if message.endswith((".", "?")) else message + "."
