"""A start from trained weights: those of a run, or of a public net's file; which of them a new net takes, and which stay as they are.

A layer is taken where its name and its shape are those of the trained net; the output layer begins anew unless the classes, or the numbers
that are predicted, and the task are the same. Yosinski, Clune, Bengio & Lipson (2014), https://arxiv.org/abs/1411.1792
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError
from safetensors.torch import load_file
from torch import Tensor, nn

from chainrule.core.errors import CorruptFile, InputError, suggest
from chainrule.core.net import Net
from chainrule.core.registry import Chosen
from chainrule.core.text import natural
from chainrule.core.traits import NetTraits
from chainrule.data.encode.encoder import Encoder, Like
from chainrule.data.encode.input_encoder import InputEncoder
from chainrule.engine import checkpoint
from chainrule.engine.randomness import Aside
from chainrule.engine.store import BEST, Store
from chainrule.job.options import Options
from chainrule.job.own import Own
from chainrule.job.record import RECORD, read_encoder, read_own, read_record
from chainrule.job.unrolling import unrolled
from chainrule.nets.public_weights import FORMS, public_net
from chainrule.tasks.task import Task

FILE = "start.safetensors"
SUFFIX = ".safetensors"
ALL = "all"
SHOWN = 5                      # layers that a sentence names


@dataclass(frozen=True)
class Start:
    """Weights by the names of the net that begins with them, and where they come from, as `run.json` says it.

    `like` says how rows are read there, `task` what is asked there; `net` is the net that they are of, where it is known, and `form` the
    one whose layers are those of a file. `settled` are the weights that a run has taken: all of them go into its net.
    """

    tensors: Mapping[str, Tensor]
    about: Mapping[str, Any]
    like: Like | None = None
    task: str | None = None
    net: str | None = None
    form: str | None = None
    settled: bool = False

    @property
    def where(self) -> str:
        return str(self.about["from"])

    def options(self, asked: Options, own: Own) -> Options:
        """The options with the net named, where it was left open. Raises InputError where it is not known."""
        if asked.net is not None or own.net is not None:
            return asked
        if self.about.get("own_net"):
            raise InputError(f"{self.where} trained a module of your own, {self.net}. Give one with the same layers: net=...")
        if not (self.net or self.form):
            raise InputError(f"{self.where} does not say which net its weights are of. Name it with --net, as chainrule describe lists its "
                             "layers.")
        return replace(asked, net=self.net or self.form)

    def into(self, module: nn.Module, made: Chosen[NetTraits] | None, encoder: Encoder, task: Task, freeze: str | None) -> Start:
        """Put weights into a module and fix the layers that are to be, e.g. `conv1+conv2`; the start with what was taken and nothing else.

        `made` is the family that the module is of, None for one of the user's own. Raises InputError naming the layers that do not fit.
        """
        own = Net.of(module).tensors
        if self.settled:
            taken = dict(self.tensors)
        else:
            dense = unrolled(self.tensors, module)
            begun = replace(self, tensors=dense) if dense else self
            outputs = output_tensors(module, made, encoder.inputs.input_shape, task.outputs)
            earlier = None if self.like is None or self.task != task.name else self.like.target
            same = earlier is not None and not dense and encoder.target.asks_the_same(earlier)
            anew = set() if same or set(own) <= set(dense) else outputs
            taken = {name: t for name, t in begun.tensors.items() if name in own and name not in anew}
            begun._check(own, set(module.state_dict()), anew, made, encoder)
        Net.of(module).put({name: t.to(own[name].dtype) if name in own else t for name, t in taken.items()})
        if freeze is not None:
            fix(module, freeze, set(taken), self.where, made, encoder, task)
        about = {**self.about, "taken": layers_of(taken, own), "anew": layers_of(set(own) - set(taken), own), "fixed": freeze}
        return replace(self, tensors=taken, about=about, settled=True)

    def _check(self, own: Mapping[str, Tensor], stored: set[str], anew: set[str], made: Chosen[NetTraits] | None,
               encoder: Encoder) -> None:
        """Raises InputError where a weight of the net has no counterpart of its shape, or one of theirs no place."""
        misfits: dict[str, str] = {}
        for name, t in own.items():
            layer, theirs = name.rpartition(".")[0] or name, self.tensors.get(name)
            if name in anew or (theirs is None and (name not in stored or not t.is_floating_point())):
                continue
            if theirs is None:
                misfits.setdefault(layer, "not there")
            elif theirs.shape != t.shape:
                misfits.setdefault(layer, f"{_size(theirs)} there, {_size(t)} here")
        for name in sorted(self.tensors, key=natural):
            if name not in own and name not in anew:
                misfits.setdefault(name.rpartition(".")[0] or name, "not here")
        if not misfits:
            return
        listed = ", ".join(f"{layer} ({why})" for layer, why in list(misfits.items())[:SHOWN])
        more = f" and {len(misfits) - SHOWN} more" if len(misfits) > SHOWN else ""
        raise InputError(f"{self.where} does not fit {made or 'this net'} for inputs of {_by(encoder.inputs.input_shape)}: {listed}{more}. "
                         f"Layers are taken by name and shape, and only the output layer may differ. {self._advice(made, encoder)}")

    def _advice(self, made: Chosen[NetTraits] | None, encoder: Encoder) -> str:
        here, there = encoder.inputs.picture_shape, self.like.inputs.picture_shape if self.like is not None else None
        spec = self.form if self.about.get("own_net") else self.net or self.form
        if here and there and here[1:] != there[1:] and (made is None or str(made) == self.net):
            return f"Bring the pictures to its size, {there[1]} x {there[2]}, e.g. with --resize {there[1]}x{there[2]}, or train anew."
        return f"Its net is {spec}; use --net {spec}, or leave --net out." if spec else "Name the net that the weights are of with --net."

    def write(self, folder: Path, run: str) -> None:
        """Keep the weights that were taken with the run that began with them. Raises OSError."""
        checkpoint.write(folder / FILE, dict(self.tensors), {"kind": "start", "run": run})

    @classmethod
    def read(cls, folder: Path, record: Mapping[str, Any], encoder: Encoder) -> Start | None:
        """What the run in a folder began with; None where that was drawn anew. Raises CorruptFile, InputError."""
        about = record.get("start")
        if about is None:
            return None
        tensors, _ = read_own(folder / FILE, "start", record["run"])
        return cls(tensors, about, Like(encoder.inputs, encoder.target), settled=True)

    def sentence(self) -> str:
        """What is said of it before training."""
        of = f" ({self.about['net']})" if self.about.get("net") else ""
        parts = [f"{_listed(self.about['taken'])} taken"]
        parts += [f"{_listed(self.about['anew'])} begun anew"] if self.about["anew"] else []
        parts += [f"{_listed(self.about['fixed'].split('+'))} fixed"] if self.about["fixed"] else []
        return f"Started from {self.where}{of}: {', '.join(parts)}."


def opened(path: str) -> Start:
    """The weights of a run folder, or of a file. Raises InputError, CorruptFile in one sentence."""
    at = Path(path)
    if at.is_file() and at.suffix == SUFFIX:
        return _of_file(at)
    if (at / RECORD).exists():
        return _of_run(at)
    if at.exists():
        raise InputError(f"--from {path} is neither a run folder nor a {SUFFIX} file. chainrule train makes a run.")
    beside = at.parent if at.parent.is_dir() else Path()
    near = [str(at.parent / one.parent.name) for one in beside.glob(f"*/{RECORD}")]
    raise InputError(f"There is no run in --from {path}. {suggest(path, near) if near else 'chainrule train makes one.'}")


def _of_run(folder: Path) -> Start:
    record = read_record(folder)
    encoder, _ = read_encoder(folder, record["run"])
    tensors, _ = Store(folder, record["run"]).best_weights()
    about = {"from": str(folder), "path": str(folder.absolute()), "sha256": _sha256(folder / BEST), "run": record["run"],
             "net": record["net"], "own_net": record["own_net"]}
    return Start(tensors, about, Like(encoder.inputs, encoder.target), record["data"]["task"], record["net"])


def _of_file(path: Path) -> Start:
    """Weights under our names, or under those of a public net, whose channels are scaled as that net reads them."""
    try:
        tensors = load_file(path)
    except (SafetensorError, OSError, ValueError) as error:
        raise CorruptFile(f"{path} is not a whole file of weights ({error}). Fetch or write it again.") from None
    about: dict[str, Any] = {"from": str(path), "path": str(path.absolute()), "sha256": _sha256(path)}
    public = public_net(tensors)
    if public is None:
        return Start(tensors, about)
    form = public.form(tensors)
    if not form:
        raise InputError(f"{path} has the layers of a {public.family} that is none of ours. Give the weights of "
                         f"{', '.join(FORMS[public.family])}.")
    mean, deviation = (torch.tensor(values, dtype=torch.float64)[:, None, None] for values in public.scaling)   # (c, 1, 1)
    like = Like(InputEncoder("pixels", (len(mean), 0, 0), scale=torch.stack([mean, 1 / deviation])))
    return Start(public.translated(tensors, str(path)), {**about, "net": form}, like, form=form)


def output_tensors(module: nn.Module, made: Chosen[NetTraits] | None, inputs: tuple[int, ...], outputs: int) -> set[str]:
    """The tensors of the output layers: those of a family whose shapes follow the number of outputs, else those of the last layer."""
    if made is None:
        layers = [name for name, part in module.named_modules() if any(True for _ in part.parameters(recurse=False))]
        return {name for name in Net.of(module).tensors if name.rpartition(".")[0] == layers[-1]}
    more = _shapes(made, inputs, outputs + 1)
    return {name for name, t in Net.of(module).tensors.items() if more.get(name) != t.shape}


def _shapes(made: Chosen[NetTraits], inputs: tuple[int, ...], outputs: int) -> dict[str, torch.Size]:
    """Of a net that is not kept, without memory where it can be made so."""
    try:
        with torch.device("meta"):
            module = made.make(inputs, outputs)
    except (RuntimeError, NotImplementedError):
        with Aside(0, torch.device("cpu")):
            module = made.make(inputs, outputs)
    return {name: t.shape for name, t in Net.of(module).tensors.items()}


def fix(module: nn.Module, layers: str, taken: set[str], where: str, made: Chosen[NetTraits] | None, encoder: Encoder, task: Task) -> None:
    """Freeze the parameters of layers by name, joined by `+`; `all` are those that were taken, but the output layer's.

    Raises InputError for a layer that does not exist or was not taken, and where nothing would be left to train.
    """
    parameters = dict(module.named_parameters())
    names = {name for name, part in module.named_modules() if name and any(True for _ in part.parameters())}
    fixed: set[str] = set()
    for layer in layers.split("+"):
        if layer == ALL:
            fixed |= (set(parameters) & taken) - output_tensors(module, made, encoder.inputs.input_shape, task.outputs)
            continue
        if layer not in names:
            raise InputError(f"--freeze {layer}: the net has no such layer. {suggest(layer, names)}")
        within = {name for name in parameters if name.startswith(f"{layer}.")}
        if within - taken:
            raise InputError(f"--freeze {layer}: {_listed(layers_of(within - taken, parameters))} begun anew, so there is nothing learned "
                             "to fix. Name layers that are taken, or all.")
        fixed |= within
    if not fixed:
        raise InputError(f"--freeze {layers} leaves the output layer to be trained, and what is taken from {where} has no other. Leave "
                         "--freeze out.")
    if fixed >= set(parameters):
        raise InputError(f"--freeze {layers} fixes all layers that are taken from {where}, and leaves nothing to train. Name some of "
                         f"{_joined(names)}.")
    for name in fixed:
        parameters[name].requires_grad_(False)


def layers_of(some: Iterable[str], every: Iterable[str]) -> list[str]:
    """The fewest layers that hold these tensors and none of the others, in the order of `every`."""
    wanted, others = set(some), set(every) - set(some)
    layers: list[str] = []
    for name in every:
        if name not in wanted or any(name == layer or name.startswith(f"{layer}.") for layer in layers):
            continue
        path = name.split(".")
        prefixes = (".".join(path[:depth]) for depth in range(1, len(path) + 1))
        layers.append(next(prefix for prefix in prefixes if not any(o == prefix or o.startswith(f"{prefix}.") for o in others)))
    return layers


def _joined(names: Iterable[str]) -> str:
    """The first few, with commas."""
    every = sorted(names, key=natural)
    return ", ".join(every[:SHOWN]) + (", ..." if len(every) > SHOWN else "")


def _listed(layers: list[str]) -> str:
    """`a is`, `a and b are`, `a, b, c and 4 more are`."""
    shown = layers if len(layers) <= SHOWN else [*layers[: SHOWN - 1], f"{len(layers) - SHOWN + 1} more"]
    return f"{shown[0]} is" if len(shown) == 1 else f"{', '.join(shown[:-1])} and {shown[-1]} are"


def _size(t: Tensor) -> str:
    return _by(tuple(t.shape)) or "one number"


def _by(shape: tuple[int, ...]) -> str:
    return " x ".join(map(str, shape))


def _sha256(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()
