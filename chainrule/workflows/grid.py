"""What a sweep goes over: `key=v1,v2` read against the options of training and those of its net, rule, optimizer and schedule."""

from __future__ import annotations

import dataclasses
import itertools
import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from types import NoneType
from typing import Any

from chainrule.core.errors import InputError, suggest
from chainrule.core.options import kinds, main_kind
from chainrule.core.registry import Chosen, Registry, inits, losses, nets, optimizers, read_text, rules, schedules, split
from chainrule.data.fold import parse_fold
from chainrule.job.options import Options

OWNERS: dict[str, Registry[Any]] = {"optimizer": optimizers, "rule": rules, "net": nets, "schedule": schedules, "loss": losses,
                                    "init": inits}
OF_THE_DATA = ("target", "group", "time", "weight")   # they decide how the data is read, once for all members
REPLICATES = ("seed", "fold", "bootstrap")     # members apart in these alone are repetitions of one setting
EXPECTED: dict[Any, tuple[str, str]] = {int: ("whole numbers", "1,2"), float: ("numbers", "0.5,1.5"), bool: ("yes and no", "yes,no")}
MOST_DIGITS = 40             # of a span of whole numbers
MOST_MEMBERS = 10_000        # of a sweep: each is a folder of files, and all are held while they train
Over = Mapping[str, Sequence[Any] | str]
Resolve = Callable[[Options], Options]


@dataclass(frozen=True)
class Axis:
    """One key with its values, as text. `owner` is what an inner option belongs to, empty for an option of training."""

    key: str
    owner: str
    name: str
    values: tuple[str, ...]

    def apply(self, options: Options, value: str) -> Options:
        if self.owner:
            chosen = OWNERS[self.owner].choose(getattr(options, self.owner))
            read = chosen.entry.options[self.name].read(value, chosen.entry.name)
            spec: dict[str, Any] = {self.owner: str(Chosen(chosen.entry, {**chosen.options, self.name: read}))}
            return replace(options, **spec)
        changed: dict[str, Any] = {self.name: _typed(self.key, self.name, value)}
        return replace(options, **changed)


def read_over(texts: Sequence[str]) -> dict[str, str]:
    """`--over key=v1,v2` as a mapping. Raises InputError."""
    over: dict[str, str] = {}
    for text in texts:
        key, equals, values = text.partition("=")
        if not equals or not key.strip() or not values.strip():
            raise InputError(f"--over expects key=v1,v2,...; got '{text}'. Write e.g. --over rate=0.1,0.3 --over seed=0..4.")
        if key.strip() in over:
            raise InputError(f"--over {key.strip()} is given twice. Write its values once, joined by commas.")
        over[key.strip()] = values.strip()
    return over


def combinations(over: Over, options: Options, resolve: Resolve) -> list[tuple[dict[str, str], Options]]:
    """Every combination of values, the last key varying fastest: what is set, as text, and the options it makes.

    `resolve` fills in what options leave open (net, rule, optimizer), which inner options belong to. Raises InputError naming the
    nearest key, or what a value should be.
    """
    if not over:
        raise InputError("A sweep needs something to go over. Write e.g. --over rate=0.1,0.3 or --over seed=0..4.")
    plain = {key: _values(key, values) for key, values in over.items() if _field(key)}
    _spread_folds(plain)
    inner = {key: _values(key, values) for key, values in over.items() if key not in plain}
    _check_count(" --over ".join(over), math.prod(len(values) for values in (*plain.values(), *inner.values())))
    settings = []
    for some in itertools.product(*plain.values()):
        base = options
        for key, value in zip(plain, some, strict=True):
            base = Axis(key, "", key.replace("-", "_"), ()).apply(base, value)
        whole = resolve(base) if inner else base
        axes = [_axis(key, values, whole) for key, values in inner.items()]
        base = replace(base, **{axis.owner: getattr(whole, axis.owner) for axis in axes})
        for others in itertools.product(*inner.values()):
            asked = base
            for axis, value in zip(axes, others, strict=True):
                asked = axis.apply(asked, value)
            setting = {**dict(zip(plain, some, strict=True)), **dict(zip(inner, others, strict=True))}
            settings.append(({key: setting[key] for key in over}, asked.checked()))
    place = {key: values.index for key, values in {**plain, **inner}.items()}
    return sorted(settings, key=lambda one: tuple(place[key](one[0][key]) for key in over))


