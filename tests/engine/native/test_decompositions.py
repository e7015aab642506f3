"""Convolutions that are written as others: against torch's own in double precision, and in native steps against eager ones."""

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from tiny import descend
from torch import nn

from chainrule.core.batch import Batch
from chainrule.core.errors import PlanRejected
from chainrule.core.net import Net
from chainrule.core.rule import Learner
from chainrule.core.tree import clone
from chainrule.engine.native.decompositions import DECOMPOSITIONS, MOST_GROUPS
from chainrule.engine.plans.plan import Plan

aten = torch.ops.aten
OURS, BACK = DECOMPOSITIONS[aten.convolution.default], DECOMPOSITIONS[aten.convolution_backward.default]


@st.composite
def convolutions(draw):
    """The arguments of `aten.convolution` for lines and pictures, and those of its backward form beyond them."""
    axes, groups, transposed = draw(st.integers(1, 2)), draw(st.integers(1, 3)), draw(st.booleans())
    kernel, stride, dilation = (draw(st.lists(st.integers(1, 3), min_size=axes, max_size=axes)) for _ in range(3))
    padding = [draw(st.integers(0, k - 1)) for k in kernel]
    beyond = [draw(st.integers(0, max(s, d) - 1)) if transposed else 0 for s, d in zip(stride, dilation, strict=True)]
    sides = [draw(st.integers(d * (k - 1) + 1, 9)) for k, d in zip(kernel, dilation, strict=True)]
    below, above = groups * draw(st.integers(1, 2)), groups * draw(st.integers(1, 2))
    ends = (below, above // groups) if transposed else (above, below // groups)
    torch.manual_seed(draw(st.integers(0, 100)))
    x, weight, bias = torch.randn(2, below, *sides), torch.randn(*ends, *kernel), torch.randn(above)
    biased = draw(st.booleans())
    return (x.double(), weight.double(), bias.double() if biased else None, stride, padding, dilation, transposed, beyond, groups)


@given(arguments=convolutions())
@settings(max_examples=60, deadline=None)
def test_they_are_torchs_and_so_are_their_slopes(arguments):
    x, weight, bias, *how = arguments
    expected = aten.convolution(*arguments)
    ours = OURS(*arguments)
    beyond = how[3] and any(more >= step for more, step in zip(how[4], how[0], strict=True))
    plain = (x.dim() == 4 and how[-1] == 1 and not how[3]) or (beyond and x.dim() == 4)
    assert (ours is NotImplemented) == plain                                # those that have a kernel are left whole
    slope, sizes = torch.randn_like(expected), None if bias is None else [len(bias)]
    mask = [True, True, bias is not None]
    slopes = BACK(slope, x, weight, sizes, *how, mask)
    if plain:
        assert slopes is NotImplemented
        return
    torch.testing.assert_close(ours, expected)
    leaves = [t.clone().requires_grad_() for t in (x, weight, bias) if t is not None]
    by_autograd = torch.autograd.grad(aten.convolution(*leaves, *([None] if bias is None else []), *how), leaves, slope)
    for mine, theirs in zip([s for s in slopes if s is not None], by_autograd, strict=True):
        torch.testing.assert_close(mine, theirs)


def test_slopes_that_nobody_asks_for_are_not_made():
    x, weight = torch.randn(2, 4, 5, 5), torch.randn(4, 2, 3, 3)
    _, dw, db = BACK(torch.randn(2, 4, 3, 3), x, weight, None, [1, 1], [0, 0], [1, 1], False, [0, 0], 2, [False, True, False])
    assert dw is not None
    assert db is None
    assert BACK(torch.randn(2, 4, 7, 7), x, weight.transpose(0, 1).reshape(4, 2, 3, 3), None, [1, 1], [0, 0], [1, 1], True, [0, 0], 2,
                [False, True, False])[0] is None


LAYERS = {
    "grouped": (lambda: nn.Conv2d(6, 9, 3, groups=3, padding=1), (6, 8, 8)),
    "grouped and strided, no bias": (lambda: nn.Conv2d(6, 12, 3, groups=2, stride=2, bias=False), (6, 9, 9)),
    "transposed": (lambda: nn.ConvTranspose2d(6, 4, 3, stride=2, padding=1, output_padding=1), (6, 7, 8)),
    "transposed, grouped": (lambda: nn.ConvTranspose2d(6, 4, 3, stride=2, groups=2), (6, 5, 6)),
    "line": (lambda: nn.Conv1d(6, 5, 3, padding=1), (6, 10)),
    "line, transposed": (lambda: nn.ConvTranspose1d(6, 4, 4, stride=2), (6, 7)),
}


def learner_of(layer: nn.Module, shape: tuple[int, ...]) -> tuple[Learner, Batch]:
    torch.manual_seed(0)
    first = nn.Conv1d(6, 6, 1) if len(shape) == 2 else nn.Conv2d(6, 6, 1)       # so that its inputs need a slope too
    module = nn.Sequential(first, layer, nn.Tanh(), nn.Flatten(), nn.LazyLinear(3))
    batches = Batch(torch.randn(4, 5, *shape), torch.randint(3, (4, 5)))
    module(batches.x[0])
    net = Net.of(module)
    return Learner(net, clone(descend().init(net))), batches


@pytest.mark.parametrize("name", LAYERS)
def test_native_steps_of_them_are_eager_ones(name):
    make, shape = LAYERS[name]
    ends = []
    for plan in (Plan(), Plan(native=True)):
        torch.manual_seed(0)
        learner, batches = learner_of(make(), shape)
        start = clone(learner.net.tensors)
        after, _ = plan.build(descend(), learner, batches)(learner, batches)
        assert all(not torch.equal(t, start[key]) for key, t in after.net.params.items())
        ends.append(after.net.tensors)
    for key, t in ends[0].items():
        torch.testing.assert_close(ends[1][key], t, rtol=1e-4, atol=1e-6)


def test_very_many_groups_are_refused_by_name():
    groups = 2 * MOST_GROUPS
    module = nn.Sequential(nn.Conv2d(groups, groups, 3, groups=groups), nn.Flatten(), nn.LazyLinear(3))
    batches = Batch(torch.randn(2, 2, groups, 4, 4), torch.randint(3, (2, 2)))
    module(batches.x[0])
    net = Net.of(module)
    with pytest.raises(PlanRejected, match="native has no grouped convolutions"):
        Plan(native=True).build(descend(), Learner(net, clone(descend().init(net))), batches)
