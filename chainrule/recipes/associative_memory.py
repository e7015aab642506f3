"""What associative memories recall: Hebb's rule, the projection rule and continuous states, as more and more is stored.

Hopfield (1982), https://doi.org/10.1073/pnas.79.8.2554; Amit, Gutfreund & Sompolinsky (1985), https://doi.org/10.1103/PhysRevLett.55.1530
"""

from __future__ import annotations

from statistics import mean

import torch
from torch import Tensor

from chainrule.core.batch import Batch
from chainrule.core.files import write_file
from chainrule.core.net import Net
from chainrule.core.registry import nets, recipes, rules
from chainrule.evaluate.intervals import wilson
from chainrule.nets.hopfield import Hopfield
from chainrule.plots.figure import to_png
from chainrule.plots.memory import capacity
from chainrule.recipes.outcome import Figure, Outcome, Setting

HOPFIELD = "Hopfield (1982), https://doi.org/10.1073/pnas.79.8.2554"
PERSONNAZ = "Personnaz, Guyon & Dreyfus (1985), https://doi.org/10.1051/jphyslet:01985004608035900"
RAMSAUER = "Ramsauer et al. (2021), https://arxiv.org/abs/2008.02217"
LOAD, FLIPPED, NEAR = 0.1, 0.1, 0.05       # patterns a unit; bits that are wrong at the start, and those that may be at the end
LOADS = (0.02, 0.05, 0.1, 0.12, 0.14, 0.16, 0.2, 0.3, 0.5, 0.8)
MEMORIES = {"Hebb's rule": ("classic", "hebb"), "projection": ("classic", "hebb:form=pseudo-inverse"), "continuous": ("modern", "hebb")}


@recipes("hopfield", source=f"{HOPFIELD}; {PERSONNAZ}; {RAMSAUER}")
def hopfield(setting: Setting) -> Outcome:
    """Random patterns recalled from versions with a tenth of their bits flipped, at a tenth as many as units and at other loads."""
    units, seeds = (200, 2) if setting.short else (500, max(3, setting.seeds))
    shares: dict[str, list[float]] = {name: [] for name in MEMORIES}
    wrong: dict[str, float] = {}
    right = stored = 0
    rises = 0.0
    for load in LOADS:
        count = round(load * units)
        for name, (form, rule) in MEMORIES.items():
            offs = []
            for seed in range(seeds):
                off, rise = _recalled(form, rule, units, count, seed)
                offs.append(off)
                rises = max(rises, rise)
            bits = torch.cat(offs)
            shares[name].append(float((bits <= NEAR).double().mean()))
            if load == LOAD:
                wrong[name] = 100 * float(bits.mean())
                if name == "Hebb's rule":
                    right, stored = int((bits <= NEAR).sum()), len(bits)
        setting.say(f"{count} patterns in {units} units")
    ends = wilson(right, stored)
    picture = setting.out / "capacity.png"
    write_file(picture, to_png(capacity(LOADS, shares)))
    at = LOADS.index(LOAD)
    rows = [["patterns / units", *MEMORIES],
            *([f"{load:g}", *(f"{100 * shares[name][i]:.1f} %" for name in MEMORIES)] for i, load in enumerate(LOADS))]
    return Outcome([
        Figure("share of 0.1 N patterns recalled from 10 % flipped bits, by Hebb's rule", right / stored, ends.low, ends.high,
               published=1, goal="none" if setting.short else "about", within=0.01, source=HOPFIELD),
        Figure("the same by the projection rule", shares["projection"][at], published=1, goal="at least", source=PERSONNAZ),
        Figure("the same by continuous states", shares["continuous"][at], published=1, goal="at least", source=RAMSAUER),
        Figure("greatest rise of the energy in a sweep", rises, published=1e-3, goal="at most", source=f"{HOPFIELD}: none, but rounding"),
        Figure("share recalled by Hebb's rule at twice the load, beyond its capacity", mean(shares["Hebb's rule"][LOADS.index(0.2) :])),
    ], rows, [f"{units} units, {seeds} seeds; recalled: at most {100 * NEAR:g} % of the bits wrong after it has settled. Bits wrong at a "
              f"load of {LOAD:g}: {', '.join(f'{name} {share:.3g} %' for name, share in wrong.items())}."], [picture])


def _recalled(form: str, rule: str, units: int, count: int, seed: int) -> tuple[Tensor, float]:
    """The share of wrong bits (count,) in what each of random patterns settles in, and the greatest rise of the energy on the way."""
    random = torch.Generator().manual_seed(seed)
    patterns = torch.randint(2, (count, units), generator=random).float() * 2 - 1
    module = nets.choose(f"hopfield:form={form},patterns={count},sweeps=1").make((units,), units)
    assert isinstance(module, Hopfield)
    net, chosen = Net.of(module), rules.choose(rule).make()
    chosen.step(net, chosen.init(net), Batch(patterns))
    flips = torch.rand(count, units, generator=random).argsort(1) < FLIPPED * units
    state = torch.where(flips, -patterns, patterns)
    rise = 0.0
    with torch.no_grad():
        energy = module.energy(state)
        for _ in range(10):
            after = module.settle(state)
            now = module.energy(after)
            rise, energy = max(rise, float((now - energy).max())), now
            if bool((after == state).all()):
                break
            state = after
    return (state.sign() != patterns).double().mean(1), rise