def _field(key: str) -> bool:
    """Whether a key is an option of training itself."""
    name = key.replace("-", "_")
    if name in OF_THE_DATA:
        raise InputError(f"--over {key} would read the data anew for every member. Sweep over something else, and train twice.")
    return name in {f.name for f in dataclasses.fields(Options)}


def _axis(key: str, values: tuple[str, ...], resolved: Options) -> Axis:
    """The inner option a key names, `rate` or `optimizer.rate`, among those of the resolved net, rule, optimizer and schedule."""
    owners = {owner: OWNERS[owner].choose(spec).entry for owner in OWNERS if (spec := getattr(resolved, owner)) and _named(owner, spec)}
    owner, dot, name = key.rpartition(".")
    name = name.replace("-", "_")
    if dot and owner not in OWNERS:
        raise InputError(f"--over {key}: there is nothing called '{owner}' to set '{name}' of. {suggest(owner, OWNERS)}")
    if dot and owner not in owners:
        raise InputError(f"--over {key}: this run has no {owner} of a known name. Give one with --{owner}.")
    having = [o for o in ([owner] if dot else owners) if name in owners[o].options]
    if len(having) > 1 and "optimizer" in having and name == "rate":
        having = ["optimizer"]
    if len(having) == 1:
        return Axis(key, having[0], name, values)
    if having:
        raise InputError(f"--over {key} could be {' or '.join(f'{o}.{name}' for o in having)}. Write one of them.")
    known = [*(f.name for f in dataclasses.fields(Options) if f.name not in OF_THE_DATA),
             *(option for o, entry in owners.items() for option in ([f"{o}.{n}" for n in entry.options] if dot else entry.options))]
    raise InputError(f"There is nothing called '{key}' to sweep over. {suggest(key, known)}")


def _named(owner: str, spec: str) -> bool:
    return spec.partition(":")[0] in OWNERS[owner].names()


def _values(key: str, values: Sequence[Any] | str) -> tuple[str, ...]:
    """The values as text; `0..4` are whole numbers from 0 to 4."""
    if isinstance(values, str):
        parts = [p.strip() for p in split(values) if p.strip()]
        spread: list[str] = []
        for part in parts:
            low, dots, high = part.partition("..")
            if dots and low.isdecimal() and high.isdecimal() and len(part) <= MOST_DIGITS:
                _check_count(key, max(0, int(high) - int(low) + 1) + len(spread))
                spread += [str(n) for n in range(int(low), int(high) + 1)]
            else:
                spread.append(part)
    else:
        _check_count(key, len(values))
        spread = [_text(value) for value in values]
    if not spread:
        raise InputError(f"--over {key} has no values. Write e.g. --over {key}=0,1.")
    if len(set(spread)) < len(spread):
        raise InputError(f"--over {key} names {max(spread, key=spread.count)} more than once. Name each value once.")
    return tuple(spread)


def _check_count(key: str, count: int) -> None:
    if count > MOST_MEMBERS:
        raise InputError(f"--over {key} makes {count:,} runs; a sweep has at most {MOST_MEMBERS:,}. Name fewer values.")


def _text(value: Any) -> str:
    if isinstance(value, bool):
        return "yes" if value else "no"
    if value is None:
        return "none"
    return "x".join(map(str, value)) if isinstance(value, (tuple, list)) else str(value)


def _spread_folds(plain: dict[str, tuple[str, ...]]) -> None:
    """Plain fold numbers are folds of as many as the largest says."""
    numbers = plain.get("fold", ())
    if any(n.isdecimal() for n in numbers):
        folds = max(int(n) for n in numbers if n.isdecimal())
        if folds < 2:
            raise InputError("--over fold=1..k divides into k folds, at least 2. Write e.g. --over fold=1..5.")
        plain["fold"] = tuple(f"{n}/{folds}" if n.isdecimal() else n for n in numbers)
    for n in plain.get("fold", ()):
        parse_fold(n)


def _typed(key: str, name: str, text: str) -> Any:
    several = kinds(Options)[name]
    if NoneType in several and text.lower() in ("none", "off"):
        return None
    want = main_kind(several)
    try:
        return read_text(text, want)
    except ValueError:
        expected, example = EXPECTED[want]
        raise InputError(f"--over {key} expects {expected}; got '{text}'. Write e.g. --over {key}={example}.") from None
