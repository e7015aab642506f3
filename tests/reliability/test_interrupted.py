"""Commands that are killed, or stopped by a signal, at moments of chance: what is said, or where nothing can be said the same command, goes
on, and ends in the bits of a command that nobody disturbed.
"""

import os
import random
import re
import shlex
import shutil
import signal
import time
from pathlib import Path

import pytest
from safetensors.torch import load_file
from worker import differences

PLAIN = ["--plan", "eager", "--threads", "1"]
TRAIN = ["--save-every", "0", *PLAIN]
FAMILIES = {
    "linear": ["iris", "--net", "linear", "--epochs", "25"],
    "mlp": ["iris", "--net", "mlp:hidden=8,dropout=0.2", "--epochs", "20"],
    "chosen": ["iris", "--net", "ensemble:hidden=8", "--epochs", "8", "--folds", "3"],
    "convolution": ["digits", "--net", "convnet", "--epochs", "1", "--batch", "128"],
    "normalised": ["digits", "--net", "plain:depth=8", "--epochs", "1", "--batch", "256"],
    "recurrent": ["reversal:length=4,fewest=2,letters=4,count=60", "--net", "seq2seq:hidden=8", "--epochs", "4"],
    "machine": ["digits", "--net", "rbm:hidden=16", "--epochs", "4"],
    "autoencoder": ["iris", "--net", "autoencoder:code=2", "--task", "reconstruction", "--epochs", "15"],
    "variational": ["iris", "--net", "vae", "--epochs", "10"],
    "adversarial": ["iris", "--net", "gan", "--epochs", "6"],
    "prototypes": ["iris", "--net", "som:rows=3,columns=3", "--epochs", "10"],
    "means": ["iris", "--net", "kmeans:clusters=3", "--epochs", "6"],
    "mixture": ["iris", "--net", "mixture", "--epochs", "6"],
    "markov": ["casino", "--net", "hmm", "--epochs", "4"],
    "experts": ["iris", "--net", "experts", "--epochs", "10"],
    "threshold": ["iris", "--net", "madaline", "--classes", "setosa,virginica", "--epochs", "10"],
}
STAGES = ["digits", "--net", "mlp:hidden=16x8", "--stages", "layers", "--stage-epochs", "2", "--epochs", "2", "--batch", "256"]
BOOST = ["--rounds", "3", "--epochs", "3", "--batch", "4", "--optimizer", "adam:rate=0.01"]
SIGNALS = (signal.SIGKILL, signal.SIGKILL, signal.SIGTERM, signal.SIGINT, signal.SIGHUP)


def commands(top: Path) -> dict[str, list[str]]:
    """Every command that trains or writes, with {out} for where."""
    trained = [str(top / "sweep" / f"bootstrap={k}") for k in (1, 2)]
    return {
        **{name: ["train", *asked, *TRAIN, "--out", "{out}"] for name, asked in FAMILIES.items()},
        "stages": ["train", *STAGES, *TRAIN, "--out", "{out}"],
        "members": ["train", "iris", "--net", "mlp:hidden=4", "--members", "3", "--epochs", "8", *TRAIN, "--out", "{out}"],
        "sweep": ["sweep", "iris", "--net", "mlp:hidden=4", "--over", "rate=0.01,0.1", "--epochs", "8", *TRAIN, "--out", "{out}"],
        "boost-samme": ["boost", "wine", "--net", "mlp:hidden=6", *BOOST, *TRAIN, "--out", "{out}"],
        "boost-gradient": ["boost", "wine", "--by", "gradient", "--net", "mlp:hidden=6", *BOOST, *TRAIN, "--out", "{out}"],
        "committee": ["committee", *trained, "--out", "{out}"],
        "check": ["check", "iris", "--net", "mlp:hidden=4", "--epochs", "3", *PLAIN, "--out", "{out}"],
        "find-rate": ["find-rate", "iris", "--net", "mlp:hidden=4", *PLAIN, "--out", "{out}"],
        "recipe": ["recipe", "xor", "--short", "--out", "{out}"],
        "predict": ["predict", trained[0], "iris", "--out", "{out}.parquet"],
        "report": ["report", trained[0], "--out", "{out}.html", "--overwrite"],
        "export": ["export", trained[0], "--to", "safetensors", "--out", "{out}.safetensors", "--overwrite"],
    }


