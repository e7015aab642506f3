"""D29: a pair of adversaries one of which has nothing to follow."""

from __future__ import annotations

from collections.abc import Iterator

from chainrule.core.registry import diagnoses
from chainrule.observe.doctor.case import Case, middle
from chainrule.observe.doctor.finding import Finding
from chainrule.observe.doctor.remedy import Remedy, altered, option_of, remedy, rounded
from chainrule.observe.doctor.suited_rate import suited_step

PLAYERS = ("generator", "discriminator")
APART = 4.0          # times that a first step may be off what suits the game
CALM = 0.5           # beta1 of adam in a game: Radford, Metz & Chintala (2015), https://arxiv.org/abs/1511.06434


@diagnoses("generator-collapse", source="Goodfellow (2016), https://arxiv.org/abs/1701.00160; Arjovsky & Bottou (2017), "
           "https://arxiv.org/abs/1701.04862", code="D29", reads=("Evaluated",), after=("vanishing-gradient",), once=False,
           cause="The generator does best against the discriminator of the moment with a few kinds of samples; or the discriminator is so "
                 "sure that its answer has no slope.",
           remedy="`--net gan:form=wgan-gp`, `--net gan:spectral=yes`, a lower rate of the generator (`--rule "
                  "adversarial:generator=adam:rate=0.0001`) or of the discriminator.")
def generator_collapse(case: Case, *, validations: int = 5, near: float = 3.0, few: float = 0.5, one: float = 0.2, covered: float = 0.2,
                       certain: float = 0.98) -> Iterator[Finding]:
    """At so many `validations` in a row samples cover at most `covered` of the rows and reach at most `few` of their clusters while they
    are as `near` to centres of rows as rows, or at most `one` of them, wherever they are; or the discriminator is right more often than
    `certain` while samples cover less than `few` of the rows.
    """
    last = [e.valid for e in case.evaluations[-validations:]]
    if len(last) < validations or any("clusters" not in valid for valid in last):
        return
    now = last[-1]
    if all(valid.get("discriminator_accuracy", 0) >= certain and valid["coverage"] < few for valid in last):
        yield Finding("discriminator", f"it tells {100 * now['discriminator_accuracy']:.0f} % of rows and samples apart at {validations} "
                      "validations in a row, so that the generator has nothing to follow", cure(case),
                      {"accuracy": now["discriminator_accuracy"], "coverage": now["coverage"]})
    elif all(valid["coverage"] <= covered and (valid["clusters"] <= one or (valid["clusters"] <= few and valid["spread"] <= near))
             for valid in last):
        yield Finding("generator", f"samples reach {100 * now['clusters']:.0f} % of the clusters of rows at {validations} validations in a "
                                   f"row (coverage {100 * now['coverage']:.0f} %): it has collapsed to some of its modes", cure(case),
                      {"clusters": now["clusters"], "coverage": now["coverage"]})


def cure(case: Case) -> Remedy:
    """Players that move alike, where the first step of one is far from what suits the game; else another form of it."""
    facts = case.facts
    steps = {part: step for part in PLAYERS if (step := first_step(case, part)) > 0}
    aim = suited_step(case)
    if any(not aim / APART <= step <= aim * APART for step in steps.values()):
        rates = {part: own for part in PLAYERS if (own := option_of("rule", facts.rule, f"{part}.rate")) is not None}
        own = {f"{part}.{name}": value for part, rate in rates.items() if part in steps
               for name, value in (("rate", rounded(rate * aim / steps[part])), ("beta1", CALM))}
        others = [step for part, step in steps.items() if part not in rates]            # these follow --optimizer
        optimizer = altered("optimizer", facts.optimizer, rate=rounded((facts.rate or 0.0) * aim / middle(others)),
                            beta1=CALM) if others and facts.rate else None
        moving = remedy("so that both move alike; or gan:form=wgan-gp", rule=altered("rule", facts.rule, **own) if own else None,
                        optimizer=optimizer)
        if moving.options:
            return moving
    net = altered("net", facts.net, form="wgan-gp") if facts.net else None
    return remedy("or gan:spectral=yes", net=net or "gan:form=wgan-gp")


def first_step(case: Case, part: str) -> float:
    """The length of a player's first step by that of its weights, the median over its layers; nan where none was seen."""
    return middle([u for at in case.looks[:1] for i, name in enumerate(at.layers) if name.startswith(f"{part}.")
                   and (u := at.of("update", i)) is not None])
