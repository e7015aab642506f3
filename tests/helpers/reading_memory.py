"""What reading a file takes in memory: `python reading_memory.py FOLDER [KIND...]` measures it for files of each kind, at two sizes.

It is the peak of a process of its own while it loads a file into memory as commands do, less what it had when it had read a small one of
the same kind, over what the file holds unpacked. The numbers beside `TIMES` in the readers were measured so.
"""

from __future__ import annotations

import gzip
import json
import os
import random
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np

ROOT = Path(__file__).parents[2]
MB = 10**6
PROGRAM = """
import json, sys
from pathlib import Path
from chainrule.data import memory
from chainrule.data.load import load

needed, unnoted = [0], memory.afford


def status(name):
    lines = Path("/proc/self/status").read_text().splitlines()
    return int(next(line for line in lines if line.startswith(name)).split()[1]) * 1024


def noted(asked, what, free=None):
    needed.append(status("VmRSS") + asked)
    unnoted(asked, what, free)


load(sys.argv[1], stream=False, say=lambda _: None)              # whatever is loaded and kept with the first file
for module in list(sys.modules.values()):
    if getattr(module, "afford", None) is unnoted:
        module.afford = noted
Path("/proc/self/clear_refs").write_text("5")                    # the peak begins anew
before = status("VmRSS")
load(sys.argv[2], stream=False, say=lambda _: None)
print(json.dumps([status("VmHWM") - before, max(needed) - before]))
"""


def csv(rows: int) -> bytes:
    draw = random.Random(rows)
    lines = [f"{draw.gauss(0, 1):.6f},{draw.gauss(0, 9):.3f},{draw.choice(['Ulm', 'Rom', 'Bonn'])},{draw.randrange(10**6)},{i % 2}"
             for i in range(rows)]
    return ("\n".join(["height,weight,town,pieces,y", *lines]) + "\n").encode()


def frame(rows: int) -> Any:
    import polars as pl

    draw = np.random.default_rng(rows)
    columns: dict[str, Any] = {f"c{i}": draw.normal(size=rows) for i in range(6)}
    return pl.DataFrame({**columns, "town": draw.choice(["Ulm", "Rom", "Bonn"], rows), "y": np.arange(rows) % 2})


def words(rows: int) -> bytes:
    draw = random.Random(rows)
    return " ".join(draw.choice(["to", "be", "or", "not", "that", "is", "the", "question"]) for _ in range(rows)).encode()


def pixels(rows: int) -> np.ndarray:
    return np.random.default_rng(rows).integers(0, 256, (rows, 28, 28), dtype=np.uint8)


def of_csv(path: Path, rows: int) -> int:
    path.write_bytes(csv(rows))
    return path.stat().st_size


def of_digits(path: Path, rows: int) -> int:
    """Two bytes for each value, the least that a table can have."""
    draw = np.random.default_rng(rows).integers(48, 58, (rows, 10), dtype=np.uint8)
    lines = np.full((rows, 20), ord(","), np.uint8)
    lines[:, ::2], lines[:, -1] = draw, ord("\n")
    path.write_bytes(",".join([*(f"c{i}" for i in range(9)), "y"]).encode() + b"\n" + lines.tobytes())
    return path.stat().st_size


def of_pairs(path: Path, rows: int) -> int:
    draw = random.Random(rows)
    words = ["".join(draw.choices("abcdefghij", k=draw.randrange(5, 40))) for _ in range(rows)]
    path.write_text("".join(json.dumps({"source": word, "target": word[::-1]}) + "\n" for word in words))
    return path.stat().st_size


def names(rows: int, seed: int) -> list[str]:
    draw = random.Random(seed)
    return ["".join(draw.choices("abcdefghij", k=9)) for _ in range(rows)]


def of_names(path: Path, rows: int) -> int:
    """Words that all differ."""
    path.write_text("a,b,y\n" + "".join(f"{a},{b},{i % 2}\n" for i, (a, b) in enumerate(zip(names(rows, 0), names(rows, 1), strict=True))))
    return path.stat().st_size


