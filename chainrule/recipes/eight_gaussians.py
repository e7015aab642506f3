"""Adversarial pairs on eight Gaussians in a ring: how many of them each form of the game covers, from several seeds.

Goodfellow et al. (2014), https://arxiv.org/abs/1406.2661; the ring and its measure: Metz, Poole, Pfau & Sohl-Dickstein (2017),
https://arxiv.org/abs/1611.02163, section 3.2; Srivastava et al. (2017), https://arxiv.org/abs/1705.07761, section 4.1
"""

from __future__ import annotations

from statistics import mean
from typing import Any

import torch
from torch import Tensor

import chainrule
from chainrule.core.events import Diagnosed
from chainrule.core.files import write_file
from chainrule.core.registry import recipes
from chainrule.data.synthetic.ring import DEVIATION, MODES, ring_centres
from chainrule.evaluate.intervals import wilson
from chainrule.plots.figure import to_png
from chainrule.plots.samples import planes
from chainrule.recipes.outcome import Figure, Outcome, Setting, command
from chainrule.workflows.run import Run

GOODFELLOW = "Goodfellow et al. (2014), https://arxiv.org/abs/1406.2661"
METZ = "Metz et al. (2017), https://arxiv.org/abs/1611.02163, section 3.2"
GULRAJANI = "Gulrajani et al. (2017), https://arxiv.org/abs/1704.00028"
DRAWN, WITHIN, LEAST = 2500, 3, 20        # samples, how many deviations from a centre are its mode, and how many make a mode
BEST = "wgan-gp"                          # the form to take where a generator must leave no mode out
AHEAD = "adversarial:steps=5"             # a discriminator of five steps to one, well ahead, as it is where samples are told easily
OPTIONS: dict[str, Any] = {"optimizer": "adam:rate=0.001,beta1=0.5", "schedule": "linear", "batch": 128, "steps": 8000,
                           "split": "train=.8,valid=.1,test=.1"}
GAMES: dict[str, dict[str, Any]] = {      # BEST with a small penalty, which suits points in a plane
    BEST: {**OPTIONS, "net": f"gan:form={BEST},hidden=128x128", "rule": "adversarial:penalty=0.1",
           "optimizer": "adam:rate=0.001,beta1=0.5,beta2=0.9"},
    **{form: {**OPTIONS, "net": f"gan:form={form},hidden=128x128"} for form in ("non-saturating", "least-squares", "minimax")},
    **{f"{form}, five to one": {**OPTIONS, "net": f"gan:form={form},hidden=128x128", "rule": AHEAD}
       for form in ("non-saturating", "minimax")},
}
SHORT = 100                               # steps of the short form, in which nothing is learned yet


def modes_of(samples: Tensor) -> tuple[int, float]:
    """How many of the eight modes samples (m, 2) cover, each by at least twenty of them, and the share within three deviations of one."""
    distances = torch.cdist(samples.double(), ring_centres())
    near, mode = distances.min(1)
    good = near <= WITHIN * DEVIATION
    return int((torch.bincount(mode[good], minlength=MODES) >= LEAST).sum()), float(good.double().mean())


@recipes("eight-gaussians", source=f"{GOODFELLOW}; {METZ}")
def eight_gaussians(setting: Setting) -> Outcome:
    """Each form of the game on the ring of eight Gaussians, from ten seeds: modes covered, and samples near a mode.

    The sheet shows the worst seed of each.
    """
    seeds = 2 if setting.short else max(10, setting.seeds)
    table = [["form", "seeds with 8 of 8", "modes, mean", "least", "near a mode", "faults reported"]]
    drawn: dict[str, Tensor] = {}             # of each form what covers fewest modes
    covered: dict[str, list[int]] = {}
    for name in GAMES:
        counts, near, worst, faults = list[int](), list[float](), torch.empty(0), 0
        for seed in range(seeds):
            run = _trained(setting, name, seed)
            samples = run.sample(DRAWN, seed=seed).rows
            assert samples is not None
            modes, share = modes_of(samples)
            worst = samples if modes < min(counts, default=MODES + 1) else worst
            counts.append(modes)
            near.append(share)
            faults += any(isinstance(event, Diagnosed) for event in run.events)
        covered[name], drawn[f"{name}: {min(counts)} of {MODES}"] = counts, worst
        table.append([name, f"{sum(count == MODES for count in counts)} of {seeds}", f"{mean(counts):.1f}", str(min(counts)),
                      f"{100 * mean(near):.1f} %", f"{faults} of {seeds}"])
    rows = chainrule.load("ring8").inputs
    picture = setting.out / "modes.png"
    write_file(picture, to_png(planes(rows[:2000], drawn)))
    whole = sum(count == MODES for count in covered[BEST])
    ends = wilson(whole, seeds)
    return Outcome([
        Figure("modes covered of the ring of eight", min(covered[BEST]), published=MODES, goal="none" if setting.short else "at least",
               source=GULRAJANI),
        Figure("share of seeds from which all eight are covered", whole / seeds, ends.low, ends.high, published=1,
               goal="none" if setting.short else "at least", source="asked of the library"),
        Figure("modes that the minimax form covers, mean", mean(covered["minimax"])),
        Figure("the same after five steps of the discriminator, where the logarithm that it makes small has no slope",
               mean(covered["minimax, five to one"])),
    ], table, [f"{command('ring8', GAMES[BEST])}; a mode is covered by at least {LEAST} of {DRAWN} samples "
               f"within {WITHIN} deviations"], [picture])


def _trained(setting: Setting, game: str, seed: int) -> Run:
    setting.say(f"{game} {seed}")
    options = {**GAMES[game], "steps": SHORT, "plan": "eager"} if setting.short else GAMES[game]
    folder = f"{game.replace(',', '').replace(' ', '-')}-{seed}"
    run: Run = chainrule.train("ring8", **options, seed=seed, progress=False, out=setting.out / folder)
    return run
