"""D29: a pair of adversaries one of which has nothing to follow."""

from __future__ import annotations

from collections.abc import Iterator

from chainrule.core.registry import diagnoses
from chainrule.observe.doctor.case import Case, middle
from chainrule.observe.doctor.finding import Finding
from chainrule.observe.doctor.rate_too_high import AIM, lower
from chainrule.observe.doctor.remedy import Remedy, altered, option_of, remedy, rounded

STRONG = 0.1         # of a first step, over the weights


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
                      "validations in a row, so that the generator has nothing to follow",
                      remedy("or gan:spectral=yes, or gan:form=wgan-gp", rule="adversarial:discriminator=adam:rate=0.00005"),
                      {"accuracy": now["discriminator_accuracy"], "coverage": now["coverage"]})
    elif all(valid["coverage"] <= covered and (valid["clusters"] <= one or (valid["clusters"] <= few and valid["spread"] <= near))
             for valid in last):
        yield Finding("generator", f"samples reach {100 * now['clusters']:.0f} % of the clusters of rows at {validations} validations in a "
                                   f"row (coverage {100 * now['coverage']:.0f} %): it has collapsed to some of its modes", cure(case),
                      {"clusters": now["clusters"], "coverage": now["coverage"]})


def cure(case: Case) -> Remedy:
    """A lower rate of the generator where its first step is a large share of its weights, else another form of the game."""
    facts = case.facts
    step = middle([u for at in case.looks[:1] for i, name in enumerate(at.layers) if name.startswith("generator.")
                   and (u := at.of("update", i)) is not None])
    if step > STRONG:
        own = option_of("rule", facts.rule, "generator.rate")
        rule = None if own is None else altered("rule", facts.rule, **{"generator.rate": rounded(own * AIM / step)})
        return remedy("or gan:form=wgan-gp", rule=rule, optimizer=None if rule else lower(case, AIM / step))
    net = altered("net", facts.net, form="wgan-gp") if facts.net else None
    return remedy("or gan:spectral=yes, or a lower rate for the generator: --rule adversarial:generator=adam:rate=0.0001",
                  net=net or "gan:form=wgan-gp")