def of_columns_of_names(path: Path, rows: int) -> int:
    import polars as pl

    from chainrule.data.readers.table_files import size_of

    made = pl.DataFrame({"a": names(rows, 0), "b": names(rows, 1), "y": [i % 2 for i in range(rows)]})
    made.write_parquet(path)
    return size_of(path, made.schema, rows)


def of_letters(path: Path, rows: int) -> int:
    """Sequences of one letter."""
    path.write_text("".join(f">{i}\n{'ACGT'[i % 4]}\n" for i in range(rows)))
    return path.stat().st_size


def of_short_pairs(path: Path, rows: int) -> int:
    path.write_text("".join(f'{{"source":"{"abc"[i % 3]}","target":"{"abc"[i % 2]}"}}\n' for i in range(rows)))
    return path.stat().st_size


def of_short_lines(path: Path, rows: int) -> int:
    path.write_text("".join(f'{{"a":{i % 7},"b":{i % 5},"c":{i % 3},"y":{i % 2}}}\n' for i in range(rows)))
    return path.stat().st_size


def of_packed_csv(path: Path, rows: int) -> int:
    path.write_bytes(gzip.compress(csv(rows)))
    return len(csv(rows))


def of_parquet(path: Path, rows: int) -> int:
    from chainrule.data.readers.table_files import size_of

    made = frame(rows)
    made.write_parquet(path)
    return size_of(path, made.schema, rows)


def of_npz(path: Path, rows: int) -> int:
    x = np.random.default_rng(rows).normal(size=(rows, 20))
    np.savez_compressed(path, x=x, y=np.arange(rows) % 2)
    return int(x.nbytes + 8 * rows)


def of_npy(path: Path, rows: int) -> int:
    np.save(path, np.random.default_rng(rows).normal(size=(rows, 20)))
    return path.stat().st_size


def of_mat(path: Path, rows: int) -> int:
    from scipy.io import savemat

    x = np.random.default_rng(rows).integers(0, 256, (32, 32, 3, rows), dtype=np.uint8)
    savemat(path, {"X": x, "y": np.ones((rows, 1), np.uint8)}, do_compression=True)
    return int(x.nbytes)


def of_text(path: Path, rows: int) -> int:
    path.write_bytes(words(rows))
    return path.stat().st_size


def of_fasta(path: Path, rows: int) -> int:
    draw = random.Random(rows)
    path.write_text("".join(f">s{i} label={'ab'[i % 2]}\n{''.join(draw.choices('ACGT', k=200))}\n" for i in range(rows)))
    return path.stat().st_size


def of_lines(path: Path, rows: int) -> int:
    path.write_bytes(frame(rows).write_ndjson().encode())
    return path.stat().st_size


def of_excel(path: Path, rows: int) -> int:
    """By the text of its sheets."""
    import zipfile

    from workbook import workbook

    made = frame(rows)
    path.write_bytes(workbook(made.columns, made.rows()))
    with zipfile.ZipFile(path) as parts:
        return sum(part.file_size for part in parts.infolist())


def of_images(path: Path, rows: int) -> int:
    """A folder of pictures of two classes, by their pixels."""
    from PIL import Image

    draw = np.random.default_rng(rows)
    for i in range(rows):
        (path / "ab"[i % 2]).mkdir(parents=True, exist_ok=True)
        Image.fromarray(draw.integers(0, 256, (64, 64, 3), dtype=np.uint8)).save(path / "ab"[i % 2] / f"{i}.bmp")
    return rows * 64 * 64 * 3


def of_idx(path: Path, rows: int) -> int:
    x = pixels(rows)
    path.write_bytes(bytes([0, 0, 8, 3]) + b"".join(size.to_bytes(4, "big") for size in x.shape) + x.tobytes())
    return int(x.nbytes)


