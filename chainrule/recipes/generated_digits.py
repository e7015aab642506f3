"""Digits made by a conditional, convolutional pair, judged by a classifier of ours: does it know them, and are its features alike?

Mirza & Osindero (2014), https://arxiv.org/abs/1411.1784; Radford, Metz & Chintala (2016), https://arxiv.org/abs/1511.06434; Heusel et al.
(2017), https://arxiv.org/abs/1706.08500, whose features are those of another net
"""

from __future__ import annotations

import torch

import chainrule
from chainrule.core.abilities.nets import SamplesGiven
from chainrule.core.files import write_file
from chainrule.core.registry import recipes
from chainrule.evaluate.generation import frechet
from chainrule.evaluate.intervals import wilson
from chainrule.plots.evaluation import image_grid
from chainrule.plots.figure import to_png
from chainrule.recipes.outcome import Figure, Outcome, Setting
from chainrule.workflows.likeness import features

HEUSEL = "Heusel et al. (2017), https://arxiv.org/abs/1706.08500"
NET = "gan:conditional=yes,convolutional=yes,spectral=yes,noise=32,filters=32"
SHOWN = 8           # samples of each class in the picture


@recipes("generated-digits", source=f"Mirza & Osindero (2014), https://arxiv.org/abs/1411.1784; {HEUSEL}")
def generated_digits(setting: Setting) -> Outcome:
    """Samples of every class: how many our classifier takes for what was asked, and the Frechet distance of its features to the test rows.

    Beside them are training rows, which are as near as can be asked, and rows of a Gaussian with the moments of each pixel.
    """
    judge = chainrule.train("digits", net="mlp:hidden=64x32", epochs=3 if setting.short else 60, progress=False, out=setting.out / "judge")
    pair = chainrule.train("digits", net=NET, epochs=3 if setting.short else 300, batch=64, optimizer="adam:rate=0.0005,beta1=0.5",
                           progress=False, out=setting.out / "pair")
    data, module = judge.job.data, pair.net
    assert isinstance(module, SamplesGiven)
    validation = data.valid
    train, rows = data.ready(data.train.x), data.ready(validation.x)
    torch.manual_seed(0)
    asked = torch.arange(1000) % 10
    module.eval()
    samples = module.sample_given(asked)
    noise = train.mean(0) + train.std(0) * torch.randn(1000, *train.shape[1:])
    right = judge.net.eval()(samples).argmax(1) == asked
    known = int(right.sum())
    ends = wilson(known, len(asked))
    far = {name: frechet(features(judge.net, x), features(judge.net, rows)) for name, x in
           (("samples", samples), ("training rows", train), ("a Gaussian for each pixel", noise))}
    picture = setting.out / "digits.png"
    write_file(picture, to_png(image_grid(module.sample_given(torch.arange(10).repeat_interleave(SHOWN)), columns=SHOWN)))
    return Outcome([
        Figure("share of samples that a classifier takes for the class that was asked for", known / len(asked), ends.low, ends.high),
        Figure("Frechet distance of its features, samples from validation rows", far["samples"], source=HEUSEL),
        Figure("the same by that of a Gaussian for each pixel", far["samples"] / far["a Gaussian for each pixel"], published=0.5,
               goal="none" if setting.short else "at most", source="asked of the library"),
    ], [["rows", "Frechet distance"], *([name, f"{value:.3g}"] for name, value in far.items())], [f"chainrule train digits --net {NET}"],
        [picture])
