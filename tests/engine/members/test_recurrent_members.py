"""Members of recurrent nets: torch maps no fused recurrent layer over models, the cells written out it does, and each learns what it does
alone."""

from __future__ import annotations

import pytest
import torch
from made_members import alone, assert_near, finished, member, run

from chainrule.core.events import Planned
from chainrule.data.source import Part
from chainrule.nets.gru import GRU
from chainrule.nets.lstm import LSTM
from chainrule.nets.rnn import Elman

pytestmark = pytest.mark.usefixtures("worth_a_trial")
STEPS = 5


def sequences(rows=30):
    x = torch.randn(rows, STEPS, 3, generator=torch.Generator().manual_seed(1))
    return Part(x, (x[:, 0, 0] > 0).long(), torch.arange(rows))


@pytest.mark.parametrize("family", [Elman, LSTM, GRU])
@pytest.mark.parametrize("bidirectional", [False, True])
def test_members_of_recurrent_nets_learn_what_each_learns_alone(family, bidirectional, together):
    def several():
        nets = []
        for seed in range(3):
            torch.manual_seed(seed)
            nets.append(family((STEPS, 3), 2, hidden=4, bidirectional=bidirectional, answer="last"))
        return [member(seed=s, net=net, data=sequences()) for s, net in enumerate(nets)]

    told, weights = run(several())
    _, expected = alone(*several())
    assert [len(kin.numbers) for kin in together] == [3]
    assert_near(weights, expected, 1e-4)
    assert [e.epochs for e in finished(told)] == [3, 3, 3]
    assert "together" in next(e for e in told[0] if isinstance(e, Planned)).name
