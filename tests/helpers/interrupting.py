"""Commands that are killed, or stopped by a signal, at moments of chance, and then given as their message says until they are done.

`python tests/helpers/interrupting.py FOLDER --kills 500` does so over all of them, a line of JSON for each and one for all.
"""

from __future__ import annotations

import argparse
import json
import os
import random
import re
import shlex
import shutil
import signal
import sys
import time
from collections import Counter
from dataclasses import dataclass, field
from pathlib import Path

from safetensors.torch import load_file
from worker import Workers, differences

PLAIN = ["--plan", "eager", "--threads", "1"]
TRAIN = ["--save-every", "0", *PLAIN]
FAMILIES = {
    "linear": ["iris", "--net", "linear", "--epochs", "25"],
    "softmax": ["digits", "--net", "softmax", "--epochs", "12", "--optimizer", "sgd:momentum=0.9"],
    "mlp": ["iris", "--net", "mlp:hidden=8,dropout=0.2", "--epochs", "20", "--patience", "18"],
    "chosen": ["iris", "--net", "ensemble:hidden=8", "--epochs", "8", "--folds", "3"],
    "lenet": ["digits", "--net", "lenet:filters=3x4,hidden=10", "--epochs", "2", "--batch", "64"],
    "convolution": ["digits", "--net", "convnet", "--epochs", "1", "--batch", "128"],
    "augmented": ["digits", "--net", "lenet:filters=3x4,hidden=10", "--augment", "crop", "--epochs", "2", "--batch", "128"],
    "residual": ["digits", "--net", "resnet:depth=8,width=0.25", "--epochs", "1", "--batch", "128"],
    "normalised": ["digits", "--net", "plain:depth=8", "--epochs", "1", "--batch", "256"],
    "rnn": ["addition", "--net", "rnn:hidden=6", "--rule", "backprop:clip=1", "--steps", "60"],
    "lstm": ["motifs:count=200,length=20", "--net", "lstm:hidden=8", "--epochs", "4"],
    "gru": ["structures:count=60", "--net", "gru:hidden=4", "--buckets", "3", "--epochs", "4"],
    "language": ["{top}/text.txt", "--net", "gru:hidden=8", "--epochs", "2", "--batch", "8", "--rule", "bptt:window=16"],
    "translation": ["reversal:length=4,fewest=2,letters=4,count=60", "--net", "seq2seq:hidden=8", "--epochs", "4"],
    "reservoir": ["narma10:count=600,lags=40", "--net", "esn:units=40"],
    "markov": ["casino", "--net", "hmm", "--epochs", "4"],
    "rbm": ["digits", "--net", "rbm:hidden=16", "--epochs", "4"],
    "belief": ["digits", "--net", "dbn:hidden=12x9", "--stage-epochs", "1", "--epochs", "2", "--batch", "100"],
    "autoencoder": ["iris", "--net", "autoencoder:code=2", "--task", "reconstruction", "--epochs", "15"],
    "variational": ["iris", "--net", "vae", "--epochs", "10"],
    "adversarial": ["iris", "--net", "gan", "--epochs", "6"],
    "map": ["iris", "--net", "som:rows=3,columns=3", "--epochs", "10"],
    "memory": ["digits", "--net", "hopfield:patterns=6", "--rule", "hebb"],
    "means": ["iris", "--net", "kmeans:clusters=3", "--epochs", "6"],
    "mixture": ["iris", "--net", "mixture", "--epochs", "6"],
    "experts": ["iris", "--net", "experts", "--epochs", "10"],
    "threshold": ["iris", "--net", "madaline", "--classes", "setosa,virginica", "--epochs", "10"],
    "snapshots": ["iris", "--net", "mlp:hidden=6", "--snapshots", "3", "--epochs", "12"],
    "transfer": ["iris", "--from", "{top}/sweep/bootstrap=1", "--freeze", "hidden1", "--epochs", "12"],
}
STAGES = ["digits", "--net", "mlp:hidden=16x8", "--stages", "layers", "--epochs", "6", "--batch", "256"]
BOOST = ["--rounds", "3", "--epochs", "3", "--batch", "4", "--optimizer", "adam:rate=0.01"]
SMALL = ["iris", "--net", "mlp:hidden=4"]
SIGNALS = (signal.SIGKILL, signal.SIGKILL, signal.SIGKILL, signal.SIGTERM, signal.SIGINT, signal.SIGHUP)
RESUMED = ("run.json", "sweep.json", "boosting.json")
ATTEMPTS = 12            # of one that is not killed any more: what is named must lead to the end soon
VOLATILE = {"seconds", "created", "began", "timing", "out", "path", "run", "sweep", "machine", "opened", "notes"}
TEXT = "the quick brown fox jumps over the lazy dog while seven wizards mix a box of very bold quince jam. "


