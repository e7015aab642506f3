"""Whether a machine with an energy makes rows of rows again, and whether it prefers rows it has seen.

Hinton (2010), "A practical guide to training restricted Boltzmann machines", sections 5 and 6
"""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor

from chainrule.core.abilities.densities import HasChain, HasFreeEnergy, Sweeps
from chainrule.core.net import Net
from chainrule.core.registry import looks
from chainrule.observe.scene import Scene


@looks("energies", source="Hinton (2010), A practical guide to training restricted Boltzmann machines")
@torch.no_grad()
def energies(scene: Scene) -> dict[str, Any]:
    """`reconstruction`, the squared distance of rows from what one round of the chain makes of them, summed over units, its mean;
    `free_energy_gap`, the mean free energy of validation rows less that of training rows; `chain_gap`, that of what the round makes less
    that of the rows.
    """
    found: dict[str, Any] = {}
    if not isinstance(scene.module, HasFreeEnergy):
        return found
    net, v = scene.copy(), scene.read.x
    energy = net.call("free_energy", v).mean()
    if scene.valid is not None:
        found["free_energy_gap"] = net.call("free_energy", scene.valid).mean() - energy
    if isinstance(net.module, HasChain | Sweeps):
        again = _again(net, v)
        found["reconstruction"] = (again - v).square().flatten(1).sum(1).mean()
        found["chain_gap"] = net.call("free_energy", again).mean() - energy
    return found


def _again(net: Net, v: Tensor) -> Tensor:
    """What one round of the chain makes of rows; of a machine whose units are swept, hidden ones first."""
    if not isinstance(net.module, Sweeps):
        again: Tensor = net.call("gibbs", v)
        return again
    begun = net.call("begun", v.flatten(1))                                                      # (n, units)
    swept: Tensor = net.call("swept", net.call("swept", begun, v[0].numel()), 0)
    return swept[:, : v[0].numel()].view_as(v)
