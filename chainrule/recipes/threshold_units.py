"""Threshold units: logic by hand and by the perceptron rule, exclusive or by MADALINE II, and Rule III beside the gradient.

McCulloch & Pitts (1943), https://doi.org/10.1007/BF02478259; Rosenblatt (1958), https://doi.org/10.1037/h0042519;
Widrow & Lehr (1990), https://doi.org/10.1109/5.58323
"""

from __future__ import annotations

import math
from statistics import median

import torch
from torch import Tensor

from chainrule.core.batch import Batch
from chainrule.core.criterion import Supervised
from chainrule.core.net import Net
from chainrule.core.registry import inits, losses, nets, optimizers, recipes, rules
from chainrule.core.tree import value_and_grad
from chainrule.job.rule_spec import make_rule
from chainrule.nets.init.initial import initialise
from chainrule.recipes import xor
from chainrule.recipes.outcome import Figure, Outcome, Setting
from chainrule.rules.madaline import madaline_iii

INPUTS = torch.tensor([[0.0, 0.0], [0.0, 1.0], [1.0, 0.0], [1.0, 1.0]])
LOGIC = {  # the unit that says it without learning, its inputs, and the right answers
    "AND": ("mcculloch-pitts", INPUTS, (0, 0, 0, 1)),
    "OR": ("mcculloch-pitts:threshold=1", INPUTS, (0, 1, 1, 1)),
    "NOT": ("mcculloch-pitts:threshold=0,weights=-1", INPUTS[::3, :1], (1, 0)),
}


@recipes("logic-units", source="McCulloch & Pitts (1943), https://doi.org/10.1007/BF02478259; Rosenblatt (1958), https://doi.org/10.1037/h0042519")
def logic_units(setting: Setting) -> Outcome:
    """AND, OR and NOT by a threshold unit with fixed weights, and learned by a perceptron: wrong answers, and epochs it took."""
    rows, by_hand, learned = [["logic", "unit", "wrong", "perceptron wrong", "epochs"]], 0, 0
    for name, (spec, x, right) in LOGIC.items():
        y = torch.tensor(right)
        wrong = int((nets.choose(spec).make((x.shape[1],), 1)(x)[:, 0] != y).sum())
        left, epochs = _perceptron(x, 2.0 * y - 1)
        rows.append([name, spec, str(wrong), str(left), str(epochs)])
        by_hand, learned = by_hand + wrong, learned + left
    return Outcome([Figure("wrong answers of threshold units", by_hand, published=0, goal="at most", source="McCulloch & Pitts (1943)"),
                    Figure("wrong answers of perceptrons that learned", learned, published=0, goal="at most",
                           source="Rosenblatt (1958): finitely many corrections")], rows)


def _perceptron(x: Tensor, y: Tensor, most: int = 100) -> tuple[int, int]:
    """Wrong answers of a perceptron after it was shown the samples one by one, and how many epochs that took, at most `most`."""
    module = nets.choose("perceptron").make((x.shape[1],), 1)
    initialise(module, inits.choose("zeros"))
    net = Net.of(module)
    criterion = Supervised(losses.choose("perceptron").make())
    rule = make_rule(rules.choose("perceptron"), criterion, optimizers.choose("sgd:rate=1"), None)
    state = rule.init(net)
    wrong, epoch = len(x), 0
    while wrong and epoch < most:
        epoch += 1
        for at in range(len(x)):
            net, state, _ = rule.step(net, state, Batch(x[at : at + 1], y[at : at + 1]))
        wrong = int((net(x).detach()[:, 0] * y <= 0).sum())
    return wrong, epoch


@recipes("madaline-xor", source="Winter & Widrow (1988), https://doi.org/10.1109/ICNN.1988.23872")
def madaline_xor(setting: Setting) -> Outcome:
    """Exclusive or by MADALINE Rule II from ten seeds, within two hundred epochs each."""
    net, rule, loss, optimizer, batch = xor.SIDES[1]
    took = [xor.epochs(net, rule, loss, optimizer, batch, seed, 200) for seed in range(10)]
    learned = [epochs for epochs in took if math.isfinite(epochs)]
    return Outcome([Figure("share of seeds that learn it", len(learned) / len(took), published=1, goal="at least",
                           source="Winter & Widrow (1988)")],
                   notes=[f"epochs, median: {median(took):g}"])


@recipes("madaline-three", source="Widrow & Lehr (1990), https://doi.org/10.1109/5.58323")
def madaline_three(setting: Setting) -> Outcome:
    """The direction of Rule III, measured by disturbing each sum a little, against the gradient of the same loss."""
    torch.manual_seed(0)
    module = nets.choose("madaline:output=adaptive,units=tanh,hidden=6x4").make((5,), 3).double()
    initialise(module, inits.choose("lecun:biases=0.3"))
    net, loss = Net.of(module), losses.choose("squared").make()
    batch = Batch(torch.randn(16, 5, dtype=torch.float64), torch.randint(3, (16,)))

    def objective(net: Net, batch: Batch) -> tuple[Tensor, dict[str, Tensor]]:
        return batch.mean(loss.each(net(batch.x), batch.y)), {}

    direction, _ = madaline_iii(net, batch, loss=loss)
    _, _, slope = value_and_grad(objective, net, batch)
    apart = {name: float((direction[name] - g).norm() / g.norm()) for name, g in slope.items()}
    return Outcome([Figure("greatest relative difference from the gradient", max(apart.values()), published=1e-3, goal="at most",
                           source="Widrow & Lehr (1990): Rule III is back-propagation in the limit of small disturbances")],
                   [["tensor", "relative difference"], *([name, f"{value:.1e}"] for name, value in apart.items())])