def of_cifar(path: Path, rows: int) -> int:
    draw = np.random.default_rng(rows)
    made = np.concatenate([draw.integers(0, 10, (rows, 1), dtype=np.uint8), draw.integers(0, 256, (rows, 3072), dtype=np.uint8)], 1)
    path.write_bytes(made.tobytes())
    return path.stat().st_size


# by kind: what writes such a file and returns its content in bytes, its name, and rows of a small one and of the two that are measured
KINDS: dict[str, tuple[Callable[[Path, int], int], str, tuple[int, int, int]]] = {
    "csv": (of_csv, "t.csv", (200, 400_000, 1_200_000)),
    "digits": (of_digits, "t.csv", (200, 400_000, 1_200_000)),
    "pairs": (of_pairs, "t.jsonl", (200, 60_000, 180_000)),
    "short pairs": (of_short_pairs, "t.jsonl", (200, 100_000, 300_000)),
    "names": (of_names, "t.csv", (200, 150_000, 450_000)),
    "csv.gz": (of_packed_csv, "t.csv.gz", (200, 400_000, 1_200_000)),
    "lines": (of_lines, "t.jsonl", (200, 60_000, 180_000)),
    "short lines": (of_short_lines, "t.jsonl", (200, 400_000, 1_200_000)),
    "excel": (of_excel, "t.xlsx", (200, 30_000, 90_000)),
    "parquet": (of_parquet, "t.parquet", (200, 300_000, 900_000)),
    "columns of names": (of_columns_of_names, "t.parquet", (200, 100_000, 300_000)),
    "npy": (of_npy, "t.npy", (200, 200_000, 600_000)),
    "npz": (of_npz, "t.npz", (200, 200_000, 600_000)),
    "mat": (of_mat, "t.mat", (20, 8_000, 24_000)),
    "text": (of_text, "t.txt", (2000, 1_000_000, 3_000_000)),
    "fasta": (of_fasta, "t.fasta", (50, 40_000, 120_000)),
    "letters": (of_letters, "t.fasta", (50, 100_000, 300_000)),
    "images": (of_images, "t", (10, 2_000, 6_000)),
    "idx": (of_idx, "t-images-idx3-ubyte", (20, 40_000, 120_000)),
    "cifar": (of_cifar, "t.bin", (20, 8_000, 24_000)),
}


def measured(kind: str, folder: Path, rows: int) -> tuple[int, int, int]:
    """Bytes of content of a file of so many rows; by how many a process of its own grew at most while it read that; and what the sum of
    memory was that reading asked for."""
    write, name, (few, *_) = KINDS[kind]
    for place in ("small", "whole"):
        (folder / place).mkdir(parents=True, exist_ok=True)
    small, whole = folder / "small" / name, folder / "whole" / name
    write(small, few)
    content = write(whole, rows)
    one = dict.fromkeys(("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "POLARS_MAX_THREADS"), "1")
    ended = subprocess.run([sys.executable, "-c", PROGRAM, small, whole], capture_output=True, text=True, check=False, timeout=600,
                           env={**os.environ, **one, "PYTHONPATH": str(ROOT)})
    assert ended.returncode == 0, ended.stderr
    grown, asked = json.loads(ended.stdout.splitlines()[-1])
    return content, grown, asked


def main(folder: Path, kinds: list[str]) -> None:
    sys.path.insert(0, str(Path(__file__).parent))
    for kind in kinds or KINDS:
        for rows in KINDS[kind][2][1:]:
            content, grown, asked = measured(kind, folder / f"{kind}-{rows}", rows)
            print(f"{kind:16} {rows:>10,} rows {content / MB:8.1f} MB of content {grown / MB:8.1f} MB more {grown / content:6.2f} times, "
                  f"{asked / MB:8.1f} MB asked for", flush=True)


if __name__ == "__main__":
    main(Path(sys.argv[1]), sys.argv[2:])
