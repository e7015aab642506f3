"""Elementwise ATen operations as scalar terms, and how each term is written in C."""

from __future__ import annotations

import math
import operator
from collections.abc import Callable

import torch

from chainrule.core.errors import PlanRejected
from chainrule.engine.native.terms import INTEGER, REAL, Term, cast, const

C_TYPES = {torch.float32: "float", torch.float64: "double", torch.int64: "int64_t", torch.int32: "int32_t", torch.uint8: "uint8_t",
           torch.bool: "uint8_t"}
BOOL = torch.bool

# Terms in C. NaN must pass: x < 0 ? 0 : x keeps it where fmax would not.
WRITTEN = {
    "add": "{0} + {1}", "sub": "{0} - {1}", "mul": "{0} * {1}", "div": "{0} / {1}", "neg": "-{0}", "not": "!{0}", "mod": "{0} % {1}",
    "eq": "{0} == {1}", "ne": "{0} != {1}", "lt": "{0} < {1}", "le": "{0} <= {1}", "gt": "{0} > {1}", "ge": "{0} >= {1}",
    "and": "{0} & {1}", "or": "{0} | {1}", "xor": "{0} ^ {1}", "select": "{0} ? {1} : {2}", "nan": "{0} != {0}",
    "shl": "{0} << {1}", "shr": "{0} >> {1}", "inverse": "~{0}",
    "max": "({0} > {1}) | ({0} != {0}) ? {0} : {1}", "min": "({0} < {1}) | ({0} != {0}) ? {0} : {1}",
    "at": "cr_at({0}, {1}, bad)", "at_wrapped": "cr_at_wrapped({0}, {1}, bad)",
}
WRAPPING = {"add", "sub", "mul", "neg", "shl"}
SINGLE = ("exp", "expm1", "log", "log1p", "log2", "log10", "tanh", "erf", "sin", "cos", "tan", "asin", "acos", "atan", "sinh", "cosh",
          "asinh", "acosh", "atanh", "sqrt", "floor", "ceil", "trunc")  # of one argument, under torch's name
LIBRARY = {*SINGLE, "pow", "atan2", "fmod", "fabs", "rint", "fmin", "fmax", "copysign"}
OWN = {"exp", "expm1", "log", "log1p", "tanh", "sigmoid"}  # vectorised forms of maths.h, for the type that a program calls `real`
FOLDED = {"add": operator.add, "sub": operator.sub, "mul": operator.mul}


def op(name: str, *args: Term, dtype: torch.dtype | None = None) -> Term:
    """The term `name(args)`, of its first argument's type unless told; trivial ones are not made."""
    kind = dtype or args[0].dtype
    if name in FOLDED and all(a.op == "const" for a in args):
        return const(FOLDED[name](*(a.args[0] for a in args)), kind)
    if name in ("mul", "div") and args[1].op == "const" and args[1].args[0] == 1:
        return args[0]
    if name == "mul" and args[0].op == "const" and args[0].args[0] == 1:
        return args[1]
    return Term.of(name, kind, *args)


def written(term: Term, args: list[str], real: torch.dtype) -> str:
    """The C expression of a term whose arguments are written already."""
    if term.op in WRAPPING and term.dtype in (torch.int32, torch.int64):  # C promises nothing beyond the range of signed numbers
        kind = C_TYPES[term.dtype]
        return f"({kind})({WRITTEN[term.op].format(*(f'(u{kind})({a})' for a in args))})"
    if term.op in WRITTEN:
        return WRITTEN[term.op].format(*args)
    if term.op == "cast":
        return f"{args[0]} != 0" if term.dtype == BOOL else f"({C_TYPES[term.dtype]}){args[0]}"
    if term.dtype == real and term.op in OWN:
        return f"cr_{term.op}({', '.join(args)})"
    if term.op == "sigmoid":
        return f"1 / (1 + exp(-{args[0]}))"
    if term.op in LIBRARY:
        return f"{term.op}{'f' if term.dtype == torch.float32 else ''}({', '.join(args)})"
    raise PlanRejected(f"native cannot write {term.op} of {term.dtype}")


def number(value: float | int | bool, dtype: torch.dtype) -> str:
    """A constant in C, read back exactly."""
    if dtype not in REAL:
        return f"{int(value)}L" if dtype == torch.int64 and abs(int(value)) >= 2**31 else str(int(value))
    if math.isnan(value):
        return "NAN"
    if math.isinf(value):
        return "INFINITY" if value > 0 else "(-INFINITY)"
    text = repr(float(value)) if dtype == torch.float64 else repr(torch.tensor(value, dtype=torch.float32).numpy()[()].item())
    text += "f" if dtype == torch.float32 else ""
    return f"({text})" if text.startswith("-") else text


def _unary(name: str) -> Callable[..., Term]:
    return lambda kind, x: op(name, cast(x, kind))


def _binary(name: str) -> Callable[..., Term]:
    return lambda kind, a, b: op(name, cast(a, kind), cast(b, kind))


