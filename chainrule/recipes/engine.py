"""What must hold of the system around the nets: a user's own module, plans that agree, runs that go on, estimators, exports."""

from __future__ import annotations

import importlib.util
import warnings
from typing import Any

import torch
from torch import Tensor, nn

import chainrule
from chainrule.core.errors import Interrupted
from chainrule.core.events import Evaluated, Event
from chainrule.core.registry import recipes
from chainrule.engine.stop import Stop
from chainrule.evaluate.intervals import wilson
from chainrule.recipes.outcome import Figure, Outcome, Setting

ASKED = "asked of the library"


class Own(nn.Module):
    """A module as a user writes one: it knows nothing of chainrule."""

    def __init__(self) -> None:
        super().__init__()
        self.hidden, self.output = nn.Linear(64, 32), nn.Linear(32, 10)

    def forward(self, x: Tensor) -> Tensor:
        scores: Tensor = self.output(torch.tanh(self.hidden(x.flatten(1))))
        return scores


def confident(outputs: Tensor, targets: Tensor) -> Tensor:
    """A loss as a user writes one: cross-entropy, with a price on probabilities near one."""
    logs = outputs.log_softmax(1)
    return nn.functional.nll_loss(logs, targets, reduction="none") + 0.01 * (logs.exp() * logs).sum(1)


@recipes("own-module", source=ASKED)
def own_module(setting: Setting) -> Outcome:
    """A module and a loss of ten lines, trained on the digits by the same engine as every other net."""
    run = chainrule.train("digits", net=Own(), loss=confident, epochs=10, plan="eager", threads=1, out=setting.out / "run", progress=False)
    result = run.test()
    right = result.n - (result.errors or 0)
    ends = wilson(right, result.n)
    return Outcome([Figure("test accuracy %", 100 * right / result.n, 100 * ends.low, 100 * ends.high, 90, ASKED, "at least")])


@recipes("plan-agreement", source=ASKED)
def plan_agreement(setting: Setting) -> Outcome:
    """The same training as eager steps and as a native program, from the same start: how far apart the weights end, and the times."""
    options: dict[str, Any] = {"net": "mlp:hidden=30", "batch": 10, "epochs": 1, "progress": False}
    runs = {plan: chainrule.train("digits", **options, plan=plan, out=setting.out / plan) for plan in ("eager", "native")}
    ends = {plan: torch.cat([t.detach().double().flatten() for t in run.net.state_dict().values()]) for plan, run in runs.items()}
    start = torch.cat([t.detach().double().flatten() for t in runs["eager"].fresh_job().net.tensors.values()])
    apart = float((ends["native"] - ends["eager"]).norm() / (ends["eager"] - start).norm())
    rows = [["plan", "seconds a step"]]
    rows += [[plan, f"{run.summary()['plan']['seconds_per_step']:.2e}"] for plan, run in runs.items()]
    taken = str(runs["native"].summary()["plan"]["name"]).startswith("native")
    return Outcome([Figure("difference of the weights over the way they went", apart, published=1e-3, goal="at most", source=ASKED),
                    Figure("trainings that went by the native program", int(taken), published=1, goal="at least")], rows)


@recipes("resume-exact", source=ASKED)
def resume_exact(setting: Setting) -> Outcome:
    """A run stopped in the middle and resumed, against one that was not: weights that differ in any bit."""
    options: dict[str, Any] = {"net": "mlp:hidden=30,dropout=0.2", "optimizer": "adam", "epochs": 4, "plan": "eager", "threads": 1,
                               "progress": False}
    whole = chainrule.train("digits", **options, out=setting.out / "whole")
    stop = Stop()

    def interrupt(event: Event) -> None:
        if isinstance(event, Evaluated) and event.epoch == 2:
            stop.request("SIGINT")

    interrupted = False
    try:
        chainrule.train("digits", **options, out=setting.out / "part", stop=stop, sinks=[interrupt])
    except Interrupted:
        interrupted = True
    resumed = chainrule.resume(setting.out / "part", progress=False)
    pairs = list(zip(whole.net.state_dict().values(), resumed.net.state_dict().values(), strict=True))
    differ = sum(int((a != b).sum()) for a, b in pairs)
    return Outcome([Figure("weights that differ", differ, published=0, goal="at most", source=ASKED),
                    Figure("interruptions", int(interrupted), published=1, goal="at least")],
                   notes=[f"of {sum(a.numel() for a, _ in pairs):,} weights"])


@recipes("estimator-contract", source="Buitinck et al. (2013), API design for machine learning software, https://arxiv.org/abs/1309.0238")
def estimator_contract(setting: Setting) -> Outcome:
    """scikit-learn's own checks of an estimator: of the regressor in the short form, of all four in the full one."""
    from sklearn.utils.estimator_checks import check_estimator

    estimators = {"NetworkRegressor": chainrule.estimators.NetworkRegressor("linear", rule="closedform", epochs=1)}
    if not setting.short:
        estimators = {"NetworkClassifier": chainrule.estimators.NetworkClassifier(epochs=60),
                "NetworkRegressor": chainrule.estimators.NetworkRegressor(epochs=60),
                "NetworkTransformer": chainrule.estimators.NetworkTransformer("rbm:hidden=5", epochs=5),
                "NetworkGenerator": chainrule.estimators.NetworkGenerator("mixture:components=2", epochs=5)}
    rows, failed, passed = [["estimator", "checks", "failed", "skipped"]], list[str](), 0
    for name, estimator in estimators.items():
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            results = check_estimator(estimator, on_fail=None, on_skip=None)
        bad = [f"{name}: {r['check_name']}: {r['exception']}" for r in results if r["status"] == "failed"]
        rows.append([name, str(len(results)), str(len(bad)), str(sum(r["status"] == "skipped" for r in results))])
        failed, passed = failed + bad, passed + sum(r["status"] == "passed" for r in results)
    return Outcome([Figure("checks that fail", len(failed), published=0, goal="at most", source="Buitinck et al. (2013)"),
                    Figure("checks that pass", passed, published=20 * len(estimators), goal="at least")], rows, failed)


@recipes("export-agreement", source=ASKED)
def export_agreement(setting: Setting) -> Outcome:
    """A net on rows of its data, and what its exported files answer: as safetensors, as a torch program, and as ONNX where installed."""
    run = chainrule.train("digits", net="mlp:hidden=16", epochs=2, plan="eager", out=setting.out / "run", progress=False)
    onnx = all(importlib.util.find_spec(package) for package in ("onnxscript", "onnxruntime"))
    apart = {to: run.export(to)[1] for to in ("safetensors", "pt2", *(("onnx",) if onnx else ()))}
    return Outcome([Figure("greatest difference of an answer", max(apart.values()), published=1e-5, goal="at most", source=ASKED)],
                   [["format", "difference"], *([to, f"{value:.1e}"] for to, value in apart.items())],
                   [] if onnx else ["ONNX was not tried: its packages are not installed"])
