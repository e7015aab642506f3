"""The command line: `chainrule COMMAND`; results on stdout, progress on stderr, one sentence for a mistake."""

from __future__ import annotations

import dataclasses
import os
import re
import shutil
import sys
import textwrap
from pathlib import Path
from typing import Annotated, Any

import typer

from chainrule.bench.command import bench
from chainrule.cli.ensemble import boosting_command, committee
from chainrule.cli.look import commands as inspecting
from chainrule.cli.options import configured
from chainrule.cli.output import print_json, say, show_run, show_sweep
from chainrule.cli.recipe import recipe
from chainrule.cli.signals import SIGNALS, Signals
from chainrule.cli.sweep import OWN, command
from chainrule.core.errors import ChainruleError, InputError, suggest

app = typer.Typer(add_completion=False, no_args_is_help=True, pretty_exceptions_enable=False, rich_markup_mode=None,
                  help="Train every network of the neural-network canon on your own data: fast, visibly and honestly.")

Data = Annotated[str, typer.Argument(help="A named set (chainrule list data), a file, or a folder of images by class.")]
RunArgument = Annotated[Path, typer.Argument(help="A run folder, e.g. runs/digits-mlp-1.")]
Json = Annotated[bool, typer.Option("--json", help="Print one JSON object as the last line of stdout.")]
DataDir = Annotated[Path | None, typer.Option(help="Where data sets are kept; otherwise CHAINRULE_DATA and a cache folder.")]
Out = Annotated[Path | None, typer.Option(help="Where to write.")]


def option(text: str) -> Any:
    return typer.Option(help=text)


@app.command()
def train(
    data: Data = "digits",
    net: Annotated[str | None, option("A net, e.g. mlp:hidden=300x100 (chainrule list nets).")] = None,
    rule: Annotated[str | None, option("A learning rule (chainrule list rules).")] = None,
    loss: Annotated[str | None, option("squared, cross-entropy, ... (chainrule list losses).")] = None,
    optimizer: Annotated[str | None, option("E.g. sgd:rate=0.1,momentum=0.9.")] = None,
    schedule: Annotated[str | None, option("How the rate changes, e.g. cosine.")] = None,
    init: Annotated[str | None, option("Initial weights, e.g. he or normal:0.01.")] = None,
    epochs: Annotated[int | None, option("Passes over the training part.")] = None,
    steps: Annotated[int | None, option("Steps at most.")] = None,
    seconds: Annotated[float | None, option("Seconds at most.")] = None,
    batch: Annotated[int | None, option("Samples a step.")] = None,
    target: Annotated[str | None, option("The column to predict.")] = None,
    split: Annotated[str | None, option("E.g. train=.7,valid=.15,test=.15.")] = None,
    split_seed: Annotated[int | None, option("What the division follows from; --seed where left out.")] = None,
    group: Annotated[str | None, option("A column whose groups are never divided between parts.")] = None,
    time: Annotated[str | None, option("A column to split by: train on the past, test on the future.")] = None,
    weight: Annotated[str | None, option("A column that says how much each row counts in training.")] = None,
    classes: Annotated[str | None, option("Keep these classes only, e.g. 3,8.")] = None,
    fold: Annotated[str | None, option("Validate on one of k parts of what is not test, e.g. 1/5.")] = None,
    bootstrap: Annotated[int | None, option("Train on rows drawn with replacement, sample number N.")] = None,
    class_weights: Annotated[str | None, option("How much each class counts in training: balanced, or e.g. yes=5,no=1.")] = None,
    constraint: Annotated[str | None, option("What the weights must keep to, e.g. max-norm:3 (chainrule list constraints).")] = None,
    stages: Annotated[str | None, option("layers: learn layer by layer, then fine-tune the whole; epochs are divided evenly.")] = None,
    snapshots: Annotated[int | None, option("Begin the schedule anew so many times and keep the weights of each cycle.")] = None,
    augment: Annotated[str | None, option("Alter batches at random, e.g. shift:2+flip (chainrule list augments).")] = None,
    seed: Annotated[int, option("What everything random follows from.")] = 0,
    members: Annotated[int | None, option("Train so many nets, of consecutive seeds, side by side.")] = None,
    patience: Annotated[int | None, option("Stop after so many epochs without improvement.")] = None,
    plan: Annotated[str, option("auto, eager, compiled, fused, with +channels-last, +bf16.")] = "auto",
    precision: Annotated[str, option("auto, fp32 or bf16.")] = "auto",
    device: Annotated[str, option("auto, cpu, cuda or mps.")] = "auto",
    threads: Annotated[int | None, option("Processor threads; measured where left out.")] = None,
    save_every: Annotated[float | None, option("Seconds between checkpoints.")] = None,
    config: Annotated[Path | None, option("A TOML file of these options; the command line wins.")] = None,
    data_dir: DataDir = None,
    out: Annotated[Path | None, option("The run folder to make.")] = None,
    test: Annotated[bool, typer.Option("--test", help="Open the test part at the end.")] = False,
    as_json: Json = False,
) -> None:
    """Read, split, train, validate and save a run. Example: chainrule train iris.csv --target species --test"""
    given = {name: value for name, value in locals().items() if name not in (*OWN, "members")}
    from chainrule.workflows.train import train

    if config is not None:
        given = configured(config, given)
    with Signals() as signals:
        if members is not None:
            show_sweep(train(data, members=members, **given, data_dir=data_dir, out=out, stop=signals.stop), test, as_json)
            return
        run = train(data, **given, data_dir=data_dir, out=out, stop=signals.stop)
    show_run(run, test, as_json)


