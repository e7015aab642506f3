"""A trained net with all that its answers need, opened from a run folder alone: no data, no rule, no optimizer."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import cached_property, partial
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from chainrule.core.abilities.densities import HasChain
from chainrule.core.abilities.nets import PlaysGame, Samples, SamplesGiven
from chainrule.core.abilities.tasks import Calibrates, Decides, Draws
from chainrule.core.descend import Alter
from chainrule.core.duplicate import duplicate
from chainrule.core.errors import InputError, suggest
from chainrule.core.loss import Loss, OwnLoss, link_alone
from chainrule.core.net import Net
from chainrule.core.registry import losses, nets, tasks
from chainrule.core.sampling import Drawn, Request
from chainrule.data.encode.decoding import as_columns, as_steps, unscaled
from chainrule.data.encode.encoder import Encoder
from chainrule.data.encode.input_encoder import InputEncoder
from chainrule.data.source import Part, Source
from chainrule.data.views import Views, views_of
from chainrule.data.windows import in_windows
from chainrule.engine.infer.inference import Inference, plain_rows
from chainrule.engine.randomness import Aside
from chainrule.engine.store import Store
from chainrule.evaluate.result import Result
from chainrule.evaluate.significance import Cases
from chainrule.job.codes import encoding, in_blocks
from chainrule.job.device import pick_device
from chainrule.job.options import Options
from chainrule.job.own import NOTHING, Own
from chainrule.job.own_loss import custom
from chainrule.job.own_module import complete_lazy, numbers_read
from chainrule.job.record import RECORD, read_encoder, read_record, read_threshold, read_widths
from chainrule.tasks.samples import SampleTask
from chainrule.tasks.task import Task

EVALUATION_ROWS = 250   # a forward pass of more holds more memory than a step, and is hardly faster


@dataclass
class Trained:
    """A net, the encoder of its rows, what it is asked, and the loss whose link makes answers of its outputs; None where it has none.

    `dtype` is what the net reads, `seed` what resampling and sampling follow from; `warnings` say what was wrong with the files.
    `constant` is what the constant answer that stands beside its measures is made of; `views` are those of each row over which answers are
    the mean, None where rows are answered as they are.
    """

    net: Net
    net_name: str
    encoder: Encoder
    task: Task
    loss: Loss | None
    device: torch.device
    precision: str = "auto"
    seed: int = 0
    dtype: torch.dtype = torch.float32
    warnings: tuple[str, ...] = ()
    constant: Tensor | None = None
    views: Views | None = None

    @classmethod
    def open(cls, folder: str | Path, own: Own = NOTHING) -> Trained:
        """The net of a run folder, with its best weights; the data may be gone. A module of the user's own is given, and copied.

        Raises InputError where there is no run, or a module of one's own is missing; CorruptFile naming a file that is not whole.
        """
        folder = Path(folder)
        if not (folder / RECORD).exists():
            raise InputError(f"There is no run in {folder}. chainrule train makes one.")
        record = read_record(folder)
        options, (encoder, constant) = Options.from_json(record["options"]), read_encoder(folder, record["run"])
        device = pick_device(options.device)
        task: Task = tasks.find(record["data"]["task"]).make(encoder)
        if record["own_net"]:
            if own.net is None:
                raise InputError(f"{folder} trained a module of your own, {record['net']}. Give it again: cr.Run(path, net=...).")
            module = duplicate(own.net)
        else:
            with Aside(options.seed, device):
                module = nets.choose(record["net"]).make(encoder.inputs.input_shape, task.outputs)
        dtype = numbers_read(module) if record["own_net"] else torch.float32
        module.to(device)
        complete_lazy(module, as_read(encoder.inputs, dtype, encoder.inputs.blank(1).to(device)))
        net = Net.of(module)
        warnings = Store(folder, record["run"]).load_best(net)
        module.eval()
        chosen = read_threshold(folder)
        if chosen is not None and isinstance(task, Decides):
            task.threshold = chosen.threshold
        if isinstance(task, Calibrates):
            task.widths = read_widths(folder, record["run"])
        return cls(net, record["net"], encoder, task, loss_of(record, own, task.probabilistic), device, options.precision, options.seed,
                   dtype, warnings=tuple(warnings), constant=constant, views=views_for(options, task, encoder.inputs.shape))

    def __getstate__(self) -> dict[str, Any]:
        """Without the measured way of running rows, which cannot be copied or stored."""
        return {name: value for name, value in vars(self).items() if name != "inference"}

    def answering(self) -> Trained:
        """The same, without what cannot be stored: the value of its loss."""
        return replace(self, loss=None if self.loss is None else link_alone(self.loss))

    def ready(self, x: Tensor) -> Tensor:
        """Stored inputs (n, ...) as the net reads them."""
        return as_read(self.encoder.inputs, self.dtype, x)

    @cached_property
    def inference(self) -> Inference:
        """What runs rows through the net."""
        return Inference(self.net, self.ready, self.device, self.precision)

    def outputs(self, x: Any, expected: int | None = None) -> Tensor:
        """Raw scores (n, outputs) for stored inputs (n, ...), in the fastest way where `expected` rows, or these, are many."""
        self.net.module.eval()
        return self.inference(x, expected)

    def predictions(self, part: Part | Tensor, expected: int | None = None) -> Tensor:
        """The net's answers to a part or to stored inputs: class probabilities (n, classes), values in target units (n, k), outputs (n, k).

        Where these are one block of more, `expected` is how many rows are to come in all.
        """
        self.net.module.eval()
        rows = part if isinstance(part, Part) else Part(part, None, torch.arange(len(part)))
        if self.views is not None:
            return self._over(self.views, rows, expected)
        return self.answer(self.task.raw(self.inference, rows, expected))

    def _over(self, views: Views, rows: Part, expected: int | None) -> Tensor:
        """The mean of the answers to each view; what is drawn follows from the run's seed."""
        total: Tensor | float = 0.0
        with Aside(self.seed, self.device):
            for view in views.alters:
                runner = Inference(self.net, partial(_seen, self.ready, view), self.device, self.precision, planned=not views.drawn)
                total = total + self.answer(self.task.raw(runner, rows, expected)).double()
        return torch.as_tensor(total / len(views)).float()

    def answer(self, raw: Tensor) -> Tensor:
        """What the net's outputs say, on the CPU."""
        return self.task.answer(raw, self.loss)

    def truth(self, part: Part) -> Tensor:
        """The targets of a part in the form of answers: class numbers (n,), values in their units (n, k); empty where nothing says."""
        return self.task.truth(part, self.ready)

    def measure(self, part: Part) -> Result:
        """Measures with intervals on a part."""
        self.net.module.eval()
        if self.views is not None and isinstance(self.task, SampleTask):
            result = self.task.judged(self.predictions(part), part, self.ready, seed=self.seed)
        else:
            result = self.task.evaluate(self.inference, part, self.loss, seed=self.seed)
        if self.constant is None:
            return result
        return replace(result, baseline=self.task.baseline(self.constant, part, self.ready, seed=self.seed))

    def outcomes(self, part: Part, name: str, answer: Tensor | None = None) -> Cases | None:
        """What each case of a part contributes to paired tests, None where it says nothing; `name` is that of the rows.

        `answer` are the predictions of the part, where they are known.
        """
        self.net.module.eval()
        return self.task.outcomes(self.inference, part, self.predictions(part) if answer is None else answer, name)

    def sample(self, request: Request) -> Drawn:
        """Samples that the net makes: texts that go on, or rows in the units of the data. Raises InputError for a net that makes none.

        What is drawn follows from the seed that is asked for, else from the run's, and nothing outside notices.
        """
        module = self.net.module.eval()
        with Aside(self.seed if request.seed is None else request.seed, self.device), torch.no_grad():
            if isinstance(self.task, Draws):
                return self.task.draw(self.inference, request, self.loss, self.constant)
            if not isinstance(module, Samples):
                able = ", ".join(e.name for e in nets.entries() if e.traits.kind in ("generative", "energy"))
                raise InputError(f"{self.net_name} answers and makes no samples. Train a net that does: {able}, or one for a text "
                                 "(--task language).")
            of_class = bool(self.sampled_classes)
            if foreign := [name for name in request.of_symbols if not (of_class and name == "given")]:
                flags = ", ".join(f"--{name.replace('_', '-')}" for name in foreign)
                raise InputError(f"{self.net_name} draws whole rows; {flags} {'is' if len(foreign) == 1 else 'are'} for texts. Leave "
                                 f"{'it' if len(foreign) == 1 else 'them'} out.")
            if request.given is not None and isinstance(module, SamplesGiven):
                drawn = module.sample_given(self._class_of(request.given).expand(request.n))
            elif request.steps is None:
                drawn = module.sample(request.n)
            elif isinstance(module, HasChain):
                drawn = module.sample(request.n, steps=request.steps)
            else:
                raise InputError(f"{self.net_name} draws its samples in its own number of steps; --steps is for nets that draw by a Markov "
                                 "chain, as rbm. Leave it out.")
            rows = drawn.cpu() if self.loss is None or self.task.classes else self.answer(drawn)
        inputs = self.encoder.inputs
        if inputs.vocabulary is not None:
            return Drawn(tuple(map(inputs.vocabulary.decode, rows.argmax(-1))))
        if inputs.features is not None:
            return Drawn(rows=rows.double(), columns=as_columns(inputs, rows))
        units = unscaled(inputs, rows.double())
        return Drawn(rows=units, columns={} if inputs.series is None else as_steps(units, inputs.series.names))

    def codes(self, part: Part | Tensor, layer: str | None = None) -> Tensor:
        """Codes (n, width) of a part or of stored inputs: the net's own, or what a layer gives. Raises InputError, see `encoding`."""
        x = part.x if isinstance(part, Part) else part
        encode = encoding(self.net.module.eval(), self.net_name, layer)
        return in_blocks(encode, self.ready, x, self.device, plain_rows(self.inference.row_bytes(x)))

    @property
    def sampled_classes(self) -> tuple[str, ...]:
        """The classes that samples may be asked of; none of a net that was told none, or that draws no samples."""
        module = self.net.module
        if isinstance(module, PlaysGame):
            return self.encoder.target.classes if module.labels else ()
        return self.task.classes if isinstance(module, SamplesGiven) else ()

    def _class_of(self, name: str) -> Tensor:
        """The number of a class, a scalar. Raises InputError for one that there is not."""
        names = self.sampled_classes
        if name not in names:
            raise InputError(f"--given {name} is none of the classes. {suggest(name, names)}")
        return torch.tensor(names.index(name), device=self.device)

    def columns(self, count: int) -> tuple[str, ...]:
        """What `count` columns of answers are called: classes, targets, or numbers."""
        return self.task.names(count)


