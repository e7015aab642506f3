"""Language: which symbol comes next, at every step of a text. Shannon (1951), https://doi.org/10.1002/j.1538-7305.1951.tb01366.x"""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any, ClassVar

import torch
from torch import Tensor

from chainrule.core.criterion import Criterion, OfOutputs
from chainrule.core.errors import InputError
from chainrule.core.loss import Loss
from chainrule.core.registry import tasks
from chainrule.core.sampling import Drawn, Request
from chainrule.data.encode.encoder import Encoder
from chainrule.data.encode.vocabulary import Symbols, Vocabulary, few_of
from chainrule.data.giving_targets import giving_targets, learning_without
from chainrule.data.readers.text import as_steps
from chainrule.data.source import Part, Source
from chainrule.evaluate.measures import step_means
from chainrule.evaluate.result import Baseline, Result
from chainrule.evaluate.significance import Cases
from chainrule.tasks.continuation import continued, drawn
from chainrule.tasks.steps import StepTask, carried, nats, of_steps, over_steps
from chainrule.tasks.task import Ready, Runner, baseline_of, batch_of, watched, with_registered

WRITTEN = 300        # symbols of a sample, where their number is left open
WRITTEN_THEN = 200   # of one that is recorded in training
LINE_END = "\n"
LANES = 16  # in which a text is read after every epoch, for speed: each begins with the net's initial state


def is_text(source: Source) -> bool:
    """Whether rows are pieces of one text."""
    return isinstance(source.inputs, Symbols) and source.inputs.of_text


@tasks("language", source="Shannon (1951), https://doi.org/10.1002/j.1538-7305.1951.tb01366.x", targets=("class", "steps"), usual=is_text,
       steps=True, foretells=True, net="rnn", rule="bptt")
