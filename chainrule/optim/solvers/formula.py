"""A formula as people write it, `x^2 + y^2 - 6x + 10`, as a function of a row of numbers that can be differentiated.

Read by recursive descent: Lucas (1961), https://doi.org/10.1145/800029.808499. Nothing in it is executed as code.
"""

from __future__ import annotations

import math
import re
from collections.abc import Callable
from dataclasses import dataclass, field

import torch
from torch import Tensor

from chainrule.core.errors import InputError, suggest

FUNCTIONS: dict[str, Callable[[Tensor], Tensor]] = {
    "exp": torch.exp, "log": torch.log, "sqrt": torch.sqrt, "sin": torch.sin, "cos": torch.cos, "tan": torch.tan, "tanh": torch.tanh,
    "abs": torch.abs}
CONSTANTS = {"pi": math.pi, "e": math.e}
TOKEN = re.compile(r"\s*(?:(?P<number>(?:\d+\.?\d*|\.\d+)(?:[eE][+-]?\d+)?)|(?P<name>[A-Za-z_]\w*)|(?P<mark>\*\*|[-+*/^()]))")
Values = dict[str, Tensor]
Term = Callable[[Values], Tensor]


@dataclass(frozen=True)
class Formula:
    """What was written, the names of its variables in order of appearance, and the function that it is."""

    text: str
    names: tuple[str, ...]
    term: Term = field(repr=False)

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


class _Reader:
    """Reads the tokens of a text from left to right."""

    def __init__(self, text: str):
        self.text, self.names, self.tokens, self.at = text, list[str](), list[tuple[str, str, int]](), 0
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

    def end(self) -> None:
        if self.at < len(self.tokens):
            raise self.refusal(f"'{self.tokens[self.at][1]}'", self.tokens[self.at][2])

    def sum(self) -> Term:
        term = self.product()
        while mark := self.next("+", "-"):
            term = _joined(mark, term, self.product())
        return term

    def product(self) -> Term:
        term = self.signed()
        while True:
            if mark := self.next("*", "/"):
                term = _joined(mark, term, self.signed())
            elif self.at < len(self.tokens) and (self.tokens[self.at][0] in ("name", "number") or self.tokens[self.at][1] == "("):
                term = _joined("*", term, self.power())
            else:
                return term

    def signed(self) -> Term:
        if mark := self.next("+", "-"):
            term = self.signed()
            return term if mark == "+" else lambda values: -term(values)
        return self.power()

    def power(self) -> Term:
        term = self.atom()
        return _joined("^", term, self.signed()) if self.next("^", "**") else term

    def atom(self) -> Term:
        if self.at == len(self.tokens):
            raise self.refusal("its end", len(self.text))
        kind, word, place = self.tokens[self.at]
        self.at += 1
        if kind == "number":
            return _constant(float(word))
        if word == "(":
            return self.closed()
        if kind == "mark":
            raise self.refusal(f"'{word}'", place)
        if word in FUNCTIONS:
            if not self.next("("):
                raise self.refusal(f"{word} without brackets", place)
            function, inner = FUNCTIONS[word], self.closed()
            return lambda values: function(inner(values))
        if word in CONSTANTS:
            return _constant(CONSTANTS[word])
        if self.at < len(self.tokens) and self.tokens[self.at][1] == "(" and len(word) > 1:
            raise InputError(f"'{self.text}' uses a function '{word}', which is none of {', '.join(FUNCTIONS)}. {suggest(word, FUNCTIONS)}")
        if word not in self.names:
            self.names.append(word)
        return lambda values: values[word]

    def closed(self) -> Term:
        """What stands up to the closing bracket."""
        term = self.sum()
        if not self.next(")"):
            self.end()
            raise self.refusal("its end", len(self.text))
        return term


def _constant(number: float) -> Term:
    value = torch.tensor(number, dtype=torch.float64)
    return lambda values: value


def _joined(mark: str, left: Term, right: Term) -> Term:
    match mark:
        case "+":
            return lambda values: left(values) + right(values)
        case "-":
            return lambda values: left(values) - right(values)
        case "*":
            return lambda values: left(values) * right(values)
        case "/":
            return lambda values: left(values) / right(values)
    return lambda values: left(values) ** right(values)