app.command("sweep")(command(train))
for _name, _command in inspecting(train).items():
    app.command(_name)(_command)
app.command("boost")(boosting_command(train))
app.command()(committee)


@app.command()
def resume(run: Annotated[Path, typer.Argument(help="A run folder, or the folder of a sweep.")],
           test: Annotated[bool, typer.Option("--test", help="Open the test part at the end.")] = False, as_json: Json = False) -> None:
    """Go on with an interrupted run, bit for bit. Example: chainrule resume runs/mnist-lenet-1"""
    from chainrule.workflows.train import Sweep, resume

    with Signals() as signals:
        done = resume(run, stop=signals.stop)
    (show_sweep if isinstance(done, Sweep) else show_run)(done, test, as_json)


@app.command("test")
def open_test(run: RunArgument, on: Annotated[str | None, option("Other data with targets, in the same form.")] = None,
              as_json: Json = False) -> None:
    """Open the test part, count the opening, measure with intervals. Example: chainrule test runs/digits-mlp-1"""
    from chainrule.workflows.open import open_run

    one = open_run(run)
    result = one.test() if on is None else one.test_on(on)
    say(str(result))
    if as_json:
        print_json({"run": str(run), **result.to_dict()})


@app.command()
def predict(run: RunArgument, data: Annotated[str, typer.Argument(help="New rows, in the form the run was trained on.")],
            samples: Annotated[int | None, option("Passes of a net whose dropout is left on: their mean and its uncertainty.")] = None,
            out: Out = None, as_json: Json = False) -> None:
    """Write predictions with probabilities. Example: chainrule predict runs/iris-mlp-1 new.csv --out said.csv"""
    from chainrule.workflows.open import open_run
    from chainrule.workflows.predict import predict_to

    path = out or Path("predictions.csv")
    n = predict_to(open_run(run), data, path, samples=samples)
    say(f"{n} predictions in {path}")
    if as_json:
        print_json({"n": n, "out": str(path)})


@app.command()
def compare(several: Annotated[list[Path], typer.Argument(help="Run folders, and models to fit beside them: knn, svm, forest, ...",
                                                          metavar="RUN RUN...")],
            out: Out = None, as_json: Json = False) -> None:
    """Test whether runs really differ on the same cases. Example: chainrule compare runs/mnist-lenet-1 runs/mnist-softmax-1"""
    from chainrule.workflows.compare import compare as compare_all

    comparison = compare_all(*several, out=out)
    say(str(comparison))
    if out is not None:
        say(f"Page: {out}")
    if as_json:
        print_json(comparison.to_dict())


app.command()(bench)
app.command()(recipe)


@app.command()
def repeat(run: RunArgument, as_json: Json = False) -> None:
    """Train again from run.json alone and say whether the weights are the same. Example: chainrule repeat runs/digits-mlp-1"""
    from chainrule.workflows.train import repeat

    same, difference = repeat(run)
    say("The same weights, bit for bit." if same else f"Not the same: the largest difference is {difference:.3g}.")
    if as_json:
        print_json({"same": same, "difference": difference})


