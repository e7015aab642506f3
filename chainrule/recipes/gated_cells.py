"""The cells of LSTM and GRU beside torch's own layers, to rounding. Hochreiter & Schmidhuber (1997), https://doi.org/10.1162/neco.1997.9.8.1735"""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor, nn

from chainrule.core.kernels import offered
from chainrule.core.registry import recipes
from chainrule.nets.layers.gated import GRULayer, LSTMLayer
from chainrule.nets.layers.recurrent import Recurrence, State
from chainrule.nets.rnn import ElmanLayer
from chainrule.recipes.outcome import Figure, Outcome, Setting

SOURCE = "Hochreiter & Schmidhuber (1997), https://doi.org/10.1162/neco.1997.9.8.1735; Cho et al. (2014), https://doi.org/10.3115/v1/D14-1179"
ROWS, STEPS, INPUTS, UNITS = 8, 30, 10, 24
LAYERS: dict[str, tuple[type[Recurrence], Any]] = {"lstm": (LSTMLayer, nn.LSTM), "gru": (GRULayer, nn.GRU), "rnn": (ElmanLayer, nn.RNN)}


@recipes("gated-cells", source=SOURCE)
def gated_cells(setting: Setting) -> Outcome:
    """Outputs and gradients of each kind of cell under the same weights: written out, by torch's kernel and by ours, against torch.nn.

    Differences are absolute, of outputs, and relative to the largest, of gradients, in single precision. The cells also in double.
    """
    torch.manual_seed(0)
    rows, worst, exact = [["cell", "computed by", "outputs", "gradients"]], 0.0, 0.0
    for name, (layer, theirs) in LAYERS.items():
        module = layer(INPUTS, UNITS)
        with torch.no_grad():
            for p in module.parameters():
                p.add_(0.1 * torch.randn_like(p))
        x, weights = torch.randn(ROWS, STEPS, INPUTS), torch.randn(ROWS, STEPS, UNITS)
        expected = _torchs(module, theirs, x, weights)
        for way, run in _ways(module).items():
            outputs, _ = run(x, module.initial(ROWS))
            slopes = torch.autograd.grad((weights * outputs).sum(), [module.reads.weight, module.recurs.weight])
            apart = float((outputs - expected[0]).abs().max().detach())
            relative = max(float((a - b).abs().max() / b.abs().max()) for a, b in zip(slopes, expected[1:], strict=True))
            worst = max(worst, apart)
            rows.append([name, way, f"{apart:.1e}", f"{relative:.1e}"])
        double, twice = module.double(), x.double()
        outputs, _ = double.written_out(twice, double.initial(ROWS))
        exact = max(exact, float((outputs - _torchs(double, theirs, twice, weights.double())[0]).abs().max().detach()))
    return Outcome([
        Figure("greatest difference from torch.nn", worst, published=1e-6, goal="at most", source=SOURCE + ": equal"),
        Figure("the same in double precision, of the cells written out", exact, published=1e-12, goal="at most", source=SOURCE + ": equal"),
    ], rows)


def _ways(module: Recurrence) -> dict[str, Any]:
    """What computes a layer: cells, torch's kernel, and ours where this machine can make it."""
    kernel = offered(module.kernel)
    ways: dict[str, Any] = {"cells": module.written_out, "torch's kernel": module.library}

    def ours(x: Tensor, state: State) -> Any:
        assert kernel is not None
        return kernel(x, state, *module.parameters_of_kernel())

    start = module.initial(1)
    if kernel is not None and ours(torch.zeros(1, 1, INPUTS), start) is not None:
        ways["our kernel"] = ours
    return ways


def _torchs(module: Recurrence, kind: Any, x: Tensor, weights: Tensor) -> list[Tensor]:
    """Outputs (n, t, h) of torch's layer with these weights, and the slopes by those that read and those that recur."""
    layer = kind(INPUTS, UNITS, batch_first=True).to(x.dtype)
    with torch.no_grad():
        layer.weight_ih_l0.copy_(module.reads.weight)
        layer.weight_hh_l0.copy_(module.recurs.weight)
        layer.bias_ih_l0.copy_(module.reads.bias)
        layer.bias_hh_l0.zero_()
        if isinstance(module, GRULayer):
            layer.bias_hh_l0[2 * UNITS :] = module.candidate_bias
        start = tuple(part.expand(ROWS, -1).contiguous()[None] for part in module.initial(ROWS))
    outputs, _ = layer(x, start if len(start) > 1 else start[0])
    slopes = torch.autograd.grad((weights * outputs).sum(), [layer.weight_ih_l0, layer.weight_hh_l0])
    return [outputs.detach(), *slopes]
