"""What a native program is made of, against torch in float64: operations alone, on odd shapes and strides, and mixtures of them."""

from __future__ import annotations

import random
import shutil

import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional as F

from chainrule.core.batch import Batch
from chainrule.core.errors import PlanRejected
from chainrule.core.net import Net
from chainrule.core.rule import Learner
from chainrule.core.tree import clone
from chainrule.engine import native
from chainrule.engine.native import compiling
from chainrule.engine.plans.eager import eager

pytestmark = pytest.mark.skipif(not any(map(shutil.which, compiling.COMPILERS)), reason="there is no C compiler on this machine")


@pytest.fixture(scope="module", autouse=True)
def cache(tmp_path_factory):
    """Programs of these tests are kept among their own temporary files."""
    folder = tmp_path_factory.mktemp("native")
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(compiling, "usual_folder", lambda: folder)
        yield


def held(**tensors: Tensor) -> Learner:
    """A learner that has no net, and these tensors as its state."""
    return Learner(Net(nn.Module(), {}, {}), tensors)


def computed(functions, tensors, threads=1):
    """Every function of the tensors, by one native program."""

    def step(net, state, batch):
        return net, state, {name: f(**state) for name, f in functions.items()}

    nothing = Batch(torch.zeros(1, 1))
    _, reports = native.build(step, held(**tensors), nothing, threads)(held(**tensors), nothing)
    return {name: t[0] for name, t in reports.items()}


def check(functions, tensors, threads=1, **tolerance):
    found = computed(functions, tensors, threads)
    for name, f in functions.items():
        torch.testing.assert_close(found[name], f(**tensors), equal_nan=True, msg=lambda said, name=name: f"{name}: {said}",
                                   **(tolerance or {"rtol": 1e-12, "atol": 1e-12}))


def numbers(*shape: int, seed: int = 0) -> Tensor:
    return torch.randn(shape, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)


def odd() -> dict[str, Tensor]:
    """A matrix stored by columns with gaps, one of its rows, a stack of matrices, whole numbers, a mask, bytes and a scalar."""
    return {
        "x": numbers(7, 10).t()[1:8:2, 1:6],
        "row": numbers(5, seed=1),
        "stack": numbers(4, 3, 5, seed=2).permute(1, 0, 2),
        "one": numbers(seed=3),
        "i": torch.tensor([[3, 0, 2, 1, 3], [1, 1, 0, 2, 2], [0, 3, 3, 1, 0], [2, 0, 1, 3, 3]]),
        "mask": numbers(4, 5, seed=4) > 0,
        "bytes": torch.tensor([[0, 255, 7, 128, 1]] * 4, dtype=torch.uint8),
        "small": torch.tensor([5, -3, 0], dtype=torch.int32),
    }


def of_x(f):
    return lambda x, **_: f(x)


