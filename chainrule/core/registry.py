"""Names with options: every net, rule, optimizer, loss and data set is found by name and typed by its own signature."""

from __future__ import annotations

import functools
import importlib
import inspect
import math
import pkgutil
import re
import types
import typing
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, Generic, TypeVar

from chainrule.core.errors import InputError, suggest
from chainrule.core.traits import (
    AugmentTraits,
    DatasetTraits,
    DiagnosisTraits,
    InitTraits,
    LookTraits,
    MeasureTraits,
    NetTraits,
    NoTraits,
    OptimizerTraits,
    PictureTraits,
    RuleTraits,
    TaskTraits,
)

REQUIRED = inspect.Parameter.empty
NAME = re.compile(r"[a-z0-9]+(-[a-z0-9]+)*")
T = TypeVar("T")
M = TypeVar("M", bound=Callable[..., Any])  # what is registered, of which nothing is forgotten


@dataclass(frozen=True)
class Option:
    """One keyword-only parameter of a registered callable: what a user may set as `name:option=value`."""

    name: str
    kind: Any
    default: Any

    @property
    def kind_name(self) -> str:
        return _kind_name(self.kind)

    @property
    def nested(self) -> Registry[Any] | None:
        """Whose names its values are, each with options of its own; None for plain values."""
        return NESTED.get(self.kind)

    def _choose(self, text: str, owner: str) -> Chosen[Any]:
        registry = NESTED[self.kind]
        bare = text[1:-1] if text.startswith("(") and text.endswith(")") else text
        if not bare.strip():
            raise InputError(f"{owner} expects {self.name} to be the name of an {registry.noun}; got '{text}'. "
                             f"Write {owner}:{self.name}={_example(self)}.")
        try:
            return registry.choose(bare)
        except InputError as error:
            raise InputError(f"In {owner}:{self.name}={text}: {error}") from None

    def read(self, text: str, owner: str) -> Any:
        """The typed value of `text`; `300x100` is a list. Raises InputError where it does not fit."""
        if self.nested is not None:
            return self._choose(text, owner)
        try:
            return read_text(text, self.kind)
        except ValueError:
            raise InputError(f"{owner} expects {self.name} to be {self.kind_name}; got '{text}'. "
                             f"Write {owner}:{self.name}={_example(self)}.") from None


@dataclass(frozen=True)
class Entry(Generic[T]):
    """A registered callable with its source and what is particular about it (`traits`)."""

    name: str
    make: Callable[..., Any]
    summary: str
    source: str
    options: Mapping[str, Option]
    traits: T


@dataclass(frozen=True)
class Chosen(Generic[T]):
    """An entry together with the options a user gave it; `str()` is the canonical spelling, which reads back equal."""

    entry: Entry[T]
    options: Mapping[str, Any]

    def make(self, *supplied: Any, **context: Any) -> Any:
        return self.entry.make(*supplied, **context, **self.options)

    def values(self) -> dict[str, Any]:
        """Every option with its value, given or by default; those of a nested choice as `option.name`, beside its own name."""
        flat: dict[str, Any] = {}
        for name, option in self.entry.options.items():
            value = self.options.get(name, option.default)
            flat[name] = value.entry.name if isinstance(value, Chosen) else value
            if isinstance(value, Chosen):
                flat |= {f"{name}.{inner}": one for inner, one in value.values().items()}
        return flat

    def at(self, values: Mapping[str, Any]) -> Chosen[T]:
        """The same with other values, under the names of `values()`."""
        options = dict(self.options)
        for path, value in values.items():
            name, _, inner = path.partition(".")
            options[name] = options[name].at({inner: value}) if inner else value
        return Chosen(self.entry, options)

    def __str__(self) -> str:
        if not self.options:
            return self.entry.name
        return self.entry.name + ":" + ",".join(f"{k}={_write(v)}" for k, v in self.options.items())


@functools.cache
def sources(package: str) -> dict[str, str]:
    """The text of every module of a package and of the packages in it, by name, read without importing them; empty where there is none."""
    inside = importlib.import_module(package)
    texts = {}
    for module in pkgutil.walk_packages(getattr(inside, "__path__", []), f"{package}."):
        spec = module.module_finder.find_spec(module.name, None)
        loader: Any = spec.loader if spec else None
        texts[module.name] = (loader.get_source(module.name) if loader else None) or ""
    return texts


