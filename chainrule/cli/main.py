"""The command line: `chainrule COMMAND`; results on stdout, progress on stderr, one sentence for a mistake."""

from __future__ import annotations

import contextlib
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
from chainrule.cli.signals import SIGNALS
from chainrule.cli.solve import solve
from chainrule.cli.sweep import sweep
from chainrule.cli.threshold import threshold
from chainrule.cli.train import repeat, resume, train
from chainrule.core.errors import ChainruleError, nearest
from chainrule.core.terminal import Printable

COMMANDS = {
    "train": train, "sweep": sweep, "check": check, "find-rate": find_rate, "picture": picture, "boost": boost, "committee": committee,
    "resume": resume, "test": test, "predict": predict, "compare": compare, "bench": bench, "recipe": recipe, "canon": canon,
    "repeat": repeat, "list": list_names, "describe": describe, "report": report, "export": export,
    "threshold": threshold, "doctor": doctor, "solve": solve, "sample": sample, "encode": encode, "serve": serve,
}
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
    sys.stdout, sys.stderr = Printable(sys.stdout), Printable(sys.stderr)
    sys.exit(run_command(sys.argv[1:]))


def run_command(arguments: list[str]) -> int:
    """The exit code of `chainrule *arguments`."""
    try:
        app(arguments, standalone_mode=False)
        sys.stdout.flush()  # here, where a reader that has gone is met quietly
    except typer.Exit as ended:
        return ended.exit_code
    except SystemExit:  # what the parser makes of a reader that closed the pipe, `| head -1`: no failure of the command
        return 0
    except typer.TyperException as error:
        context = getattr(error, "ctx", None)
        if type(error).__name__ == "NoArgsIsHelpError":
            print(error.format_message())
            return 0
        to_stderr(f"{_mistake(error, arguments)} See {context.command_path if context else 'chainrule'} --help.")
        return 2
    except ChainruleError as error:
        to_stderr(str(error))
        return SIGNALS.get(getattr(error, "signal", ""), error.exit_code)
    except (KeyboardInterrupt, typer.Abort):
        print("Interrupted.", file=sys.stderr)
        return 130
    except BrokenPipeError:
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 0
    except BaseException as error:  # panics of compiled parsers are no Exception
        with contextlib.suppress(OSError, ValueError):
            print(crashed(error, arguments), file=sys.stderr)
        return 1
    return 0


def _mistake(error: typer.TyperException, arguments: list[str]) -> str:
    """What was typed wrong, with the nearest option offered."""
    name, near = getattr(error, "option_name", None), getattr(error, "possibilities", None)
    if name and near is not None:
        near = nearest(name, near)
        return f"There is no option {name}." + (f" Did you mean {' or '.join(near)}?" if near else "")
    flag = (getattr(getattr(error, "param", None), "opts", None) or [""])[-1]
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
