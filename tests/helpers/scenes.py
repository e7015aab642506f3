"""A step to look at: of a small net on a few rows, by back-propagation where no other rule is given."""

from __future__ import annotations

import torch
from torch import nn

from chainrule.core.batch import Batch
from chainrule.core.criterion import Supervised
from chainrule.core.descend import Descend
from chainrule.core.net import Net
from chainrule.core.rule import Learner
from chainrule.losses.classic import cross_entropy
from chainrule.observe.scene import Scene
from chainrule.optim.first_order import sgd
from chainrule.rules.backprop import backprop

RATE = 0.25


def scene(module, x, y=None, criterion=None, optimizer=None, number=0, rule=None):
    net = Net.of(module.train())
    criterion = criterion or Supervised(cross_entropy())
    rule = rule or Descend(lambda net, batch: backprop(net, batch, criterion=criterion), optimizer or sgd(rate=RATE))
    return Scene(Learner(net, rule.init(net)), rule, Batch(x, y), number, "backprop", criterion, ready=lambda x: x)


def tanh_net(rows=24):
    torch.manual_seed(0)
    module = nn.Sequential(nn.Linear(4, 6), nn.Tanh(), nn.Linear(6, 5), nn.ReLU(), nn.Linear(5, 3)).double()
    return module, torch.randn(rows, 4, dtype=torch.float64), torch.arange(rows) % 3
