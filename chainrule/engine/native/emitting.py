"""The whole program in C: every distinct kernel once as a function, and `run`, which calls them in order, step after step."""

from __future__ import annotations

from typing import NamedTuple

import torch

from chainrule.core.errors import PlanRejected
from chainrule.engine.native.loops import Call, Kernel, Loop, Product
from chainrule.engine.native.lowering import Lowering
from chainrule.engine.native.nests import Nest
from chainrule.engine.native.order import arena, arranged
from chainrule.engine.native.scalars import C_TYPES, number, written
from chainrule.engine.native.terms import REAL, Buffer, Term, walk

ALIGN = 64
HEAD = """/* One step of learning, written out by chainrule. */
#include <math.h>
#include <stddef.h>
#include <stdint.h>
{defines}
#include "kernels.h"

#define CR_KERNEL __attribute__((noinline))

/* A place named by an index; one that does not exist is said, and the first is read instead. */
static inline long cr_at(int64_t i, long n, int *bad) {{ if (i < 0 || i >= n) {{ *bad = 1; return 0; }} return i; }}
static inline long cr_at_wrapped(int64_t i, long n, int *bad) {{ return cr_at(i < 0 ? i + n : i, n, bad); }}
"""


class Source(NamedTuple):
    """The program and what it must be given: bytes of workspace, and of each step's share of the tensors that hold one value a step."""

    text: str
    arena: int
    learner: int
    batch: int
    draws: int
    constants: int
    reports: int


def emit(low: Lowering, finals: list[tuple[Buffer, Buffer]], threads: int) -> Source:
    """The program that does what was lowered. Raises PlanRejected for products of numbers that are not the learner's own type."""
    kernels = arranged(low.kernels, finals)
    real = next((b.dtype for b in low.learner if b.dtype in REAL), torch.float32)
    places, size = arena(kernels, ALIGN)
    program = _Program(real, threads, places)
    body = [line for k in kernels for line in program.called(k)]
    defines = (["#define CR_DOUBLE"] if real == torch.float64 else []) + [f"#define CR_THREADS {threads}"]
    names = [("learner", low.learner), ("batch", low.batch), ("draw", low.draws), ("constant", [b for b, _ in low.constants]),
             ("report", low.reports)]
    opening, slot = [], 0
    for _, buffers in names:
        for b in buffers:
            fixed = b.kind in ("learner", "constant")
            step = "" if fixed else f" + step * {b.extent}"
            if b in program.seen:
                opening.append(f"        {C_TYPES[b.dtype]} *const {_name(b)} = ({C_TYPES[b.dtype]} *)at[{slot}]{step};")
            slot += 1
    text = [HEAD.format(defines="\n".join(defines)), *program.functions,
            "/* How many reals of scratch the kernels need. */", "long scratch_size(void)", "{", "    long most = 0, need;",
            *(f"    need = {s}; most = need > most ? need : most;" for s in program.scratch), "    return most;", "}", "",
            "/* Does so many steps; returns 0, or the number of the step that named a place that does not exist. */",
            "long run(long steps, void *const *at, char *arena, void *scratch_at)", "{", "    int bad = 0;",
            "    real *const scratch = (real *)scratch_at;", "    (void)scratch, (void)arena, (void)at;",
            "    for (long step = 0; step < steps; step++) {", *opening, *body, "        if (bad) return step + 1;", "    }",
            "    return 0;", "}", ""]
    return Source("\n".join(text), size, *(len(buffers) for _, buffers in names))


def _name(buffer: Buffer) -> str:
    return f"{buffer.kind}{buffer.slot}"


