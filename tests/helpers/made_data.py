"""Small sets made for the tests: a table with every kind of column, IDX and CIFAR files."""

import gzip
import struct

import numpy as np
import pandas as pd


def people(n=200, seed=0):
    rng = np.random.default_rng(seed)
    frame = pd.DataFrame({
        "age": rng.integers(18, 90, n).astype(float),
        "income": rng.lognormal(10, 1, n),
        "always": np.full(n, 0.1),
        "smoker": rng.integers(0, 2, n).astype(bool),
        "town": rng.choice(["Ulm", "Rom", "Bonn"], n),
        "size": pd.Categorical(rng.choice(["s", "m", "l"], n), ["s", "m", "l"], ordered=True),
        "y": rng.normal(50, 9, n),
    })
    frame.loc[rng.choice(n, n // 5, replace=False), "income"] = np.nan
    frame.loc[rng.choice(n, n // 10, replace=False), "town"] = None
    return frame


def idx_bytes(array, code=8):
    big = array.astype(array.dtype.newbyteorder(">"))
    return bytes([0, 0, code, array.ndim]) + struct.pack(f">{array.ndim}I", *array.shape) + big.tobytes()


def pixels(n, *shape, seed=0):
    return np.random.default_rng(seed).integers(0, 256, (n, *shape), dtype=np.uint8)


def idx_folder(folder, packed=False, train=30, test=10):
    folder.mkdir()
    made = {}
    for part, n in (("train", train), ("t10k", test)):
        made[part] = pixels(n, 5, 4, seed=n), np.arange(n, dtype=np.uint8) % 3
        for stem, array in ((f"{part}-images-idx3-ubyte", made[part][0]), (f"{part}-labels-idx1-ubyte", made[part][1])):
            data = idx_bytes(array)
            (folder / (f"{stem}.gz" if packed else stem)).write_bytes(gzip.compress(data) if packed else data)
    return made


def cifar_folder(folder, labels=1, per_file=4):
    folder.mkdir()
    names = [*(f"data_batch_{i}.bin" for i in range(1, 6)), "test_batch.bin"] if labels == 1 else ["train.bin", "test.bin"]
    x, y = pixels(per_file * len(names), 3, 32, 32), np.arange(per_file * len(names), dtype=np.uint8) % 10
    for i, name in enumerate(names):
        rows = slice(i * per_file, (i + 1) * per_file)
        head = y[rows, None] if labels == 1 else np.stack([y[rows] * 0 + 7, y[rows] + 50], 1)
        (folder / name).write_bytes(np.concatenate([head, x[rows].reshape(per_file, -1)], 1).tobytes())
    return x, y if labels == 1 else y + 50