class Registry(Generic[T]):
    """The names of one kind of thing, registered by the modules of `package`.

    Who asks for a name imports the file that registers it, found by its text; who asks for all, or for a name that no file's text
    registers in the usual words, imports every module.
    """

    def __init__(self, noun: str, package: str, traits: type[T]):
        self.noun = noun
        self.package = package
        self.traits = traits
        self._entries: dict[str, Entry[T]] = {}
        self._discovered = False

    def __call__(self, name: str | None = None, *, source: str = "", **traits: Any) -> Callable[[M], M]:
        """Register the decorated callable under `name` (default: its own, `_` written `-`) and return it unchanged.

        `traits` are those of this kind of thing. Raises TypeError, when the file is imported, for a trait that does not exist.
        """
        particular = self.traits(**traits)

        def register(make: M) -> M:
            title = name or make.__name__.replace("_", "-")
            if not NAME.fullmatch(title):
                raise ValueError(f"a {self.noun} is called by small letters, digits and hyphens; got '{title}'")
            if title in self._entries and self._entries[title].make.__module__ != make.__module__:
                raise ValueError(f"two {self.noun}s are called {title}: {self._entries[title].make.__module__} and {make.__module__}")
            summary = (inspect.getdoc(make) or "").split("\n")[0]
            self._entries[title] = Entry(title, make, summary, source, options_of(make), particular)
            return make

        return register

    def discover(self) -> None:
        if self._discovered:
            return
        for module in sources(self.package):
            importlib.import_module(module)
        self._discovered = True  # only now: another thread that asks meanwhile waits for the same imports

    def __contains__(self, name: object) -> bool:
        """Whether there is such a name."""
        if name in self._entries:
            return True
        if not (isinstance(name, str) and NAME.fullmatch(name)):
            return False
        if not self._discovered:
            registers = re.compile(rf'^@\w+\("{name}"|^(?:def|class) {name.replace("-", "_")}\b', re.MULTILINE)
            for module, text in sources(self.package).items():
                if registers.search(text):
                    importlib.import_module(module)
                    if name in self._entries:
                        return True
        self.discover()
        return name in self._entries

    def called(self, spec: object) -> bool:
        """Whether a text begins with one of the names, be it with options or without."""
        return isinstance(spec, str) and spec.partition(":")[0].strip() in self

    def names(self) -> list[str]:
        self.discover()
        return sorted(self._entries)

    def entries(self) -> list[Entry[T]]:
        return [self._entries[name] for name in self.names()]

    def get(self, name: str) -> Entry[T] | None:
        """The entry of that name, None where there is none."""
        return self._entries[name] if name in self else None

    def find(self, name: str) -> Entry[T]:
        if name not in self:
            raise InputError(f"There is no {self.noun} called '{name}'. {suggest(name, self.names())}")
        return self._entries[name]

    def choose(self, spec: str) -> Chosen[T]:
        """Read `name:key=value,key=value`; a lone value goes to the first option. Raises InputError naming the nearest.

        A value that is itself a name with options, as the optimizer of a rule's part, is `name:key=value`, and stands in parentheses
        where it has a comma: `adversarial:discriminator=(adam:rate=0.001,beta1=0.5),generator=sgd`. An empty list is `none`.

        >>> from chainrule.core.registry import nets
        >>> str(nets.choose("mlp:hidden=300x100,activation=tanh"))
        'mlp:hidden=300x100,activation=tanh'
        """
        name, _, rest = spec.strip().partition(":")
        entry = self.find(name.strip())
        values: dict[str, Any] = {}
        for at, part in enumerate(p for p in split(rest) if p.strip()):
            key, equals, text = part.partition("=")
            if not equals:
                if at or not entry.options:
                    hint = f"write key=value; its options are {', '.join(entry.options)}" if entry.options else "it has no options"
                    raise InputError(f"{self.noun} {entry.name} cannot place '{part.strip()}': {hint}.")
                key, text = next(iter(entry.options)), part
            key = key.strip().replace("-", "_")
            if key not in entry.options:
                raise InputError(f"{self.noun} {entry.name} has no option '{key}'. {suggest(key, entry.options)}")
            if key in values:
                raise InputError(f"{self.noun} {entry.name} is given {key} twice in '{spec.strip()}'. Leave one of them out; a list is "
                                 "joined by x, as in 300x100.")
            values[key] = entry.options[key].read(text.strip(), entry.name)
        missing = [k for k, o in entry.options.items() if o.default is REQUIRED and k not in values and o.nested is None]
        if missing:
            example = _example(entry.options[missing[0]])
            raise InputError(f"{self.noun} {entry.name} needs {missing[0]}: write {entry.name}:{missing[0]}={example}.")
        return Chosen(entry, values)


NESTED: dict[Any, Registry[Any]] = {}  # types whose values a user names, with options, and whose names those are


def split(text: str, sign: str = ",") -> list[str]:
    """The text between signs that stand in no parentheses. Raises InputError for parentheses that do not match.

    >>> split("a=(b:c=1,d=2),e=3")
    ['a=(b:c=1,d=2)', 'e=3']
    """
    parts, depth = [""], 0
    for letter in text:
        depth += (letter == "(") - (letter == ")")
        if depth < 0:
            break
        if letter == sign and not depth:
            parts.append("")
        else:
            parts[-1] += letter
    if depth:
        raise InputError(f"The parentheses in '{text}' do not match. Write e.g. discriminator=(adam:rate=0.001,beta1=0.5).")
    return parts