def commands() -> dict[str, list[str]]:
    """Every command that trains or writes. {out} is where it writes, {top} a folder with a sweep and a text, {own} a copy of a run."""
    run = "{top}/sweep/bootstrap=1"
    return {
        **{name: ["train", *asked, *TRAIN, "--out", "{out}"] for name, asked in FAMILIES.items()},
        "tested": ["train", *SMALL, "--epochs", "8", "--test", *TRAIN, "--out", "{out}"],
        "stages": ["train", *STAGES, *TRAIN, "--out", "{out}"],
        "members": ["train", *SMALL, "--members", "3", "--epochs", "8", *TRAIN, "--out", "{out}"],
        "sweep": ["sweep", *SMALL, "--over", "rate=0.01,0.1", "--epochs", "8", *TRAIN, "--out", "{out}"],
        "boost-samme": ["boost", "wine", "--net", "mlp:hidden=6", *BOOST, *TRAIN, "--out", "{out}"],
        "boost-gradient": ["boost", "wine", "--by", "gradient", "--net", "mlp:hidden=6", *BOOST, *TRAIN, "--out", "{out}"],
        "committee": ["committee", run, "{top}/sweep/bootstrap=2", "--out", "{out}"],
        "check": ["check", *SMALL, "--epochs", "3", *PLAIN, "--out", "{out}"],
        "find-rate": ["find-rate", *SMALL, *PLAIN, "--out", "{out}"],
        "recipe": ["recipe", "xor", "--short", "--out", "{out}"],
        "repeat": ["repeat", run],
        "test": ["test", "{own}"],
        "compare": ["compare", "{own}", "knn", "--out", "{out}.html"],
        "predict": ["predict", run, "iris", "--out", "{out}.parquet"],
        "encode": ["encode", run, "iris", "--layer", "hidden1", "--out", "{out}.npz"],
        "picture": ["picture", run, "histograms", "--out", "{out}.png"],
        "report": ["report", run, "--out", "{out}.html"],
        "export": ["export", run, "--to", "safetensors", "--out", "{out}.safetensors"],
    }


def results(folder: Path) -> dict[str, object]:
    """All that commands have left in a folder and must be the same whoever disturbed them: weights, measures, histories, tables.

    A name of a place within it, whatever it is called, becomes the place's number.
    """
    left: dict[str, object] = {}
    for file in sorted(folder.rglob("*")):
        within = str(file.relative_to(folder))
        if file.name in ("best.safetensors", "rounds.safetensors") or (file.suffix == ".safetensors" and file.parent == folder):
            left |= {f"{within}:{name}": tensor for name, tensor in load_file(file).items()}
        elif file.name == "log.jsonl":
            left |= {f"{within}:{one['stage']}:{one['epoch']}": json.dumps([one[key] for key in ("train", "valid", "best")])
                     for one in _evaluated(file)}
        elif file.suffix in (".npz", ".parquet", ".csv"):
            left[within] = file.read_bytes()
        elif file.suffix == ".json" and file.name != "run.json":
            left |= _leaves(within, json.loads(file.read_text()))
        elif file.suffix in (".png", ".html"):
            left[within] = "there"
    return left


def _evaluated(log: Path) -> list[dict[str, object]]:
    lines = [json.loads(line) for line in log.read_text().splitlines() if line.endswith("}")]
    return [line for line in lines if line["event"] == "evaluated"]


def _leaves(name: str, value: object) -> dict[str, object]:
    """The numbers and words of JSON by their paths, without those that tell one run from another."""
    if isinstance(value, dict):
        return {k: v for key, one in value.items() if key not in VOLATILE for k, v in _leaves(f"{name}.{key}", one).items()}
    if isinstance(value, list):
        return {k: v for i, one in enumerate(value) for k, v in _leaves(f"{name}.{i}", one).items()}
    return {name: json.dumps(value)}     # words, in which what is no number equals itself


@dataclass
class Tally:
    """What came of disturbing one command."""

    kills: Counter[str] = field(default_factory=Counter)      # by the name of the signal
    late: int = 0                                             # of these, those that came when the command had ended
    runs: int = 0                                             # that were disturbed, and ended
    same: int = 0                                             # of these, those with the bits of an undisturbed one
    named: int = 0                                            # commands that a message named, and that were given
    faults: list[str] = field(default_factory=list)

    @property
    def number(self) -> int:
        return sum(self.kills.values())

    def to_dict(self) -> dict[str, object]:
        return {"kills": self.number, **dict(self.kills), "late": self.late, "runs": self.runs, "same": self.same, "named": self.named,
                "faults": self.faults}


