"""D29: a pair of adversaries one of which has nothing to follow."""

from __future__ import annotations

from collections.abc import Iterator

from chainrule.core.registry import diagnoses
from chainrule.observe.doctor.case import Case
from chainrule.observe.doctor.finding import Finding
from chainrule.observe.doctor.remedy import altered, remedy


@diagnoses("generator-collapse", source="Goodfellow (2016), https://arxiv.org/abs/1701.00160; Arjovsky & Bottou (2017), "
           "https://arxiv.org/abs/1701.04862", code="D29", reads=("Evaluated",), after=("not-finite",), once=False,
           cause="The generator does best against the discriminator of the moment with a few kinds of samples; or the discriminator is so "
                 "sure that its answer has no slope.",
           remedy="`--net gan:form=wgan-gp`, `--net gan:spectral=yes`, a lower rate of the generator (`--rule "
                  "adversarial:generator=adam:rate=0.0001`) or of the discriminator.")
def generator_collapse(case: Case, *, validations: int = 5, near: float = 3.0, few: float = 0.5,
                       certain: float = 0.98) -> Iterator[Finding]:
    """At so many `validations` in a row samples are as `near` to centres of rows as rows and reach at most `few` of their clusters, or the
    discriminator is right more often than `certain` while samples cover less than `few` of the rows.
    """
    last = [e.valid for e in case.evaluations[-validations:]]
    if len(last) < validations or any("clusters" not in valid for valid in last):
        return
    now, net = last[-1], case.facts.net
    form = altered("net", net, form="wgan-gp") if net else None
    if all(valid["clusters"] <= few and valid["spread"] <= near for valid in last):
        yield Finding("generator", f"samples look like rows, and reach {100 * now['clusters']:.0f} % of the clusters of rows at "
                                   f"{validations} validations in a row (coverage {100 * now['coverage']:.0f} %): it has collapsed to some "
                                   "of its modes",
                      remedy("or gan:spectral=yes, or a lower rate for the generator: --rule adversarial:generator=adam:rate=0.0001",
                             net=form or "gan:form=wgan-gp"), {"clusters": now["clusters"], "coverage": now["coverage"]})
    elif all(valid.get("discriminator_accuracy", 0) >= certain and valid["coverage"] < few for valid in last):
        yield Finding("discriminator", f"it tells {100 * now['discriminator_accuracy']:.0f} % of rows and samples apart at {validations} "
                      f"validations in a "
                      "row, so that the generator has nothing to follow",
                      remedy("or gan:spectral=yes, or gan:form=wgan-gp", rule="adversarial:discriminator=adam:rate=0.00005"),
                      {"accuracy": now["discriminator_accuracy"], "coverage": now["coverage"]})
