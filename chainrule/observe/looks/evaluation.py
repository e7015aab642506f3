"""The loss of the same rows in evaluation mode, where nothing is dropped and running statistics take the place of the batch's."""

from __future__ import annotations

from typing import Any

import torch

from chainrule.core.registry import looks
from chainrule.observe.replay import copied
from chainrule.observe.scene import Scene


@looks("evaluation", every=2)
def evaluation(scene: Scene) -> dict[str, Any]:
    """The mean loss of the rows in evaluation mode; where no criterion is known, what the rule reports of them there."""
    if scene.criterion is not None:
        net = scene.copy()
        net.module.eval()
        with torch.no_grad():
            costs = scene.criterion(net, scene.read)
            return {"evaluated_loss": scene.read.mean(costs["loss"] if "loss" in costs else torch.stack(list(costs.values())).sum(0))}
    net, state = copied(scene.learner)
    net.module.eval()
    *_, report = scene.rule.step(net, state, scene.batch)
    return {"evaluated_loss": report["loss"]} if "loss" in report else {}
