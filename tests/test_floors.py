"""The arrows between floors, and what no file may do, read from the source itself; each check is shown to fail on an offender."""

import ast

import pytest
import torch
from structure import (
    FLOORS,
    MAY,
    ROOT,
    ROOT_FILES,
    SUBPACKAGES,
    borrowed,
    circles,
    files,
    graph,
    hidden_imports,
    imports,
    module_of,
    private_names,
    wrong_arrows,
)

FILES = files()
TESTS = sorted((ROOT.parent / "tests").rglob("*.py"))
PRIVATE = set().union(*(private_names(path.read_text()) for path in FILES)) - set(vars(torch.nn.Module()))     # torch has a few of the same
LINES = 400
MOST_ROOMS, MOST_FLOORS = 26, 10
HEAVY = {"matplotlib", "polars", "sklearn", "scipy", "pandas", "narwhals", "starlette", "uvicorn", "onnx", "onnxruntime", "onnxscript"}
UNPICKLERS = {"pickle", "cPickle", "_pickle", "joblib", "dill", "cloudpickle", "shelve", "marshal"}
CALLS = {"eval", "exec", "torch.load", "torch.save", "torch.jit.load", "torch.export.load", "torch.hub.load",
         "yaml.load", "yaml.unsafe_load", "yaml.full_load"}
EXCUSED = {("workflows/export.py", "torch.export.load")}  # of bytes made in the line before and found to hold no pickle
DERIVES_FROM_SKLEARN = ("estimators/estimators.py", "estimators/__init__.py")
ONLY_SERVED = ("serve/application.py",)  # imported by the server in its own process


def unsafe(source: str, file: str = "") -> list[str]:
    """Calls and imports through which a file of data could run code."""
    tree, ways = ast.parse(source), []
    alias = {}
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            alias |= {a.asname or a.name.split(".")[0]: a.name if a.asname else a.name.split(".")[0] for a in node.names}
        elif isinstance(node, ast.ImportFrom):
            alias |= {a.asname or a.name: f"{node.module}.{a.name}" for a in node.names}
    for node in ast.walk(tree):
        if isinstance(node, ast.Import | ast.ImportFrom | ast.Call):
            names = [one.target for one in imports(ast.unparse(node), "chainrule.x")]
            ways += [f"line {node.lineno}: imports {name}" for name in names if name.split(".")[0] in UNPICKLERS]
        if isinstance(node, ast.Call):
            head, _, rest = ast.unparse(node.func).partition(".")
            name = f"{alias.get(head, head)}.{rest}".strip(".").removeprefix("builtins.")
            if name in CALLS and (file, name) not in EXCUSED:
                ways.append(f"line {node.lineno}: calls {name}")
            settings = [(k.arg, getattr(k.value, "value", None)) for k in node.keywords]
            ways += [f"line {node.lineno}: {k}={v}" for k, v in settings if (k, v) in (("allow_pickle", True), ("weights_only", False))]
    return ways


def heavy_at_import(source: str) -> list[str]:
    """Slow packages that importing the file would import: outside functions and TYPE_CHECKING."""

    def walk(nodes):
        for node in nodes:
            if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef | ast.Lambda):
                continue
            if isinstance(node, ast.If) and ast.unparse(node.test).endswith("TYPE_CHECKING"):
                yield from walk(node.orelse)
                continue
            yield node
            yield from walk(ast.iter_child_nodes(node))

    names = []
    for node in walk([ast.parse(source)]):
        if isinstance(node, ast.Import):
            names += [a.name for a in node.names]
        elif isinstance(node, ast.ImportFrom) and not node.level:
            names += [f"{node.module}.{a.name}" for a in node.names]
    return [n for n in names if n.split(".")[0] in HEAVY or n.startswith("torch._dynamo")]


def too_long(source: str) -> bool:
    return len(source.splitlines()) > LINES


def undocumented(source: str) -> bool:
    return not (ast.get_docstring(ast.parse(source)) or "").strip()


each_file = pytest.mark.parametrize("path", FILES, ids=lambda path: str(path.relative_to(ROOT)))


