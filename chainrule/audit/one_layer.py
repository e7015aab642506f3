"""What a run with one layer of weights has to say of its data: inputs that repeat each other, classes that no plane can part."""

from __future__ import annotations

from torch import Tensor

from chainrule.audit.separability import quick, separable
from chainrule.core.errors import InputError
from chainrule.core.registry import rules
from chainrule.job.job import Job
from chainrule.rules.least_squares import singular
from chainrule.rules.one_layer import only_layer, seen

PARTING = ("perceptron", "pocket", "averaged", "irls")  # rules whose end depends on whether a plane parts the classes


def before(job: Job) -> list[str]:
    """Sentences to say before training: with --rule closedform and no ridge, rank and dependent columns of the training part."""
    chosen = rules.choose(job.rule_name)
    if chosen.entry.name != "closedform" or chosen.options.get("ridge", 0.0) or not isinstance(job.data.train.x, Tensor):
        return []
    x = seen(job.net, job.data.ready(job.data.train.x)).detach()
    names = job.data.encoder.inputs.feature_names
    sentence = singular(x, names if len(names) == x.shape[1] else [f"input {i + 1}" for i in range(x.shape[1])],
                        bias=only_layer(job.net, "closedform")[1] is not None)
    return [] if sentence is None else [sentence]


def after(job: Job) -> list[str]:
    """Sentences to say when training has ended: whether a plane parts the classes of the training part, where the rule depends on it.

    Where the net's own plane does not, `evaluate.separable` decides; what would take it longer than some seconds is left, and says so.
    """
    train = job.data.train
    if rules.choose(job.rule_name).entry.name not in PARTING or not isinstance(train.x, Tensor) or train.y is None:
        return []
    x = seen(job.net, job.data.ready(train.x)).detach().cpu()                          # (n, d)
    classes = max(2, len(job.data.classes))
    if _parted(job.trained.outputs(train.x).cpu(), train.y):
        return ["The classes of the training part are linearly separable: the net puts every sample on its right side."]
    if not quick(len(x), x.shape[1], classes):
        return ["The net does not part the classes of the training part; whether a plane could was not decided, because that takes long "
                f"for {len(x):,} samples of {x.shape[1]:,} inputs in {classes} classes: chainrule.evaluate.separable.separable(x, y)."]
    try:
        verdict = separable(x, train.y)
    except InputError as error:
        return [f"Whether a plane parts the classes of the training part stays open. {error}"]
    if verdict.separable:
        return [f"{verdict} The net has not found it yet; give it more --epochs."]
    plain = rules.choose(job.rule_name).entry.name == "perceptron"
    return [f"In the training part: {verdict} Use hidden layers (--net mlp)"
            f"{', or --rule pocket for a plane with few mistakes' if plain else ''}."]


def _parted(outputs: Tensor, y: Tensor) -> bool:
    """Whether every sample is strictly on its right side."""
    if outputs.shape[1] == 1:
        return bool((outputs.squeeze(1) * y > 0).all())
    own = outputs.gather(1, y[:, None])
    return bool((outputs.scatter(1, y[:, None], float("-inf")).amax(1, keepdim=True) < own).all())
