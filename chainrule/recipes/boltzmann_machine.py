"""A Boltzmann machine on distributions that pairs of units cannot tell from chance, and on the encoder of its paper."""

from __future__ import annotations

import torch
from torch import Tensor

from chainrule.core.batch import Batch
from chainrule.core.net import Net
from chainrule.core.registry import nets, optimizers, recipes, rules
from chainrule.job.rule_spec import make_rule
from chainrule.nets.layers.restricted import bits
from chainrule.recipes.outcome import Figure, Outcome, Setting

SOURCE = "Ackley, Hinton & Sejnowski (1985), https://doi.org/10.1207/s15516709cog0901_7"
RATES = (0.2, 0.05, 0.01)   # one after the other
STEPS = 1500                # of each


def parity() -> Tensor:
    """The rows of three units of which an even number is on, (4, 3): each pair of them is independent."""
    rows = bits(0, 8, 3).float()
    return rows[rows.sum(1) % 2 == 0]


def encoder() -> Tensor:
    """The rows of section 4.1: one of four units on, and the same one of four others, (4, 8)."""
    return torch.eye(4).repeat(1, 2)


@recipes("boltzmann", source=SOURCE)
def boltzmann(setting: Setting) -> Outcome:
    """What machines make of the 4-2-4 encoder and, with and without hidden units, of the parity of three units, by exact enumeration.

    The distance of two distributions is half the sum of the differences of their probabilities. In its short form the encoder alone.
    """
    rows, distances = [["data", "hidden units", "first weights", "distance", "divergence, nats"]], []
    tried = [("encoder", encoder(), 2, 0.1), ("parity", parity(), 3, 1.0), ("parity", parity(), 0, 0.1)]
    for name, data, hidden, spread in tried[: 1 if setting.short else None]:
        apart, nats = learned(data, hidden, STEPS // 5 if setting.short else STEPS, spread=spread)
        distances.append(apart)
        rows.append([name, str(hidden), f"{spread:g}", f"{apart:.4f}", f"{nats:.4f}"])
    return Outcome([
        Figure("distance of its learned distribution from the data's, 4-2-4 encoder", distances[0], source=SOURCE),
        *(Figure(f"the same of the parity of three units, {hidden} hidden units", apart)
          for (_, _, hidden, _), apart in zip(tried[1:], distances[1:], strict=False)),
    ], rows)


def learned(data: Tensor, hidden: int, steps: int, *, clamped: str = "gibbs", spread: float = 0.1, seed: int = 0) -> tuple[float, float]:
    """How far the machine's distribution over visible states is from that of the rows after so many steps at each rate: half the sum
    of differences, and the divergence from the rows' to the machine's in nats. `spread` is the deviation of the first weights.
    """
    torch.manual_seed(seed)
    net = Net.of(nets.choose(f"boltzmann:hidden={hidden}").make((data.shape[1],), 0))
    with torch.no_grad():
        net.params["weight"].normal_(std=spread).triu_(1)
    spec = rules.choose(f"boltzmann-learning:clamped={clamped},sweeps=3,chains=200")
    state = None
    for rate in RATES:
        rule = make_rule(spec, None, optimizers.choose(f"sgd:rate={rate},momentum=0.5"), None)
        state = rule.init(net) if state is None else state
        for _ in range(steps):
            net, state, _ = rule.step(net, state, Batch(data.repeat(10, 1)))
    with torch.no_grad():
        states = bits(0, 2 ** data.shape[1], data.shape[1]).float()
        shares = net.call("log_prob", states)
        wanted = (states[:, None] == data).all(2).double().mean(1)
        known = wanted > 0
        nats = float((wanted[known] * (wanted[known].log() - shares[known].double())).sum())
    return 0.5 * float((shares.double().exp() - wanted).abs().sum()), nats
