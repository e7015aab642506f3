"""The named image sets, where their files are published, and how a local folder is recognised as one of them."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path
from types import MappingProxyType
from typing import Any

import torch
from torch import Tensor

from chainrule.core.errors import CorruptFile, InputError
from chainrule.core.registry import datasets
from chainrule.core.traits import DatasetTraits
from chainrule.data import fingerprint
from chainrule.data.readers import cifar, idx, svhn
from chainrule.data.readers.download import File, fetch, folders, is_published, md5, to_stderr
from chainrule.data.source import Source

IDX_FILES = ("train-images-idx3-ubyte", "train-labels-idx1-ubyte", "t10k-images-idx3-ubyte", "t10k-labels-idx1-ubyte")
DIGITS = tuple(map(str, range(10)))
CLASSES = {
    "mnist": DIGITS,
    "fashion-mnist": ("T-shirt/top", "Trouser", "Pullover", "Dress", "Coat", "Sandal", "Shirt", "Sneaker", "Bag", "Ankle boot"),
    "kmnist": ("o", "ki", "su", "tsu", "na", "ha", "ma", "ya", "re", "wo"),
}

FORMS: Mapping[str, Callable[[Path], object]] = MappingProxyType({      # how a folder is seen to hold sets of a form
    "idx": lambda folder: any(idx.member(folder, part, "images") for part in idx.PARTS),
    "cifar10": lambda folder: cifar.training_files(folder, ten=True),
    "cifar100": lambda folder: cifar.training_files(folder, ten=False),
    "svhn": lambda folder: (folder / svhn.TRAIN).is_file(),
})


def _idx_files(url: str, *sums: str, unpacked: tuple[str, ...] = ("",) * 4) -> tuple[File, ...]:
    return tuple(File(f"{n}.gz", f"{url}{n}.gz", md5, of_content) for n, md5, of_content in zip(IDX_FILES, sums, unpacked))


FILES: Mapping[str, tuple[File, ...]] = MappingProxyType({
    "mnist": _idx_files(
        "https://ossci-datasets.s3.amazonaws.com/mnist/", "f68b3c2dcbeaaa9fbdd348bbdeb94873", "d53e105ee54ea40749a09fcbcd1e9432",
        "9fb629c4189551a2d022fa330f9573f3", "ec29112dd5afa0611ce80d1b7f02629c",
        unpacked=("6bbc9ace898e44ae57da46a324031adb", "a25bea736e30d166cdddb491f175f624",
                  "2646ac647ad5339dbf082846283269ea", "27ae3e4e09519cfbb04c329615203637")),
    "fashion-mnist": _idx_files(
        "http://fashion-mnist.s3-website.eu-central-1.amazonaws.com/",
        "8d4fb7e6c68d591d4c3dfef9ec88bf0d", "25c81989df183df01b3e8a0aad5dffbe",
        "bef4ecab320f06d8554ea6380940ec79", "bb300cfdad3c16e7a12a480ee83cd310"),
    "kmnist": _idx_files(
        "http://codh.rois.ac.jp/kmnist/dataset/kmnist/", "bdb82020997e1d708af4cf47b453dcf7", "e144d726b3acfaa3e44228e80efcd344",
        "5c965bf0a639b31b8f53240b1b52f4d7", "7320c461ea6c1c855c0b718fb2a4b134"),
    "cifar10": (File("cifar-10-binary.tar.gz",
                     "https://www.cs.toronto.edu/~kriz/cifar-10-binary.tar.gz", "c32a1d4ab5d03f1284b67883e8d87530",
                     members=(*(f"data_batch_{i}.bin" for i in range(1, 6)), "test_batch.bin", "batches.meta.txt")),),
    "cifar100": (File("cifar-100-binary.tar.gz",
                      "https://www.cs.toronto.edu/~kriz/cifar-100-binary.tar.gz", "03b5dce01913d631647c71ecec9e9cb8",
                      members=("train.bin", "test.bin", "fine_label_names.txt")),),
    "svhn": (File("train_32x32.mat", "http://ufldl.stanford.edu/housenumbers/train_32x32.mat", "e26dedcc434d2e4c54c9b2d4a06d8373"),
             File("test_32x32.mat", "http://ufldl.stanford.edu/housenumbers/test_32x32.mat", "eb5a983be6a315427106f1b164d9cef3")),
})


def traits(source: Source) -> DatasetTraits:
    """What is particular about a named set, or a folder recognised as one: `valid_rows`, `maximum`. Empty for other data."""
    name = source.origin.get("what") if source.origin.get("kind") == "named" else source.origin.get("set")
    return datasets.choose(name).entry.traits if name is not None else DatasetTraits()


def known_folder(folder: Path, name: str | None = None, check: idx.Check | None = None) -> Source | None:
    """The set whose standard files a folder holds (IDX, CIFAR binary, SVHN .mat), or None. `name` says which, where it holds several.

    Raises InputError, also where it holds several and no name is given, and CorruptFile.
    """
    present = [form for form, there in FORMS.items() if there(folder)]
    if name is not None:
        present = [form for form in present if form == ("idx" if name in CLASSES else name)]
    if len(present) > 1:
        sets = [_recognised(folder) or "IDX pictures" if form == "idx" else form for form in present]
        raise InputError(f"{folder} holds the files of {' and of '.join(sets)}. Give the name of one with --data-dir {folder}, "
                         "or a folder that holds one alone.")
    if not present:
        return None
    origin: dict[str, Any] = {"kind": "folder", "what": str(folder.absolute())}
    if present == ["idx"]:
        return _idx_folder(folder, name, check, origin)
    name, origin["set"] = present[0], present[0]
    if name == "svhn":
        return _source(name, *svhn.read_folder(folder), DIGITS, origin)
    return _source(name, *cifar.read_folder(folder, name == "cifar10"), origin)


def _idx_folder(folder: Path, name: str | None, check: idx.Check | None, origin: dict[str, Any]) -> Source:
    x, y, trained = idx.read_folder(folder, check)
    known = name or _recognised(folder)
    origin["set"], name = known, known or folder.name
    classes = CLASSES.get(known or "", tuple(map(str, range(int(y.max()) + 1))))
    if int(y.max()) >= len(classes):
        raise CorruptFile(f"{folder} holds the label {int(y.max())}; {name} has labels below {len(classes)}. Give the folder's path "
                          "if it is another set.")
    return _source(name, x, y, trained, classes, origin)


def _source(name: str, x: Tensor, y: Tensor, trained: int, classes: tuple[str, ...], origin: dict[str, Any]) -> Source:
    parts = {"test": torch.arange(trained, len(x))} if trained < len(x) else {}
    return Source(name, x, y, "class", origin, fingerprint.of(x, y, classes), classes, parts)


def _recognised(folder: Path) -> str | None:
    """Which of the IDX sets a folder holds, by the checksum of its training labels."""
    labels = idx.member(folder, "train", "labels")
    if labels is None:
        return None
    return next((name for name in CLASSES if is_published(labels, FILES[name][1])), None)


def holds(folder: Path, name: str) -> bool:
    """Whether a folder has the files of a set; one that is not called after an IDX set must prove it by checksum."""
    if name in CLASSES:
        if any(idx.member(folder, part, what) is None for part in ("train", "t10k") for what in ("images", "labels")):
            return False
        return name in folder.name or _recognised(folder) == name
    return all((folder / wanted).is_file() for file in FILES[name] for wanted in file.wanted if wanted.endswith((".bin", ".mat")))


def _named(name: str, data_dir: str | Path | None, say: Callable[[str], None], *others: str) -> Source:
    folder = next((f for f in folders(name, others, data_dir) if holds(f, name)), None) or fetch(name, FILES[name], data_dir, say)
    source = known_folder(folder, name, _checker(name, say) if name in CLASSES else None)
    if source is None:
        raise InputError(f"{folder} does not hold the files of {name}; expected {', '.join(w for f in FILES[name] for w in f.wanted)}.")
    return Source(**{**vars(source), "origin": {"kind": "named", "what": name}})


def _checker(name: str, say: Callable[[str], None]) -> idx.Check:
    """Told each IDX file as it is read: refuses one whose content is not the published one, where that is known."""
    by_stem = {f.name.removesuffix(".gz").split("-idx")[0]: f for f in FILES[name]}

    def check(path: Path, header: bytes, body: memoryview) -> None:
        file = by_stem[path.name.split("-idx")[0].split(".idx")[0]]
        if file.unpacked and md5(header, body) != file.unpacked:
            raise CorruptFile(f"{path} is not the published {name} file: the MD5 of its content differs from {file.unpacked}. "
                              f"Fetch it again, or give the folder's path instead of the name {name}.")
        if not file.unpacked and md5(path.read_bytes()) != file.md5:
            say(f"{path} is packed otherwise than the published file, so its checksum could not be compared.")

    return check


@datasets("mnist", source="LeCun, Bottou, Bengio & Haffner (1998), https://doi.org/10.1109/5.726791", valid_rows=10_000, maximum=255)
def mnist(data_dir: str | Path | None = None, say: Callable[[str], None] = to_stderr) -> Source:
    """60,000 + 10,000 handwritten digits of 28 x 28 pixels."""
    return _named("mnist", data_dir, say)


@datasets("fashion-mnist", source="Xiao, Rasul & Vollgraf (2017), arXiv:1708.07747", valid_rows=10_000, maximum=255)
def fashion_mnist(data_dir: str | Path | None = None, say: Callable[[str], None] = to_stderr) -> Source:
    """60,000 + 10,000 pictures of clothes, 28 x 28 pixels, ten classes."""
    return _named("fashion-mnist", data_dir, say)


@datasets("kmnist", source="Clanuwat et al. (2018), arXiv:1812.01718", valid_rows=10_000, maximum=255)
def kmnist(data_dir: str | Path | None = None, say: Callable[[str], None] = to_stderr) -> Source:
    """60,000 + 10,000 cursive Japanese characters, 28 x 28 pixels, ten classes."""
    return _named("kmnist", data_dir, say)


@datasets("cifar10", source="Krizhevsky (2009), https://www.cs.toronto.edu/~kriz/cifar.html", valid_rows=5_000, maximum=255)
def cifar10(data_dir: str | Path | None = None, say: Callable[[str], None] = to_stderr) -> Source:
    """50,000 + 10,000 colour photographs of 32 x 32 pixels, ten classes."""
    return _named("cifar10", data_dir, say, "cifar-10-batches-bin")


@datasets("cifar100", source="Krizhevsky (2009), https://www.cs.toronto.edu/~kriz/cifar.html", valid_rows=5_000, maximum=255)
def cifar100(data_dir: str | Path | None = None, say: Callable[[str], None] = to_stderr) -> Source:
    """50,000 + 10,000 colour photographs of 32 x 32 pixels, a hundred classes."""
    return _named("cifar100", data_dir, say, "cifar-100-binary")


@datasets("svhn", source="Netzer et al. (2011), http://ufldl.stanford.edu/housenumbers/", maximum=255)
def svhn_digits(data_dir: str | Path | None = None, say: Callable[[str], None] = to_stderr) -> Source:
    """73,257 + 26,032 house-number digits in colour, 32 x 32 pixels."""
    return _named("svhn", data_dir, say)