@app.command("list")
def list_names(what: Annotated[str, typer.Argument(help="nets, rules, optimizers, schedules, inits, losses, constraints, augments, recipes "
                                                        "or data.")], as_json: Json = False) -> None:
    """Every name with its options and its source. Example: chainrule list nets"""
    from chainrule.core import registry

    kinds: dict[str, registry.Registry[Any]] = {
        "nets": registry.nets, "rules": registry.rules, "optimizers": registry.optimizers, "schedules": registry.schedules,
        "inits": registry.inits, "losses": registry.losses, "constraints": registry.constraints, "augments": registry.augments,
        "recipes": registry.recipes, "data": registry.datasets}
    if what not in kinds:
        raise InputError(f"chainrule list knows no '{what}'. {suggest(what, kinds)}")
    rows = []
    for entry in kinds[what].entries():
        options = {o.name: None if o.default is registry.REQUIRED else o.default for o in entry.options.values()}
        rows.append({"name": entry.name, "summary": entry.summary, "source": entry.source, "options": options})
        say(_fitted(f"{entry.name}{_option_line(options)}", "        "))
        for line in (entry.summary, entry.source):
            say(_fitted("    " + line, "    "))
    if as_json:
        print_json(rows)


@app.command()
def describe(net: Annotated[str, typer.Argument(help="A net, e.g. lenet or mlp:hidden=300x100.")], data: Data = "digits",
             target: Annotated[str | None, option("The column to predict.")] = None, data_dir: DataDir = None,
             as_json: Json = False) -> None:
    """Table of layers: output shapes, parameters, multiply-adds. Example: chainrule describe lenet mnist"""
    from chainrule.job.build import build
    from chainrule.job.options import Options
    from chainrule.observe.layers import layers, table
    from chainrule.workflows.source import as_source

    options = Options(net=net, target=target)
    job = build(as_source(data, options, data_dir), options)
    rows = layers(job.net.module, job.data.input_shape)
    say(table(rows))
    if as_json:
        print_json({"layers": [dataclasses.asdict(r) for r in rows], "parameters": job.net.count()})


@app.command()
def report(run: RunArgument, out: Out = None, as_json: Json = False) -> None:
    """Write one self-contained HTML file. Example: chainrule report runs/digits-mlp-1"""
    from chainrule.workflows.open import open_run

    path = open_run(run).report(out)
    say(str(path))
    if as_json:
        print_json({"out": str(path)})


@app.command()
def export(run: RunArgument, to: Annotated[str, option("onnx, pt2 or safetensors.")], out: Out = None, as_json: Json = False) -> None:
    """Export the best net, checked on the data's own rows. Example: chainrule export runs/digits-mlp-1 --to onnx"""
    from chainrule.workflows.open import open_run

    path, difference = open_run(run).export(to, out)
    say(f"{path}: answers differ from the original's by at most {difference:.1e} on the data's own rows")
    if as_json:
        print_json({"out": str(path), "max_difference": difference})


def main() -> None:
    """Run the command line; every mistake of the user is one sentence on stderr and exit code 2."""
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
        print(f"{_mistake(error, arguments)} See {context.command_path if context else 'chainrule'} --help.", file=sys.stderr)
        return 2
    except ChainruleError as error:
        print(str(error), file=sys.stderr)
        return SIGNALS.get(getattr(error, "signal", ""), error.exit_code)
    except (KeyboardInterrupt, typer.Abort):
        print("Interrupted.", file=sys.stderr)
        return 130
    except BrokenPipeError:
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 0
    return 0


def _mistake(error: typer.TyperException, arguments: list[str]) -> str:
    """What was typed wrong, with the nearest option offered."""
    name, near = getattr(error, "option_name", None), getattr(error, "possibilities", None)
    if name and near is not None:
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
    said = error.format_message()
    return said if said.endswith((".", "?")) else said + "."


def _option_line(options: dict[str, Any]) -> str:
    words = [f"{k}={'x'.join(map(str, v)) if isinstance(v, tuple) else v}" for k, v in options.items()]
    return "  (" + ", ".join(words) + ")" if words else ""


def _fitted(line: str, indent: str) -> str:
    """A line broken at spaces to the width of the terminal, at most 100 columns."""
    width = max(40, min(100, shutil.get_terminal_size((100, 24)).columns))
    return textwrap.fill(line, width, subsequent_indent=indent, break_long_words=False, break_on_hyphens=False)