class Language(StepTask):
    """The next symbol; measured by nats a symbol, perplexity and bits. Rows are windows of one text, the state carried between them."""

    name: ClassVar[str] = "language"
    consecutive: ClassVar[bool] = True
    drawn_at = (100, 300, 500, 700, 2000)  # the steps of a lecture's demonstration
    drawn_then = Request(length=WRITTEN_THEN)

    def __init__(self, encoder: Encoder):
        super().__init__(encoder)
        self.vocabulary = encoder.inputs.vocabulary

    @staticmethod
    def read(source: Source, window: int, targets: bool = True) -> Source:
        """The text as windows of so many symbols, each with the ones that follow where they are known."""
        if is_text(source):
            return as_steps(source, window, targets)
        if source.target_kind == "steps":
            raise InputError(f"language asks which symbol of a text comes next; {source.name} holds sequences with labels. Use --task "
                             "tagging.")
        if source.target_kind == "none":
            raise InputError(f"expected a text, of which the next symbol is foretold, or data with targets; {source.name} is no text and "
                             f"has none. {giving_targets(source)}, or use {learning_without(source)}, which learns without.")
        raise InputError(f"language asks which symbol of a text comes next; {source.name} is no text. Give a .txt file, or leave out "
                         "--task, --net and --rule to have others chosen.")

    def raw(self, runner: Runner, part: Part, expected: int | None = None) -> Tensor:
        outputs = torch.empty(*part.x.shape[:2], self.outputs)
        for rows, some in carried(runner, part.x):
            outputs[rows] = some.float().cpu()
        return outputs

    def validate(self, runner: Runner, part: Part, criterion: Criterion, loss: Loss | None) -> dict[str, float]:
        assert isinstance(criterion, OfOutputs)
        batch = batch_of(part, torch.device("cpu"))
        found = of_steps(runner, part, {
            "loss": lambda outputs, y: criterion.costs(outputs, batch.with_targets(y)),
            "nats": lambda outputs, y: nats(outputs, y, loss), "accuracy": lambda outputs, y: outputs.argmax(-1) == y}, LANES)
        means = {name: float(values.mean()) for name, values in found.items()}
        return {**means, "perplexity": perplexity(means["nats"]), "bits": bits(means["nats"]),
                **watched(self, lambda: (self.answer(self.raw(runner, part), loss), self.truth(part, runner.ready)))}

    def evaluate(self, runner: Runner, part: Part, loss: Loss | None, *, seed: int) -> Result:
        found = of_steps(runner, part, {"nats": lambda outputs, y: nats(outputs, y, loss),
                                        "accuracy": lambda outputs, y: outputs.argmax(-1) == y})
        truth = self.truth(part, runner.ready)
        return with_registered(self._result(found["nats"], found["accuracy"], truth), self.name,
                               lambda: (self.answer(self.raw(runner, part), loss), truth))

    def measure(self, answer: Tensor, truth: Tensor, *, seed: int) -> Result:
        """Of probabilities (n, t, classes)."""
        return self._result(surprise(answer, truth), answer.argmax(-1) == truth, truth)

    def _result(self, costs: Tensor, right: Tensor, truth: Tensor) -> Result:
        return step_means(self.name, {"nats": over_steps(costs, truth), "accuracy": over_steps(right, truth)},
                          derived={"perplexity": ("nats", perplexity), "bits": ("nats", bits)})

    def outcomes(self, runner: Runner, part: Part, answer: Tensor, test_set: str) -> Cases:
        truth = self.truth(part, runner.ready)
        return Cases(part.rows, test_set, costs=over_steps(surprise(answer, truth), truth), measure="mean surprise in nats")

    def baseline(self, constant: Tensor, part: Part, ready: Ready, *, seed: int) -> Baseline:
        """The unigram: every symbol as often as in the training text, and once more."""
        truth = self.truth(part, ready)
        return baseline_of("the unigram", self.measure(self.constantly(constant, part, ready), truth, seed=seed))

    def constantly(self, constant: Tensor, part: Part, ready: Ready) -> Tensor:
        shares = (constant + 1).double()
        return (shares / shares.sum()).expand(*self.truth(part, ready).shape, -1)

    def draw(self, runner: Runner, request: Request, loss: Loss | None, constant: Tensor | None) -> Drawn:
        """Texts that go on from what is given, which is read first; without it from a line's end, else from a symbol of the text."""
        known = self.vocabulary
        assert known is not None
        begins = request.given or ""
        codes = known.encode(begins)
        strange = codes == known.unknown
        notes = (strangers(begins, strange, known),) if bool(strange.any()) else ()
        if not len(codes):
            codes, begins = _beginning(known, constant)
        written = continued(runner, lambda outputs: self.answer(outputs, loss), codes, request, request.length or WRITTEN, known.unknown)
        return Drawn(tuple(begins + known.decode(one) for one in written), given=begins, notes=notes)

    def columns(self, answer: Tensor, mask: Tensor | None = None) -> Mapping[str, Any]:
        """A row for each symbol of the text: what is likeliest to follow it, and how probable that is."""
        columns = super().columns(answer, mask)
        return {name: columns[name] for name in ("prediction", "probability")}


def surprise(answer: Tensor, truth: Tensor) -> Tensor:
    """Minus the log (n, t) of the probability that answers (n, t, classes) give the truth (n, t), in nats."""
    return -answer.gather(2, truth.clamp(min=0)[..., None]).squeeze(2).double().clamp(min=1e-300).log()


def perplexity(of_nats: float) -> float:
    return math.exp(min(of_nats, 700.0))


def bits(of_nats: float) -> float:
    return of_nats / math.log(2)


def strangers(given: str, strange: Tensor, known: Vocabulary) -> str:
    """What is said of symbols (t,) of a beginning that the net does not know."""
    missing = list(dict.fromkeys(s for s, unknown in zip(known.split(given), strange.tolist(), strict=True) if unknown))
    listed = few_of(missing)
    return (f"--given holds {int(strange.sum())} of {len(strange)} {known.unit} that the net does not know ({listed}); each is read as the "
            "unknown symbol.")


def _beginning(known: Vocabulary, constant: Tensor | None) -> tuple[Tensor, str]:
    """What is read where nothing is given, and what of it belongs to the sample: a line's end, or a symbol as often as training had it."""
    if LINE_END in known.symbols:
        return known.encode(LINE_END), ""
    counts = torch.ones(len(known)) if constant is None else constant[: len(known)]
    first = drawn(counts[None].double() / counts.sum())
    return first, known.decode(first)
