"""A formula as people write it, `x^2 + y^2 - 6x + 10`, as a function of a row of numbers that can be differentiated.

Read by recursive descent: Lucas (1961), https://doi.org/10.1145/800029.808499. Nothing in it is executed as code.
"""

from __future__ import annotations

import math
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field

import torch
from torch import Tensor

from chainrule.core.errors import InputError, suggest

FUNCTIONS: dict[str, Callable[[Tensor], Tensor]] = {
    "exp": torch.exp, "log": torch.log, "sqrt": torch.sqrt, "sin": torch.sin, "cos": torch.cos, "tan": torch.tan, "tanh": torch.tanh,
    "abs": torch.abs}
CONSTANTS = {"pi": math.pi, "e": math.e}
TOKEN = re.compile(r"\s*(?:(?P<number>(?:\d+\.?\d*|\.\d+)(?:[eE][+-]?\d+)?)|(?P<name>[A-Za-z_]\w*)|(?P<mark>\*\*|[-+*/^()=;]))")
OPERATIONS: dict[str, Callable[..., Tensor]] = {
    "+": torch.add, "-": torch.sub, "*": torch.mul, "/": torch.div, "^": torch.pow, "minus": torch.neg, **FUNCTIONS}
STRENGTH = {"+": 1, "-": 1, "*": 2, "/": 2, "minus": 3, "^": 4}     # how tightly a sign binds; brackets stand around what binds less
WHOLE = 5                                                          # of what needs none
MOST_LETTERS, DEEPEST = 600, 50                                    # of a text, and how deep brackets, signs and powers may nest in it
Values = dict[str, Tensor]


@dataclass(frozen=True, eq=False)
class Term:
    """A variable by its name, a number with its `value`, or an operation on `parts`: a sign or a function.

    A reader makes equal terms once, so that they are one object: comparing them by their parts would take as long as there are paths.
    """

    word: str
    parts: tuple[Term, ...] = ()
    value: float | None = None

    def __call__(self, values: Values) -> Tensor:
        """Its value () where variables have these."""
        if self.parts:
            return OPERATIONS[self.word](*(part(values) for part in self.parts))
        return values[self.word] if self.value is None else torch.tensor(self.value, dtype=torch.float64)

    @property
    def strength(self) -> int:
        return STRENGTH.get(self.word, WHOLE) if self.parts else WHOLE

    def text(self, names: Mapping[Term, str]) -> str:
        """As it is written, with names in place of the terms that have one.

        >>> read("(a+b)(b+1)").term.text({})
        '(a + b) * (b + 1)'
        """
        if not self.parts:
            return self.word
        if self.word in FUNCTIONS:
            return f"{self.word}({names.get(self.parts[0]) or self.parts[0].text(names)})"
        if self.word == "minus":
            return "-" + self._part(0, names)
        between = "^" if self.word == "^" else f" {self.word} "
        return self._part(0, names) + between + self._part(1, names)

    def _part(self, i: int, names: Mapping[Term, str]) -> str:
        """A part in brackets where it binds less than this, or as little and stands on the other side."""
        part = self.parts[i]
        if part in names:
            return names[part]
        other = (i == 1) != (self.word == "^")
        bare = part.strength > self.strength or (part.strength == self.strength and not other)
        return part.text(names) if bare else f"({part.text(names)})"


@dataclass(frozen=True)
class Formula:
    """What was written, the names of its variables in order of appearance, and the function that it is."""

    text: str
    names: tuple[str, ...]
    term: Term = field(repr=False)
    named: tuple[tuple[str, Term], ...] = ()        # terms that the text gives a name to, in the order it does

    def __call__(self, x: Tensor) -> Tensor:
        """Its value () at numbers (d,) in the order of `names`; at a lone one () where it has one variable."""
        return self.term(dict(zip(self.names, x.reshape(len(self.names)), strict=True)))


def read(text: str) -> Formula:
    """The formula in a text: + - * / ^, brackets, numbers, variables, functions, pi and e; `6x` and `2(x + 1)` are products.

    Products and quotients are taken from left to right, so 1/2x is half of x. Raises InputError naming the place that cannot be read.

    >>> formula = read("x^2 + y^2 - 6x + 10")
    >>> formula.names, float(formula(torch.tensor([3.0, 0.0])))
    (('x', 'y'), 1.0)
    """
    reader = _Reader(text)
    term = reader.sum()
    reader.end()
    if not reader.names:
        raise InputError(f"'{text}' has no variable. Write a formula such as 'x^2 - 6x + 10'.")
    return Formula(text, tuple(reader.names), term)


def read_named(text: str) -> Formula:
    """The last of several formulas, those before it under names that it may use: `c = a + b; e = c * (b + 1)`.

    Raises InputError where the text cannot be read, or a name stands for two things.

    >>> formula = read_named("e = (a+b)(b+1)")
    >>> formula.names, [name for name, _ in formula.named]
    (('a', 'b'), ['e'])
    """
    reader = _Reader(text)
    term = reader.definitions()
    if not reader.names:
        raise InputError(f"'{text}' has no variable. Write a formula such as 'e = (a + b) * (b + 1)'.")
    return Formula(text, tuple(reader.names), term, tuple(reader.named.items()))


