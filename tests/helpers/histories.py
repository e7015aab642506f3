"""Made histories of runs: what a doctor reads, with one thing wrong in them or nothing."""

from __future__ import annotations

from chainrule.core.events import Evaluated, Finished, Judged, Looked, Planned, Progressed
from chainrule.observe.doctor.facts import Facts

LAYERS = ["hidden1", "hidden2", "hidden3", "output"]
FACTS = Facts(task="classification", net="mlp:hidden=50x50x50", rule="backprop", loss="cross-entropy", optimizer="sgd:rate=0.1", init="he",
              rate=0.1,
              batch=32, rows=1000, validating=200, classes=10, shares=(0.1,) * 10, inputs={"mean": 0.0, "sd": 1.0, "bits": 200.0},
              activation="relu", weights=dict.fromkeys(LAYERS, 2500), constant_loss=2.3026)


def look(**odd):
    """A look at a healthy net, but for what is given."""
    n = len(odd.get("layers", LAYERS))
    usual = {"layers": LAYERS, "kinds": ["Dense + ReLU"] * (n - 1) + ["Dense"], "dead": [0.05] * (n - 1) + [None], "saturated": [None] * n,
             "weight_gradient": [1e-3] * n, "weight": [5.0] * n, "update": [2e-3] * n, "activation_sd": [1.0] * n, "norm": 1.5,
             "loss": 1.0, "evaluated_loss": 1.0}
    return {**usual, **odd}


def looked(steps, make, at=1):
    return [Looked(at + i, 0.1 * i, step=step, looks=make(step)) for i, step in enumerate(steps)]


STEPS = [0, 1, 2, 3, 4, 6, 8, 11, 16, 23, 32, 45, 64, 90, 128, 180, 256, 360, 400]


def falling(step):
    """The loss of a net that learns."""
    return 2.3 * 0.99**step + 0.1


def healthy(steps=STEPS, **odd):
    """Looks whose losses fall."""
    return looked(steps, lambda step: look(**{"loss": falling(step), "evaluated_loss": falling(step), **odd}))


def evaluated(epoch, train, valid, step=None, **more):
    return Evaluated(0, 0.0, epoch=epoch, step=step or 40 * epoch, train={"loss": train}, valid={"loss": valid, **more}, best=False)


def progressed(step, loss):
    return Progressed(0, 0.0, epoch=0, step=step, steps=None, loss=loss, steps_per_second=1.0, remaining=None)


def judged(**answers):
    usual = {"n": 200, "constant": "always 0", "measure": "errors", "score": 20, "constant_score": 180, "low": -0.9, "high": -0.7,
             "sentence": "20 errors against 180 on 200 validation cases"}
    return Judged(0, 0.0, step=400, answers={**usual, **answers})


def finished(**odd):
    usual = {"reason": "budget", "epochs": 10, "steps": 400, "best_epoch": 8, "best": {}, "timing": {}}
    return Finished(0, 0.0, **{**usual, **odd})


def planned():
    return Planned(0, 0.0, name="eager", precision="fp32", seconds_per_step=1e-3, steps_per_chunk=1, rejected=[], reason="")
