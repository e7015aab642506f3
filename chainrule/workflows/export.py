"""A trained network as a file that other programs read, proven to answer as the original does.

ONNX (https://onnx.ai) for other runtimes, pt2 (a torch.export program) for torch without our code, safetensors for the weights alone.
"""

from __future__ import annotations

import contextlib
import importlib.util
import io
import json
import logging
import warnings
import zipfile
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, Literal

import torch
from safetensors.torch import load, save
from torch import Tensor, nn
from torch.utils import _pytree as pytree

from chainrule import __version__
from chainrule.core.duplicate import duplicate
from chainrule.core.errors import ChainruleError, InputError
from chainrule.core.files import write_atomically

TOLERANCE = 1e-5  # of the largest answer, or of 1 where all are smaller
ROWS = 256        # checked at a time
ONNX_BYTES = 2**31  # the most one ONNX file holds

Answer = Callable[[Tensor], list[Tensor]]


def export(module: nn.Module, example: Tensor, out: Path, to: Literal["onnx", "pt2", "safetensors"], check_rows: Tensor) -> float:
    """Write `module` to `out`, read it back, and return the greatest difference between its answers and the original's on `check_rows`.

    `example` (n, ...) shows what the net reads; any number of rows fits the result. The rows are tried together and one alone. Nothing is
    written where the answers differ by more than 1e-5 of the largest. A pt2 file holds no pickle, and the one made here is the only one
    ever read here. Raises InputError where the net cannot be written so or a package is missing.
    """
    if to not in WRITERS:
        raise InputError(f"export knows the formats {', '.join(WRITERS)}; got '{to}'. Write --to onnx.")
    if len(check_rows) == 0:
        raise InputError("export proves the file on the data's own rows and got none. Name data that has some.")
    original = duplicate(module).cpu().eval()
    rows = check_rows.cpu()
    example = example[:2].cpu() if len(example) > 1 else torch.cat([example, example]).cpu()  # one row would be taken as a fixed size
    with torch.no_grad(), silent():
        content, answer = WRITERS[to](original, example)
        difference = max(_difference(original, answer, part) for part in (rows[:1], *rows.split(ROWS)))
        scale = max(1.0, *(_largest(_outputs(original(part))) for part in rows.split(ROWS)))
    write_proven(content, out, to, difference, TOLERANCE * scale)
    return difference


def write_proven(content: bytes, out: Path, to: str, difference: float, allowed: float) -> None:
    """Write a file whose answers differ by so much at most. Raises ChainruleError where that is more than allowed, and writes nothing."""
    if not difference <= allowed:
        raise ChainruleError(f"The {to} file would answer differently: by {difference:.3g}, where {allowed:.3g} is allowed. "
                             f"Nothing was written to {out}. Use --to safetensors, which keeps the weights bit for bit.")
    try:
        write_atomically(Path(out), content)
    except OSError as error:
        raise InputError(f"{out} cannot be written: {error.strerror}. Name another file with --out.") from None


def _safetensors(module: nn.Module, example: Tensor) -> tuple[bytes, Answer]:
    """The weights and buffers under their names; tied ones are written under each name."""
    about = {"format": "pt", "chainrule": __version__, "net": type(module).__name__, "input_shape": json.dumps(list(example.shape[1:]))}
    content = save({name: t.detach().clone().contiguous() for name, t in module.state_dict().items()}, metadata=about)
    twin = duplicate(module)
    for t in [*twin.parameters(), *twin.buffers()]:
        t.zero_()  # so that what the file lacks shows
    twin.load_state_dict(load(content))
    return content, lambda x: _outputs(twin(x))


def _pt2(module: nn.Module, example: Tensor) -> tuple[bytes, Answer]:
    """torch stores the example inputs as a pickle, and reads any pickle it finds: ours has none, so they are left out."""
    graph = program(module, example, "pt2", type(module).__name__)
    graph.example_inputs = None
    file = io.BytesIO()
    torch.export.save(graph, file)
    content = file.getvalue()
    if names := pickled(content):
        raise InputError(f"{type(module).__name__} keeps {names[0]} as a pickle, which can run code when read. "
                         "Use --to onnx or --to safetensors.")
    loaded = torch.export.load(io.BytesIO(content)).module()
    return content, lambda x: _outputs(loaded(x))


def _onnx(module: nn.Module, example: Tensor) -> tuple[bytes, Answer]:
    name = type(module).__name__
    content = onnx_content(onnx_model(module, example, ["input"], None, name), name)
    run = onnx_runner(content, name)
    return content, lambda x: [torch.from_numpy(a) for a in run({"input": x.numpy()})]