def as_asked(trained: Trained, source: Source, targets: bool = True) -> Source:
    """Further data as the net and its task read it; without `targets` rows to answer to. Raises InputError for what they cannot read."""
    inputs = trained.encoder.inputs
    window = inputs.shape[0] if inputs.shape else 1                     # steps of a long sequence in a row
    if inputs.windowed and trained.encoder.target.kind == "none":
        source = in_windows(source, window, targets)
    return trained.task.read(source, window, targets)


def as_read(encoder: InputEncoder, dtype: torch.dtype, x: Tensor) -> Tensor:
    """Stored inputs (n, ...) as a net reads them: real numbers of this type, or the places of an embedding as whole numbers."""
    ready = encoder.ready(x)
    return ready.to(dtype) if ready.is_floating_point() else ready


def _seen(ready: Callable[[Tensor], Tensor], view: Alter, x: Tensor) -> Tensor:
    """A view of stored rows as the net reads it."""
    return view(ready(x))


def views_for(options: Options, task: Task, shape: tuple[int, ...]) -> Views | None:
    """The views of samples of `shape` over which a run answers, None where it asks for none.

    Raises InputError for a task whose answers have no mean.
    """
    if options.views is None:
        return None
    if not tasks.find(task.name).traits.rowwise:
        raise InputError(f"--views averages answers that belong to a whole row, as classification gives them; the task is {task.name}. "
                         "Leave it out.")
    return views_of(options.views, options.augment, shape)


def loss_of(record: dict[str, Any], own: Own, probabilistic: bool) -> Loss | None:
    """The loss that a run lowered. One of the user's own that is not given has its link, which answers need, and no value."""
    if record["own_loss"]:
        return custom(own.loss or _absent, OwnLoss(**record.get("own_loss_as") or {}), probabilistic)
    loss: Loss | None = None if record["loss"] is None else losses.choose(record["loss"]).make()
    return loss


def _absent(outputs: Tensor, targets: Tensor) -> Tensor:
    raise InputError("the run used a loss of your own, whose value is needed here. Give it again: cr.Run(path, loss=...).")
