"""D14: the gradient shrinks from layer to layer on its way down."""

from __future__ import annotations

from collections.abc import Iterator

from chainrule.core.registry import diagnoses
from chainrule.observe.doctor.case import Case, middle
from chainrule.observe.doctor.facts import Facts
from chainrule.observe.doctor.finding import Finding
from chainrule.observe.doctor.remedy import Remedy, altered, remedy

FLAT = ("sigmoid", "tanh", "scaled-tanh", "hard-tanh", "softplus")


@diagnoses("vanishing-gradient", source="Hochreiter (1991), diploma thesis, TU Munich; Glorot & Bengio (2010), "
           "https://proceedings.mlr.press/v9/glorot10a.html", code="D14", after=("exploding-gradient", "exploding-through-time"),
           unless=("symmetry",),
           cause="Each layer multiplies the gradient by its weights and by the slope of its units; where both are below one, the layers "
                 "near the input learn nothing.",
           remedy="Rectified units with `--init he` for `--net mlp:...,activation=relu`, `--init xavier` for tanh, or a net with "
                  "normalisation or shortcuts, as `--net resnet`.")
def vanishing_gradient(case: Case, *, ratio: float = 1e-3, smallest: float = 1e-4, fewest: int = 5, window: int = 20,
                       layers: int = 3, output: float = 1e-4) -> Iterator[Finding]:
    """The gradient of the lowest layer's weights, by their size, is below `ratio` of the highest's and below `smallest`; or below
    `smallest` while that of what it gives is below `output` of the highest's, since signals that shrink on their way up make both small.

    Medians over the first `window` looks, of which there must be `fewest`, in nets of so many `layers` of weights or more.
    """
    if case.facts.zero and set(case.facts.weights) == set(case.facts.zero):
        return
    trained, looks = case.trained, case.looks[:window]
    if len(case.looks) > window or len(trained) < layers or len(looks) < fewest or any(at.look.direction for at in looks):
        return
    low, high = trained[0], trained[-1]
    pairs = [(a, b) for at in looks if (a := case.relative_gradient(at, low)) is not None and (b := case.relative_gradient(at, high))]
    if len(pairs) < fewest:
        return
    begins = next((rel for i in trained if (rel := middle([r for at in looks if (r := case.relative_gradient(at, i)) is not None])) > 0),
                  0.0)
    if not begins < smallest:                          # zero below and large above: something cuts the gradient, see D09
        return
    share, lowest = middle([a / b for a, b in pairs]), middle([a for a, _ in pairs])
    passed = middle([a / b for at in looks if (a := at.of("gradient", low)) is not None and (b := at.of("gradient", high))])
    start = (looks[0].of("gradient", low), looks[0].of("gradient", high))
    if start[0] is None or not start[1] or not start[0] < output * start[1]:   # what shrinks later has died, see D17
        passed = 1.0
    if not (lowest < smallest and (share < ratio or passed < output)):
        return
    by = ", by the size of their weights" if share < ratio else ""
    share = share if share < ratio else passed
    fall = share ** (1 / (len(trained) - 1))
    names = case.layers
    yield Finding(names[low], f"the gradient of {names[low]} is {share:.1e} of that of {names[high]}{by} (median of "
                  f"{len(pairs)} looks): it falls {1 / fall:.3g}-fold a layer" if share else
                  f"the gradient of {names[low]} is zero and that of {names[high]} is not (median of {len(pairs)} looks)",
                  cure(case.facts), {"ratio": share, "relative_gradient": lowest, "fall_per_layer": fall, "layers": len(trained)})


def cure(facts: Facts) -> Remedy:
    """Rectified units begun as they ask for; of rectified ones, their init, or normalisation where that is theirs already."""
    if facts.activation in FLAT:
        if facts.activation != "sigmoid" and not facts.init.startswith(("xavier", "table")):
            return remedy(init="xavier")
        net = altered("net", facts.net, activation="relu")
        return remedy(net=net, init="he")
    if not facts.init.startswith("he"):
        return remedy(init="he")
    net = altered("net", facts.net, norm="batch")
    return remedy(net=net) if net else Remedy({}, "a net with shortcuts or normalisation, as --net resnet")
