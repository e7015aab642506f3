"""Every operation that native programs know, with every argument of its schema, drawn: torch's result, or a refusal that says why."""

from __future__ import annotations

import math
import re
import shutil
from types import SimpleNamespace

import pytest
import torch
from hypothesis import HealthCheck, Phase, given, settings
from hypothesis import strategies as st
from torch import Tensor

from chainrule.core.batch import Batch
from chainrule.core.errors import PlanRejected
from chainrule.engine.native import compiling, lowering, scalars
from chainrule.engine.native.folding import fold
from chainrule.engine.native.lowering import HANDLERS, INERT, Lowering, bound
from chainrule.engine.native.tracing import aten, tensors_of, trace
from tests.engine.native.test_operations import computed, held

pytestmark = pytest.mark.skipif(not any(map(shutil.which, compiling.COMPILERS)), reason="there is no C compiler on this machine")
# What fails is named by its call, and each example compiles a program: nothing is gained by making it smaller.
DRAWN = settings(max_examples=6, deadline=None, derandomize=True, suppress_health_check=[*HealthCheck], database=None,
                 phases=(Phase.explicit, Phase.generate))
SPECIAL = [0.0, -0.0, 1.0, -1.0, 0.1, 0.3, 2.5, -2.5, 7.0, 1e-320, 1e300, math.inf, -math.inf, math.nan]
WHOLE = [0, 1, -1, 2, 3, 7, -8, 64, 70, 255, 2**31 - 1, 2**53 + 1, -(2**62)]
SIZES = {"x": (4, 5), "row": (5,), "column": (4, 1), "one": (), "stack": (3, 4, 5)}
DTYPES = {"double": torch.float64, "float": torch.float32, "long": torch.int64, "int": torch.int32, "byte": torch.uint8, "bool": torch.bool}


@pytest.fixture(scope="module", autouse=True)
def cache(tmp_path_factory):
    folder = tmp_path_factory.mktemp("native")
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(compiling, "usual_folder", lambda: folder)
        patch.setattr(compiling, "FLAGS", tuple("-O1" if flag == "-O3" else flag for flag in compiling.FLAGS))
        yield


