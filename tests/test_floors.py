"""The arrows between floors, and what no file may do, read from the source itself; each check is shown to fail on an offender."""

import ast
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1] / "chainrule"
FILES = sorted(ROOT.rglob("*.py"))
LINES = 400
MAY = {  # what a package may import besides itself, as in docs/design.md; what is not named here is the top floor
    "core": (),
    "nets": ("core",), "rules": ("core",), "optim": ("core",), "data": ("core",),
    "engine": ("core", "data"), "observe": ("core",), "evaluate": ("core", "data"),
    "sinks": ("core.events", "core.errors", "core.files", "evaluate"),
}
TOP = {"recipes"}  # and every file that lies beside the packages
SHARED_BY_NETS = ("nets.blocks", "nets.initial", "nets.normalise")  # the only files of nets that other families import
HEAVY = {"matplotlib", "polars", "sklearn", "scipy", "pandas", "starlette", "onnx", "onnxruntime", "onnxscript"}
UNPICKLERS = {"pickle", "cPickle", "_pickle", "joblib", "dill", "cloudpickle", "shelve", "marshal"}
CALLS = {"eval", "exec", "torch.load", "torch.save", "torch.jit.load", "torch.export.load", "torch.hub.load",
         "yaml.load", "yaml.unsafe_load", "yaml.full_load"}
EXCUSED = {("export.py", "torch.export.load")}  # of bytes made in the line before and found to hold no pickle


def imports(source: str, module: str, package: bool = False) -> list[tuple[str, int]]:
    """All modules a file names in an import, absolute: at the top, in functions, under TYPE_CHECKING, through import_module."""
    found = []
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.Import):
            found += [(alias.name, node.lineno) for alias in node.names]
        elif isinstance(node, ast.ImportFrom):
            here = module.split(".") if package else module.split(".")[:-1]
            base = ".".join([*here[: len(here) + 1 - node.level], *([node.module] if node.module else [])]) if node.level else node.module
            found += [(f"{base}.{alias.name}", node.lineno) for alias in node.names]
        elif isinstance(node, ast.Call) and ast.unparse(node.func).split(".")[-1] in ("import_module", "__import__"):
            found += [(a.value, node.lineno) for a in node.args[:1] if isinstance(a, ast.Constant) and isinstance(a.value, str)]
    return found


def wrong_arrows(source: str, module: str, package: bool = False) -> list[str]:
    """Imports of `module` that go up or sideways."""
    inside = module.removeprefix("chainrule").lstrip(".")
    floor = inside.split(".")[0]
    if floor not in MAY:
        return []
    wrong = []
    for name, line in imports(source, module, package):
        root, _, target = name.partition(".")
        if root != "chainrule":
            if floor == "core" and root not in ("torch", *sys.stdlib_module_names):
                wrong.append(f"line {line}: core imports {name}")
            continue
        below = any(_within(target, allowed) for allowed in MAY[floor])
        own = _within(target, floor) and (floor != "nets" or any(_within(target, s) for s in SHARED_BY_NETS))
        if not (below or own or target == "__version__"):
            wrong.append(f"line {line}: {inside} imports {name}")
    return wrong


def _within(target: str, package: str) -> bool:
    return target == package or target.startswith(package + ".")


def unsafe(source: str, file: str = "") -> list[str]:
    """Calls and imports through which a file of data could run code."""
    tree, found = ast.parse(source), []
    alias = {}
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            alias |= {a.asname or a.name.split(".")[0]: a.name if a.asname else a.name.split(".")[0] for a in node.names}
        elif isinstance(node, ast.ImportFrom):
            alias |= {a.asname or a.name: f"{node.module}.{a.name}" for a in node.names}
    for node in ast.walk(tree):
        if isinstance(node, ast.Import | ast.ImportFrom | ast.Call):
            names = [name for name, _ in imports(ast.unparse(node), "chainrule.x")]
            found += [f"line {node.lineno}: imports {name}" for name in names if name.split(".")[0] in UNPICKLERS]
        if isinstance(node, ast.Call):
            head, _, rest = ast.unparse(node.func).partition(".")
            name = f"{alias.get(head, head)}.{rest}".strip(".").removeprefix("builtins.")
            if name in CALLS and (file, name) not in EXCUSED:
                found.append(f"line {node.lineno}: calls {name}")
            settings = [(k.arg, getattr(k.value, "value", None)) for k in node.keywords]
            found += [f"line {node.lineno}: {k}={v}" for k, v in settings if (k, v) in (("allow_pickle", True), ("weights_only", False))]
    return found


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


