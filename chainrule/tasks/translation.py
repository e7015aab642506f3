"""Translation: a string of symbols written from another one, of any length, over any alphabet.

Sutskever, Vinyals & Le (2014), https://arxiv.org/abs/1409.3215; Bahdanau, Cho & Bengio (2015), https://arxiv.org/abs/1409.0473
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import ClassVar

import torch
from torch import Tensor
from torch.nn import functional as F

from chainrule.core.abilities.sequences import Writes
from chainrule.core.batch import Batch
from chainrule.core.criterion import Criterion
from chainrule.core.errors import InputError
from chainrule.core.loss import Loss
from chainrule.core.net import Net
from chainrule.core.registry import tasks
from chainrule.data.encode.encoder import Encoder
from chainrule.data.encode.vocabulary import Symbols
from chainrule.data.source import Part, Source
from chainrule.evaluate.strings import beam_search, until_end
from chainrule.tasks.strings import StringTask
from chainrule.tasks.task import Runner, ready_blocks

LAST = "\x03"  # the symbol behind the last of a source, "end of text" in ASCII: so what is unknown there is not taken for what fills up


def has_pairs(source: Source) -> bool:
    return source.target_kind == "labels" and isinstance(source.inputs, Symbols)


def teaches(module: object) -> bool:
    """Whether a module is `Writes`: asked at every step, where asking the protocol itself takes a tenth of a small one."""
    return callable(getattr(type(module), Writes.teach.__name__, None))


@dataclass(frozen=True)
class Taught:
    """The loss of each symbol of a string, and of its end, given the true ones before (n, l + 1): teacher forcing.

    Williams & Zipser (1989), https://doi.org/10.1162/neco.1989.1.2.270. Raises InputError for a net that writes nothing.
    """

    loss: Loss

    def __call__(self, net: Net, batch: Batch) -> dict[str, Tensor]:
        if not teaches(net.module):
            raise InputError(f"translation trains nets that write one symbol after another; {type(net.module).__name__} does not. Use "
                             "--net seq2seq, or give the module the methods teach, begin and write.")
        scores = net.call("teach", batch.x, batch.y)                                                   # (n, l + 1, symbols + 1)
        symbols = F.pad(batch.y, (0, 1), value=-1)
        symbols = torch.where(symbols < 0, scores.shape[2] - 1, symbols)                               # the end, and what is not asked for
        return {"loss": self.loss.each(scores.flatten(0, 1), symbols.flatten()).unflatten(0, symbols.shape)}


@tasks("translation", source="Sutskever, Vinyals & Le (2014), https://arxiv.org/abs/1409.3215; Bahdanau, Cho & Bengio (2015), "
                             "https://arxiv.org/abs/1409.0473",
       targets=("labels",), usual=has_pairs, steps=True, net="seq2seq", rule="backprop:clip=1", compares="class")
class Translation(StringTask):
    """Which string goes with a string; answers are the numbers of its symbols (n, t), filled up with -1.

    Each symbol is the likeliest after those before it, or, of a `beam` of so many strings at once, the likeliest string is the answer.
    """

    name: ClassVar[str] = "translation"
    loss: ClassVar[str | None] = "cross-entropy"

    def __init__(self, encoder: Encoder):
        super().__init__(encoder)
        self.beam = 1

    @staticmethod
    def read(source: Source, window: int, targets: bool = True) -> Source:
        """Sources with a symbol for their end behind the last. Raises InputError for data that are no pairs of strings."""
        symbols = source.inputs
        if not isinstance(symbols, Symbols) or symbols.of_text or symbols.column or (targets and source.target_kind != "labels"):
            raise InputError(f"translation reads pairs of strings; {source.name} holds none. Give a .jsonl file with lines such as "
                             '{"source": "...", "target": "..."}, or leave out --task.')
        source = replace(source, inputs=closed(symbols))
        return source if targets and source.targets is not None else replace(source, targets=None, target_kind="none")

    def criterion(self, loss: Loss | None) -> Criterion | None:
        return None if loss is None else Taught(loss)

    @torch.no_grad()
    def raw(self, runner: Runner, part: Part, expected: int | None = None) -> Tensor:
        """Scores (n, steps, symbols + 1) of the likeliest symbol after each; of a beam the numbers of symbols (n, steps)."""
        blocks = []
        for x in ready_blocks(runner, part):
            scores = runner.net(x)
            if self.beam > 1:
                scores = self._searched(runner.net, x, until_end(scores.argmax(2), self.outputs - 1))
            blocks.append(scores.cpu() if self.beam > 1 else scores.float().cpu())
        return torch.cat(blocks)

    def answer(self, raw: Tensor, loss: Loss | None) -> Tensor:
        return raw if raw.dim() == 2 else until_end(raw.argmax(2), self.outputs - 1)

    def _searched(self, net: Net, x: Tensor, greedy: Tensor) -> Tensor:
        """The likeliest strings (n, steps) for x that a beam finds; the greedy ones where these are likelier."""
        steps = greedy.shape[1]
        if not isinstance(net.module, Writes):
            raise InputError(f"A beam asks a net symbol by symbol; {type(net.module).__name__} cannot be. Leave out --beam.")
        strings, logs = beam_search(lambda last, state: net.call("write", last, state), net.call("begin", x), len(x), self.outputs - 1,
                                    steps, self.beam)
        own = log_probabilities(net, x, greedy)
        return torch.where((own > logs)[:, None], greedy, strings)


def closed(symbols: Symbols) -> Symbols:
    """Sequences with one more symbol, LAST, behind the last of each."""
    if symbols.alphabet[-1:] == (LAST,):
        return symbols
    fill = len(symbols.alphabet)
    codes = F.pad(symbols.codes.to(torch.int32), (0, 1), value=fill)                                  # (n, t + 1)
    codes = torch.where(codes == fill, fill + 1, codes).scatter(1, symbols.lengths[:, None], fill)
    return replace(symbols, codes=codes, alphabet=(*symbols.alphabet, LAST))


def log_probabilities(net: Net, x: Tensor, strings: Tensor) -> Tensor:
    """The log of the probability (n,) that a net of scores writes strings (n, l) for x, and ends there where they are not cut off at l."""
    logs = net.call("teach", x, strings).float().log_softmax(2)                                        # (n, l + 1, symbols + 1)
    symbols = F.pad(strings, (0, 1), value=-1)
    asked = torch.arange(symbols.shape[1], device=x.device) <= (strings >= 0).sum(1, keepdim=True)
    asked[:, -1] = False                                                                               # a string of l symbols is cut off
    picked = logs.gather(2, torch.where(symbols < 0, logs.shape[2] - 1, symbols)[..., None]).squeeze(2)
    return torch.where(asked, picked, 0.0).sum(1)
