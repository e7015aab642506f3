"""Dropout as the geometric mean of all thinned nets. Baldi & Sadowski (2013), https://papers.nips.cc/paper/4878"""

from __future__ import annotations

import torch
from torch import nn

import chainrule
from chainrule.core.registry import recipes
from chainrule.nets.layers.restricted import bits
from chainrule.recipes.outcome import Figure, Outcome, Setting

HIDDEN = 8


@recipes("dropout-mean", source="Hinton et al. (2012), https://arxiv.org/abs/1207.0580, section 2; Baldi & Sadowski (2013), https://papers.nips.cc/paper/4878")
def dropout_mean(setting: Setting) -> Outcome:
    """A trained net with one hidden layer of eight units: its halved net against the geometric mean of all 256 thinned ones."""
    run = chainrule.train("digits", net=f"mlp:hidden={HIDDEN},dropout=0.5", epochs=1 if setting.short else 30, out=setting.out / "run",
                          progress=False)
    job = run.job
    linear = [layer.double() for layer in run.net.modules() if isinstance(layer, nn.Linear)]
    with torch.no_grad():
        x = job.data.ready(job.data.valid.x).flatten(1).double()
        hidden = linear[0](x).relu()                                                    # (n, hidden)
        mean_net = linear[1](hidden).log_softmax(1)                                     # (n, classes)
        masks = bits(0, 2**HIDDEN, HIDDEN)          # (2^hidden, hidden)
        logs = torch.stack([linear[1](2 * mask * hidden).log_softmax(1) for mask in masks]).mean(0)
        geometric = logs.log_softmax(1)
        arithmetic = torch.stack([linear[1](2 * mask * hidden).softmax(1) for mask in masks]).mean(0).log()
        apart = float((mean_net.exp() - geometric.exp()).abs().max())
        far = float((mean_net.exp() - arithmetic.exp()).abs().max())
    return Outcome([Figure("greatest difference of a probability", apart, published=1e-6, goal="at most",
                           source="Hinton et al. (2012), https://arxiv.org/abs/1207.0580, section 2: exactly equal")],
                   [["the mean net against", "greatest difference of a probability"], ["the geometric mean of 256 nets", f"{apart:.1e}"],
                    ["their arithmetic mean", f"{far:.1e}"]])
