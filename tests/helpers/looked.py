"""Runs as their logs tell them, made by hand: looks at layers whose gradients fall by a known factor."""

import math

from chainrule.core.events import Evaluated, Finished, Looked, Planned, Progressed, Started

BINS = 32


def look(step, layers, fall, last=1e-2):
    """One look at so many layers: the gradient loses `fall` powers of ten a layer on its way down from `last`."""
    gradient = [last * 10 ** (-fall * (layers - 1 - i)) for i in range(layers)]
    one = [[0] * BINS for _ in range(layers)]
    for row, value in zip(one, gradient):
        place = min(max(int((9 + math.log10(value)) / 12 * BINS), 0), BINS - 1)
        row[place] = 200 + step % 50
        row[min(place + 1, BINS - 1)] += 56
    return Looked(step, 0.1, step, {
        "layers": [f"layers.{i}" for i in range(layers)], "kinds": ["Linear + Sigmoid"] * layers, "gradient": gradient,
        "update": [1e-3] * layers, "activation_sd": [0.1 * (i + 1) for i in range(layers)], "dead": [0.0] * (layers - 1) + [0.25],
        "histograms": {"activation": one, "gradient": one}, "loss": 2.3 - step / 1000})


def log(layers=8, fall=1.2, steps=(0, 1, 2, 3, 5, 8, 13, 21, 34, 55, 89, 100, 200, 400)):
    """The events of a run of two epochs that was looked at after these steps."""
    last = steps[-1]
    return [
        Started(0, 0.0, "runs/a", "mlp", "backprop", 10, {"name": "digits", "n": 9, "splits": {"train": 9, "valid": 200}}, {}),
        Planned(1, 0.1, "eager", "fp32", 0.02, 1, [], "fastest"),
        *(Progressed(2, 0.2, 1, s, last, 2.3 - s / 500, 10.0, None) for s in range(0, last, 4)),
        *(look(step, layers, fall) for step in steps),
        Evaluated(3, 1.0, 1, last // 2, {"loss": 1.5}, {"loss": 1.6, "accuracy": 0.5}, False),
        Evaluated(4, 2.0, 2, last, {"loss": 1.0}, {"loss": 1.2, "accuracy": 0.61}, True),
        Finished(5, 2.0, "budget", 2, last, 2, {"loss": 1.2}, {"training": 1.5}),
    ]
