"""The small sets that scikit-learn carries, read from its files without importing it, each checked by the SHA-256 of its content."""

from __future__ import annotations

import hashlib
import importlib.util
from collections.abc import Callable
from pathlib import Path

import numpy as np
import torch

from chainrule.core.errors import CorruptFile, InputError
from chainrule.core.registry import datasets
from chainrule.data import fingerprint
from chainrule.data.encode.columns import Table, of_numbers
from chainrule.data.readers.download import to_stderr
from chainrule.data.readers.gzipped import content
from chainrule.data.source import Source

SHA256 = {
    "digits.csv.gz": "6ebb3d2fee246a4e99363262ddf8a00a3c41bee6014c373ed9d9216ba7f651b8",
    "iris.csv": "f13ffa8fdd56fd8e6c8d16d4081a3fbd3114bcd0aae4256c43205169cd9d1449",
    "wine_data.csv": "10e8a802908b34f86e5da8ce962f3c806694bc98450a18f61851af59f324bede",
    "breast_cancer.csv": "fed3eb72d0575ef6192293f5093c6e801b1476b577d0386bf4455504522172ed",
    "diabetes_data_raw.csv.gz": "86badf50b4f9436ddd1e497dc0ae1b93166f8120221ee7dca4634fe849f3be7c",
    "diabetes_target.csv.gz": "244713a551f62a291a354212d8a048adec6cb1244b2bc44e66a0698f5006d26d",
}
IRIS = ("sepal length (cm)", "sepal width (cm)", "petal length (cm)", "petal width (cm)")
WINE = ("alcohol", "malic_acid", "ash", "alcalinity_of_ash", "magnesium", "total_phenols", "flavanoids", "nonflavanoid_phenols",
        "proanthocyanins", "color_intensity", "hue", "od280/od315_of_diluted_wines", "proline")
CELL = ("radius", "texture", "perimeter", "area", "smoothness", "compactness", "concavity",
        "concave points", "symmetry", "fractal dimension")
CANCER = (*(f"mean {c}" for c in CELL), *(f"{c} error" for c in CELL), *(f"worst {c}" for c in CELL))
DIABETES = ("age", "sex", "bmi", "bp", "s1", "s2", "s3", "s4", "s5", "s6")


def _numbers(file: str, columns: int, separator: str = ",", skip: int = 0) -> np.ndarray:
    """The numbers of a file below its first `skip` lines, (n, columns). Raises CorruptFile on another content."""
    package = importlib.util.find_spec("sklearn")
    if package is None or not package.submodule_search_locations:
        raise InputError("scikit-learn, which carries this data set, is not installed. Run: pip install scikit-learn")
    path = Path(package.submodule_search_locations[0]) / "datasets" / "data" / file
    data = content(path)
    if hashlib.sha256(data).hexdigest() != SHA256[file]:
        raise CorruptFile(f"{path} is not the file its set was published with (SHA-256 differs). Reinstall scikit-learn.")
    lines = data.decode().split("\n")[skip:]
    return np.array(separator.join(line.strip() for line in lines if line).split(separator), dtype=np.float64).reshape(-1, columns)


def _table(name: str, file: str, columns: tuple[str, ...], classes: tuple[str, ...]) -> Source:
    values = _numbers(file, len(columns) + 1, skip=1)
    inputs = Table(tuple(of_numbers(c, values[:, i]) for i, c in enumerate(columns)))
    y = torch.from_numpy(values[:, -1].astype(np.int64))
    return Source(name, inputs, y, "class", {"kind": "named", "what": name}, fingerprint.of(inputs, y, classes), classes)


@datasets("digits", source="Alpaydin & Kaynak (1998), https://doi.org/10.24432/C50P49", maximum=16)
def digits(data_dir: str | Path | None = None, say: Callable[[str], None] = to_stderr) -> Source:
    """1,797 handwritten digits of 8 x 8 pixels with values 0 to 16."""
    values = _numbers("digits.csv.gz", 65)
    x = torch.from_numpy(values[:, :-1].astype(np.uint8)).reshape(-1, 1, 8, 8)
    y, classes = torch.from_numpy(values[:, -1].astype(np.int64)), tuple(map(str, range(10)))
    return Source("digits", x, y, "class", {"kind": "named", "what": "digits"}, fingerprint.of(x, y, classes), classes)


@datasets("iris", source="Fisher (1936), https://doi.org/10.1111/j.1469-1809.1936.tb02137.x")
def iris(data_dir: str | Path | None = None, say: Callable[[str], None] = to_stderr) -> Source:
    """150 irises of three species by four lengths."""
    return _table("iris", "iris.csv", IRIS, ("setosa", "versicolor", "virginica"))


@datasets("wine", source="Aeberhard & Forina (1991), https://doi.org/10.24432/C5PC7J")
def wine(data_dir: str | Path | None = None, say: Callable[[str], None] = to_stderr) -> Source:
    """178 wines of three growers by thirteen chemical measurements."""
    return _table("wine", "wine_data.csv", WINE, ("class_0", "class_1", "class_2"))


@datasets("breast-cancer", source="Wolberg, Mangasarian, Street & Street (1993), https://doi.org/10.24432/C5DW2B")
def breast_cancer(data_dir: str | Path | None = None, say: Callable[[str], None] = to_stderr) -> Source:
    """569 tumours, malignant or benign, by thirty measurements of their cell nuclei."""
    return _table("breast-cancer", "breast_cancer.csv", CANCER, ("malignant", "benign"))


@datasets("diabetes", source="Efron, Hastie, Johnstone & Tibshirani (2004), https://doi.org/10.1214/009053604000000067")
def diabetes(data_dir: str | Path | None = None, say: Callable[[str], None] = to_stderr) -> Source:
    """How far diabetes went in a year in 442 patients, by ten measurements in their own units."""
    values = _numbers("diabetes_data_raw.csv.gz", len(DIABETES), " ")
    inputs = Table(tuple(of_numbers(c, values[:, i]) for i, c in enumerate(DIABETES)))
    y = torch.from_numpy(_numbers("diabetes_target.csv.gz", 1, "\n")[:, 0].copy())
    return Source("diabetes", inputs, y, "real", {"kind": "named", "what": "diabetes"}, fingerprint.of(inputs, y))