def test_every_file_has_a_place():
    """The root holds three files and packages; every package and every folder in one is named in the design's table."""
    inside = [path.relative_to(ROOT) for path in FILES]
    assert {path.name for path in inside if len(path.parts) == 1} <= set(ROOT_FILES)
    assert {path.parts[0] for path in inside if len(path.parts) > 1} == set(MAY)
    assert {".".join(path.parts[:-1]) for path in inside if len(path.parts) > 2} == SUBPACKAGES


def test_rooms_and_floors_are_few():
    assert sum(map(len, FLOORS)) <= MOST_ROOMS
    assert len(FLOORS) <= MOST_FLOORS


def test_the_table_points_down():
    """Packages import packages of lower floors; of one floor only the faces do, since the command line runs recipes and benchmarks."""
    level = {package: at for at, floor in enumerate(FLOORS) for package in floor}
    sideways = {(package, other) for package, allowed in MAY.items() for other in allowed if level[other] >= level[package]}
    assert sideways == {("cli", "recipes"), ("cli", "bench"), ("cli", "serve"), ("bench", "recipes")}


def test_no_files_import_each_other_in_a_circle():
    assert circles(graph()) == []


@each_file
def test_arrows_point_down(path):
    assert wrong_arrows(path.read_text(), module_of(path), path.name == "__init__.py") == []


@each_file
def test_imports_stand_at_the_top(path):
    assert hidden_imports(path.read_text(), module_of(path), path.name == "__init__.py") == []


@each_file
def test_no_data_can_run_code(path):
    assert unsafe(path.read_text(), str(path.relative_to(ROOT))) == []


@each_file
def test_importing_is_quick(path):
    inside = str(path.relative_to(ROOT))
    if inside not in (*DERIVES_FROM_SKLEARN, *ONLY_SERVED) and not inside.startswith("bench/sides/"):  # sides: one peer each
        assert heavy_at_import(path.read_text()) == []


@each_file
def test_files_are_short_and_say_what_they_are(path):
    assert not too_long(path.read_text())
    assert (path.name.startswith("_") and path.name != "__init__.py") or not undocumented(path.read_text())


@each_file
def test_private_names_stay_at_home(path):
    assert borrowed(path.read_text(), module_of(path), PRIVATE, path.name == "__init__.py") == []


def test_tests_are_short_too():
    assert [str(path.relative_to(ROOT.parent)) for path in TESTS if too_long(path.read_text())] == []


@pytest.mark.parametrize(("module", "source"), [
    ("chainrule.core.net", "import chainrule.data.source"),
    ("chainrule.core.net", "from chainrule import engine"),
    ("chainrule.core.net", "import numpy"),
    ("chainrule.nets.lenet", "from chainrule.rules.backprop import backprop"),
    ("chainrule.nets.lenet", "from chainrule.nets.rbm import RBM"),
    ("chainrule.nets.lenet", "from .rbm import RBM"),
    ("chainrule.nets.lenet", "from . import rbm"),
    ("chainrule.rules.backprop", "def f():\n    from chainrule.optim import sgd"),
    ("chainrule.data.csv", "if TYPE_CHECKING:\n    from chainrule.engine.train import Settings"),
    ("chainrule.engine.train", "from ..nets import lenet"),
    ("chainrule.engine.train", "import importlib\nimportlib.import_module('chainrule.rules.backprop')"),
    ("chainrule.engine.train", "from chainrule.observe.layers import layers"),
    ("chainrule.observe.layers", "from chainrule.data.source import Data"),
    ("chainrule.plots.evaluation", "from chainrule.engine import train"),
    ("chainrule.report.page", "from chainrule.api import train"),
])
def test_a_planted_arrow_is_found(module, source):
    assert len(wrong_arrows(source, module)) == 1


@pytest.mark.parametrize(("module", "source"), [
    ("chainrule.core.net", "import torch, json\nfrom chainrule.core.errors import InputError"),
    ("chainrule.nets.lenet", "from chainrule.nets.layers.dense import Dense\nfrom .layers import activation"),
    ("chainrule.engine.train", "from chainrule import __version__\nfrom chainrule.data.feed.shuffled import Feed\nfrom .plans import plan"),
    ("chainrule.engine.train", "from ..core import net"),
    ("chainrule.report.page", "from chainrule.core.events import Event\nfrom chainrule.evaluate.result import shown\nimport numpy"),
    ("chainrule.workflows.train", "from chainrule.engine import train\nfrom chainrule.nets import lenet"),
])
def test_arrows_down_are_let_through(module, source):
    assert wrong_arrows(source, module) == []


