"""What depth does to plain and to residual nets. He, Zhang, Ren & Sun (2016), https://arxiv.org/abs/1512.03385, figure 6 and table 6"""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import chainrule
from chainrule.core.registry import recipes
from chainrule.recipes.outcome import Figure, Outcome, Setting, command, share_right, trainings
from chainrule.workflows.picture import signals_of

SOURCE = "He et al. (2016), https://arxiv.org/abs/1512.03385, table 6"
SHALLOW, DEEP = 20, 56
OPTIONS: dict[str, Any] = {"optimizer": "nesterov:rate=0.1,decay=0.0001", "schedule": "one-cycle", "batch": 128, "epochs": 6,
                           "augment": "crop+flip"}


@recipes("residual-depth", source=SOURCE)
def residual_depth(setting: Setting) -> Outcome:
    """Plain and residual nets of 20 and 56 layers of half the width on CIFAR-10, one seed: more layers harm the plain one alone."""
    shallow, deep = (8, 14) if setting.short else (SHALLOW, DEEP)
    judged, errors, runs = not setting.short, {}, {}
    rows = [["net", "weights", "training loss", "test error %", "first gradient's sd in the first layer", "training"]]
    for name in ("plain", "resnet"):
        for depth in (shallow, deep):
            net = {"net": f"{name}:depth={depth},width={0.125 if setting.short else 0.5}"}
            one, = trainings(replace(setting, seeds=1), "cifar10", {**OPTIONS, **net}, folder=f"{name}-{depth}")
            errors[name, depth], runs[name, depth] = 100 - 100 * share_right(one), one.run
            layers, _ = signals_of(one.run)
            last = one.run.history[-1]
            rows.append([f"{name}-{depth}", f"{sum(p.numel() for p in one.run.net.parameters()):,}",
                         f"{last['train_loss']:.3f}", f"{errors[name, depth]:.2f}",
                         f"{layers[0]['gradient_sd']:.2e}", f"{one.seconds:.0f} s"])
    verdicts = [chainrule.compare(runs[name, shallow], runs[name, deep]).pairs[0].verdict for name in ("plain", "resnet")]
    return Outcome([
        Figure(f"error % of ResNet-{deep} less that of ResNet-{shallow}", errors["resnet", deep] - errors["resnet", shallow], published=0,
               source=f"{SOURCE}: 6.97 for 8.75", goal="at most" if judged else "none"),
        Figure(f"error % of the plain net of {deep} layers less that of {shallow}", errors["plain", deep] - errors["plain", shallow],
               published=0, source=f"{SOURCE}, figure 6", goal="at least" if judged else "none")],
        rows, [*verdicts, command("cifar10", {"net": f"resnet:depth={deep},width=0.5", **OPTIONS})])