def tensors(folder: Path) -> dict[str, object]:
    """All weights that a command left, by file and name, without what tells one run from another."""
    found: dict[str, object] = {}
    for path in sorted(folder.parent.glob(f"{folder.name}*")):
        for file in sorted(path.rglob("*.safetensors")) if path.is_dir() else [path] * (path.suffix == ".safetensors"):
            if file.name in ("best.safetensors", "rounds.safetensors") or file == path:
                within = file.relative_to(path) if path.is_dir() else file.suffix
                found |= {f"{within}:{name}": tensor for name, tensor in load_file(file).items()}
    return found


class Trials:
    """The commands undisturbed, and what becomes of them when they are not."""

    def __init__(self, workers, top):
        self.workers, self.top = workers, top
        self.chance = random.Random(0)
        self.whole: dict[str, tuple[dict[str, object], float]] = {}
        asked = ["--net", "mlp:hidden=4", "--over", "bootstrap=1,2", "--epochs", "2", *PLAIN]
        assert self.run(["sweep", "iris", *asked, "--out", str(top / "sweep")], top / "first") == 0
        self.commands = commands(top)

    def start(self, arguments, folder):
        folder.mkdir(exist_ok=True)
        (folder / "worker.txt").unlink(missing_ok=True)
        return self.workers.start("command", folder, arguments=arguments)

    def run(self, arguments, folder):
        return self.workers.wait(self.start(arguments, folder))

    def undisturbed(self, name):
        if name not in self.whole:
            folder = self.top / f"whole-{name}"
            began = time.monotonic()
            code = self.run([word.replace("{out}", str(folder / "run")) for word in self.commands[name]], folder)
            assert code == 0, (name, (folder / "worker.txt").read_text())
            self.whole[name] = tensors(folder / "run"), time.monotonic() - began
        return self.whole[name]

    def disturbed(self, name, number, kills):
        """Kill, or stop, the command and what goes on from it so many times, and let it end; the number of kills that came in time."""
        expected, seconds = self.undisturbed(name)
        folder = self.top / f"{name}-{number}"
        original = [word.replace("{out}", str(folder / "run")) for word in self.commands[name]]
        arguments, came = original, 0
        for _ in range(kills + 8):
            pid = self.start(arguments, folder)
            code = self.workers.wait(pid, self.chance.uniform(0, seconds)) if came < kills else self.workers.wait(pid)
            if code is None:
                how = self.chance.choice(SIGNALS)
                os.kill(pid, how)
                code = self.workers.wait(pid)
                came += 1
            said = (folder / "worker.txt").read_text()
            assert "Traceback" not in said, (name, arguments, said)
            if code == 0:
                break
            arguments = self.next(folder, original, code, said)
        assert code == 0, (name, arguments, code, said)
        assert differences(tensors(folder / "run"), expected) == [], (name, number, original)
        shutil.rmtree(folder)
        return came

    def next(self, folder, original, code, said):
        """What the message says; after a kill, which says nothing, what a user would try: to resume, or the same once more. So too after a
        signal that came before the command had begun, or when it had ended, and nobody handled it.
        """
        assert code in (129, 130, 143, *(-one for one in SIGNALS)), (code, said)
        if code < 0:
            run = folder / "run"
            resumable = any((run / file).exists() for file in ("run.json", "sweep.json", "boosting.json"))
            if original[0] == "recipe":                                      # begins anew, elsewhere
                shutil.rmtree(run, ignore_errors=True)
            elif original[0] == "committee" and (run / "committee.json").exists():
                shutil.rmtree(run)
            return ["resume", str(run)] if resumable and original[0] in ("train", "sweep", "boost") else original
        command = re.findall(r"chainrule [a-z-]+ .*", said)
        assert command, said
        words = shlex.split(command[-1].rstrip("."))[1:]
        if original[0] == "recipe":
            shutil.rmtree(folder / "run", ignore_errors=True)
            return [*words[:-1], str(folder / "run")]
        return words


@pytest.fixture(scope="module")
def trials(workers, tmp_path_factory):
    return Trials(workers, tmp_path_factory.mktemp("interrupted"))


@pytest.mark.parametrize("name", ["linear", "boost-samme", "sweep", "check"])
def test_a_few(trials, name):
    trials.disturbed(name, 0, 2)


@pytest.mark.slow
@pytest.mark.parametrize("name", commands(Path()))
def test_five_hundred(trials, name):
    wanted, kills, number = -(-500 // len(trials.commands)), 0, 0
    while kills < wanted and number < 10 * wanted:
        number += 1
        kills += trials.disturbed(name, number, min(3, wanted - kills))
    assert kills >= wanted or trials.undisturbed(name)[1] < 0.5
