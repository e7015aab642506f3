"""An iteration of Baum and Welch over many sequences beside hmmlearn's, from the same model over the same sequences, in turns."""

from __future__ import annotations

import importlib
import time
from collections.abc import Callable
from typing import Annotated, Any

import torch
import typer
from torch import Tensor

from chainrule.bench.harness import Spread, aligned, in_turns, ratio, tell, verdict
from chainrule.core.batch import Batch
from chainrule.core.errors import InputError
from chainrule.core.net import Net
from chainrule.core.registry import nets, rules
from chainrule.core.text import counted
from chainrule.core.threads import torch_threads

TARGET = 3.0       # times faster than hmmlearn
SYMBOLS = 8


def main(sequences: int = 1000, steps: int = 1000, states: int = 16, repeats: int = 5, threads: int = 1,
         double: Annotated[bool, typer.Option("--double", help="In double precision, as hmmlearn computes.")] = False,
         record: bool = False) -> None:
    """One iteration over sequences of symbols, ours and hmmlearn's: at least three times faster."""
    with torch_threads(threads):
        x, dtype = drawn(sequences, steps), torch.float64 if double else torch.float32
        took = in_turns({"ours": ours(x, states, dtype), "hmmlearn": theirs(x, states)}, repeats)
    over = ratio(took["hmmlearn"], took["ours"])
    rows = [["sequences", "steps", "states", "symbols", "ours, s of the processor", "hmmlearn, s", "hmmlearn / ours"],
            [f"{sequences:,}", f"{steps:,}", str(states), str(SYMBOLS), Spread.of(took["ours"]).shown(".3g"),
             Spread.of(took["hmmlearn"]).shown(".3g"), over.shown(".2f")]]
    words = f"one iteration a turn, {repeats} rounds, {counted(threads, 'thread')}, ours in {dtype}"
    tell("hidden-markov", [words, "", *aligned(rows), "", verdict(over.middle >= TARGET, f"at least {TARGET:g} times faster")], record)


def drawn(sequences: int, steps: int) -> Tensor:
    """Symbols (n, t) that stay what they are more often than not."""
    random = torch.Generator().manual_seed(0)
    fresh = torch.randint(SYMBOLS, (sequences, steps), generator=random)
    stays = torch.rand(sequences, steps, generator=random) < 0.6
    stays[:, 0] = False
    place = torch.where(stays, 0, torch.arange(steps)).cummax(1).values
    return fresh.gather(1, place)


def model(states: int, steps: int, dtype: torch.dtype) -> Net:
    """The model that both begin with."""
    torch.manual_seed(1)
    return Net.of(nets.choose(f"hmm:states={states},emissions=discrete").make((steps, SYMBOLS), SYMBOLS).to(dtype))


def ours(x: Tensor, states: int, dtype: torch.dtype) -> Callable[[], float]:
    """What takes one iteration from the first model, and returns its seconds of the processor: others may use the machine meanwhile."""
    batch = Batch(torch.nn.functional.one_hot(x, SYMBOLS).to(dtype))
    rule = rules.choose("baum-welch:start=given").make()

    def run() -> float:
        net = model(states, x.shape[1], dtype)
        state = rule.init(net)
        began = time.process_time()
        rule.step(net, state, batch)
        return time.process_time() - began

    return run


def theirs(x: Tensor, states: int) -> Callable[[], float]:
    """The same by hmmlearn. Raises InputError where it is not installed."""
    try:
        peer: Any = importlib.import_module("hmmlearn.hmm")
    except ImportError as error:
        raise InputError("This sets an iteration beside hmmlearn's, which is not installed. Install it: pip install hmmlearn") from error
    rows, lengths = x.reshape(-1, 1).numpy(), [x.shape[1]] * len(x)
    net = model(states, x.shape[1], torch.float64)
    shares = {name: p.detach().softmax(-1).numpy() for name, p in net.params.items()}

    def run() -> float:
        twin = peer.CategoricalHMM(states, n_iter=1, init_params="", params="ste", implementation="scaling")
        twin.startprob_, twin.transmat_ = shares["initial.log_shares"].copy(), shares["transitions.log_shares"].copy()
        twin.emissionprob_, twin.n_features = shares["emissions.log_shares"].copy(), SYMBOLS
        began = time.process_time()
        twin.fit(rows, lengths)
        return time.process_time() - began

    return run