def onnx_model(module: nn.Module, example: Tensor, inputs: list[str], outputs: list[str] | None, name: str) -> Any:
    """A module as an ONNX model whose inputs and outputs have these names.

    Raises InputError, calling it `name`, where it has no such form, or a package is missing.
    """
    missing = [package for package in ("onnxscript", "onnxruntime") if importlib.util.find_spec(package) is None]
    if missing:
        raise InputError(f"Export to ONNX needs {' and '.join(missing)}. Install with: pip install 'chainrule[onnx]'.")
    graph = program(module, example, "onnx", name)
    try:
        written = torch.onnx.export(graph, dynamo=True, input_names=inputs, output_names=outputs, verbose=False)
    except Exception as error:  # of the exporter's own kinds
        raise _unwritable(name, "onnx", "it does what the format has no word for", error) from None
    assert written is not None
    return written.model_proto


def onnx_content(model: Any, name: str) -> bytes:
    """The bytes of an ONNX model. Raises InputError, calling it `name`, where one file cannot hold it."""
    if model.ByteSize() >= ONNX_BYTES:
        raise InputError(f"{name} is larger than the 2 GB that one ONNX file holds. Use --to pt2 or --to safetensors.")
    content: bytes = model.SerializeToString()
    return content


def onnx_runner(content: bytes, name: str) -> Callable[[dict[str, Any]], list[Any]]:
    """What answers arrays by name with the outputs of an ONNX file. Raises InputError, calling it `name`, where it does not run."""
    import onnxruntime

    options = onnxruntime.SessionOptions()
    options.log_severity_level = 3

    def refused(error: Exception) -> InputError:
        return _unwritable(name, "onnx", "onnxruntime does not run what was written", error)

    try:
        session = onnxruntime.InferenceSession(content, options, providers=["CPUExecutionProvider"])
    except Exception as error:  # onnxruntime's errors have no type in common
        raise refused(error) from None

    def run(feeds: dict[str, Any]) -> list[Any]:
        try:
            return list(session.run(None, feeds))
        except Exception as error:
            raise refused(error) from None

    return run


WRITERS: dict[str, Callable[[nn.Module, Tensor], tuple[bytes, Answer]]] = {"onnx": _onnx, "pt2": _pt2, "safetensors": _safetensors}


def program(module: nn.Module, example: Tensor, to: str, name: str) -> Any:
    """The net as a graph for any number of rows. Raises InputError, calling it `name`, where it has none."""
    try:
        return torch.export.export(module, (example,), dynamic_shapes=({0: torch.export.Dim("rows", min=1)},))
    except Exception as error:  # torch raises a dozen kinds, private ones among them
        raise _unwritable(name, to, "its forward pass is not one graph for every batch", error) from None


def _unwritable(name: str, to: str, reason: str, error: Exception) -> InputError:
    """One sentence with the net's name and what the exporter says of the error at the bottom of it, whose first lines are about itself."""
    while error.__cause__ is not None and isinstance(error.__cause__, Exception):
        error = error.__cause__
    lines = [line.strip() for line in str(error).splitlines() if line.strip()] or [type(error).__name__]
    return InputError(f"{name} cannot be written as {to}, since {reason}: {lines[0][:300].rstrip('.')}. Use --to "
                      "safetensors for the weights.")


def _difference(module: nn.Module, answer: Answer, rows: Tensor) -> float:
    ours, theirs = _outputs(module(rows)), answer(rows)
    if [t.shape for t in ours] != [t.shape for t in theirs]:
        return float("inf")
    gaps = [(a.double() - b.double()).abs().masked_fill(a.isnan() & b.isnan() | (a == b), 0) for a, b in zip(ours, theirs)]
    return max((float(gap.nan_to_num(nan=torch.inf).max()) for gap in gaps if gap.numel()), default=0.0)


def _outputs(result: Any) -> list[Tensor]:
    return [t for t in pytree.tree_leaves(result) if isinstance(t, Tensor)]


def _largest(tensors: list[Tensor]) -> float:
    return max((float(t[t.isfinite()].abs().max()) for t in tensors if t.isfinite().any()), default=0.0)


def pickled(archive: bytes) -> list[str]:
    """What in a pt2 archive torch would unpickle on loading: example inputs, and each tensor marked so in its tables of contents."""
    names = []
    with zipfile.ZipFile(io.BytesIO(archive)) as files:
        for file in files.infolist():
            if file.filename.endswith("_config.json"):
                names += [name for name, entry in json.loads(files.read(file))["config"].items() if entry["use_pickle"]]
            elif file.filename.endswith(".pt") and file.file_size:
                names.append(file.filename)
    return names


@contextlib.contextmanager
def silent() -> Iterator[None]:
    """The exporters speak to their developers; what concerns the user is raised."""
    names = ("torch", "torch.onnx", "torch.export", "torch.fx.experimental.symbolic_shapes", "onnxscript", "onnx_ir")
    loud = [logging.getLogger(name) for name in names]
    levels = [log.level for log in loud]
    for log in loud:
        log.setLevel(logging.ERROR)
    try:
        with warnings.catch_warnings(), contextlib.redirect_stdout(io.StringIO()), contextlib.redirect_stderr(io.StringIO()):
            warnings.simplefilter("ignore")
            yield
    finally:
        for log, level in zip(loud, levels):
            log.setLevel(level)
