"""Codes: the linear one against principal components, the published counts, denoising before a softmax, and the variational bound."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import torch
from torch import Tensor

import chainrule
from chainrule.core.registry import nets, recipes
from chainrule.data.source import Source
from chainrule.evaluate import significance
from chainrule.plots.evaluation import image_grid
from chainrule.recipes.outcome import Figure, Outcome, Setting, command, p_of_improvement
from chainrule.workflows.code_pictures import interpolation
from chainrule.workflows.picture import write
from chainrule.workflows.run import Run

BALDI = "Baldi & Hornik (1989), https://doi.org/10.1016/0893-6080(89)90014-2"
KINGMA = "Kingma & Welling (2014), https://arxiv.org/abs/1312.6114"
VINCENT = "Vincent, Larochelle, Bengio & Manzagol (2008), https://doi.org/10.1145/1390156.1390294"
LECTURE = "lecture"
CODES = 3
LINEAR: dict[str, Any] = {"net": f"autoencoder:code={CODES}", "optimizer": "adam:rate=0.03", "schedule": "cosine",
                          "epochs": 1500, "batch": 1797, "split": "train=1"}
DENOISING: dict[str, Any] = {"net": "autoencoder:code=1000,tied=yes,units=sigmoid,noise=0.3", "loss": "binary-cross-entropy",
                             "optimizer": "adam:rate=0.001", "epochs": 20, "batch": 100}
SOFTMAX: dict[str, Any] = {"net": "softmax", "optimizer": "adam:rate=0.001", "epochs": 20, "batch": 100}
VARIATIONAL: dict[str, Any] = {"net": "vae:hidden=200,code=20", "optimizer": "adam:rate=0.002", "schedule": "cosine",
                               "epochs": 40, "batch": 100}
SAMPLES = 50      # of the code of each row, for the tighter bound
SHOWN = 40


@recipes("linear-autoencoder", source=BALDI)
def linear_autoencoder(setting: Setting) -> Outcome:
    """An autoencoder without hidden layers on the embedded digits: the sine of the largest angle between its codes' span and PCA's."""
    run = chainrule.train("digits", **LINEAR, out=setting.out / "linear", progress=False)
    rows = run.job.data.ready(run.job.data.train.x).flatten(1).double()
    axes = torch.linalg.svd(rows - rows.mean(0), full_matrices=False)
    principal, decoder = axes.Vh[:CODES].T, run.net.get_submodule("decoder")[-1].weight.detach().double()   # (d, k) each
    spanned = torch.linalg.qr(decoder).Q
    apart = float(torch.linalg.matrix_norm(spanned @ spanned.T - principal @ principal.T, 2))
    error = float((run.trained.predictions(run.job.data.train).double() - rows).square().sum(1).mean())
    least = float(axes.S[CODES:].square().sum()) / len(rows)
    return Outcome([
        Figure("distance of its codes' span from that of PCA", apart, published=1e-3, goal="at most", source=BALDI),
        Figure("its squared error over that of PCA", error / least, published=1, goal="about", within=1e-4, source=BALDI),
    ], notes=[command("digits", LINEAR)])


@recipes("autoencoder-counts", source=LECTURE + "; https://doi.org/10.1038/323533a0")
def autoencoder_counts(setting: Setting) -> Outcome:
    """The parameters of 100-50-10-50-100, and the form of its codes."""
    module = nets.choose("autoencoder:hidden=50,code=10").make((100,), 100)
    count = sum(p.numel() for p in module.parameters())
    codes = module.encode(torch.rand(4, 100))
    return Outcome([Figure("parameters of 100-50-10-50-100", count, published=11_210, goal="about", within=0, source=LECTURE)],
                   notes=[f"The codes of 4 rows are {tuple(codes.shape)}."])


@recipes("denoising", source=VINCENT)
def denoising(setting: Setting) -> Outcome:
    """A softmax of denoising codes against one of raw pixels, paired on the test cases of MNIST; digits in the short form."""
    source = chainrule.load("digits" if setting.short else "mnist", data_dir=setting.data_dir)
    short: dict[str, Any] = {"epochs": 2} if setting.short else {}
    setting.say("denoising")
    coder = chainrule.train(source, **{**DENOISING, **short}, out=setting.out / "coder", progress=False)
    raw = chainrule.train(source, **{**SOFTMAX, **short}, out=setting.out / "raw", progress=False)
    coded = chainrule.train(_coded(source, coder), **{**SOFTMAX, **short}, out=setting.out / "codes", progress=False)
    results = [one.test() for one in (raw, coded)]
    cases = [replace(one.cases(), fingerprint=source.fingerprint) for one in (raw, coded)]
    pair = significance.compare(["raw pixels", "codes"], cases).pairs[0]
    table = [["softmax of", "errors", "test cases", "test accuracy %"]]
    table += [[name, str(r.errors), f"{r.n:,}", f"{100 * float(r.accuracy or 0):.2f}"] for name, r in zip(("pixels", "codes"), results,
                                                                                                          strict=True)]
    return Outcome([Figure("p against a softmax of raw pixels", p_of_improvement(pair), published=0.01, source=VINCENT,
                           goal="none" if setting.short else "at most", probability=True)], table, [command(source.name, DENOISING)])


@recipes("variational", source=KINGMA)
def variational(setting: Setting) -> Outcome:
    """The evidence lower bound of a variational autoencoder with 200 hidden units and 20 codes on the test part of binarised MNIST."""
    source = binarised(chainrule.load("digits" if setting.short else "mnist", data_dir=setting.data_dir))
    options: dict[str, Any] = {**VARIATIONAL, "epochs": 3} if setting.short else VARIATIONAL
    run = chainrule.train(source, **{**options, "net": f"{options['net']},samples={SAMPLES}"}, out=setting.out / "vae", progress=False)
    measured = run.test().measures
    elbo, tighter = measured["elbo"], measured["importance_bound"]
    drawn = run.sample(SHOWN, seed=0).rows
    assert drawn is not None
    pictures = [write(image_grid(drawn, columns=10), setting.out / "samples.png"),
                write(interpolation(run.trained, run.validation), setting.out / "interpolation.png")]
    return Outcome([
        Figure("evidence lower bound on binarised MNIST, nats", elbo.value, elbo.low, elbo.high, -100, KINGMA,
               "none" if setting.short else "at least"),
        Figure(f"importance-weighted bound of {SAMPLES} codes, nats", tighter.value, tighter.low, tighter.high,
               source="Burda, Grosse & Salakhutdinov (2016), https://arxiv.org/abs/1509.00519"),
    ], notes=[command("mnist (binarised)", options), "A pixel of at least half the greatest intensity is a one."], pictures=pictures)


def binarised(source: Source) -> Source:
    """Pictures whose pixels are one where they have at least half the greatest intensity, in the parts of the source."""
    x: Tensor = source.inputs
    ones = (x >= (float(x.max()) + 1) // 2).to(torch.uint8) * 255
    loaded = chainrule.load((ones, source.targets), name=f"binarised {source.name}")
    return replace(loaded, parts=source.parts, classes=source.classes)


def _coded(source: Source, coder: Run) -> Source:
    """The codes of the source's rows with its targets, in its parts."""
    loaded = chainrule.load((coder.encode(source), source.targets))
    return replace(loaded, parts=source.parts, classes=source.classes)