class _Reader:
    """Reads the tokens of a text from left to right."""

    def __init__(self, text: str):
        self.text, self.names, self.tokens, self.at = text, list[str](), list[tuple[str, str, int]](), 0
        self.named, self.known, self.depth = dict[str, Term](), dict[tuple[object, ...], Term](), 0
        if len(text) > MOST_LETTERS:
            raise InputError(f"A formula has at most {MOST_LETTERS} characters; this one has {len(text):,}. Write a shorter one.")
        place = 0
        while text[place:].strip():
            match = TOKEN.match(text, place)
            if match is None or match.lastgroup is None:
                place += len(text[place:]) - len(text[place:].lstrip())
                raise self.refusal(f"'{text[place]}'", place)
            self.tokens.append((match.lastgroup, match[match.lastgroup], match.start(match.lastgroup)))
            place = match.end()

    def refusal(self, what: str, place: int) -> InputError:
        return InputError(f"'{self.text}' cannot be read at character {place + 1}: {what} is not expected there. Write a formula such as "
                          "'x^2 + y^2 - 6x + 10'; the functions are " + ", ".join(FUNCTIONS) + ".")

    def next(self, *marks: str) -> str:
        """The next token where it is one of the marks, which is then behind; else ''."""
        kind, word, _ = self.tokens[self.at] if self.at < len(self.tokens) else ("", "", 0)
        if kind == "mark" and word in marks:
            self.at += 1
            return word
        return ""

    def term(self, word: str, *parts: Term, value: float | None = None) -> Term:
        """The one term that is this operation on these parts, this number or this variable."""
        return self.known.setdefault((word, value, *parts), Term(word, parts, value))

    def end(self) -> None:
        if self.at < len(self.tokens):
            raise self.refusal(f"'{self.tokens[self.at][1]}'", self.tokens[self.at][2])

    def definitions(self) -> Term:
        """The last of them."""
        while True:
            name, place = "", 0
            if [kind for kind, *_ in self.tokens[self.at : self.at + 2]] == ["name", "mark"] and self.tokens[self.at + 1][1] == "=":
                _, name, place = self.tokens[self.at]
                self.at += 2
            term = self.sum()
            if name in self.names or name in self.named or name in FUNCTIONS:                # which its own formula may have used too
                raise InputError(f"'{self.text}' gives the name '{name}' to a second thing, at character {place + 1}. Use another name.")
            if name:
                self.named[name] = term
            if not self.next(";"):
                self.end()
                return term

    def sum(self) -> Term:
        term = self.product()
        while mark := self.next("+", "-"):
            term = self.term(mark, term, self.product())
        return term

    def product(self) -> Term:
        term = self.signed()
        while True:
            if mark := self.next("*", "/"):
                term = self.term(mark, term, self.signed())
            elif self.at < len(self.tokens) and (self.tokens[self.at][0] in ("name", "number") or self.tokens[self.at][1] == "("):
                term = self.term("*", term, self.power())
            else:
                return term

    def inside(self, read: Callable[[], Term]) -> Term:
        """What is read within something else: a bracket, a sign, a power."""
        self.depth += 1
        if self.depth > DEEPEST:
            raise InputError(f"A formula nests at most {DEEPEST} deep; '{self.text[:40]}...' nests deeper. Give a part of it a name: "
                             "c = a + b; e = c^2.")
        term = read()
        self.depth -= 1
        return term

    def signed(self) -> Term:
        if mark := self.next("+", "-"):
            term = self.inside(self.signed)
            return term if mark == "+" else self.term("minus", term)
        return self.power()

    def power(self) -> Term:
        term = self.atom()
        return self.term("^", term, self.inside(self.signed)) if self.next("^", "**") else term

    def atom(self) -> Term:
        if self.at == len(self.tokens):
            raise self.refusal("its end", len(self.text))
        kind, word, place = self.tokens[self.at]
        self.at += 1
        if kind == "number":
            return self.term(word, value=float(word))
        if word == "(":
            return self.closed()
        if kind == "mark":
            raise self.refusal(f"'{word}'", place)
        if word in FUNCTIONS:
            if not self.next("("):
                raise self.refusal(f"{word} without brackets", place)
            return self.term(word, self.closed())
        if word in self.named:
            return self.named[word]
        if word in CONSTANTS:
            return self.term(word, value=CONSTANTS[word])
        if self.at < len(self.tokens) and self.tokens[self.at][1] == "(" and len(word) > 1:
            raise InputError(f"'{self.text}' uses a function '{word}', which is none of {', '.join(FUNCTIONS)}. {suggest(word, FUNCTIONS)}")
        if word not in self.names:
            self.names.append(word)
        return self.term(word)

    def closed(self) -> Term:
        """What stands up to the closing bracket."""
        term = self.inside(self.sum)
        if not self.next(")"):
            self.end()
            raise self.refusal("its end", len(self.text))
        return term