class Trials:
    """The commands undisturbed, and what becomes of them when they are not."""

    def __init__(self, workers: Workers, top: Path, seed: int = 0):
        self.workers, self.top, self.commands = workers, top, commands()
        self.chance = random.Random(seed)
        self.whole: dict[str, tuple[dict[str, object], float]] = {}
        top.mkdir(parents=True, exist_ok=True)
        (top / "text.txt").write_text(TEXT * 12)
        asked = ["sweep", *SMALL, "--over", "bootstrap=1,2", "--epochs", "2", *PLAIN, "--out", str(top / "sweep")]
        assert self.run(asked, top / "first") == 0, (top / "first" / "worker.txt").read_text()
        shutil.copytree(top / "sweep" / "bootstrap=1", top / "untouched")      # a report leaves what it has computed in the run itself

    def start(self, arguments: list[str], folder: Path) -> int:
        folder.mkdir(exist_ok=True)
        (folder / "worker.txt").unlink(missing_ok=True)
        return self.workers.start("command", folder, arguments=arguments)

    def run(self, arguments: list[str], folder: Path) -> int | None:
        return self.workers.wait(self.start(arguments, folder))

    def _spelled(self, name: str, folder: Path) -> list[str]:
        """The words of a command that writes into `folder`."""
        places = {"{out}": str(folder / "left" / "run"), "{top}": str(self.top), "{own}": str(folder / "left" / "own")}
        (folder / "left").mkdir(parents=True)
        words = self.commands[name]
        if "{own}" in words:
            shutil.copytree(self.top / "untouched", folder / "left" / "own")
        for place, path in places.items():
            words = [word.replace(place, path) for word in words]
        return words

    def undisturbed(self, name: str) -> tuple[dict[str, object], float]:
        """What the command leaves, and how many seconds it takes."""
        if name not in self.whole:
            folder = self.top / f"whole-{name}"
            words = self._spelled(name, folder)
            began = time.monotonic()
            code = self.run(words, folder)
            assert code == 0, (name, (folder / "worker.txt").read_text())
            self.whole[name] = results(folder / "left"), time.monotonic() - began
        return self.whole[name]

    def fails(self, name: str) -> str:
        """Why the command does not even end undisturbed; nothing where it does."""
        try:
            self.undisturbed(name)
        except AssertionError as error:
            return str(error)
        return ""

    def disturbed(self, name: str, number: int, kills: int, tally: Tally) -> None:
        """Kill, or stop, the command and what goes on from it up to so many times, and let it end. Notes in `tally` what came of it."""
        expected, seconds = self.undisturbed(name)
        folder = self.top / f"{name}-{number}"
        original = arguments = self._spelled(name, folder)
        code, came, left, named = None, 0, ATTEMPTS, False
        while code != 0 and left:
            pid = self.start(arguments, folder)
            disturbing = came < kills
            code = self.workers.wait(pid, self.chance.uniform(0, seconds)) if disturbing else self.workers.wait(pid)
            if code is None and disturbing:
                how = self.chance.choice(SIGNALS)
                os.kill(pid, how)
                code = self.workers.wait(pid)
                came += 1
                tally.kills[how.name] += 1
                tally.late += code == 0
            else:
                left -= 1
            text = (folder / "worker.txt").read_text()
            if code != 0:
                following = None if "Traceback" in text or code is None else self._next(folder, original, arguments, code, text, named)
                if following is None:
                    tally.faults.append(f"{shlex.join(arguments)}: {code}: {text[-2000:]}")
                    return
                arguments, named = following
                tally.named += named
        tally.runs += 1
        apart = differences(_placed(results(folder / "left"), original, arguments), expected)
        tally.same += not apart
        if code != 0 or apart:
            tally.faults.append(f"{shlex.join(original)}: {code}: {apart[:5]}")
        else:
            shutil.rmtree(folder)

    def _next(self, folder: Path, original: list[str], arguments: list[str], code: int, text: str,
              named: bool) -> tuple[list[str], bool] | None:
        """What is given next, and whether a message has named it; None where nothing leads on.

        A command that was stopped names one. One that was killed cannot: then a user tries to resume what there is, or the same once more,
        and where that is refused does what the refusal says. A command that a message has named may not be refused.
        """
        if code == 2 and not named:
            return _as_refused(arguments, text)
        if code in (129, 130, 143):
            words = _command_in(text)
            return None if words is None else (words, True)
        if code not in (-one for one in SIGNALS):
            return None
        run = folder / "left" / "run"
        resumable = original[0] in ("train", "sweep", "boost") and any((run / record).exists() for record in RESUMED)
        ending = ["--test"] if "--test" in original else []
        return (["resume", str(run), *ending] if resumable else arguments), False


