"""Mutated files given to every parser: whatever comes of it is a value or an error of ours, in time, and in bounded memory.

`python fuzz.py FOLDER COUNT SEED [PARSER...]` tries COUNT mutants of each parser and prints one JSON object of what came of them. Each
parser works in a process of its own, so that one which ends is counted; mutants that were wrong are kept in FOLDER.
"""

from __future__ import annotations

import contextlib
import gzip
import io
import json
import os
import random
import re
import resource
import select
import signal
import struct
import sys
import time
import traceback
import zipfile
import zlib
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np

HANGS = 5.0                      # seconds that a mutant may take
STUCK = 30.0                     # and after which a process that says nothing is ended
MOST_MB = 700                    # that a parser may take beside what its process had before
UNSOUND = 77                     # what a process ends with that cannot read the file before it was changed
MAY_END = ("parquet",)           # whose parser the program itself starts in a process of its own
TOKENS = [b",", b"\t", b'"', b"'", b"\n", b"\r\n", b"\r", b"\0", b"nan", b"inf", b"-", b"1e999", b"-1", b"0", b"9" * 20, b"{", b"}", b"[",
          b"]", b"(", b")", b":", b"=", b"null", b"true", b"#", b">", b"\xff\xfe", b"\xef\xbb\xbf", "é".encode(), "\u202e".encode(),
          b"\x1b[31m", b"../", b"%s", b"__import__", b" " * 50, b"9" * 400, b"x" * 300]
SHAPES = [0, 1, -1, 2**15, 2**16 - 1, 2**31 - 1, 2**31, 2**32 - 1, 2**63 - 1]


class Hang(BaseException):
    """More time than a mutant may take."""


def mutated(chance: random.Random, seeds: list[bytes]) -> bytes:
    """One of the seeds with a few places changed."""
    content = bytearray(chance.choice(seeds))
    for _ in range(chance.choice((1, 1, 1, 2, 3, 5, 8))):
        at = chance.randrange(len(content) + 1)
        end = min(len(content), at + chance.choice((1, 2, 4, 8, 30, 200)))
        match chance.randrange(10):
            case 0 if content:
                content[at % len(content)] ^= 1 << chance.randrange(8)
            case 1 if content:
                content[at % len(content)] = chance.randrange(256)
            case 2:
                width = chance.choice((1, 2, 4, 8))
                number = chance.choice(SHAPES) & (2 ** (8 * width) - 1)
                content[at : at + width] = number.to_bytes(width, chance.choice(("little", "big")))
            case 3:
                del content[at:end]
            case 4:
                content[at:at] = content[at:end] * chance.choice((1, 2, 50))
            case 5:
                content[at:at] = chance.randbytes(chance.choice((1, 4, 40)))
            case 6:
                del content[at:]
            case 7:
                content[at:at] = chance.choice(TOKENS)
            case 8:
                content[at:end] = chance.choice(TOKENS)
            case 9:
                numbers = list(re.finditer(rb"\d+", content))
                if numbers:
                    one = chance.choice(numbers)
                    content[one.start() : one.end()] = str(chance.choice(SHAPES)).encode()
    return bytes(content)


def csv(separator: str = ",") -> bytes:
    rows = [["age", "city", "when", "yes", "y"]]
    rows += [[f"{i * 1.5}", "abc"[i % 3], f"2024-01-{i % 28 + 1:02}", "yn"[i % 2], "pq"[i % 2]] for i in range(30)]
    return ("\n".join(separator.join(row) for row in rows) + "\n").encode()


def npy(array: np.ndarray) -> bytes:
    into = io.BytesIO()
    np.save(into, array)
    return into.getvalue()


def mat() -> bytes:
    """As SVHN has them: four pictures of 4 x 4, plain and compressed."""
    def element(kind: int, content: bytes) -> bytes:
        return struct.pack("<II", kind, len(content)) + content + bytes(-len(content) % 8)

    def array(name: bytes, values: np.ndarray) -> bytes:
        whole = element(6, struct.pack("<II", 9, 0)) + element(5, struct.pack(f"<{values.ndim}i", *values.shape)) + element(1, name)
        return element(14, whole + element(2, values.tobytes(order="F")))

    x, y = array(b"X", np.arange(4 * 4 * 3 * 4, dtype=np.uint8).reshape(4, 4, 3, 4)), array(b"y", np.array([[1], [2], [10], [3]], np.uint8))
    packed = zlib.compress(x)
    return b"MATLAB 5.0".ljust(124) + struct.pack("<H", 0x0100) + b"IM" + struct.pack("<II", 15, len(packed)) + packed + y