def _scaled(name: str) -> Callable[..., Term]:
    """a + alpha b, a - alpha b."""

    def make(kind: torch.dtype, a: Term, b: Term, *, alpha: float = 1) -> Term:
        if alpha != 1 and kind in REAL and name == "sub":
            return op("add", cast(a, kind), op("mul", cast(b, kind), const(-alpha, kind)))
        b = cast(b, kind) if alpha == 1 else op("mul", cast(b, kind), const(alpha, kind))
        return op(name, cast(a, kind), b)

    return make


def _compared(name: str) -> Callable[..., Term]:
    return lambda kind, a, b: op(name, cast(a, kind), cast(b, kind), dtype=BOOL)


def _logical(name: str) -> Callable[..., Term]:
    return lambda kind, a, b: op(name, cast(a, BOOL), cast(b, BOOL))


def _absolute(kind: torch.dtype, x: Term) -> Term:
    x = cast(x, kind)
    return op("fabs", x) if kind in REAL else op("select", op("lt", x, const(0, kind), dtype=BOOL), op("neg", x), x, dtype=kind)


def _divided(kind: torch.dtype, a: Term, b: Term, *, rounding_mode: str | None = None) -> Term:
    a, b = cast(a, kind), cast(b, kind)
    if rounding_mode is None:
        return op("div", a, b)
    if kind in REAL:
        return _floored(kind, a, b) if rounding_mode == "floor" else op("trunc", op("div", a, b))
    left = _remainder(kind, a, b)
    return op("div", a if rounding_mode == "trunc" else op("sub", a, left), b)


def _floored(kind: torch.dtype, a: Term, b: Term) -> Term:
    """The floor of the true quotient, which that of the rounded one may exceed: 1 // 0.1 is 9, since 0.1 is stored as more than a tenth.

    From the remainder, as Python has it; by 0, and of infinities, what torch gives.
    """
    zero, one = const(0, kind), const(1, kind)
    share, left = op("div", a, b), op("fmod", a, b)
    apart = op("xor", op("lt", left, zero, dtype=BOOL), op("lt", b, zero, dtype=BOOL))
    whole = op("div", op("sub", a, left), b)
    whole = op("select", op("and", op("ne", left, zero, dtype=BOOL), apart), op("sub", whole, one), whole, dtype=kind)
    floor = op("floor", whole)
    near = op("gt", op("sub", whole, floor), const(0.5, kind), dtype=BOOL)
    floor = op("select", near, op("add", floor, one), floor, dtype=kind)
    floor = op("select", op("eq", whole, zero, dtype=BOOL), op("copysign", zero, share), floor, dtype=kind)
    return op("select", op("eq", b, zero, dtype=BOOL), share, floor, dtype=kind)


def _rounded(kind: torch.dtype, x: Term, *, decimals: int = 0) -> Term:
    """To the nearest of so many decimals, to the even one from the middle; negative `decimals` round to tens, hundreds, ..."""
    x = cast(x, kind)
    if kind not in REAL:
        return x
    power = const(10.0 ** abs(decimals), kind)
    there, back = ("div", "mul") if decimals < 0 else ("mul", "div")
    return op(back, op("rint", op(there, x, power)), power) if decimals else op("rint", x)


def _remainder(kind: torch.dtype, a: Term, b: Term) -> Term:
    """What is left with the sign of the divisor."""
    a, b = cast(a, kind), cast(b, kind)
    if kind not in REAL and (b.op != "const" or b.args[0] <= 0):
        raise PlanRejected("native divides whole numbers by positive constants only")
    left = op("fmod", a, b) if kind in REAL else op("mod", a, b)
    zero = const(0, kind)
    other = op("and", op("ne", left, zero, dtype=BOOL), op("xor", op("lt", left, zero, dtype=BOOL), op("lt", b, zero, dtype=BOOL)))
    return op("select", other, op("add", left, b), left, dtype=kind)


def _truncated_remainder(kind: torch.dtype, a: Term, b: Term) -> Term:
    """What is left with the sign of the dividend."""
    a, b = cast(a, kind), cast(b, kind)
    if kind in REAL:
        return op("fmod", a, b)
    if b.op != "const" or b.args[0] <= 0:
        raise PlanRejected("native divides whole numbers by positive constants only")
    return op("mod", a, b)


def _power(kind: torch.dtype, base: Term, exponent: Term) -> Term:
    base, exponent = cast(base, kind), cast(exponent, kind)
    if exponent.op == "const":
        whole = {0.5: lambda: op("sqrt", base), 1.0: lambda: base, 2.0: lambda: op("mul", base, base),
                 3.0: lambda: op("mul", op("mul", base, base), base), -1.0: lambda: op("div", const(1, kind), base),
                 -0.5: lambda: op("div", const(1, kind), op("sqrt", base)), 0.0: lambda: const(1, kind)}.get(float(exponent.args[0]))
        if whole is not None and (kind in REAL or float(exponent.args[0]) in (1.0, 2.0, 3.0)):
            return whole()
    if kind in INTEGER:
        raise PlanRejected("native does not know powers of whole numbers beyond the third")
    return op("pow", base, exponent)


