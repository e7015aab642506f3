"""MATLAB's files: as scipy reads them, and every damage is a sentence."""

import io
import random
import struct

import numpy as np
import pytest
from scipy.io import loadmat, savemat

from chainrule.core.errors import ChainruleError, CorruptFile
from chainrule.data.readers.matlab import numeric_arrays


def saved(path, arrays, **how):
    savemat(path, arrays, **how)
    return path


@pytest.mark.parametrize("packed", [False, True])
@pytest.mark.parametrize("dtype", ["u1", "i1", "u2", "i2", "u4", "i4", "u8", "i8", "f4", "f8"])
def test_numbers_are_as_scipy_reads_them(dtype, packed, tmp_path):
    rng = np.random.default_rng(0)
    x, y = (rng.integers(0, 100, shape).astype(dtype) for shape in ((3, 4, 2, 5), (1, 1)))
    path = saved(tmp_path / "a.mat", {"X": x, "y": y, "name": "words", "z": 1j, "cell": np.array([1, "a"], object)}, do_compression=packed)
    ours, theirs = numeric_arrays(path, ("X", "y", "z", "name", "cell")), loadmat(path)
    assert sorted(ours) == ["X", "y"]
    for name, array in ours.items():
        assert array.dtype == theirs[name].dtype
        assert np.array_equal(array, theirs[name])


def test_doubles_that_are_whole_numbers_are_stored_small_and_come_back_as_doubles(tmp_path):
    """As MATLAB itself writes them: bytes inside an array of doubles."""
    path = saved(tmp_path / "a.mat", {"y": np.array([[1.0, 2.0, 10.0]])})
    raw = bytearray(path.read_bytes())
    at = raw.index(struct.pack("<II", 9, 24))
    raw[at:] = struct.pack("<II", 2, 3) + bytes([1, 2, 10]) + bytes(5)
    raw[132:136] = struct.pack("<I", len(raw) - 136)
    path.write_bytes(raw)
    assert np.array_equal(numeric_arrays(path, ("y",))["y"], [[1.0, 2.0, 10.0]])
    assert np.array_equal(loadmat(path)["y"], [[1.0, 2.0, 10.0]])


@pytest.mark.parametrize("packed", [False, True])
def test_mutated_files_are_refused_or_read_and_never_more(packed, tmp_path):
    whole = io.BytesIO()
    savemat(whole, {"X": np.arange(240, dtype=np.uint8).reshape(4, 4, 3, 5), "y": np.arange(5.0)[:, None]}, do_compression=packed)
    rng, path, refused = random.Random(1), tmp_path / "a.mat", 0
    for _ in range(1500):
        raw = bytearray(whole.getvalue())
        for _ in range(rng.choice((1, 1, 2, 8))):
            raw[rng.randrange(len(raw))] = rng.randrange(256)
        if rng.random() < 0.2:
            del raw[rng.randrange(len(raw)):]
        path.write_bytes(raw)
        try:
            for array in numeric_arrays(path, ("X", "y")).values():
                assert array.nbytes <= 8 * len(whole.getvalue()) * (40 if packed else 1)
        except ChainruleError as error:
            assert str(path) in str(error)
            refused += 1
    assert refused > 100


def test_a_size_that_no_memory_holds_is_refused(tmp_path):
    path = saved(tmp_path / "a.mat", {"X": np.zeros((4, 4, 3, 5), np.uint8)})
    raw = bytearray(path.read_bytes())
    at = raw.index(struct.pack("<iiii", 4, 4, 3, 5))
    raw[at : at + 16] = struct.pack("<iiii", 2**31 - 1, 2**31 - 1, 2**31 - 1, 2**31 - 1)
    path.write_bytes(raw)
    with pytest.raises(CorruptFile, match="X has 240 bytes for sizes"):
        numeric_arrays(path, ("X",))
