"""Hidden Markov models: exact against the sum over all paths, and a casino's dice found again by what they show."""

from __future__ import annotations

import itertools
import math

import torch
from torch import Tensor

import chainrule
from chainrule.core.batch import Batch
from chainrule.core.net import Net
from chainrule.core.registry import recipes, rules
from chainrule.data.synthetic.casino import LOADED, STAYS, rolls
from chainrule.nets.hmm import HiddenMarkov
from chainrule.nets.layers.emissions import Symbols
from chainrule.recipes.outcome import Figure, Goal, Outcome, Setting

RABINER = "Rabiner (1989), https://doi.org/10.1109/5.18626"
DURBIN = "Durbin, Eddy, Krogh & Mitchison (1998), https://doi.org/10.1017/CBO9780511790492, section 3.2"
STATES, SYMBOLS, STEPS, ITERATIONS = 3, 4, 6, 40


@recipes("hmm", source=f"{RABINER}; {DURBIN}")
def hidden_markov(setting: Setting) -> Outcome:
    """Likelihoods by the scaled and by the logarithmic pass against all 729 paths of three states, and the dishonest casino.

    A model of two states learns from rolls alone, by Baum and Welch's iteration, which die is used when.
    """
    apart = max(_off_by(form) for form in ("scaled", "log"))
    run = chainrule.train(f"casino:count={60 if setting.short else 200}", net="hmm:states=2", epochs=20 if setting.short else 100,
                          out=setting.out / "casino", progress=False)
    rises = max(0.0, *(later - earlier for earlier, later in itertools.pairwise(row["train_loss"] for row in run.history[1:])))
    symbols, loaded = rolls(100, 300, seed=1)
    codes = torch.nn.functional.one_hot(symbols.codes.long(), 6).float()
    module = run.net
    assert isinstance(module, HiddenMarkov)
    assert isinstance(module.emissions, Symbols)
    shares, stays = module.emissions.log_shares.detach().softmax(1), module.transitions.log_shares.detach().softmax(1).diagonal()
    die = int(shares[:, 5].argmax())
    named = float(((module.path(codes) == die) == loaded).double().mean())
    goal: Goal = "none" if setting.short else "about"
    return Outcome([
        Figure("greatest difference of a log likelihood from the sum over all paths", apart, published=1e-6, goal="at most",
               source=RABINER),
        Figure("greatest rise of the loss in an iteration, in nats a step", rises, published=1e-6, goal="at most",
               source="Baum, Petrie, Soules & Weiss (1970), https://doi.org/10.1214/aoms/1177697196: none"),
        Figure("% of rolls whose die the likeliest path names", 100 * named),
        Figure("probability of a six with the loaded die", float(shares[die, 5]), published=LOADED[5], goal=goal, within=0.03,
               source=DURBIN),
        Figure("probability that the loaded die stays", float(stays[die]), published=STAYS[1], goal=goal, within=0.03, source=DURBIN),
        Figure("probability that the fair die stays", float(stays[1 - die]), published=STAYS[0], goal=goal, within=0.03, source=DURBIN),
    ], notes=["chainrule train casino --net hmm:states=2"])


def _off_by(form: str) -> float:
    """How far log likelihoods are from the sum over all paths, after an iteration that makes the parameters uneven."""
    torch.manual_seed(0)
    module = HiddenMarkov((STEPS, SYMBOLS), SYMBOLS, states=STATES, form="log" if form == "log" else "scaled").double()
    net = Net.of(module)
    x = torch.nn.functional.one_hot(torch.randint(SYMBOLS, (8, STEPS)), SYMBOLS).double()      # (n, t, symbols)
    rule = rules.choose("baum-welch:start=given").make()
    net, _, _ = rule.step(net, rule.init(net), Batch(x))
    with torch.no_grad():
        return float((module.log_prob(x) - _over_paths(module, x)).abs().max())


def _over_paths(module: HiddenMarkov, x: Tensor) -> Tensor:
    """The log (n,) of the sum over all paths of states of what each has to do with sequences (n, t, symbols)."""
    start, follow = (log.exp() for log in module.chain)
    assert isinstance(module.emissions, Symbols)
    shares = module.emissions.log_shares.softmax(1)
    total = torch.zeros(len(x), dtype=x.dtype)
    for path in itertools.product(range(STATES), repeat=STEPS):
        prior = float(start[path[0]]) * math.prod(float(follow[a, b]) for a, b in itertools.pairwise(path))
        seen = torch.stack([x[:, t] @ shares[state] for t, state in enumerate(path)])          # (t, n)
        total += prior * seen.prod(0)
    return total.log()