def _sign(kind: torch.dtype, x: Term) -> Term:
    x, zero = cast(x, kind), const(0, kind)
    above, below = op("gt", x, zero, dtype=BOOL), op("lt", x, zero, dtype=BOOL)
    return op("select", above, const(1, kind), op("select", below, const(-1, kind), zero, dtype=kind), dtype=kind)


def _clamped(kind: torch.dtype, x: Term, low: Term | None = None, high: Term | None = None) -> Term:
    """min(max(x, low), high), NaN where x or a bound is; constants are known not to be, which saves the compiler a comparison."""
    x = cast(x, kind)
    for bound, keeps, picks in ((low, "lt", "max"), (high, "gt", "min")):
        if bound is not None:
            bound = cast(bound, kind)
            if bound.op == "const" and bound.args[0] != bound.args[0]:
                return bound
            x = op("select", op(keeps, x, bound, dtype=BOOL), bound, x, dtype=kind) if bound.op == "const" else op(picks, x, bound)
    return x


def _relu(kind: torch.dtype, x: Term) -> Term:
    return _clamped(kind, x, const(0, kind))


def _chosen(kind: torch.dtype, which: Term, a: Term, b: Term) -> Term:
    return op("select", cast(which, BOOL), cast(a, kind), cast(b, kind), dtype=kind)


def _reciprocal_root(kind: torch.dtype, x: Term) -> Term:
    return op("div", const(1, kind), op("sqrt", cast(x, kind)))


def _sigmoid(kind: torch.dtype, x: Term) -> Term:
    return op("sigmoid", cast(x, kind))


def _infinite(kind: torch.dtype, x: Term) -> Term:
    if kind not in REAL:
        return const(False, BOOL)
    return op("eq", op("fabs", cast(x, kind)), const(math.inf, kind), dtype=BOOL)


def _bitwise(name: str) -> Callable[..., Term]:
    return lambda kind, a, b: op(name, cast(a, kind), cast(b, kind))


def _shifted(name: str) -> Callable[..., Term]:
    """By as many bits as there are, or more, or fewer than none, C promises nothing; torch leaves no bit but, to the right, the sign's."""

    def make(kind: torch.dtype, a: Term, b: Term) -> Term:
        a, b = cast(a, kind), cast(b, kind)
        most = const(8 * kind.itemsize - 1, kind)
        inside = op("and", op("ge", b, const(0, kind), dtype=BOOL), op("le", b, most, dtype=BOOL))
        least = op("shr", a, most) if name == "shr" and kind.is_signed else const(0, kind)
        return op("select", inside, op(name, a, op("select", inside, b, const(0, kind), dtype=kind)), least, dtype=kind)

    return make


def _bitwise_not(kind: torch.dtype, x: Term) -> Term:
    return op("not" if kind == BOOL else "inverse", cast(x, kind))


# ATen name -> term of (the type it computes in, arguments). Comparisons compute in the common type of their arguments, all others in the
# type of the result.
ELEMENTWISE: dict[str, Callable[..., Term]] = {
    **{name: _unary(name) for name in (*SINGLE, "neg")},
    **{name: _compared(name) for name in ("eq", "ne", "lt", "le", "gt", "ge")},
    "round": _rounded, "add": _scaled("add"), "sub": _scaled("sub"), "mul": _binary("mul"), "div": _divided, "abs": _absolute,
    "maximum": _binary("max"), "minimum": _binary("min"), "atan2": _binary("atan2"), "fmod": _truncated_remainder, "remainder": _remainder,
    "pow": _power, "sign": _sign, "sgn": _sign, "clamp": _clamped, "clamp_min": _clamped,
    "clamp_max": lambda kind, x, high: _clamped(kind, x, None, high), "relu": _relu, "where": _chosen, "rsqrt": _reciprocal_root,
    "sigmoid": _sigmoid, "reciprocal": lambda kind, x: op("div", const(1, kind), cast(x, kind)),
    "isinf": _infinite, "isnan": lambda kind, x: op("nan", cast(x, kind), dtype=BOOL),
    "logical_and": _logical("and"), "logical_or": _logical("or"), "logical_xor": _logical("ne"),
    "logical_not": lambda kind, x: op("not", cast(x, BOOL)), "bitwise_and": _bitwise("and"), "bitwise_or": _bitwise("or"),
    "bitwise_xor": _bitwise("xor"), "bitwise_not": _bitwise_not, "bitwise_left_shift": _shifted("shl"),
    "bitwise_right_shift": _shifted("shr"), "fmin": _binary("fmin"), "fmax": _binary("fmax"),
    "_to_copy": lambda kind, x: cast(x, kind), "clone": lambda kind, x: cast(x, kind), "fill": lambda kind, x, value: cast(value, kind),
    "copy": lambda kind, x, source: cast(source, kind),
}
COMPUTED_IN_ARGUMENTS = {"eq", "ne", "lt", "le", "gt", "ge", "isnan", "isinf"}
LOGICAL = {"logical_and", "logical_or", "logical_xor", "logical_not"}
