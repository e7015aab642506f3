"""Sums of binary numbers by few hidden units, right on numbers far longer than those it learned from; a feed-forward net is not.

Hinton (2012), Neural networks for machine learning, lecture 7
"""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import torch
from torch import Tensor, nn

import chainrule
from chainrule.core.abilities.sequences import HasStates
from chainrule.core.files import write_file
from chainrule.core.registry import recipes
from chainrule.data import fingerprint
from chainrule.data.source import Source
from chainrule.data.synthetic.memory import ABSENT, BITS, LATE, summands
from chainrule.evaluate.intervals import wilson
from chainrule.plots.automaton import automaton
from chainrule.plots.figure import to_png
from chainrule.recipes.outcome import Figure, Goal, Outcome, Setting, command
from chainrule.workflows.run import Run

SOURCE = "lecture; Hinton (2012), Neural networks for machine learning, lecture 7"
LENGTH, PLACES, PAIRS = 12, 64, 10_000
DATA = f"addition:length={LENGTH},count=8000"
TRAINING: dict[str, Any] = {"net": "rnn:hidden=10", "rule": "backprop:clip=1", "optimizer": "adam:rate=0.02", "schedule": "cosine",
                            "batch": 32, "epochs": 100}
WORKED = ("00110100", "01001101", "10000001")
STATES = ("prints 0", "prints 1", "prints 0, carries", "prints 1, carries")
DRAWN = 20       # pairs whose states are drawn


@recipes("binary-addition", source=SOURCE)
def binary_addition(setting: Setting) -> Outcome:
    """Two inputs, one output, ten hidden units: trained on pairs of up to 12 bits, asked for the sums of 10,000 pairs of 64.

    Each digit is asked for two steps after those it is the sum of. Beside it a feed-forward net with a place for each of 64 bits, trained
    on the same pairs. The figures are of the worst of the seeds.
    """
    seeds, short = (1 if setting.short else setting.seeds), setting.short
    options = {**TRAINING, "epochs": 1} if short else TRAINING
    pairs = pairs_of(PAIRS if not short else 50, PLACES, PLACES, seed=1)
    rows, wrong, worked = [["seed", "wrong sums", "validation digits %", WORKED[2]]], [], []
    run: Run | None = None
    for seed in range(seeds):
        setting.say(f"seed {seed}")
        run = chainrule.train(DATA.replace("8000", "200") if short else DATA, **options, seed=seed, out=setting.out / f"recurrent-{seed}",
                              progress=False)
        wrong.append(wrong_sums(run, pairs))
        worked.append(answer_to(run, *WORKED[:2]))
        rows.append([str(seed), f"{wrong[-1]:,}", f"{100 * run.history[-1]['valid_accuracy']:.2f}", worked[-1]])
    assert run is not None
    ends = wilson(max(wrong), len(pairs))
    forward = feed_forward(setting, options)
    learned, longer = (wrong_sums(forward, pairs_of(len(pairs), low, high, seed=2)) for low, high in ((1, LENGTH), (PLACES, PLACES)))
    goal: Goal = "none" if short else "at most"
    other: Goal = "none" if short else "at least"
    figures = [
        Figure(f"wrong sums among {PAIRS:,} pairs of {PLACES} bits", max(wrong), ends.low * len(pairs), ends.high * len(pairs), 0, SOURCE,
               goal),
        Figure(f"wrong digits of {WORKED[0]} + {WORKED[1]} = {WORKED[2]}", max(_apart(answer, WORKED[2]) for answer in worked), published=0,
               source=SOURCE, goal=goal),
        Figure(f"% of sums of {PLACES} bits that the feed-forward net gets wrong", 100 * longer / len(pairs), published=99,
               source="asked of this comparison; the lecture says that it fails", goal=other),
        Figure(f"% of those of up to {LENGTH} bits", 100 * learned / len(pairs)),
    ]
    picture = setting.out / "automaton.png"
    write_file(picture, to_png(automaton(*hidden_states(run, pairs_of(DRAWN, PLACES, PLACES, seed=3)), STATES)))
    return Outcome(figures, rows, [command(DATA, options)], [picture])


