"""What a job knows before its first step that a doctor asks for: of its data, of the net as it begins, of the options."""

from __future__ import annotations

import math
import warnings
from itertools import pairwise
from typing import Any

import torch
from torch import Tensor, nn

from chainrule.core.errors import InputError
from chainrule.core.registry import nets, optimizers, rules, tasks
from chainrule.data.row_hashes import row_hashes
from chainrule.data.source import Part
from chainrule.job.job import Job
from chainrule.nets.init.initial import recurrent_weights
from chainrule.observe.doctor.facts import Facts
from chainrule.rules.one_layer import only_layer, seen
from chainrule.tasks.reconstruction import Reconstruction

ROWS, COLUMNS = 1000, 256                # of the training part, looked at
WIDEST = 2048                            # layer whose curvature is computed
FEW = 64                                 # columns by which rows are known at first
HASHED_BYTES = 2**28                     # of a part whose rows are compared with the other's
ACTIVATIONS = {"ReLU": "relu", "Sigmoid": "sigmoid", "Tanh": "tanh", "Softmax": "softmax", "Hardtanh": "hard-tanh",
               "ScaledTanh": "scaled-tanh",
               "Softplus": "softplus", "LeakyReLU": "leaky", "ELU": "elu", "SELU": "selu", "GELU": "gelu", "SiLU": "silu"}
SPARSE = ("symbols", "codes")            # kinds of inputs whose numbers have no scale
OTHER_DECAY = ("kfac", "hessian-free")   # optimizers whose `decay` is no pull on weights
BETWEEN = (nn.Identity, nn.Flatten, nn.Dropout, nn.Dropout1d, nn.Dropout2d)


def facts_of(job: Job) -> Facts:
    """Reads some thousand training rows, the targets, and the weights."""
    return Facts(**{**_of_options(job), **_of_rows(job), **_of_targets(job), **_of_net(job)})


def _of_options(job: Job) -> dict[str, Any]:
    options = job.options
    optimizer, rule = _values(optimizers, options.optimizer), _values(rules, job.rule_name)
    family = nets.get(job.net_name.partition(":")[0])
    decay = 0.0 if str(options.optimizer).startswith(OTHER_DECAY) else float(optimizer.get("decay") or 0.0)
    return {"task": job.task.name, "net": job.net_name, "rule": job.rule_name, "loss": "" if job.loss is None else job.loss.name,
            "own_loss": job.loss is not None and job.loss.own is not None,
            "optimizer": str(options.optimizer), "usual": _usual(job), "schedule": options.schedule or "", "precision": options.precision,
            "init": options.init or (family.traits.init if family else "") or "", "rate": optimizer.get("rate"),
            "momentum": float(optimizer.get("momentum") or 0.0), "decay": decay + float(rule.get("l2") or 0.0),
            "batch": options.batch or 0, "steps": _planned(job), "rows": len(job.data.train), "validating": len(job.data.valid),
            "monitored": bool(job.monitor),
            "budget": "steps" if options.steps is not None else "seconds" if options.seconds is not None else "epochs",
            "pictures": job.data.encoder.inputs.picture_shape is not None,
            "activation": str(_values(nets, job.net_name).get("activation") or "") or _activation(job.net.module)}


def _usual(job: Job) -> str:
    """The optimizer that net and rule have where none is named."""
    family = nets.get(job.net_name.partition(":")[0])
    own = family.traits.optimizer(_values(nets, job.net_name)) if family and family.traits.optimizer else None
    return own or rules.choose(job.rule_name).entry.traits.optimizer