def _command_in(text: str) -> list[str] | None:
    """The last command that a message names."""
    commands = re.findall(r"chainrule ([a-z-]+ .*)", text)
    return shlex.split(commands[-1].strip().rstrip(".")) if commands else None


def _as_refused(arguments: list[str], text: str) -> tuple[list[str], bool] | None:
    """The command as a refusal wants it, whose first way is taken: another folder that it names, another one, or to resume."""
    at = arguments.index("--out") + 1 if "--out" in arguments else 0
    if at and "--overwrite" in text:
        return [*arguments, "--overwrite"], True
    if at and (other := re.search(r"Use --out (\S+)\.", text)):
        return [*arguments[:at], other[1], *arguments[at + 1:]], True
    if (words := _command_in(text)) is not None:
        return words, True
    if at and "Use another --out" in text:
        return [*arguments[:at], f"{arguments[at]}-again", *arguments[at + 1:]], True
    return None


def _placed(left: dict[str, object], original: list[str], arguments: list[str]) -> dict[str, object]:
    """What is left, where the command had to begin anew elsewhere under the name of the place that it was first given, and only that."""
    first, last = (Path(words[words.index("--out") + 1]).name if "--out" in words else "" for words in (original, arguments))
    if first == last or not last:
        return left
    return {first + name.removeprefix(last): value for name, value in left.items() if name.startswith((f"{last}/", f"{last}:", f"{last}."))}


def main() -> int:
    """Disturb the commands that are named, or all; prints what came of it. The exit code is 1 where anything went wrong."""
    reading = argparse.ArgumentParser(description=__doc__)
    reading.add_argument("folder", type=Path)
    reading.add_argument("--kills", type=int, default=500)
    reading.add_argument("--seed", type=int, default=0)
    reading.add_argument("--at-once", type=int, default=4, help="kills of one run at most")
    reading.add_argument("--seconds", type=float, default=float("inf"), help="after so many no other run is begun")
    reading.add_argument("--only", nargs="*", default=None)
    asked = reading.parse_args()
    os.environ["XDG_STATE_HOME"] = str(asked.folder / "account")
    workers, began = Workers(), time.monotonic()
    trials = Trials(workers, asked.folder, asked.seed)
    names = list(asked.only or trials.commands)
    tallies = {name: Tally() for name in names}
    wanted, number = -(-asked.kills // len(names)), 0
    while (open_ := [name for name in names if tallies[name].number < wanted]) and number < 5 * wanted:
        number += 1
        for name in open_:
            if time.monotonic() - began > asked.seconds:
                break
            before = len(tallies[name].faults)
            if name not in trials.whole and (why := trials.fails(name)):
                tallies[name].faults.append(why)
                print(why, file=sys.stderr, flush=True)
                names.remove(name)
                continue
            trials.disturbed(name, number, min(trials.chance.randint(1, asked.at_once), wanted - tallies[name].number), tallies[name])
            for fault in tallies[name].faults[before:]:
                print(f"{name}: {fault}", file=sys.stderr, flush=True)
            done = {key: sum(getattr(tally, key) for tally in tallies.values()) for key in ("number", "runs", "same")}
            print(json.dumps({"round": number, "last": name, **done}), file=sys.stderr, flush=True)
        if time.monotonic() - began > asked.seconds:
            break
    workers.close()
    for name, tally in tallies.items():
        took = round(trials.whole[name][1], 2) if name in trials.whole else None
        print(json.dumps({"command": name, "seconds": took, **tally.to_dict()}))
    several = list(tallies.values())
    sums = {key: sum(getattr(tally, key) for tally in several) for key in ("number", "late", "runs", "same", "named")}
    faults = sum(len(tally.faults) for tally in several)
    signals = sum((tally.kills for tally in several), Counter[str]())
    minutes = round((time.monotonic() - began) / 60, 1)
    print(json.dumps({"commands": len(names), "kills": sums.pop("number"), **sums, "faults": faults, "minutes": minutes,
                      "signals": signals}))
    return int(bool(faults))


if __name__ == "__main__":
    sys.exit(main())
