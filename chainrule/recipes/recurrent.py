"""Back-propagation through time beside the same net unrolled into layers. Werbos (1990), https://doi.org/10.1109/5.58337"""

from __future__ import annotations

import copy

import torch
from torch import Tensor
from torch.nn import functional as F

from chainrule.core.batch import Batch
from chainrule.core.criterion import Stepwise
from chainrule.core.net import Net
from chainrule.core.registry import losses, optimizers, recipes, rules
from chainrule.core.tree import Tree
from chainrule.job.rule_spec import make_rule
from chainrule.nets.rnn import Elman, ElmanLayer
from chainrule.recipes.outcome import Figure, Outcome, Setting

SOURCE = "Werbos (1990), https://doi.org/10.1109/5.58337"
ROWS, STEPS, INPUTS, HIDDEN, CLASSES = 4, 12, 3, 6, 5
LENGTHS = (12, 7, 1, 10)
LAYER = ("layers.0.reads.weight", "layers.0.reads.bias", "layers.0.recurs.weight")
START = "layers.0.start_hidden"


@recipes("unrolled-twin", source=SOURCE)
def unrolled_twin(setting: Setting) -> Outcome:
    """The simple recurrent net on sequences of unequal length, in float64: its gradient against a feed-forward net of a layer a step.

    Every layer of the twin has weights of its own, and their gradients add up; the same by the ordered derivatives written out. Windows
    of half the length must miss what passes between them.
    """
    torch.manual_seed(0)
    module = Elman((STEPS, INPUTS), CLASSES, hidden=HIDDEN).double()
    with torch.no_grad():
        _layer(module).start_hidden.normal_(std=0.3)                                                  # learned like the weights
    mask = torch.arange(STEPS) < torch.tensor(LENGTHS)[:, None]                              # (n, t)
    x, y = torch.randn(ROWS, STEPS, INPUTS, dtype=torch.float64), torch.randint(CLASSES, (ROWS, STEPS))
    whole = Batch(x, y, mask=mask, fresh=torch.ones(ROWS, dtype=torch.bool))
    ours = _through_time(module, [whole])
    twins = {"layers with weights of their own": _unrolled(module, whole), "ordered derivatives": _ordered(module, whole)}
    halves = [Batch(x[:, at], y[:, at], mask=mask[:, at], fresh=torch.full((ROWS,), at.start == 0))
              for at in (slice(0, STEPS // 2), slice(STEPS // 2, STEPS))]
    apart = {name: {key: _apart(ours[key], g) for key, g in twin.items()} for name, twin in twins.items()}
    worst = {name: max(errors.values()) for name, errors in apart.items()}
    truncated = _apart(_through_time(module, halves)[LAYER[2]], ours[LAYER[2]])
    return Outcome([
        Figure("greatest relative difference of a gradient from the unrolled twin", worst["layers with weights of their own"],
               published=1e-10, goal="at most", source=SOURCE + ": equal"),
        Figure("the same from the ordered derivatives", worst["ordered derivatives"], published=1e-10, goal="at most",
               source=SOURCE + ", section 5"),
        Figure("that of windows of half the length, to see that the comparison can tell", truncated, published=1e-3, goal="at least"),
    ], [["weights", *twins], *([key, *(f"{apart[name][key]:.1e}" for name in twins)] for key in ours)])


def _layer(module: Elman) -> ElmanLayer:
    layer = module.layers[0]
    assert isinstance(layer, ElmanLayer)
    return layer


def _apart(a: Tensor, b: Tensor) -> float:
    return float((a - b).norm() / b.norm())


def _through_time(module: Elman, windows: list[Batch]) -> dict[str, Tensor]:
    """The gradient of the mean over all steps that exist, as the rule takes it off the weights at a rate of one, window by window.

    The state goes from window to window and the gradient does not; the weights are put back before each.
    """
    rule = make_rule(rules.choose("bptt:clip=1e9"), Stepwise(losses.choose("cross-entropy").make()), optimizers.choose("sgd:rate=1"), None,
                     lanes=ROWS)
    net = Net.of(copy.deepcopy(module))
    before = {name: p.detach().clone() for name, p in net.params.items()}
    state, slope = rule.init(net), {name: torch.zeros_like(p) for name, p in before.items()}
    steps = sum(float(mask.sum()) for mask in map(_mask, windows))
    for window in windows:
        share = float(_mask(window).sum()) / steps
        net, state, _ = rule.step(net, state, window)
        for name, p in net.params.items():
            slope[name] += share * (before[name] - p.detach())
            p.data.copy_(before[name])
    return slope


def _mask(batch: Batch) -> Tensor:
    return batch.x.new_ones(batch.x.shape[:2], dtype=torch.bool) if batch.mask is None else batch.mask


def _unrolled(module: Elman, batch: Batch) -> Tree:
    """The gradient by a feed-forward net whose layer for each step has copies of the weights: the sum over the copies."""
    layers = [copy.deepcopy(module) for _ in range(STEPS)]
    start = _layer(module).start_hidden.detach().clone().requires_grad_()
    state, cost = start.expand(ROWS, -1), batch.x.new_zeros(())
    for t, layer in enumerate(layers):
        state = torch.tanh(_layer(layer).reads(batch.x[:, t]) + _layer(layer).recurs(state))
        own = F.cross_entropy(layer.output(state), batch.y[:, t], reduction="none")
        cost = cost + own[_mask(batch)[:, t]].sum()
    (cost / _mask(batch).sum()).backward()
    slope: Tree = {START: start.grad}
    for name in (*LAYER, "output.weight", "output.bias"):
        slope[name] = torch.stack([layer.get_parameter(name).grad for layer in layers]).sum(0)  # type: ignore[misc]
    return slope


@torch.no_grad()
def _ordered(module: Elman, batch: Batch) -> Tree:
    """The gradient by Werbos's ordered derivatives: d_t = (V' e_t + U' d_{t+1}) (1 - h_t^2) from the last step to the first."""
    x, mask = batch.x, _mask(batch)
    own, v = _layer(module), module.output.weight
    w, u = own.reads.weight, own.recurs.weight
    states = [own.initial(ROWS)[0]]
    for t in range(STEPS):
        states.append(torch.tanh(x[:, t] @ w.T + own.reads.bias + states[-1] @ u.T))
    slope = {name: torch.zeros_like(p) for name, p in module.named_parameters()}
    later = torch.zeros_like(states[0])                                                      # what the step after asks, (n, hidden)
    for t in range(STEPS - 1, -1, -1):
        h, before = states[t + 1], states[t]
        wrong = (h @ v.T + module.output.bias).softmax(1) - F.one_hot(batch.y[:, t], CLASSES)
        wrong = wrong * mask[:, t, None] / mask.sum()                                        # (n, classes)
        push = (wrong @ v + later) * (1 - h.square())                                        # (n, hidden)
        for name, part in {"output.weight": wrong.T @ h, "output.bias": wrong.sum(0),
                           **dict(zip(LAYER, (push.T @ x[:, t], push.sum(0), push.T @ before), strict=True))}.items():
            slope[name] += part
        later = push @ u
    slope[START] = later.sum(0)
    return slope