def name_of(path: Path) -> str:
    return ".".join(["chainrule", *path.relative_to(ROOT).with_suffix("").parts]).removesuffix(".__init__")


each_file = pytest.mark.parametrize("path", FILES, ids=lambda path: str(path.relative_to(ROOT)))


def test_every_package_has_a_floor():
    assert {p.relative_to(ROOT).parts[0] for p in FILES if p.parent != ROOT} - MAY.keys() - TOP == set()


@each_file
def test_arrows_point_down(path):
    assert wrong_arrows(path.read_text(), name_of(path), path.name == "__init__.py") == []


@each_file
def test_no_data_can_run_code(path):
    assert unsafe(path.read_text(), str(path.relative_to(ROOT))) == []


@each_file
def test_importing_is_quick(path):
    if path.name != "estimators.py":  # its classes derive from scikit-learn's
        assert heavy_at_import(path.read_text()) == []


@each_file
def test_files_are_short_and_say_what_they_are(path):
    assert not too_long(path.read_text())
    assert (path.name.startswith("_") and path.name != "__init__.py") or not undocumented(path.read_text())


@pytest.mark.parametrize(("module", "source"), [
    ("chainrule.core.net", "import chainrule.data.source"),
    ("chainrule.core.net", "from chainrule import engine"),
    ("chainrule.core.net", "import numpy"),
    ("chainrule.nets.lenet", "from chainrule.rules.backprop import backprop"),
    ("chainrule.nets.lenet", "from chainrule.nets.energy import RBM"),
    ("chainrule.nets.lenet", "from .energy import RBM"),
    ("chainrule.nets.lenet", "from . import energy"),
    ("chainrule.rules.backprop", "def f():\n    from chainrule.optim import sgd"),
    ("chainrule.data.csv", "if TYPE_CHECKING:\n    from chainrule.engine.train import Settings"),
    ("chainrule.engine.train", "from ..nets import lenet"),
    ("chainrule.engine.train", "import importlib\nimportlib.import_module('chainrule.rules.backprop')"),
    ("chainrule.engine.train", "from chainrule.observe.layers import layers"),
    ("chainrule.observe.layers", "from chainrule.data.source import Data"),
    ("chainrule.evaluate.plots", "from chainrule.engine import train"),
    ("chainrule.sinks.report", "from chainrule.core.net import Net"),
    ("chainrule.sinks.report", "from chainrule.observe.layers import Layer"),
    ("chainrule.sinks.report", "from chainrule.api import train"),
    ("chainrule.sinks.report", "from chainrule.core import eventsandmore"),
])
def test_a_planted_arrow_is_found(module, source):
    assert len(wrong_arrows(source, module)) == 1


@pytest.mark.parametrize(("module", "source"), [
    ("chainrule.core.net", "import torch, json\nfrom chainrule.core.errors import InputError"),
    ("chainrule.nets.lenet", "from chainrule.nets.blocks import Dense\nfrom . import initial, blocks\nfrom .blocks import Dense"),
    ("chainrule.engine.train", "from chainrule import __version__\nfrom chainrule.data.feed import Feed\nfrom . import plan"),
    ("chainrule.engine.train", "from ..core import net"),
    ("chainrule.sinks.report", "from chainrule.core.events import Event\nfrom chainrule.evaluate.result import shown\nimport numpy"),
    ("chainrule.api", "from chainrule.engine import train\nfrom chainrule.nets import lenet"),
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
