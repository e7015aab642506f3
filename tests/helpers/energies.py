"""What tests of energies share: all states of binary units, and the plainest descent."""

import torch

from chainrule.core.descend import Optimizer


def table(size):
    """All states of so many binary units, (2^size, size), float64."""
    return torch.cartesian_prod(*[torch.tensor([0.0, 1.0], dtype=torch.float64)] * size).reshape(-1, size)


def plain(rate):
    """Parameters go down the direction by so much, times the factor of the schedule."""

    def update(params, direction, state, factor, loss):
        for name, p in params.items():
            p.sub_(rate * factor * direction[name])
        return state

    return Optimizer(lambda params: {}, update)