def png(form: str) -> bytes:
    from PIL import Image

    into = io.BytesIO()
    Image.fromarray(np.arange(12 * 9 * 3, dtype=np.uint8).reshape(12, 9, 3)).save(into, form)
    return into.getvalue()


def packed(content: bytes) -> bytes:
    return gzip.compress(content, mtime=0)


def archived(content: bytes, name: str) -> bytes:
    into = io.BytesIO()
    with zipfile.ZipFile(into, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr(name, content)
    return into.getvalue()


def seeds(folder: Path) -> dict[str, tuple[str, list[bytes]]]:
    """For each parser the ending of its files, and sound ones."""
    import chainrule as cr
    from chainrule.core.events import Evaluated, Started
    from chainrule.job.record import read_record, sealed

    run = cr.train("iris", net="linear", epochs=1, plan="eager", out=folder / "run", progress=False)
    run.test()
    checkpoints = [(run.path / name).read_bytes() for name in ("last.safetensors", "encoder.safetensors")]
    events = [Started(0, 0.0, "r", "n", "b", 3, {}, {}), Evaluated(1, 0.5, 1, 4, {"loss": 0.5}, {"loss": 0.4}, True)]
    idx = struct.pack(">4i", 2051, 6, 4, 4) + bytes(range(96))
    cifar = b"".join(bytes([i]) + bytes(3072) for i in range(3))
    toml = b'net = "mlp:hidden=30x10"\nepochs = 3\nsave-every = 1.5\nsplit = "train=.7,valid=.15,test=.15"\nskip_bad = false\nseed = 3\n'
    specs = [b"mlp:hidden=300x100,activation=tanh", b"sgd:rate=0.1,momentum=0.9", b"train=.7,valid=.15,test=.15", b"2/5", b"seed=0..4",
             b"rate=0.1,0.3", b"adversarial:discriminator=(adam:rate=0.001,beta1=0.5),generator=sgd", b"name:number,zip:word,id:out",
             b"64x96",
             b"words:2000", b"shift:2+flip", b"normal:0.01", b"max-norm:3", b"cosine", b"ten-crop", b"fused+bf16"]
    fasta = b">a label=x\nACGTACGT\nACG\n>b label=y\nTTTACGAA\n>c label=x\nACGTTTGA\n>d label=y\nACACACAC\n"
    pairs = b'{"source": "abc", "target": "cba"}\n{"source": "ab", "target": "ba"}\n'
    return {
        "csv": (".csv", [csv(), csv(";"), csv().replace(b"abc", b'"a,b"')]), "csv.gz": (".csv.gz", [packed(csv())]),
        "csv.zip": (".csv.zip", [archived(csv(), "t.csv")]), "tsv": (".tsv", [csv("\t")]), "rowwise": (".csv", [csv()]),
        "npy": (".npy", [npy(np.arange(12.0).reshape(4, 3)), npy(np.arange(48, dtype=np.uint8).reshape(3, 4, 4))]),
        "npz": (".npz", [npz(x=np.arange(12.0).reshape(4, 3), y=np.array([0, 1, 0, 1]))]),
        "idx": ("-images-idx3-ubyte", [idx]), "idx.gz": (".idx.gz", [packed(idx)]), "cifar": (".bin", [cifar]), "mat": (".mat", [mat()]),
        "parquet": (".parquet", [parquet()]), "fasta": (".fasta", [fasta]), "text": (".txt", [b"to be or not to be, that is\n" * 5]),
        "png": (".png", [png("PNG")]), "jpeg": (".jpg", [png("JPEG")]), "gif": (".gif", [png("GIF")]), "tiff": (".tif", [png("TIFF")]),
        "pairs": (".jsonl", [pairs]), "lines": (".jsonl", [b'{"a": 1, "y": "p"}\n{"a": 2.5, "y": "q"}\n{"a": null, "y": "p"}\n' * 3]),
        "record": ("", [(run.path / "run.json").read_bytes(), sealed({**read_record(run.path), "parameters": 7}).encode()]),
        "result": ("", [(run.path / "test.json").read_bytes(), (run.path / "valid.json").read_bytes()]),
        "events": ("", ["".join(one.to_json() + "\n" for one in events).encode()]), "checkpoint": ("", checkpoints),
        "ledger": ("", [b'{"test_set": "t", "run": "r", "reason": "test", "time": "now", "id": "1", "previous": ""}\n' * 3]),
        "toml": (".toml", [toml]), "spec": ("", specs),
    }


def npz(**arrays: np.ndarray) -> bytes:
    into = io.BytesIO()
    np.savez_compressed(into, **arrays)
    return into.getvalue()


def parquet() -> bytes:
    import polars as pl

    into = io.BytesIO()
    columns = {"a": [1.5, 2.5, None, 4.0] * 5, "b": ["x", "y", "z", None] * 5, "c": [True, False] * 10, "y": ["p", "q"] * 10}
    pl.DataFrame(columns).write_parquet(into)
    return into.getvalue()


def readers(folder: Path) -> dict[str, Callable[[Path], Any]]:
    """What reads the files of each parser; `load` where nothing is named."""
    from chainrule.cli.options import stored
    from chainrule.core.registry import augments, constraints, inits, nets, optimizers, rules, schedules
    from chainrule.data.fold import parse_fold
    from chainrule.data.load import load
    from chainrule.data.prepare import prepare
    from chainrule.data.readers import subprocess_check, table_stream
    from chainrule.data.reading import Reading
    from chainrule.data.splits import parse_split
    from chainrule.engine import checkpoint
    from chainrule.engine.plans.plan import Plan
    from chainrule.job.options import Options
    from chainrule.job.record import read_record
    from chainrule.runs.folder import Folder
    from chainrule.runs.ledger import read_lines
    from chainrule.runs.validation import read_result
    from chainrule.sinks import runlog
    from chainrule.workflows.grid import combinations, read_over

    (folder / "like.csv").write_bytes(csv())
    like: list[Any] = []
    subprocess_check.check_readable = lambda *_: None                # this process is the one that may end
    from chainrule.data.readers import table_files
    table_files.check_readable = lambda *_: None

    def rowwise(path: Path) -> None:
        if not like:
            like.append(prepare(load(folder / "like.csv", target="y")).encoder.inputs)
        rows = table_stream.rowwise(path, like[0], 200)
        assert rows is not None
        for table in rows.tables():
            like[0].features.check(table.table, "rows", like[0].apart, lambda _: None)

    def spec(path: Path) -> None:
        text = path.read_bytes().decode(errors="surrogateescape")
        for registry in (nets, optimizers, rules, schedules, inits, constraints, augments):
            tried(registry.choose, text)
        for parse in (parse_split, parse_fold, Plan.parse, lambda t: Options(split=t, fold=t, views=t).checked(),
                      lambda t: Reading(columns=t).kinds(["name", "zip", "id"], "x"), lambda t: Reading(resize=t),
                      lambda t: Reading(tokens=t), lambda t: Reading(decimal=t), lambda t: Reading(encoding=t),
                      lambda t: combinations(read_over([t]), Options(), lambda o: o)):
            tried(parse, text)

    def record(path: Path) -> None:
        whole = path.with_name("of-run")
        whole.mkdir(exist_ok=True)
        (whole / "run.json").write_bytes(path.read_bytes())
        read_record(whole)

    def result(path: Path) -> None:
        read_result(Folder(path.parent), path.name)

    given = {"rowwise": rowwise, "spec": spec, "record": record, "result": result, "events": runlog.read, "checkpoint": checkpoint.read,
             "toml": lambda path: stored(path).checked(), "ledger": lambda path: read_lines(path.read_bytes().split(b"\n"))}
    return {name: given.get(name, lambda path: load(path, stream=False, say=lambda _: None)) for name in NAMES}


def tried(parse: Callable[[str], Any], text: str) -> None:
    from chainrule.core.errors import ChainruleError

    with contextlib.suppress(ChainruleError):
        parse(text)


NAMES = ("csv", "csv.gz", "csv.zip", "tsv", "rowwise", "npy", "npz", "idx", "idx.gz", "cifar", "mat", "parquet", "fasta", "text", "png",
         "jpeg", "gif", "tiff", "pairs", "lines", "record", "result", "events", "checkpoint", "ledger", "toml", "spec")


def work(name: str, folder: Path, sound: tuple[str, list[bytes]], begin: int, count: int, seed: int, to: int) -> None:
    """Try mutants `begin` to `count` of a parser, and write a line of JSON for each hundredth, and for each that is wrong."""
    from chainrule.core.errors import ChainruleError

    def hang(*_: object) -> None:
        raise Hang

    signal.signal(signal.SIGALRM, hang)
    place = folder / name
    place.mkdir(parents=True, exist_ok=True)
    os.chdir(place)
    ending, contents = sound
    read = readers(place)[name]
    path = place / f"mutant{ending}"
    for content in contents[: 1 if name != "spec" else 0]:           # what is loaded with the first file is no memory of a mutant
        path.write_bytes(content)
        read(path)
    before, refused = peak(), 0
    for number in range(begin, count):
        content = mutated(random.Random(f"{name} {seed} {number}"), contents)
        path.write_bytes(content)
        fault = ""
        began = time.perf_counter()
        try:
            signal.setitimer(signal.ITIMER_REAL, HANGS)
            read(path)
        except ChainruleError as error:
            refused += 1
            fault = "several lines" if "\n" in str(error) else ""
        except Hang:
            fault = f"hung for {HANGS} s"
        except BaseException as error:                               # panics of compiled parsers are no Exception
            fault = f"{type(error).__name__}: {str(error)[:200]}"
        finally:
            signal.setitimer(signal.ITIMER_REAL, 0)
        grown = peak() - before
        if grown > MOST_MB:
            fault, before = fault or f"took {grown} MB", peak()
        if fault:
            (place / f"fault-{seed}-{number}{ending}").write_bytes(content)
        if fault or name in MAY_END or number % 100 == 0 or number == count - 1:
            line = {"at": number, "refused": refused, "fault": fault, "mb": grown, "seconds": round(time.perf_counter() - began, 2)}
            os.write(to, json.dumps(line).encode() + b"\n")


def peak() -> int:
    """Megabytes that this process has had at most."""
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss // 1024


def attempt(name: str, folder: Path, sound: tuple[str, list[bytes]], count: int, seed: int) -> dict[str, Any]:
    """All mutants of a parser, in as many processes as it takes."""
    whole: dict[str, Any] = {"tried": 0, "refused": 0, "ended": 0, "mb": 0, "faults": []}
    begin = 0
    while begin < count:
        come, go = os.pipe()
        child = os.fork()
        if not child:
            os.close(come)
            code = UNSOUND
            try:
                work(name, folder, sound, begin, count, seed, go)
                code = 0
            except BaseException:
                traceback.print_exc()
            finally:
                os._exit(code)
        os.close(go)
        refused, last, said = 0, begin - 1, b""
        while True:
            ready = select.select([come], [], [], STUCK * 20 if not said else STUCK * 4)[0]
            piece = os.read(come, 65_536) if ready else b""
            if not ready:
                whole["faults"].append(f"stuck after mutant {last}")
                os.kill(child, signal.SIGKILL)
            if not piece:
                break
            said += piece
            *lines, said = said.split(b"\n")
            for line in map(json.loads, lines):
                last, refused = line["at"], line["refused"]
                whole["mb"] = max(whole["mb"], line["mb"])
                if line["fault"]:
                    whole["faults"].append(f"mutant {line['at']}: {line['fault']}")
            said = said or b" "
        os.close(come)
        status = os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])
        whole["refused"] += refused
        if status == 0 and last == count - 1:
            whole["tried"] = count
            return whole
        if status == UNSOUND:
            raise AssertionError(f"{name}: what tries the mutants failed itself")
        whole["ended"] += 1
        if name not in MAY_END:
            whole["faults"].append(f"the process ended with {status} after mutant {last}")
        begin = last + 2                                             # past the one that ended it, where each is told of
    whole["tried"] = count
    return whole


def main(folder: Path, count: int, seed: int, names: list[str]) -> None:
    contents = json.loads((folder / "seeds.json").read_text()) if (folder / "seeds.json").exists() else None
    if contents is None:
        child = os.fork()                                            # what makes the seeds starts threads, which no fork survives
        if not child:
            made = {name: [ending, [one.decode("latin1") for one in several]] for name, (ending, several) in seeds(folder).items()}
            (folder / "seeds.json").write_text(json.dumps(made))
            os._exit(0)
        os.waitpid(child, 0)
        contents = json.loads((folder / "seeds.json").read_text())
    done = {}
    for name in names or NAMES:
        ending, several = contents[name]
        done[name] = attempt(name, folder, (ending, [one.encode("latin1") for one in several]), count, seed)
        print(name, json.dumps(done[name]), file=sys.stderr, flush=True)
    print(json.dumps(done))


if __name__ == "__main__":
    place = Path(sys.argv[1]).absolute()
    place.mkdir(parents=True, exist_ok=True)
    main(place, int(sys.argv[2]), int(sys.argv[3]), sys.argv[4:])