def _planned(job: Job) -> int:
    """How many steps there are to be; 0 where that is for the clock to say."""
    options, epoch = job.options, -(-len(job.data.train) // max(1, job.options.batch or 1))
    bounds = [n for n in (options.steps, None if options.epochs is None else options.epochs * epoch) if n is not None]
    return min(bounds, default=0)


def _values(registry: Any, spec: str | None) -> dict[str, Any]:
    """The options of a name with their values; none of what is no name."""
    try:
        return {} if spec is None else dict(registry.choose(spec).values())
    except InputError:
        return {}


def _of_rows(job: Job) -> dict[str, Any]:
    """Of some training rows as a step reads them, and of validation rows that are training rows too."""
    encoder, train, valid = job.data.encoder.inputs, job.data.train, job.data.valid
    if not len(train) or not isinstance(train.x, Tensor):
        return {"spread": False}
    some = train.x[_evenly(len(train), ROWS)]
    x = job.data.ready(some.to(job.device))
    known: dict[str, Any] = {"spread": encoder.kind not in SPARSE and not _worded(encoder)}
    inputs: dict[str, float] = {"bits": 0.0}
    if x.is_floating_point() and x.numel():
        x = x.float()
        finite = x.flatten(1).isfinite().all(1)
        inputs |= {"mean": float(x[finite].mean()), "sd": float(x[finite].std(correction=0)), "low": float(x[finite].min()),
                   "high": float(x[finite].max())} if bool(finite.any()) else {}
        inputs["not_finite"] = float(_not_finite(train.x))
    if encoder.vocabulary is None and isinstance(valid.x, Tensor) and len(valid) and train.x.nbytes <= HASHED_BYTES:
        inputs["bits"] = bits(some)
        known["duplicates"] = shared(valid.x, train.x) if inputs["bits"] else 0
    return {**known, "inputs": inputs, "curvature": _curvature(job, some)}


def shared(some: Tensor, others: Tensor) -> int:
    """How many of some rows (m, ...) are among others (n, ...); by a few columns first, by all where these are equal."""
    few = _evenly(math.prod(some.shape[1:]), FEW)
    mine, theirs = (row_hashes(x.flatten(1)[:, few]) for x in (some, others))
    a, b = torch.isin(mine, theirs), torch.isin(theirs, mine)
    return int(torch.isin(row_hashes(some[a]), row_hashes(others[b])).sum()) if bool(a.any()) else 0


def _not_finite(x: Tensor) -> int:
    """How many rows (n, ...) hold a number that is not finite."""
    return int((~x.isfinite().flatten(1).all(1)).sum()) if x.is_floating_point() else 0


def _worded(encoder: Any) -> bool:
    """Whether columns are words, whose numbers are mostly zero."""
    return encoder.features is not None and any(column.kind == "text" for column in encoder.features.columns)


def bits(x: Tensor) -> float:
    """How many bits tell rows (n, ...) apart: the sum over columns of the logarithm of how many values there are.

    Of many columns some are looked at, which stand for all.

    >>> bits(torch.tensor([[0, 1], [1, 1], [0, 1]]))
    1.0
    """
    columns = math.prod(x.shape[1:])
    chosen = _evenly(columns, COLUMNS)
    ordered = x[: ROWS // 2].flatten(1)[:, chosen].sort(0).values
    return columns / max(len(chosen), 1) * float(((ordered[1:] != ordered[:-1]).sum(0) + 1).double().log2().sum())


def _curvature(job: Job, some: Tensor) -> float | None:
    """What a rate of gradient descent is held against where one linear layer is trained under half the squared error.

    Of a batch of b rows x with a 1 for the bias: (1 - 1/b) times the largest eigenvalue of the mean of x x', and 1/b of its trace, which is
    the mean square length of x. At b = 1 steps of a rate above 2 over the latter do not converge in mean square for any spread of inputs.
    """
    if job.loss is None or job.loss.name != "squared" or job.rule_name.partition(":")[0] not in ("adaline", "backprop"):
        return None
    try:
        weight, bias = only_layer(job.net, "")
    except InputError:
        return None
    if _values(rules, job.rule_name).get("normalised") or job.net.params[weight].shape[1] > WIDEST:
        return None
    with torch.no_grad():
        x = seen(job.net, job.data.ready(some.to(job.device))).double()                      # (n, d)
    x = torch.cat([x, torch.ones_like(x[:, :1])], 1) if bias else x
    if not bool(x.isfinite().all()):
        return None
    moments, b = x.T @ x / len(x), max(1, job.options.batch or len(job.data.train))
    return float((1 - 1 / b) * torch.linalg.eigvalsh(moments)[-1] + moments.trace() / b)


def _of_targets(job: Job) -> dict[str, Any]:
    """How classes are shared out, or what numbers there are, and the loss of the constant answer."""
    train: Part = job.data.train
    if isinstance(job.task, Reconstruction):
        return {"constant_loss": _of_mean_row(job)}
    y, kind = train.y, job.target
    if not isinstance(y, Tensor) or not len(train):
        return {}
    loss = "" if job.loss is None else job.loss.name
    if kind in ("class", "sign", "steps"):
        if not job.task.classes:
            return {}
        classes = max(2, len(job.data.classes) or len(job.task.classes))
        labels = (y > 0).long() if kind == "sign" else y.long()
        labels = labels[:20_000]
        weight = torch.ones(labels.shape, dtype=torch.float64)
        if train.weight is not None:
            weight = weight * train.weight[: len(labels)].double().cpu().reshape(-1, *[1] * (labels.dim() - 1))
        valid = labels >= 0
        if train.mask is not None and train.mask.shape == labels.shape:
            valid &= train.mask[: len(labels)].bool().cpu()
        labels, weight = labels.cpu()[valid.cpu()], weight[valid.cpu()]
        if not len(labels):
            return {}
        shares = torch.zeros(max(classes, int(labels.max()) + 1), dtype=torch.float64).scatter_add_(0, labels, weight)
        shares = shares / shares.sum()
        entropy = float(-(shares * shares.clamp(min=1e-300).log()).sum())
        constant = entropy if loss == "cross-entropy" else 0.5 * float((shares * (1 - shares)).sum()) if loss == "squared" else None
        if constant is None and kind == "class":
            constant = _loss_of(job, shares.clamp(min=1e-6).log().float(), train.y)
        return {"classes": classes, "shares": tuple(round(s, 6) for s in shares.tolist()), "constant_loss": constant}
    if kind != "real" or not y.is_floating_point() or job.task.classes or tasks.find(job.task.name).traits.targetless:
        return {}
    values = y.double().reshape(len(y), -1).cpu()
    targets = {"mean": float(values.mean()), "sd": float(values.std(0, correction=0).mean()), "low": float(values.min()),
               "high": float(values.max())}
    constant = 0.5 * float(values.var(0, correction=0).sum()) if loss == "squared" else _loss_of(job, values.mean(0).float(), y)
    return {"targets": targets, "constant_loss": constant}


def _of_mean_row(job: Job) -> float | None:
    """The loss of who gives back the mean of the training rows whatever the row; None where that is not known."""
    train, mean = job.data.train, job.trained.constant                                          # (d,)
    if mean is None or job.loss is None or not len(train) or not isinstance(train.x, Tensor):
        return None
    rows = job.data.ready(train.x[_evenly(len(train), ROWS)].to(job.device)).flatten(1).cpu()   # (n, d)
    return _loss_of(job, (mean.logit(1e-6) if job.loss.name == "binary-cross-entropy" else mean).float(), rows)


def _loss_of(job: Job, constant: Tensor, y: Tensor) -> float | None:
    """The mean loss of training rows where every output is what a constant answer gives (k,); None where it has none, or is below zero."""
    rows = _evenly(len(y), ROWS)
    if job.loss is None:
        return None
    try:
        with torch.random.fork_rng(), torch.no_grad(), warnings.catch_warnings():
            warnings.simplefilter("ignore")
            value = float(job.loss.each(constant.expand(len(rows), -1), y[rows].cpu()).mean())
    except Exception:                                           # a loss of the user's own may fail in any way; nothing is known then
        return None
    return value if math.isfinite(value) and value > 0 else None


def _of_net(job: Job) -> dict[str, Any]:
    module = job.net.module
    layers = {name or "(net)": own for name, m in module.named_modules() if (own := _weights(m))}
    drops = [m.p for m in module.modules() if isinstance(m, nn.modules.dropout._DropoutNd)]
    norms = [m for m in module.modules() if isinstance(m, nn.modules.batchnorm._BatchNorm)]
    frozen = set(job.net.frozen)
    return {"weights": {name: sum(w.numel() for w in own) for name, own in layers.items()},
            "zero": tuple(name for name, own in layers.items() if all(not bool(w.any()) for w in own)),
            "alike": tuple(alike(module)), "merged": tuple(merged(module)), "last": _last(module),
            "frozen": tuple(name for name, m in module.named_modules() if name and any(
                f"{name}.{own}" in frozen for own, _ in m.named_parameters(recurse=False))),
            "dropout": max(drops, default=0.0), "recurrent": any(weight.recurs for weight in recurrent_weights(module).values()),
            "normalised": bool(norms), "statistics": min((m.momentum for m in norms if m.momentum is not None), default=None)}


def _weights(m: nn.Module) -> list[Tensor]:
    return [p.detach() for p in m.parameters(recurse=False) if p.dim() >= 2 and not isinstance(p, nn.UninitializedParameter)]


def alike(module: nn.Module) -> list[str]:
    """Layers all units of which have equal weights and are read with equal weights by the next, so that they stay alike.

    Of nets whose layers do not follow each other, as recurrent ones, all hidden layers where all weights of all layers are one number; of a
    machine of two layers its hidden units.
    """
    layers = [(name, m.weight) for name, m in module.named_modules() if isinstance(getattr(m, "weight", None), Tensor)
              and m.weight.dim() >= 2]
    hidden = getattr(module, "hidden_bias", None)
    if len(layers) == 1 and isinstance(hidden, Tensor):
        weight = layers[0][1]
        axis = next((i for i, size in enumerate(weight.shape) if size == len(hidden)), None)
        return ["hidden"] if axis is not None and len(hidden) > 1 and _equal(weight, axis) and _equal(hidden, 0) else []
    if len(layers) > 1 and all(_one_number(weight) for _, weight in layers):
        return [name for name, _ in layers[:-1]]
    names = []
    for (name, below), (_, above) in pairwise(layers):
        bias = getattr(module.get_submodule(name), "bias", None)
        if below.shape[0] > 1 and above.shape[1] % below.shape[0] == 0 and _equal(below, 0) and _equal(above, 1) and (
                not isinstance(bias, Tensor) or _equal(bias, 0)):
            names.append(name)
    return names


def _one_number(t: Tensor) -> bool:
    flat = t.detach().flatten()
    return bool(flat[0] == flat[-1]) and bool((flat == flat[0]).all())


def _equal(t: Tensor, axis: int) -> bool:
    """Whether all slices along an axis are the same; two are looked at first, as they mostly differ."""
    t = t.detach().movedim(axis, 0)
    return torch.equal(t[0], t[-1]) and bool((t == t[:1]).all())


def merged(module: nn.Module) -> list[str]:
    """Dense layers followed by another with no nonlinearity between, where the width between is no bottleneck."""
    if not isinstance(module, nn.Sequential):
        return []
    rest = [(name, m) for name, m in module.named_children() if not isinstance(m, BETWEEN)]
    pairs = [(name, _dense(a), _dense(b)) for (name, a), (_, b) in pairwise(rest)]
    return [name for name, a, b in pairs if a is not None and b is not None and a.shape[0] >= min(a.shape[1], b.shape[0])]


def _dense(m: nn.Module) -> Tensor | None:
    """The weights (outputs, inputs) of a dense layer; None of others."""
    weight = getattr(m, "weight", None)
    plain = not any(True for _ in m.children()) and not isinstance(m, nn.Embedding)
    return weight if isinstance(weight, Tensor) and weight.dim() == 2 and plain else None


def _last(module: nn.Module) -> str:
    """The activation behind the output layer of layers in a row."""
    if not isinstance(module, nn.Sequential) or not len(module):
        return ""
    *_, last = module
    return ACTIVATIONS.get(type(last).__name__, "")


def _activation(module: nn.Module) -> str:
    """The first activation among the modules."""
    return next((ACTIVATIONS[kind] for m in module.modules() if (kind := type(m).__name__) in ACTIVATIONS), "")


def _evenly(n: int, most: int) -> Tensor:
    return torch.arange(n) if n <= most else torch.linspace(0, n - 1, most, dtype=torch.float64).long()
