"""The bench of families: both sides take the same steps, plans that do not serve a family are named."""

import torch

from chainrule.bench import families
from chainrule.bench.families import Sides, Work, raced
from chainrule.core.registry import nets


def test_both_sides_are_at_the_same_weights_after_the_same_steps():
    """With further heads too, whose costs each side adds up by itself."""
    for net, shape in (("convnet:pattern=4-pool,dense=8,norm=batch", (3, 8, 8)), ("capsnet:filters=8,capsules=2,hidden=8", (1, 20, 20))):
        threads = torch.get_num_threads()
        sides = Sides(Work(net, shape, 4), steps=3, threads=threads + 1)
        admitted, _ = sides.trials()
        ours, module = sides.fresh(), sides.fresh().net.module.train()
        sides.ours(admitted["eager"], ours)()
        sides.torch(module)()
        assert all(not torch.equal(t, sides.net.params[name]) for name, t in module.named_parameters() if t.dim() > 1)
        for name, t in module.state_dict().items():
            torch.testing.assert_close(ours.net.tensors[name], t, rtol=1e-4, atol=1e-6)
        assert torch.get_num_threads() == threads


def test_a_row_names_the_plan_and_why_there_is_no_program(monkeypatch):
    groups = Work("convnet:pattern=64x64,groups=64,dense=8,head=average", (3, 8, 8), 4)
    monkeypatch.setitem(families.WORKS, "convnet", groups)
    row, over, reason = raced("convnet", 5, 1, 1)
    assert row[0] == groups.net
    assert row[1] == f"{sum(p.numel() for p in nets.choose(groups.net).make(groups.shape, 10).parameters()):,}"
    assert row[3] in ("eager", "channels-last")
    assert over.low <= over.middle <= over.high
    assert reason == "native has no grouped convolutions"