class _Program:
    """Functions by their text, so that kernels that differ in their pointers alone are written and compiled once."""

    def __init__(self, real: torch.dtype, threads: int, places: dict[Buffer, int]):
        self.real, self.threads, self.places = real, threads, places
        self.functions: list[str] = []
        self.kernels_by_text: dict[str, str] = {}
        self.scratch: dict[str, None] = {}
        self.seen: set[Buffer] = set()

    def called(self, kernel: Kernel) -> list[str]:
        if isinstance(kernel, Loop):
            if not kernel.points:
                return []
            nest = Nest(kernel, self.real, self.threads)
            name = self._function(nest.text("{}"), kernel.origin)
            arguments = [self._at(b, offset) for b, offset in nest.parameters]
            return [f"        {name}({', '.join([*arguments, '&bad'])});"]
        if isinstance(kernel, Product):
            return self._product(kernel)
        assert isinstance(kernel, Call)
        for b, _ in kernel.pointers:
            if b.dtype in REAL and b.dtype != self.real:
                raise PlanRejected(f"native multiplies numbers of type {self.real} only; got {b.dtype}")
        if kernel.scratch:
            self.scratch[kernel.scratch.format()] = None
        types = [f"{'' if b in kernel.writes else 'const '}{C_TYPES[b.dtype]} *p{i}" for i, (b, _) in enumerate(kernel.pointers)]
        call = kernel.text.format(*(f"p{i}" for i in range(len(types))))
        text = f"static CR_KERNEL void {{}}({', '.join([*types, 'real *scratch'])})\n{{\n    (void)scratch;\n    {call};\n}}"
        name = self._function(text, kernel.origin)
        return [f"        {name}({', '.join([*(self._at(b, o) for b, o in kernel.pointers), 'scratch'])});"]

    def _function(self, text: str, origin: str) -> str:
        if text not in self.kernels_by_text:
            self.kernels_by_text[text] = f"k{len(self.kernels_by_text)}"
            self.functions.append(f"/* {origin} */\n{text.replace('{}', self.kernels_by_text[text], 1)}\n")
        return self.kernels_by_text[text]

    def _at(self, buffer: Buffer, offset: int) -> str:
        buffer = buffer.storage
        self.seen.add(buffer)
        if buffer.kind == "temporary":
            base = f"({C_TYPES[buffer.dtype]} *)(arena + {self.places[buffer]})"
        else:
            base = _name(buffer)
        return f"{base} + {offset}" if offset else base

    def _scalar(self, term: Term) -> str:
        """A number that is the same for the whole kernel, computed where it is called."""
        names: dict[Term, str] = {}
        for t in walk([term]):
            if t.op == "const":
                names[t] = number(t.args[0], t.dtype)
            elif t.op == "load":
                names[t] = f"*({self._at(t.args[0], t.args[1].const)})"
            else:
                names[t] = f"({written(t, [names[a] for a in t.args if isinstance(a, Term)], self.real)})"
        return names[term]

    def _product(self, k: Product) -> list[str]:
        operands = [m for m in (k.a, k.b, k.c, k.bias) if m is not None]
        for b in (m[0] for m in operands):
            if b.dtype != self.real:
                raise PlanRejected(f"native multiplies matrices of type {self.real} only; got {b.dtype}")
        m, n, inner = k.sizes
        levels = "".join(f"for (long s{i} = 0; s{i} < {size}; s{i}++) " for i, size in enumerate(k.stack))

        def pointer(letter: str, strides: list[int]) -> str:
            steps = [f"s{i} * {s}" for i, s in enumerate(strides[:-2]) if s]
            return f"{' + '.join([letter, *steps])}, {strides[-2]}, {strides[-1]}"

        matrices = ", ".join(pointer(letter, x[2]) for letter, x in (("a", k.a), ("b", k.b), ("c", k.c)))
        bias = pointer("bias", k.bias[2]) if k.bias is not None else "NULL, 0, 0"
        call = f"cr_matmul({m}, {n}, {inner}, {matrices}, alpha, {number(k.beta, self.real)}, {bias}, scratch);"
        types = ["const real *a", "const real *b", "real *c", *(["const real *bias"] if k.bias is not None else []), "real *scratch",
                 "real alpha"]
        alpha = self._scalar(k.alpha)
        if k.alpha.op == "const":
            types.pop()
            call = call.replace("alpha", alpha)
        self.scratch[f"cr_matmul_scratch({m}, {n}, {inner})"] = None
        name = self._function(f"static CR_KERNEL void {{}}({', '.join(types)})\n{{\n    {levels}{call}\n}}", k.origin)
        pointers = [self._at(x[0], x[1]) for x in operands]
        return [f"        {name}({', '.join([*pointers, 'scratch', *([alpha] if k.alpha.op != 'const' else [])])});"]