def options_of(make: Callable[..., Any]) -> dict[str, Option]:
    """The keyword-only parameters of `make` whose types a user can write: numbers, words, yes/no, lists of these."""
    target = make.__init__ if inspect.isclass(make) else make
    if inspect.isclass(make) and target is object.__init__:
        return {}
    named = {name: p for name, p in inspect.signature(target).parameters.items() if p.kind is inspect.Parameter.KEYWORD_ONLY}
    if not named:
        return {}  # other types may be known to type checkers alone
    hints = typing.get_type_hints(target)
    return {name: Option(name, hints.get(name), p.default) for name, p in named.items() if _writable(hints.get(name))}


def _strip_none(kind: Any) -> tuple[Any, bool]:
    if typing.get_origin(kind) in (typing.Union, types.UnionType):
        rest = [a for a in typing.get_args(kind) if a is not type(None)]
        if len(rest) == 1:
            return rest[0], True
    return kind, False


def _writable(kind: Any) -> bool:
    kind, _ = _strip_none(kind)
    if kind in NESTED:
        return True
    if typing.get_origin(kind) is tuple:
        return _writable(typing.get_args(kind)[0])
    return kind in (int, float, bool, str) or typing.get_origin(kind) is typing.Literal


def read_text(text: str, kind: Any) -> Any:
    """The value that a text says, as a type that a user can write. Raises ValueError."""
    kind, optional = _strip_none(kind)
    if optional and text.lower() in ("none", "off"):
        return None
    if typing.get_origin(kind) is tuple:
        if text.lower() in ("", "none"):
            return ()
        item = typing.get_args(kind)[0]
        return tuple(read_text(part, item) for part in text.split("x"))
    if typing.get_origin(kind) is typing.Literal:
        if text not in typing.get_args(kind):
            raise ValueError(text)
        return text
    if kind is bool:
        if text.lower() in ("true", "yes", "on", "1"):
            return True
        if text.lower() in ("false", "no", "off", "0"):
            return False
        raise ValueError(text)
    if "_" in text and kind in (int, float):              # Python takes 1_000 for a number, and 1__0 or _1 not
        raise ValueError(text)
    value = kind(text)
    if kind is float and not math.isfinite(value):
        raise ValueError(text)
    return value


def _kind_name(kind: Any) -> str:
    kind, optional = _strip_none(kind)
    if kind in NESTED:
        name = f"an {NESTED[kind].noun}"
    elif typing.get_origin(kind) is tuple:
        name = f"a list of {_kind_name(typing.get_args(kind)[0]).split(' ', 1)[-1]}s joined by x"
    elif typing.get_origin(kind) is typing.Literal:
        name = "one of " + ", ".join(typing.get_args(kind))
    else:
        name = {int: "a whole number", float: "a number", bool: "yes or no", str: "a word"}[kind]
    return name + (" or none" if optional else "")


def _example(option: Option) -> str:
    if option.default is not REQUIRED and option.default is not None:
        return _write(option.default)
    kind, _ = _strip_none(option.kind)
    if kind in NESTED:
        return NESTED[kind].names()[0]
    if typing.get_origin(kind) is tuple:
        return "300x100"
    if typing.get_origin(kind) is typing.Literal:
        return str(typing.get_args(kind)[0])
    return {int: "10", float: "0.1", bool: "yes", str: "name"}[kind]


def _write(value: Any) -> str:
    if isinstance(value, tuple):
        return "x".join(map(_write, value)) or "none"
    if isinstance(value, bool):
        return "yes" if value else "no"
    text = "none" if value is None else str(value)
    return f"({text})" if isinstance(value, Chosen) and "," in text else text


nets = Registry("net", "chainrule.nets", NetTraits)
inits = Registry("init", "chainrule.nets", InitTraits)
rules = Registry("rule", "chainrule.rules", RuleTraits)
optimizers = Registry("optimizer", "chainrule.optim", OptimizerTraits)
schedules = Registry("schedule", "chainrule.optim", NoTraits)
constraints = Registry("constraint", "chainrule.optim", NoTraits)
tasks = Registry("task", "chainrule.tasks", TaskTraits)
measures = Registry("measure", "chainrule.tasks", MeasureTraits)
pictures = Registry("picture", "chainrule.plots", PictureTraits)
losses = Registry("loss", "chainrule.losses", NoTraits)
datasets = Registry("data set", "chainrule.data", DatasetTraits)
augments = Registry("augmentation", "chainrule.data", AugmentTraits)
recipes = Registry("recipe", "chainrule.recipes", NoTraits)
diagnoses = Registry("diagnosis", "chainrule.observe.doctor", DiagnosisTraits)
looks = Registry("look", "chainrule.observe.looks", LookTraits)
