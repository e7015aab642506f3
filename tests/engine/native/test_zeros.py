"""Native convolutions by tiles: a sum over nothing but zeros is exactly zero, as the direct sum is, whatever else its tile holds."""

import pytest
import torch
import torch.nn.functional as F
from kernels import Kernels

from chainrule.core.errors import PlanRejected


@pytest.mark.parametrize("kernel", [3, 5])
@pytest.mark.parametrize("seed", [0, 1])
def test_a_sum_over_zeros_is_exactly_the_bias(tmp_path, kernel, seed):
    try:
        kernels = Kernels(torch.float32, 1, tmp_path)
    except PlanRejected as why:
        pytest.skip(str(why))
    torch.manual_seed(seed)
    x = torch.randn(6, 16, 14, 13) * (torch.rand(6, 1, 14, 13) < 0.08)  # a few pixels, as strokes on paper
    x = x.contiguous(memory_format=torch.channels_last)
    weight, bias = torch.randn(32, 16, kernel, kernel), torch.randn(32)
    pad = kernel // 2
    y = torch.full((6, 32, 14, 13), torch.nan).contiguous(memory_format=torch.channels_last)
    kernels("forward", (*x.shape, 32, kernel, kernel, 1, 1, pad, pad, 1, 1), x, weight, bias, y)
    seen = F.max_pool2d((x != 0).any(1, keepdim=True).float(), kernel, 1, pad) > 0  # (6, 1, 14, 13): some pixel of the window is not zero
    empty = ~seen.expand_as(y)
    assert 0.05 < float(empty.float().mean()) < 0.95
    assert torch.equal(y[empty], bias.view(1, -1, 1, 1).expand_as(y)[empty])
    assert bool((y[~empty] != bias.view(1, -1, 1, 1).expand_as(y)[~empty]).all())