def values(dtype: torch.dtype, numbers: list[float], at: int) -> list[float]:
    """As many as there are `numbers`: of them, of what is special, or whole ones within the type's range."""
    if dtype == torch.bool:
        return [(i * 7 + at) % 3 > 0 for i in range(len(numbers))]
    if dtype.is_floating_point:
        return [SPECIAL[(i // 2 + at) % len(SPECIAL)] if i % 2 == at % 2 else v for i, v in enumerate(numbers)]
    info = torch.iinfo(dtype)
    return [max(info.min, min(info.max, WHOLE[(i + at) % len(WHOLE)])) for i in range(len(numbers))]


def pool() -> dict[str, Tensor]:
    """A tensor of every size and type, with all that is special among its elements, and others from 0.2 to 3."""
    tensors = {}
    for at, (size, shape) in enumerate(SIZES.items()):
        n = math.prod(shape)
        numbers = (torch.rand(n, generator=torch.Generator().manual_seed(at), dtype=torch.float64) * 2.8 + 0.2).tolist()
        for name, dtype in DTYPES.items():
            exact = torch.float64 if dtype.is_floating_point else dtype
            tensors[f"{size}_{name}"] = torch.tensor(values(dtype, numbers, at), dtype=exact).to(dtype).view(shape)
        tensors[f"{size}_plain"] = torch.tensor(numbers, dtype=torch.float64).view(shape)
        tensors[f"{size}_places"] = torch.tensor([(i * 5 + at) % 3 for i in range(n)]).view(shape)
    tensors["picture_plain"] = torch.randn(2, 3, 7, 6, generator=torch.Generator().manual_seed(9), dtype=torch.float64)
    tensors["kernel_plain"] = torch.randn(4, 3, 3, 2, generator=torch.Generator().manual_seed(8), dtype=torch.float64)
    return tensors


POOL = pool()


class Call:
    """An operation with arguments; a name of the pool stands for its tensor."""

    def __init__(self, target, args, kwargs=None):
        self.target, self.args, self.kwargs = target, tuple(args), kwargs or {}

    def __call__(self, **tensors: Tensor):
        def value(a):
            if isinstance(a, list):
                return [value(b) for b in a]
            return tensors[a] if isinstance(a, str) and a in tensors else a

        result = self.target(*map(value, self.args), **{k: value(a) for k, a in self.kwargs.items()})
        return result[0] if isinstance(result, tuple) else result

    def __repr__(self) -> str:
        return f"{self.target}({', '.join([*map(repr, self.args), *(f'{k}={a!r}' for k, a in self.kwargs.items())])})"


def overloads(packet):
    """The functional ones, of tensors."""
    some = [getattr(packet, name) for name in packet.overloads()]
    return [o for o in some if not o._schema.is_mutable and any(str(a.type) in ("Tensor", "List[Tensor]") for a in o._schema.arguments)
            and all("Dimname" not in str(a.type) and a.name != "out_dtype" for a in o._schema.arguments)]


NUMBERS = st.sampled_from([0, 1, 2, -1, 3, 0.5, -0.3, 2.5, 1e300, math.inf, math.nan, True])


@st.composite
def elementwise(draw, name):
    """A call of an overload, each argument of its schema drawn by its type."""
    target = draw(st.sampled_from(overloads(getattr(aten, name))))
    args, kwargs = [], {}
    for argument in target._schema.arguments:
        kind = str(argument.type)
        if kind in ("Tensor", "Optional[Tensor]"):
            value = draw(st.sampled_from([n for n in POOL if n.split("_")[0] in ("x", "row", "column", "one")]))
        elif "number" in kind or "Scalar" in kind:
            value = draw(NUMBERS)
        elif argument.name == "rounding_mode":
            value = draw(st.sampled_from(["floor", "trunc", None]))
        elif argument.name == "decimals":
            value = draw(st.integers(-3, 5))
        elif argument.name == "dtype":
            value = draw(st.sampled_from([None, *DTYPES.values()]))
        elif argument.name == "memory_format":
            value = draw(st.sampled_from([None, torch.contiguous_format]))
        else:
            continue
        if argument.kwarg_only:
            kwargs[argument.name] = value
        else:
            args.append(value)
    return Call(target, args, kwargs)


def lowered(call: Call) -> None:
    """Raises PlanRejected where the call cannot be written out."""
    given = [a for b in (*call.args, *call.kwargs.values()) for a in (b if isinstance(b, list) else [b])]
    names = [a for a in given if isinstance(a, str) and a in POOL]
    learner, batch = held(**{n: POOL[n] for n in names}), Batch(torch.zeros(1))
    traced = trace(lambda net, state, batch: (net, state, {"y": call(**state)}), learner, batch)
    Lowering(traced, fold(traced), tensors_of(learner), batch.tensors()).run()


def defined(call: Call, result: Tensor) -> bool:
    """Whether C and torch promise the same: not for numbers cast to whole ones that cannot hold them."""
    given = [POOL[a] for a in call.args if isinstance(a, str)] + [torch.tensor(a) for a in call.args if isinstance(a, float)]
    if result.dtype.is_floating_point or not any(t.is_floating_point() for t in given) or result.dtype == torch.bool:
        return True
    return all(bool(((t >= 0) & (t < 128)).all()) for t in given if t.is_floating_point())


def compare(calls) -> None:
    """Checks all that torch computes and native does not refuse; a refusal is one sentence."""
    known = {}
    for call in calls:
        try:
            expected = call(**POOL)
        except (RuntimeError, IndexError, ValueError, OverflowError, NotImplementedError):
            continue
        if not isinstance(expected, Tensor) or not defined(call, expected):
            continue
        try:
            lowered(call)
        except PlanRejected as why:
            assert str(why).startswith(("native ", "aten.")), f"{call!r}: {why}"
        else:
            known[repr(call)] = (call, expected)
    results = computed({name: call for name, (call, _) in known.items()}, dict(POOL)) if known else {}
    for name, (_, expected) in known.items():
        close = {"rtol": 1e-5, "atol": 1e-6} if expected.dtype == torch.float32 else {"rtol": 1e-10, "atol": 1e-12}
        torch.testing.assert_close(results[name], expected, equal_nan=True, msg=lambda said, name=name: f"{name}: {said}", **close)


NAMES = sorted(scalars.ELEMENTWISE)


@pytest.mark.parametrize("begin", range(0, len(NAMES), 10), ids=lambda i: f"{NAMES[i]}..{NAMES[min(i + 9, len(NAMES) - 1)]}")
@DRAWN
@given(data=st.data())
def test_elementwise_operations_with_every_argument(begin, data):
    compare([data.draw(elementwise(name)) for name in NAMES[begin : begin + 10]])


MATRIX = st.sampled_from([n for n in POOL if n.startswith("x_")])
REAL = st.sampled_from(["x_plain", "row_plain", "stack_plain", "one_plain", "x_double", "x_float"])
ANY = st.sampled_from([n for n in POOL if n.split("_")[0] in ("x", "row", "stack", "one")])
AXIS, FLAG, BOUND = st.integers(-2, 1), st.booleans(), st.none() | st.integers(-6, 6)
PAIR = st.integers(1, 3) | st.lists(st.integers(1, 3), min_size=2, max_size=2)


def pair(least, most):
    return st.lists(st.integers(least, most), min_size=2, max_size=2)


# ATen packet -> strategies of calls, an overload and its arguments; the backward ones are drawn through autograd below.
MOVES = {
    aten.permute: st.permutations([0, 1, 2]).map(lambda order: Call(aten.permute.default, ["stack_double", list(order)])),
    aten.t: st.sampled_from(["x_double", "row_double"]).map(lambda x: Call(aten.t.default, [x])),
    aten.transpose: st.tuples(st.integers(-3, 2), st.integers(-3, 2)).map(lambda d: Call(aten.transpose.int, ["stack_double", *d])),
    aten.view: st.sampled_from([[20], [2, 10], [5, 4], [2, -1, 2]]).map(lambda s: Call(aten.view.default, ["x_double", s]))
    | st.sampled_from([torch.int64, torch.float64, torch.int32]).map(lambda d: Call(aten.view.dtype, ["x_double", d])),
    aten.reshape: st.sampled_from([[60], [12, 5], [5, -1], [3, 2, 10]]).map(lambda s: Call(aten.reshape.default, ["stack_double", s])),
    aten._unsafe_view: st.sampled_from([[20], [2, 10]]).map(lambda s: Call(aten._unsafe_view.default, ["x_double", s])),
    aten.squeeze: st.one_of(st.just(Call(aten.squeeze.default, ["column_double"])),
                            AXIS.map(lambda d: Call(aten.squeeze.dim, ["column_double", d])),
                            st.sampled_from([[0], [1], [0, 1], [-1]]).map(lambda d: Call(aten.squeeze.dims, ["column_double", d]))),
    aten.unsqueeze: st.integers(-3, 2).map(lambda d: Call(aten.unsqueeze.default, ["x_double", d])),
    aten.expand: st.sampled_from([[4, 5], [-1, 3], [2, 4, 6]]).map(lambda s: Call(aten.expand.default, ["column_double", s])),
    aten.alias: ANY.map(lambda x: Call(aten.alias.default, [x])),
    aten.detach: ANY.map(lambda x: Call(aten.detach.default, [x])),
    aten.select: st.tuples(st.integers(-3, 2), st.integers(-3, 2)).map(lambda a: Call(aten.select.int, ["stack_double", *a])),
    aten.slice: st.tuples(AXIS, BOUND, BOUND, st.integers(1, 3)).map(lambda a: Call(aten.slice.Tensor, ["x_double", *a])),
    aten.flip: st.sampled_from([[0], [1], [-1, 0], []]).map(lambda d: Call(aten.flip.default, ["x_double", d])),
    aten.diagonal: st.tuples(st.integers(-3, 3), st.sampled_from([(0, 1), (1, 0), (-1, 0), (2, 0), (1, 2)])).map(
        lambda a: Call(aten.diagonal.default, ["stack_double", a[0], *a[1]])),
    aten.unfold: st.tuples(AXIS, st.integers(1, 4), st.integers(1, 3)).map(lambda a: Call(aten.unfold.default, ["x_double", *a])),
    aten.as_strided: st.tuples(st.sampled_from([([2, 3], [5, 1]), ([3, 2], [1, 5]), ([4], [5]), ([2, 2], [10, 2])]), st.integers(0, 6)
                               ).map(lambda a: Call(aten.as_strided.default, ["x_double", *a[0], a[1]])),
    aten.slice_scatter: st.tuples(BOUND, BOUND, st.integers(1, 2)).map(lambda a: Call(
        lambda x, y, begin, end, step: aten.slice_scatter.default(x, aten.slice.Tensor(y, 0, begin, end, step), 0, begin, end, step),
        ["x_double", "x_plain", *a])),
    aten.select_scatter: st.integers(-4, 3).map(lambda i: Call(aten.select_scatter.default, ["x_double", "row_plain", 0, i])),
    aten.cat: st.tuples(st.lists(st.sampled_from(["x_double", "x_plain", "x_float"]), min_size=1, max_size=3), AXIS).map(
        lambda a: Call(aten.cat.default, [a[0], a[1]])),
    aten.constant_pad_nd: st.tuples(st.lists(st.integers(-2, 3), min_size=4, max_size=4), NUMBERS).map(
        lambda a: Call(aten.constant_pad_nd.default, ["x_double", *a])),
    aten.gather: st.tuples(AXIS, FLAG).map(lambda a: Call(aten.gather.default, ["x_double", a[0], "x_places"], {"sparse_grad": a[1]})),
    aten.index: st.sampled_from([["row_places"], [None, "row_places"], ["row_places", "row_places"], ["x_bool"]]).map(
        lambda i: Call(aten.index.Tensor, ["x_double", i])),
    aten.index_put: st.tuples(st.sampled_from([["row_places"], [None, "row_places"]]), FLAG).map(
        lambda a: Call(aten.index_put.default, ["x_plain", a[0], "one_plain", a[1]])),
    aten.scatter: st.one_of(
        st.tuples(AXIS, NUMBERS).map(lambda a: Call(aten.scatter.value, ["x_plain", a[0], "x_places", a[1]])),
        st.sampled_from(["add", "multiply"]).map(
            lambda how: Call(aten.scatter.reduce, ["x_plain", 0, "x_places", "x_plain"], {"reduce": how})),
        st.sampled_from([(0, "column_places"), (1, "column_places")]).map(
            lambda a: Call(aten.scatter.src, ["x_plain", *a, "x_double"]))),
    aten.scatter_add: AXIS.map(lambda d: Call(aten.scatter_add.default, ["x_plain", d, "x_places", "x_plain"])),
    aten.cumsum: st.tuples(MATRIX, AXIS, st.sampled_from([None, torch.float64])).map(
        lambda a: Call(aten.cumsum.default, a[:2], {"dtype": a[2]})),
}
SOME = st.sampled_from([[0], [1], [-1], [0, 1], [0, -1]])
GATHERED = {
    **{packet: st.one_of(
        st.tuples(MATRIX, st.sampled_from([None, torch.float64, torch.int64])).map(
            lambda a, p=packet: Call(p.default, a[:1], {"dtype": a[1]})),
        st.tuples(MATRIX, SOME if packet is aten.sum else AXIS, FLAG, st.sampled_from([None, torch.float64])).map(
            lambda a, p=packet: Call(p.dim_IntList if p is aten.sum else p.dim_int, a[:3], {"dtype": a[3]})))
       for packet in (aten.sum, aten.prod)},
    **{packet: st.tuples(MATRIX, st.just([]) | SOME, FLAG).map(lambda a, p=packet: Call(p.default, a))
       for packet in (aten.amax, aten.amin)},
    **{packet: st.one_of(MATRIX.map(lambda x, p=packet: Call(p.default, [x])),
                         st.tuples(MATRIX, AXIS, FLAG).map(lambda a, p=packet: Call(p.dim, a)),
                         st.tuples(MATRIX, st.none() | SOME, FLAG).map(lambda a, p=packet: Call(p.dims, a)))
       for packet in (aten.any, aten.all)},
    **{packet: st.tuples(MATRIX, st.none() | AXIS, FLAG).map(lambda a, p=packet: Call(p.default, a))
       for packet in (aten.argmax, aten.argmin)},
    **{packet: st.one_of(MATRIX.map(lambda x, p=packet: Call(p.default, [x])),
                         st.tuples(MATRIX, AXIS, FLAG).map(lambda a, p=packet: Call(p.dim, a)),
                         st.tuples(MATRIX, MATRIX).map(lambda a, p=packet: Call(p.other, a)))
       for packet in (aten.max, aten.min)},
}
FACTORS = {"beta": st.sampled_from([0, 1, 0.3, -2]), "alpha": st.sampled_from([0, 1, 0.3, -2])}


def transposed(stack):
    return stack.transpose(-1, -2)


def convolved(x, weight, biased, stride, padding, dilation, backwards, output_padding, groups):
    """A convolution by the kernel's own sizes, or those that a transposed or grouped one wants."""
    weight = weight.transpose(0, 1) if backwards else weight[:3, :1] if groups == 3 else weight
    bias = weight.sum((0, 2, 3) if backwards else (1, 2, 3)) if biased else None
    return aten.convolution.default(x, weight, bias, stride, padding, dilation, backwards, output_padding, groups)


WINDOWS = {
    aten.mm: st.just(Call(lambda x, y: aten.mm.default(x, transposed(y)), ["x_plain", "x_plain"])),
    aten.bmm: st.just(Call(lambda x, y: aten.bmm.default(x, transposed(y)), ["stack_plain", "stack_plain"])),
    aten.addmm: st.tuples(st.sampled_from(["column_plain", "one_plain"]), st.fixed_dictionaries(FACTORS)).map(lambda a: Call(
        lambda c, x, y, **how: aten.addmm.default(c, x, transposed(y), **how), [a[0], "x_plain", "x_plain"], a[1])),
    aten.baddbmm: st.fixed_dictionaries(FACTORS).map(lambda how: Call(
        lambda c, x, y, **how: aten.baddbmm.default(c, x, transposed(y), **how), ["one_plain", "stack_plain", "stack_plain"], how)),
    aten.convolution: st.tuples(FLAG, pair(1, 3), pair(0, 3), pair(1, 2), FLAG, pair(0, 1), st.sampled_from([1, 1, 3])).map(
        lambda a: Call(convolved, ["picture_plain", "kernel_plain", *a])),
    aten.max_pool2d_with_indices: st.tuples(PAIR, pair(1, 3), pair(0, 1), pair(1, 2), FLAG).map(
        lambda a: Call(aten.max_pool2d_with_indices.default, ["picture_plain", [a[0]] if isinstance(a[0], int) else a[0], *a[1:]])),
    aten.avg_pool2d: st.tuples(PAIR, pair(1, 3), pair(0, 1), FLAG, FLAG, st.none() | st.integers(1, 7)).map(
        lambda a: Call(aten.avg_pool2d.default, ["picture_plain", [a[0]] if isinstance(a[0], int) else a[0], *a[1:]])),
}


def slope(call: Call) -> Call:
    """The gradient of a weighted sum of what the call gives, in its first tensor and, of a convolution, in the second too."""
    at = [a for a in call.args[:2] if isinstance(a, str)]

    def function(**tensors):
        with torch.enable_grad():
            inside = {**tensors, **{name: tensors[name].detach().clone().requires_grad_() for name in at}}
            y = call(**inside)
            weights = torch.arange(y.numel(), dtype=y.dtype).view(y.shape).sin()
            grads = torch.autograd.grad((y * weights).sum(), [inside[name] for name in at])
        return torch.cat([g.reshape(-1) for g in grads])

    return Call(function, [], {name: name for name in at})


@pytest.mark.parametrize("group", [MOVES, GATHERED, WINDOWS], ids=["moves", "gathered", "windows"])
@DRAWN
@given(data=st.data())
def test_operations_of_axes_with_every_argument(group, data):
    compare([data.draw(calls) for calls in group.values()])


@DRAWN
@given(data=st.data())
def test_ways_back_with_every_argument(data):
    compare([slope(data.draw(WINDOWS[packet])) for packet in (aten.convolution, aten.max_pool2d_with_indices, aten.avg_pool2d)])


def test_every_handler_is_drawn():
    through_autograd = {aten.convolution_backward, aten.max_pool2d_with_indices_backward, aten.avg_pool2d_backward}
    assert set(HANDLERS) == {*MOVES, *GATHERED, *WINDOWS} | through_autograd


@pytest.mark.parametrize("name", [*map(str, HANDLERS), *scalars.ELEMENTWISE])
def test_an_argument_that_its_handler_does_not_know_is_refused(name):
    """Every argument of every overload in turn at a value that is not its default: it is read, shows in the result, or is refused."""

    packet, other = getattr(aten, name.removeprefix("aten.")), "some other value"
    known = HANDLERS.get(packet)
    for target in overloads(packet):
        for argument in target._schema.arguments:
            usual = {a.name: a.default_value if a.has_default_value() else None for a in target._schema.arguments}
            node = SimpleNamespace(target=target, args=(), kwargs={**usual, argument.name: other})
            if argument.name in INERT or argument.name in (known.shown if known else {"dtype"}):
                continue
            try:
                read = bound(node, known.names, known.shown) if known else lowering._given(node, scalars.ELEMENTWISE[name])
            except PlanRejected as why:
                assert re.match(f"native does not know {target} with ", str(why))
            else:
                assert other in (read.values() if known else [*read[0], *read[1].values()])


def test_shares_rounded_down_are_of_the_true_quotient():
    """1 is not ten times the double nearest to a tenth, which is more than a tenth: the floor is 9, as Python says."""
    x = torch.tensor([1.0, 0.3, -1.0, 5.5, -7.0, 0.0], dtype=torch.float64)
    found = computed({"y": lambda x: torch.div(x, 0.1, rounding_mode="floor"), "z": lambda x: x.round(decimals=1)}, {"x": x})
    assert found["y"].tolist() == [v // 0.1 for v in x.tolist()]
    assert found["y"][0] == 9.0
    x = torch.tensor([0.125, -2.675, 1234.5, 0.05], dtype=torch.float64)
    found = computed({"y": lambda x: x.round(decimals=2), "z": lambda x: x.round(decimals=-2)}, {"x": x})
    assert found["y"].tolist() == pytest.approx([0.12, -2.67 if x[1] * 100 > -267.5 else -2.68, 1234.5, 0.05], abs=1e-12)
    assert found["z"].tolist() == [0.0, -0.0, 1200.0, 0.0]


def test_whole_numbers_wrap_around_and_shifts_leave_nothing_behind():
    """As torch has them, and by hand: 2^31 - 1 doubled is -2; a byte of 255 doubled is 254."""
    tensors = {"i": torch.tensor([2**31 - 1, 5], dtype=torch.int32), "b": torch.tensor([255, 3], dtype=torch.uint8)}
    found = computed({
        "i": lambda i, b: (i + i) // 2, "b": lambda i, b: (b + b) // 2, "times": lambda i, b: (i * i) // 2, "not": lambda i, b: -(-i - 2),
        "left": lambda i, b: torch.bitwise_left_shift(i, 32), "right": lambda i, b: torch.bitwise_right_shift(-i, 40),
        "byte": lambda i, b: torch.bitwise_right_shift(b, 8), "rest": lambda i, b: torch.fmod(i - 2**30, 7)}, tensors)
    assert {name: t.tolist() for name, t in found.items()} == {
        "i": [-1, 5], "b": [127, 3], "times": [0, 12], "not": [-(2**31) + 1, 7], "left": [0, 0], "right": [-1, -1], "byte": [0, 0],
        "rest": [(2**30 - 1) % 7, -((2**30 - 5) % 7)]}


@pytest.mark.parametrize("draw", [
    lambda x, g: torch.rand(3, generator=g) + x, lambda x, g: x.bernoulli(0.5, generator=g),
    lambda x, g: torch.normal(0.0, 1.0, (3,), generator=g) + x, lambda x, g: x.clone().uniform_(0, 1, generator=g)],
    ids=["rand", "bernoulli", "normal", "uniform"])
def test_a_generator_of_its_own_is_refused(draw):
    generator = torch.Generator().manual_seed(0)
    with pytest.raises(PlanRejected, match=r"generator of its own|draws numbers that depend"):
        computed({"y": lambda x: draw(x, generator)}, {"x": torch.ones(3)})


def test_the_same_memory_read_as_another_type_is_refused():
    with pytest.raises(PlanRejected, match=r"does not know aten\.view\.dtype with dtype=torch.int64"):
        computed({"y": lambda x: x.view(torch.int64)}, {"x": torch.ones(3, dtype=torch.float64)})
