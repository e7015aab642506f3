"""A loop nest in C: terms as named scalars at the level where they are known, reductions in registers or in a row."""

from __future__ import annotations

import torch

from chainrule.engine.native.loops import Loop, Store, merged
from chainrule.engine.native.scalars import C_TYPES, number, written
from chainrule.engine.native.terms import REAL, Buffer, Linear, Term

PARALLEL = 8192    # points from which on threads share a nest
ROW = 2048         # elements of a row that is gathered on the stack
BLOCK = 256        # rows gathered at a time
SHORT = 8          # iterations from which on a loop is worth vectorising

START = {"sum": "0", "prod": "1", "any": "0", "all": "1"}
GATHER = {"sum": "{0} += {1};", "prod": "{0} *= {1};", "any": "{0} |= {1};", "all": "{0} &= {1};",
          "amax": "{0} = ({1} > {0}) | ({1} != {1}) ? {1} : {0};", "amin": "{0} = ({1} < {0}) | ({1} != {1}) ? {1} : {0};"}
CLAUSE = {"sum": "+", "prod": "*"}


class Nest:
    """The C function of one loop; `parameters` are the pointers it takes, each a buffer and an offset into it."""

    def __init__(self, loop: Loop, real: torch.dtype, threads: int):
        self.loop, self.real, self.threads = merged(loop), real, threads
        self.lines: list[str] = []
        self.parameters: list[tuple[Buffer, int]] = []
        self.names: dict[Term, str] = {}
        self.indent = 1
        stored = {s.buffer.storage for s in self.loop.stores}
        offsets: dict[Buffer, set[int]] = {}
        for buffer, place in self._accesses():
            offsets.setdefault(buffer.storage, set()).add(place.const)
        self.whole = {b for b, several in offsets.items() if b in stored and len(several) > 1}
        self.stored = stored
        loop = self.loop
        free = [a for a, r in enumerate(loop.reduced) if not r]
        gathered = [a for a, r in enumerate(loop.reduced) if r]
        self.by_row = bool(gathered) and bool(free) and not loop.reduced[-1] and not loop.sequential \
            and any(s.how in GATHER for s in loop.stores) and loop.space[free[-1]] <= ROW
        if self.by_row:
            self.order = [*free[:-1], *gathered, free[-1]]
            self.outer = len(free) - 1  # loops outside of the reduction
        else:
            self.order = [*free, *gathered]
            self.outer = len(free)
        self.level = {a: i + 1 for i, a in enumerate(self.order)}
        self._write()

    def _accesses(self) -> list[tuple[Buffer, Linear]]:
        return [(s.buffer, s.place) for s in self.loop.stores] + [(t.args[0], t.args[1]) for t in self.loop.loads]

    # Text

    def text(self, name: str) -> str:
        several: dict[Buffer, int] = {}
        for b, _ in self.parameters:
            several[b] = several.get(b, 0) + 1
        parameters = []
        for i, (b, _) in enumerate(self.parameters):
            alone = several[b] == 1 or b not in self.stored
            parameters.append(f"{'' if b in self.stored else 'const '}{C_TYPES[b.dtype]} *{'restrict ' if alone else ''}p{i}")
        return "\n".join([f"static CR_KERNEL void {name}({', '.join([*parameters, 'int *restrict bad'])})", "{", *self.lines, "}"])

    def _say(self, line: str) -> None:
        self.lines.append("    " * self.indent + line)

    def _pointer(self, buffer: Buffer, place: Linear) -> str:
        key = (buffer.storage, 0 if buffer.storage in self.whole else place.const)
        if key not in self.parameters:
            self.parameters.append(key)
        return f"p{self.parameters.index(key)}[{self._place(place, key[1])}]"

    def _place(self, place: Linear, without: int = 0) -> str:
        parts = []
        for variable, factor in place.terms:
            name = f"i{variable}" if isinstance(variable, int) else self._named(variable)
            parts.append(name if factor == 1 else f"{name} * {factor}")
        if place.const - without or not parts:
            parts.append(str(place.const - without))
        return " + ".join(parts)

    def _named(self, term: Term) -> str:
        if term.op == "const":
            return number(term.args[0], term.dtype)
        if term in self.names:
            return self.names[term]
        args = [self._named(a) for a in term.args if isinstance(a, Term)]
        if term.dtype == torch.bool and term.op != "load":
            return f"({written(term, args, self.real)})"
        raise KeyError(term.op)

    def _define(self, term: Term) -> None:
        if term.op in ("const", "pair") or (term.dtype == torch.bool and term.op != "load"):
            return
        if term.op == "load":
            value = self._pointer(term.args[0], term.args[1])
        elif term.op == "index":
            value = self._place(term.args[0])
        else:
            value = written(term, [self._named(a) for a in term.args if isinstance(a, Term)], self.real)
        self.names[term] = f"v{len(self.names)}"
        self._say(f"const {C_TYPES[term.dtype]} {self.names[term]} = {value};")

    # Structure

    def _write(self) -> None:
        loop = self.loop
        levels: dict[int, list[Term]] = {}
        depth: dict[Term, int] = {}
        for term in loop.terms:
            own = 0
            for a in term.args:
                if isinstance(a, Linear):
                    own = max([own, *(self.level[v] if isinstance(v, int) else depth[v] for v, _ in a.terms)])
                elif isinstance(a, Term):
                    own = max(own, depth[a])
            depth[term] = len(self.order) if loop.sequential and term.op == "load" and term.args[0].storage in self.stored else own
            levels.setdefault(depth[term], []).append(term)
        self.levels = levels
        reductions = [s for s in loop.stores if s.how is not None and not s.scattered]
        self.shared = self.threads > 1 and loop.points >= PARALLEL and not loop.sequential
        self._define_at(0)
        if not reductions:
            self._nest(0, len(self.order))
            self._innermost([])
            self._close(len(self.order))
        elif self.by_row:
            self._rows(reductions)
        else:
            self._scalars(reductions)

    def _define_at(self, level: int) -> None:
        for term in self.levels.get(level, []):
            self._define(term)

    def _open(self, i: int, pragma: str = "", bounds: tuple[str, str] | None = None) -> None:
        a = self.order[i]
        begin, end = bounds or ("0", str(self.loop.space[a]))
        if pragma:
            self.lines.append(pragma)
        self._say(f"for (long i{a} = {begin}; i{a} < {end}; i{a}++) {{")
        self.indent += 1
        self._define_at(i + 1)

    def _close(self, count: int) -> None:
        for _ in range(count):
            self.indent -= 1
            self._say("}")

    def _nest(self, begin: int, end: int) -> None:
        """Loops number `begin` to `end`: the outermost shared by threads where that pays, the innermost of all vectorised."""
        for i in range(begin, end):
            inner = i == len(self.order) - 1
            # A loop whose every iteration stores elsewhere may be vectorised whatever the compiler can prove.
            simd = inner and not self.loop.sequential and self.loop.space[self.order[i]] >= SHORT and not self._indirect()
            share = self.shared and i == 0 and self.outer > 0 and self.loop.space[self.order[0]] >= self.threads
            words = ["omp", *(["parallel for"] if share else []), *(["simd"] if simd else []),
                     *(["schedule(static) num_threads(CR_THREADS)"] if share else [])]
            self._open(i, f"#pragma {' '.join(words)}" if len(words) > 1 else "")

    def _indirect(self) -> bool:
        return any(t.op in ("at", "at_wrapped") for t in self.loop.terms)

    def _innermost(self, gathered: list[str]) -> None:
        """Reductions gather first, then the stores follow: every load of the nest comes before them."""
        for line in gathered:
            self._say(line)
        for s in self.loop.stores:
            if s.how is None or s.scattered:
                self._say(f"{self._pointer(s.buffer, s.place)} {'+=' if s.how else '='} {self._named(s.value)};")

    def _scalars(self, reductions: list[Store]) -> None:
        """One number for each point of the free axes, gathered in registers."""
        self._nest(0, self.outer)
        accumulators, steps = [], []
        for j, s in enumerate(reductions):
            assert s.how is not None
            kind = C_TYPES[s.value.dtype if s.how in GATHER else s.value.args[0].dtype]
            self._say(f"{kind} a{j} = {_start(s)};")
            if s.how.startswith("arg"):
                self._say(f"long at{j} = -1;")
                compare = ">" if s.how == "argmax" else "<"
                better = f"at{j} < 0 || {{0}} {compare} a{j} || ({{0}} != {{0}} && a{j} == a{j})"
                steps.append((f"if ({better}) {{{{ a{j} = {{0}}; at{j} = {{1}}; }}}}", list(s.value.args)))
            else:
                steps.append((GATHER[s.how].format(f"a{j}", "{0}"), [s.value]))
            accumulators.append(f"a{j}")
        hows = {s.how for s in reductions}
        clause = ""
        if len(hows) == 1 and (how := next(iter(hows))) in CLAUSE:
            clause = f"reduction({CLAUSE[how]}: {', '.join(accumulators)})"
        shared = self.shared and self.outer == 0 and clause and self.loop.space[self.order[0]] >= self.threads
        if shared:
            self._in_parts(reductions, clause, steps)
        else:
            self._loops_inside(clause, steps)
        for j, s in enumerate(reductions):
            result = f"at{j}" if s.how and s.how.startswith("arg") else f"a{j}"
            self._say(f"{self._pointer(s.buffer, s.place)} = {result};")
        self._close(self.outer)

    def _loops_inside(self, clause: str, steps: list[tuple[str, list[Term]]], bounds: tuple[str, str] | None = None) -> None:
        count = len(self.order) - self.outer
        for i in range(self.outer, len(self.order)):
            simd = i == len(self.order) - 1 and clause and self.loop.space[self.order[i]] >= SHORT and not self._indirect()
            self._open(i, f"#pragma omp simd {clause}" if simd else "", bounds if i == self.outer else None)
        self._innermost([line.format(*map(self._named, terms)) for line, terms in steps])
        self._close(count)

    def _in_parts(self, reductions: list[Store], clause: str, steps: list[tuple[str, list[Term]]]) -> None:
        """As many parts as threads, added in their order, so that the sum is the same every time."""
        n = self.loop.space[self.order[0]]
        for j, s in enumerate(reductions):
            self._say(f"{C_TYPES[s.value.dtype]} part{j}[CR_THREADS];")
        self.lines.append("#pragma omp parallel for schedule(static) num_threads(CR_THREADS)")
        self._say("for (long part = 0; part < CR_THREADS; part++) {")
        self.indent += 1
        for j, s in enumerate(reductions):
            self._say(f"{C_TYPES[s.value.dtype]} a{j} = {_start(s)};")
        self._loops_inside(clause, steps, (f"{n}L * part / CR_THREADS", f"{n}L * (part + 1) / CR_THREADS"))
        for j in range(len(reductions)):
            self._say(f"part{j}[part] = a{j};")
        self._close(1)
        self._say("for (long part = 0; part < CR_THREADS; part++) {")
        for j, s in enumerate(reductions):
            assert s.how is not None
            self._say("    " + GATHER[s.how].format(f"a{j}", f"part{j}[part]"))
        self._say("}")

    def _rows(self, reductions: list[Store]) -> None:
        """A row at a time is gathered on the stack, vectorised along the row; many rows by blocks, so that single precision lasts."""
        last, width = self.order[-1], self.loop.space[self.order[-1]]
        first, rows = self.outer, self.loop.space[self.order[self.outer]]
        parts = self.shared and self.outer == 0 and rows >= self.threads
        blocks = rows > 2 * BLOCK
        self._nest(0, self.outer)
        for j, s in enumerate(reductions):
            self._say(f"{C_TYPES[s.value.dtype]} all{j}{'[CR_THREADS]' if parts else ''}[{width}];")
        at = "[part]" if parts else ""
        if parts:
            self.lines.append("#pragma omp parallel for schedule(static) num_threads(CR_THREADS)")
            self._say("for (long part = 0; part < CR_THREADS; part++) {")
            self.indent += 1
        begin, end = (f"{rows}L * part / CR_THREADS", f"{rows}L * (part + 1) / CR_THREADS") if parts else ("0", str(rows))
        self._each(width, [f"all{j}{at}[i] = {_start(s)};" for j, s in enumerate(reductions)])
        if blocks:
            self._say(f"for (long block = {begin}; block < {end}; block += {BLOCK}) {{")
            self.indent += 1
            self._say(f"const long until = block + {BLOCK} < {end} ? block + {BLOCK} : {end};")
            for j, s in enumerate(reductions):
                self._say(f"{C_TYPES[s.value.dtype]} a{j}[{width}];")
            self._each(width, [f"a{j}[i] = {_start(s)};" for j, s in enumerate(reductions)])
            begin, end = "block", "until"
        for i in range(first, len(self.order)):
            simd = i == len(self.order) - 1 and width >= SHORT and not self._indirect()
            self._open(i, "#pragma omp simd" if simd else "", (begin, end) if i == first else None)
        into = [f"a{j}" if blocks else f"all{j}{at}" for j in range(len(reductions))]
        self._innermost([GATHER[str(s.how)].format(f"{a}[i{last}]", self._named(s.value)) for a, s in zip(into, reductions, strict=True)])
        self._close(len(self.order) - first)
        if blocks:
            self._each(width, [GATHER[str(s.how)].format(f"all{j}{at}[i]", f"a{j}[i]") for j, s in enumerate(reductions)])
            self._close(1)
        if parts:
            self._close(1)
            self._say("for (long part = 1; part < CR_THREADS; part++) {")
            self.indent += 1
            self._each(width, [GATHER[str(s.how)].format(f"all{j}[0][i]", f"all{j}[part][i]") for j, s in enumerate(reductions)])
            self._close(1)
        for j, s in enumerate(reductions):
            place = self._pointer(s.buffer, s.place)
            self._say(f"for (long i{last} = 0; i{last} < {width}; i{last}++) {place} = all{j}{'[0]' if parts else ''}[i{last}];")
        self._close(self.outer)

    def _each(self, width: int, lines: list[str]) -> None:
        self._say(f"for (long i = 0; i < {width}; i++) {{ {' '.join(lines)} }}")


def _start(store: Store) -> str:
    assert store.how is not None
    if store.how in START:
        return START[store.how]
    dtype = store.value.dtype if store.how in GATHER else store.value.args[0].dtype
    if store.how.startswith("arg"):
        return "0"
    if dtype in REAL:
        return "-INFINITY" if store.how == "amax" else "INFINITY"
    low, high = (0, 1) if dtype == torch.bool else (torch.iinfo(dtype).min, torch.iinfo(dtype).max)
    if dtype == torch.int64:
        return "INT64_MIN" if store.how == "amax" else "INT64_MAX"
    return str(low if store.how == "amax" else high)


