"""Exclusive or: what one layer cannot do, and two can. Minsky & Papert (1969), Perceptrons"""

from __future__ import annotations

import math
from statistics import median

import torch
from torch import Tensor

from chainrule.audit.separability import separable
from chainrule.core.batch import Batch
from chainrule.core.criterion import Supervised
from chainrule.core.net import Net
from chainrule.core.registry import inits, losses, nets, optimizers, recipes, rules
from chainrule.job.rule_spec import make_rule
from chainrule.nets.init.initial import initialise
from chainrule.recipes.outcome import Figure, Goal, Outcome, Setting

X = torch.tensor([[-1.0, -1.0], [-1.0, 1.0], [1.0, -1.0], [1.0, 1.0]])
Y = torch.tensor([-1.0, 1.0, 1.0, -1.0])
MOST_EPOCHS = 2000
SIDES = (  # net, rule, loss, optimizer, samples a step
    ("perceptron", "perceptron", "perceptron", "sgd:rate=1", 1),
    ("madaline:hidden=10,output=adaptive", "madaline-ii", "perceptron", "sgd:rate=0.5", 1),
    ("mlp:hidden=10,activation=tanh", "backprop", "hinge", "adam:rate=0.05", 4),
)


@recipes("xor", source="Minsky & Papert (1969), Perceptrons, MIT Press; Winter & Widrow (1988), https://doi.org/10.1109/ICNN.1988.23872; "
                       "Rumelhart, Hinton & Williams (1986), https://doi.org/10.1038/323533a0")
def xor(setting: Setting) -> Outcome:
    """A perceptron, which the linear programme refuses beforehand, a MADALINE and a multi-layer perceptron, from ten seeds each."""
    verdict = separable(X, Y)
    seeds, most = (2, 200) if setting.short else (10, MOST_EPOCHS)
    rows = [["net", "rule", "seeds that learn it", "epochs, median"]]
    learned = {}
    for net, rule, loss, optimizer, batch in SIDES:
        took = [epochs(net, rule, loss, optimizer, batch, seed, most) for seed in range(seeds)]
        done = [e for e in took if math.isfinite(e)]
        learned[rule] = len(done) / seeds
        rows.append([net, rule, f"{len(done)} of {seeds}", f"{median(done):.0f}" if done else f"none in {most}"])
    least: Goal = "none" if setting.short else "at least"  # two seeds may both be unlucky
    figures = [
        Figure("share of seeds from which a perceptron learns it", learned["perceptron"], published=0.0, goal="at most",
               source="Minsky & Papert (1969): no plane parts the two classes"),
        Figure("share of seeds from which MADALINE Rule II learns it", learned["madaline-ii"], published=1.0, goal=least,
               source="Winter & Widrow (1988)"),
        Figure("share of seeds from which back-propagation learns it", learned["backprop"], published=1.0, goal=least,
               source="Rumelhart, Hinton & Williams (1986)"),
    ]
    return Outcome(figures, rows, [str(verdict), "three hidden units are enough, but not from every start; so there are ten"])


def epochs(net: str, rule: str, loss: str, optimizer: str, batch: int, seed: int, most: int) -> float:
    """Epochs until all four answers are right; infinite where that takes more than `most`."""
    generator = torch.Generator().manual_seed(seed)
    torch.manual_seed(seed)
    chosen = nets.choose(net)
    module = chosen.make((2,), 1)
    initialise(module, inits.choose("normal:1"))
    own = Net.of(module)
    learner = make_rule(rules.choose(rule), Supervised(losses.choose(loss).make()), optimizers.choose(optimizer), None)
    state = learner.init(own)
    for epoch in range(1, most + 1):
        for picked in torch.randperm(4, generator=generator).split(batch):
            own, state, _ = learner.step(own, state, Batch(X[picked], Y[picked]))
        if _right(own):
            return epoch
    return math.inf


@torch.no_grad()
def _right(net: Net) -> bool:
    scores: Tensor = net(X).squeeze(1)                                        # (4,)
    return bool((scores * Y > 0).all())