ELEMENTWISE = {
    **{f.__name__: of_x(f) for f in (
        torch.exp, torch.expm1, torch.tanh, torch.sigmoid, torch.erf, torch.sin, torch.cos, torch.atan, torch.sinh, torch.asinh, torch.abs,
        torch.neg, torch.sign, torch.floor, torch.ceil, torch.round, torch.trunc, torch.relu, torch.square, torch.reciprocal, torch.isnan,
        torch.isinf, F.gelu, F.silu, F.elu, F.leaky_relu, F.softplus, F.hardtanh, F.mish, F.hardswish, F.logsigmoid, F.selu)},
    **{f.__name__: lambda x, f=f, **_: f(x.abs() + 1.5) for f in (
        torch.log, torch.log2, torch.log10, torch.log1p, torch.sqrt, torch.rsqrt, torch.acosh)},
    "gelu by tanh": of_x(lambda x: F.gelu(x, approximate="tanh")),
    "powers": of_x(lambda x: x**2 + x**3 + (x.abs() + 1) ** -1.5 + 2.0**x),
    "clamp": of_x(lambda x: x.clamp(-0.3, 0.4) + x.clamp(min=0.1) + x.clamp(max=-0.1)),
    "rest": of_x(lambda x: x.remainder(0.7) + x.fmod(0.4)),
    "whole": of_x(lambda x: (x * 5).long().remainder(3) + (x * 5).long() // 2),
    "floor of a share": of_x(lambda x: torch.div(x, 0.3, rounding_mode="floor")),
    "alpha": lambda x, row, **_: torch.add(x, row, alpha=-0.3) + torch.add(x, row, alpha=0.5) * torch.sub(x, row, alpha=2),
    "spread": lambda x, row, one, **_: x * row + one / row,
    "columns": lambda x, **_: x / x[:, :1].exp(),
    "where": lambda x, mask, **_: torch.where(mask, x, -1.5),
    "filled": lambda x, mask, **_: x.masked_fill(mask, float("-inf")),
    "compared": lambda x, row, **_: (x > row).double() + (x <= 0.2) + (x != row),
    "logic": lambda x, mask, **_: (mask & (x > 0)) | ~mask ^ (x < 1),
    "bytes": lambda x, bytes, **_: bytes.double() / 255 + x,
    "sums of bytes": lambda bytes, **_: bytes + bytes,
    "whole and real": lambda i, one, **_: i * one + i,
    "small": lambda small, **_: small * 3 - 1,
    "types": lambda i, mask, small, **_: i.to(torch.uint8) + mask.to(torch.uint8) + small[0].to(torch.uint8),
    "greater": lambda x, row, **_: torch.maximum(x, row) - torch.minimum(x, row),
    "lerp": lambda x, row, **_: torch.lerp(x, row.expand(4, 5), 0.3),
    "addcmul": lambda x, row, **_: torch.addcmul(x, x, row, value=0.3) + torch.addcdiv(x, x, row, value=0.2),
    "made": of_x(lambda x: x + torch.arange(5.0, dtype=x.dtype) + torch.ones_like(x) + torch.full((4, 1), 0.5, dtype=x.dtype)),
}

VIEWS = {
    "t": lambda x, **_: x.t() * 2,
    "permuted": lambda stack, **_: stack.permute(2, 0, 1) + 1,
    "slices": lambda stack, **_: stack[1:, ::2, -2:] * 2,
    "selected": lambda stack, **_: stack[:, 1] + stack[-1, 0],
    "flat": lambda stack, **_: stack.reshape(-1) + 1,
    "merged": lambda stack, **_: (stack + 1).reshape(12, 5) * 2,
    "split": lambda stack, **_: (stack * 2).reshape(3, 2, 2, 5, 1) + 1,
    "turned": lambda x, **_: x.flip(0) + x.flip(0, 1),
    "diagonal": lambda x, **_: x.diagonal() + x.diagonal(1)[:4],
    "spread": lambda row, **_: row.expand(3, 5).t().reshape(-1),
    "squeezed": lambda x, **_: x[:1].squeeze(0).unsqueeze(1),
    "chunks": lambda x, stack, **_: sum(c.sum() for c in (x + 1).chunk(2)) + stack.split([1, 3], 1)[1],
    "joined": lambda x, row, **_: torch.cat([x, row[None], x.exp()]),
    "stacked": lambda x, **_: torch.stack([x, x + 1], 1),
    "padded": lambda x, **_: F.pad(x, (1, 2, 0, 1), value=0.5) + 1,
    "cut": lambda x, **_: F.pad(x, (-1, 1)),
    "repeated": lambda x, **_: x.repeat(2, 3),
    "written": lambda x, **_: torch.slice_scatter(x, x[:, :2] * 3, 1, 1, 3) + torch.select_scatter(x, x[0] + 1, 0, 2),
    "triangle": lambda x, **_: x.tril() + x.triu(1),
    "unfolded": lambda row, **_: row.unfold(0, 3, 1) * 2,
    "gathered": lambda x, i, **_: x.gather(0, i) + x.gather(1, i),
    "picked": lambda x, i, **_: x[i[0], i[1]] + x[:, i[2]].sum() + x[-1],
    "rows": lambda x, i, **_: x.index_select(0, i[0]) + F.embedding(i[1], x),
    "one-hot": lambda i, **_: torch.zeros(5, 4).scatter(1, i.t()[:, :1], 1.0),
    "scattered": lambda x, i, **_: x.scatter(0, i[:, :1], x[:, 1:2] * 2) + torch.zeros_like(x).scatter_add(1, i, x),
    "added at": lambda x, i, **_: torch.zeros(4, 5, dtype=x.dtype).index_put((i[:, 0],), x, accumulate=True) + x.index_add(0, i[:, 0], x),
    "put": lambda x, **_: x.index_put((torch.tensor([2, 0]), torch.tensor([-1, 1])), x[0, :2]),
}

REDUCTIONS = {
    **{f"{f.__name__} over {dim}": lambda x, f=f, dim=dim, **_: f(x, dim) for dim in (0, 1) for f in (
        torch.sum, torch.mean, torch.amax, torch.amin, torch.logsumexp, torch.softmax, torch.log_softmax)},
    "all of it": of_x(lambda x: x.sum() + x.mean() + x.prod() + x.max() + x.min()),
    "kept": of_x(lambda x: x.sum(1, keepdim=True) + x.amax(0, keepdim=True)),
    "of a stack": lambda stack, **_: stack.sum((0, 2)) + stack.amax((2, 0)) + stack.mean(1).sum(),
    "prod": of_x(lambda x: x.prod(1)),
    "spread about": of_x(lambda x: x.var(0) + x.var(0, correction=0) + x.std(0)),
    "norm": of_x(lambda x: x.norm() + torch.linalg.vector_norm(x, dim=1).sum()),
    "where greatest": lambda x, stack, **_: x.argmax(1) + x.argmin(1) + stack.argmax() + x.argmax(),
    "greatest and where": of_x(
        lambda x: x.max(1).values + x.max(1).indices + x.min(1).indices),
    "any": lambda mask, **_: mask.any(0),
    "all": lambda mask, **_: mask.all(1),
    "counted": lambda mask, **_: mask.sum(0),
    "whole": lambda i, bytes, **_: i.sum(1) + bytes.sum(1) + i.amax(1),
    "along": of_x(
        lambda x: x.cumsum(0) + x.cumsum(1)),
    "of nothing": of_x(lambda x: x[:0].sum(0)),
    "of a NaN": of_x(lambda x: torch.where(x == x.amax(), float("nan"), x).amax(1)),
    "where a NaN is": of_x(
        lambda x: torch.where(x == x.amin(), float("nan"), x).argmax(1)),
    "centred": of_x(lambda x: F.layer_norm(x, (5,)) + F.normalize(x, dim=1)),
}

PRODUCTS = {
    "mm": lambda x, **_: x @ x.t(),
    "by columns": lambda x, **_: x.t() @ x,
    "cut": lambda x, **_: x[:3, 1:4] @ x[1:, :2],
    "vector": lambda x, row, **_: x @ row,
    "from the left": lambda x, **_: x[:, 0] @ x,
    "dot": lambda row, **_: row @ row,
    "outer": lambda row, **_: torch.outer(row, row),
    "stacks": lambda stack, **_: stack @ stack.mT,
    "one for all": lambda stack, x, **_: stack @ x.t(),
    "linear": lambda x, row, **_: F.linear(x, x, row[:4]),
    "addmm": lambda x, **_: torch.addmm(x[:, :4], x, x.t(), beta=0.3, alpha=-2),
    "baddbmm": lambda stack, **_: torch.baddbmm(
        stack[:, :, :4], stack, stack.mT, beta=0.5),
    "spread": lambda x, **_: x @ x[:1].expand(5, 5).t(),
    "of one": lambda x, **_: x[:1, :1] @ x[:1],
    "einsum": lambda stack, x, **_: torch.einsum("abc,bc->ac", stack, x),
    "computed": lambda x, **_: (x * 2 + 1) @ (x.exp() / 3).t(),
}


@pytest.mark.parametrize("group", [ELEMENTWISE, VIEWS, REDUCTIONS, PRODUCTS], ids=["elementwise", "views", "reductions", "products"])
def test_every_operation_is_torchs(group):
    check(group, odd())


def test_not_a_number_and_infinity_pass_through():
    special = torch.tensor([float("nan"), float("inf"), float("-inf"), 0.0, -0.0, 1e308, -2.0, 5e-324], dtype=torch.float64)
    each = (torch.exp, torch.tanh, torch.sigmoid, torch.abs, torch.relu, torch.sign, torch.floor, torch.sqrt, torch.log, torch.log1p,
            torch.expm1, torch.square, torch.isnan, torch.isinf, torch.reciprocal, torch.sum, torch.amin, F.softplus)
    functions = {f.__name__: of_x(f) for f in each}
    functions |= {"clamp": of_x(lambda x: x.clamp(-1, 1)), "greater": of_x(lambda x: torch.maximum(x, x.flip(0))),
                  "softmax": of_x(lambda x: x.softmax(0)), "nothing": of_x(lambda x: 0 * x)}
    check(functions, {"x": special})


def test_single_precision_is_within_a_few_units_in_the_last_place():
    x = torch.linspace(-20, 20, 3001)
    functions = {f.__name__: of_x(f) for f in (torch.exp, torch.tanh, torch.sigmoid, torch.expm1, torch.square, torch.erf)}
    functions |= {"log": of_x(lambda x: (x.abs() + 1e-3).log()), "sum": of_x(lambda x: (x / 7).abs().sum())}
    check(functions, {"x": x}, rtol=2e-6, atol=2e-6)


@pytest.mark.parametrize("threads", [1, 2])
def test_large_tensors_are_shared_by_threads_without_changing_the_result(threads):
    x = numbers(40, 30, 61)
    functions = {
        "each": lambda x, **_: x.tanh() + x.amax(2, keepdim=True),
        "total": lambda x, **_: (x * x).sum(),
        "rows": lambda x, **_: x.sum((0, 1)),
        "columns": lambda x, **_: x.sum(2),
        "middle": lambda x, **_: x.mean((0, 2)),
        "greatest": lambda x, **_: x.amax((0, 1)),
    }
    check(functions, {"x": x}, threads)
    again = [computed(functions, {"x": x}, threads) for _ in range(2)]
    assert all(torch.equal(again[0][name], again[1][name]) for name in functions)


@pytest.mark.parametrize(("f", "said"), [
    (lambda x: x.topk(2).values, "does not know aten.topk"), (lambda x: torch.linalg.inv(x), "does not know aten.linalg_inv"),
    (lambda x: x[x > 0], "needs tensors of fixed size"), (lambda x: x * float(x.sum()), "cannot write this step out"),
    (lambda x: torch.multinomial(x.abs(), 2), "draws numbers that depend on what it computes"),
    (lambda x: torch.bernoulli(x.sigmoid()), "draws numbers that depend on what it computes"), (lambda x: x.half(), "type torch.float16"),
    (lambda x: x.long() // x.long(), "divides whole numbers by positive constants"),
])
def test_what_it_does_not_know_is_refused_by_name(f, said):
    with pytest.raises(PlanRejected, match=said):
        computed({"y": lambda x: f(x)}, {"x": numbers(3, 3)})


def test_what_several_read_is_computed_once():
    def step(net, state, batch):
        dear = (batch.x * 0.1).exp()
        return net, state, {"rows": dear.sum(0), "columns": dear.amax(1), "turned": dear.t() + 1, "all": dear.mean()}

    text = native.build(step, held(), Batch(numbers(1, 7, 5)), 1).__self__.text
    assert text.count("exp(") == 1


def test_a_place_that_does_not_exist_is_an_error():
    """As torch's own indexing; nothing outside of the tensor is read or written."""
    tensors = {"x": numbers(4, 3), "i": torch.tensor([[1], [3], [0], [2]])}
    for f in (lambda x, i: x.gather(1, i), lambda x, i: x.index_select(1, i[:, 0]), lambda x, i: torch.zeros(4, 3).scatter(1, i, 1.0),
              lambda x, i: torch.zeros(3).scatter_add(0, i[:, 0], x[:, 0].float())):
        with pytest.raises((IndexError, RuntimeError)):
            f(**tensors)
        with pytest.raises(IndexError, match="step 1 of this chunk reads a place that does not exist"):
            computed({"y": f}, tensors)


def shuffled(shape, rng):
    """Numbers in a shape whose axes lie in any order in memory, some with gaps."""
    order = list(range(len(shape)))
    rng.shuffle(order)
    whole = torch.randn([shape[d] + rng.choice([0, 0, 1]) for d in order], dtype=torch.float64)
    t = whole.permute([order.index(d) for d in range(len(shape))])
    for d, n in enumerate(shape):
        t = t.narrow(d, t.shape[d] - n, n)
    return t


def mixture(seed, length):
    """A step of random operations and random updates of its state, the same every time."""

    def one(rng, pool, a):
        d = rng.randrange(a.dim()) if a.dim() else 0
        ways = [lambda: a.tanh(), lambda: 1 - a * 0.5, lambda: a.clamp(-1, 0.7), lambda: torch.where(a > 0, a, 0.3),
                lambda: torch.rand_like(a.contiguous()) + a]
        if a.dim():
            at = (a.abs() * 10).long() % a.shape[d]
            ways += [
                lambda: a.permute(rng.sample(range(a.dim()), a.dim())), lambda: a.narrow(d, 0, max(1, a.shape[d] - 1)), lambda: a.flip(d),
                lambda: a.unsqueeze(d).expand(*a.shape[:d], 2, *a.shape[d:]), lambda: a.select(d, rng.randrange(a.shape[d])),
                lambda: a.reshape(-1), lambda: a.sum(d), lambda: a.mean(d, keepdim=True), lambda: a.softmax(d), lambda: a.amax(d),
                lambda: a.cumsum(d) * 0.3, lambda: torch.cat([a, a * 2], d), lambda: a.gather(d, at), lambda: (a > 0.1).any(d).double(),
                lambda: torch.zeros_like(a).scatter_add(d, at, a)]
        like = [b for b in pool if b.shape == a.shape]
        ways += [lambda: a + rng.choice(like), lambda: torch.maximum(a, rng.choice(like)),
                 lambda: torch.add(a, rng.choice(like), alpha=-0.3)]
        fit = [b for b in pool if a.dim() == b.dim() == 2 and a.shape[1] == b.shape[0]]
        return rng.choice(ways + [lambda: 0.2 * a @ rng.choice(fit)] * (4 if fit else 0))()

    def step(net, state, batch):
        rng, pool = random.Random(seed), [batch.x, *state.values()]
        for _ in range(length):
            made = one(rng, pool, rng.choice(pool))
            if made.numel() < 3000 and made.dim() < 6:
                pool.append(made)
            name = rng.choice(list(state))
            old, new = state[name], rng.choice([b for b in pool if b.shape == state[name].shape])
            match rng.randrange(8):
                case 0:
                    old.add_(new, alpha=-0.1)
                case 1:
                    old.mul_(0.9).add_(new * 0.1)
                case 2:
                    state = {**state, name: old * 0.5 + new * 0.25}
                case 3:
                    other = rng.choice([n for n in state if state[n].shape == old.shape])
                    state = {**state, name: state[other].clone(), other: old.clone()}
                case 4 if old.dim():
                    old.narrow(0, 0, 1).mul_(0.3)
        return net, state, {f"last {i}": t.clone() for i, t in enumerate(pool[-3:])}

    return step


@pytest.mark.parametrize("seed", range(5))
def test_random_steps_are_eager_steps(seed):
    """State overwritten, swapped, read before and after; views of views; every shape and order in memory; the same draws."""
    rng = random.Random(seed)
    torch.manual_seed(seed)
    shapes = rng.choices([(4, 4), (3, 5), (5, 4), (4,), (4, 4), (2, 3, 4), ()], k=5)
    state = {str(i): shuffled(shape, rng) for i, shape in enumerate(shapes)}
    step, batches = mixture(seed, 40), Batch(torch.randn(3, 4, 5, dtype=torch.float64))
    advance = native.build(step, held(**clone(state)), batches, 1)
    torch.manual_seed(seed)
    mine, reports = advance(held(**clone(state)), batches)
    drawn = torch.get_rng_state()
    torch.manual_seed(seed)
    theirs, expected = eager(step)(held(**clone(state)), batches)
    assert torch.equal(drawn, torch.get_rng_state())
    torch.testing.assert_close(reports, expected, rtol=1e-10, atol=1e-10)
    torch.testing.assert_close(mine.state, theirs.state, rtol=1e-10, atol=1e-10)