def pairs_of(count: int, low: int, high: int, *, seed: int) -> Source:
    """So many pairs of `low` to `high` bits each, in rows that have place for 64."""
    random = torch.Generator().manual_seed(seed)
    digits = torch.randint(low, high + 1, (count,), generator=random)
    bits = torch.randint(2, (count, 2, PLACES), generator=random, dtype=torch.uint8) * (torch.arange(PLACES) < digits[:, None, None])
    x, y = summands(bits, digits)
    return Source("pairs", x, y, "steps", {"kind": "memory", "what": "pairs"}, fingerprint.of(x, y, BITS), BITS)


def wrong_sums(run: Run, pairs: Source) -> int:
    """Of how many pairs any digit of the sum is wrong."""
    answer, _ = run.predict(replace(pairs, targets=None, target_kind="none"))
    y: Tensor = pairs.targets
    return int((((answer.argmax(2) != y) & (y != ABSENT)).any(1)).sum())


def answer_to(run: Run, one: str, other: str) -> str:
    """The sum of two binary numbers as a net gives it, in as many digits as they have."""
    bits = torch.tensor([[int(bit) for bit in reversed(word)] for word in (one, other)])[None]
    x, y = summands(bits, torch.tensor([len(one)]))
    answer, _ = run.predict(Source("pair", x, None, "none", {"kind": "memory", "what": "pair"}, fingerprint.of(x, y)))
    return "".join(str(int(bit)) for bit in answer[0, LATE : LATE + len(one)].argmax(1).flip(0))


class FeedForwardAdder(nn.Module):
    """A place for every digit: (n, t, 2) -> (n, t, 2) by one hidden layer that sees all of them at once."""

    def __init__(self, steps: int, hidden: int = 300):
        super().__init__()
        self.layers = nn.Sequential(nn.Flatten(), nn.Linear(2 * steps, hidden), nn.ReLU(), nn.Linear(hidden, 2 * steps))

    def forward(self, x: Tensor) -> Tensor:
        scores: Tensor = self.layers(x).view(len(x), -1, 2)
        return scores


def feed_forward(setting: Setting, options: dict[str, Any]) -> Run:
    """A feed-forward net with place for 64 bits, trained on as many pairs of as few bits."""
    source = pairs_of(200 if setting.short else 8000, 1, LENGTH, seed=0)
    torch.manual_seed(0)
    return chainrule.train(source, net=FeedForwardAdder(source.inputs.shape[1]), task="tagging", optimizer="adam:rate=0.002",
                           schedule="cosine", batch=32, epochs=options["epochs"], out=setting.out / "feed-forward", progress=False)


@torch.no_grad()
def hidden_states(run: Run, pairs: Source) -> tuple[Tensor, Tensor]:
    """What the hidden units are after each column (k, units), and the automaton's state (k,): the digit printed, and 2 more if it carries.

    Of the last few steps, in which no column comes, none is taken.
    """
    encoder, net = run.trained.encoder.inputs, run.net
    assert isinstance(net, HasStates)
    states = net.states(encoder.ready(encoder.encode(pairs.inputs)))[:, :PLACES]                   # (n, t, units)
    columns, carry, labels = pairs.inputs[:, :PLACES].long().sum(2), torch.zeros(len(pairs), dtype=torch.int64), []
    for t in range(PLACES):
        total = columns[:, t] + carry
        carry = total // 2
        labels.append(total % 2 + 2 * carry)
    return states.flatten(0, 1), torch.stack(labels, 1).flatten()


def _apart(answer: str, wanted: str) -> int:
    return sum(a != b for a, b in zip(answer, wanted, strict=True))