def test_relative_imports_of_a_package_start_at_itself():
    assert wrong_arrows("from . import train", "chainrule.engine", package=True) == []
    assert len(wrong_arrows("from .. import nets", "chainrule.engine", package=True)) == 1


@pytest.mark.parametrize("source", [
    "import pickle", "def f():\n    from joblib import load", "import dill as d",
    "import importlib\nimportlib.import_module('pickle')", "__import__('marshal')", "eval('1')", "exec('x = 1')",
    "import builtins\nbuiltins.eval('1')", "import torch\ntorch.load(f)", "import torch as t\nt.load(f)",
    "from torch import save\nsave(x, f)", "import torch\ntorch.export.load(f)",
    "from torch import export\nexport.load(f)", "import yaml\nyaml.load(f)",
    "import numpy as np\nnp.load(f, allow_pickle=True)", "g(f, weights_only=False)",
])
def test_a_planted_way_to_run_code_is_found(source):
    assert unsafe(source)


@pytest.mark.parametrize("source", ["net.eval()", "import re\nre.compile('x')", "import torch\ntorch.export.save(p, f)",
                                    "import numpy as np\nnp.load(f)", "from safetensors.torch import load, save\nload(b)",
                                    "import numpy as np\nnp.load(f, allow_pickle=False)"])
def test_harmless_calls_are_let_through(source):
    assert unsafe(source) == []


def test_a_planted_slow_import_is_found_where_it_costs():
    assert heavy_at_import("import scipy.stats") == ["scipy.stats"]
    assert heavy_at_import("class A:\n    from sklearn import svm") == ["sklearn.svm"]
    assert heavy_at_import("try:\n    import polars as pl\nexcept ImportError:\n    pass") == ["polars"]
    assert heavy_at_import("def f():\n    import scipy\nif TYPE_CHECKING:\n    import polars\nimport torch") == []


def test_a_planted_long_or_wordless_file_is_found():
    assert too_long("x = 1\n" * 401)
    assert not too_long("x = 1\n" * 400)
    assert undocumented("import torch")
    assert undocumented('""" """')
    assert not undocumented('"""What it is."""')


@pytest.mark.parametrize(("module", "source"), [
    ("chainrule.data.load", "def f():\n    import json"),
    ("chainrule.workflows.train", "def f():\n    from chainrule.data.load import load"),
    ("chainrule.job.job", "f = lambda: __import__('chainrule.nets.lenet')"),
])
def test_a_planted_hidden_import_is_found(module, source):
    assert len(hidden_imports(source, module)) == 1


@pytest.mark.parametrize(("module", "source"), [
    ("chainrule.data.load", "def f():\n    import polars as pl\n    from scipy import stats"),
    ("chainrule.cli.main", "def f():\n    from chainrule.workflows.train import train"),
    ("chainrule.data.load", "if TYPE_CHECKING:\n    import json"),
])
def test_late_imports_of_slow_packages_are_let_through(module, source):
    assert hidden_imports(source, module) == []


@pytest.mark.parametrize("source", ["from chainrule.plots.evaluation import _figure", "from .evaluation import _figure",
                                    "trained._classes_of(x)", "self.run._classes_of", "def f(run):\n    run._classes_of = 1"])
def test_a_planted_loan_of_a_private_name_is_found(source):
    assert len(borrowed(source, "chainrule.plots.x", {"_classes_of"})) == 1


@pytest.mark.parametrize("source", ["from torch.utils import _pytree as pytree", "self._classes_of", "super()._classes_of()",
                                    "aten._softmax", "class A:\n    def _classes_of(self, other):\n        return other._classes_of"])
def test_private_names_of_ones_own_and_of_torch_are_let_through(source):
    assert borrowed(source, "chainrule.plots.x", {"_classes_of"}) == []


def test_planted_circles_are_found():
    arrows = {"a": {"b"}, "b": {"c"}, "c": {"a"}, "d": {"a"}, "e": {"f"}, "f": {"e"}}
    assert sorted(circles(arrows)) == [["a", "b", "c"], ["e", "f"]]
    assert circles({"a": {"b"}, "b": {"c"}, "c": set()}) == []
