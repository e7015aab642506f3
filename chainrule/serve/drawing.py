"""Draw: what a net of pictures answers to one that is drawn, what happens inside, and how far it is from what was learned."""

from __future__ import annotations

import math
from typing import Any

import torch
from torch import Tensor
from torch.nn import functional as F

from chainrule.core.errors import InputError
from chainrule.data.source import Part
from chainrule.evaluate.mistakes import worst_rows
from chainrule.job.trained import Trained
from chainrule.serve.opened import Opened, Watch, picture
from chainrule.workflows.predict import rows_of

NEIGHBOURS, MOST_ROWS, BLOCK = 5, 20_000, 4096
TYPICAL, FAR = 100, 0.99         # validation rows whose distances to training say what is usual, and the share of them that is
MAPS, UNITS = 12, 256            # of a layer that are shown
SHOWN_MISTAKES, EXAMPLES = 12, 24
RANGES = {"shift x": (-0.3, 0.3), "shift y": (-0.3, 0.3), "rotation": (-60.0, 60.0), "scale": (0.5, 1.6), "noise": (0.0, 0.6)}
UNCHANGED = {"shift x": 0.0, "shift y": 0.0, "rotation": 0.0, "scale": 1.0, "noise": 0.0}
PLACES = 21                      # of a slider at which the answer is computed


def answer(opened: Opened, question: dict[str, Any]) -> dict[str, Any]:
    """Probabilities of the classes for the pixels on the pad after its sliders, as `predict` gives them; layers and neighbours beside."""
    trained = opened.trained(question)
    pixels = changed(_pixels(trained, question.get("pixels")), _sliders(question.get("sliders")), int(question.get("seed", 0)),
                     trained.encoder.inputs.maximum)
    part = rows_of(trained, pixels)
    with Watch(trained.net.module) as watch:
        probabilities = trained.predictions(part)
    result: dict[str, Any] = {"classes": list(trained.columns(probabilities.shape[1])), "probabilities": probabilities[0].tolist(),
                              "sees": pictures(trained, pixels)[0], "layers": [_layer(n, t) for n, t in watch.outputs.items()]}
    if question.get("neighbours", True):
        result |= _beside(opened, question, part)
    return result


def vary(opened: Opened, question: dict[str, Any]) -> list[dict[str, Any]]:
    """For every slider the class answered at each of its places, all others being where they are, and how probable that is."""
    trained = opened.trained(question)
    pixels, sliders = _pixels(trained, question.get("pixels")), _sliders(question.get("sliders"))
    strips = []
    for name, (low, high) in RANGES.items():
        values = [low + (high - low) * i / (PLACES - 1) for i in range(PLACES)]
        seed, most = int(question.get("seed", 0)), trained.encoder.inputs.maximum
        several = torch.cat([changed(pixels, {**sliders, name: value}, seed, most) for value in values])
        probability, best = trained.predictions(rows_of(trained, several)).max(1)
        strips.append({"name": name, "low": low, "high": high, "values": values, "best": best.tolist(),
                       "probability": probability.tolist()})
    return strips


def examples(opened: Opened, question: dict[str, Any]) -> dict[str, Any]:
    """What the pad is like, and some pictures of the validation part to be put on it."""
    trained = opened.trained(question)
    inputs = trained.encoder.inputs
    if inputs.kind != "pixels" or inputs.picture_shape is None or not trained.task.classes:
        raise InputError("The pad is for nets that sort pictures into classes; this one reads other rows.")
    data = opened.data(question)
    part = data.valid if len(data.valid) else data.train
    begin = int(question.get("from", 0)) % max(1, len(part))
    some = part.rows_at(begin, min(begin + EXAMPLES, len(part)))
    c, h, w = inputs.picture_shape
    raw = some.x[:].reshape(-1, c, h, w)
    return {"c": c, "h": h, "w": w, "maximum": inputs.maximum, "ranges": RANGES, "unchanged": UNCHANGED,
            "classes": list(trained.task.classes),
            "examples": [{"pixels": raw[i].flatten().tolist(), "row": int(some.rows[i]), "truth": name_of(trained, some, i)}
                         for i in range(len(raw))]}


def mistakes(opened: Opened, question: dict[str, Any]) -> dict[str, Any]:
    """The validation rows that the net, as it was last saved, is surest of and wrong about, with its two best guesses."""
    trained, data = opened.trained(question), opened.data(question)
    if not trained.task.classes or data.valid.y is None:
        raise InputError("Mistakes are shown of nets that answer one class for a row.")
    part = data.valid.rows_at(0, 2000)
    probabilities, truth = trained.predictions(part), trained.truth(part)
    if probabilities.dim() != 2 or truth.dim() != 1:
        raise InputError("Mistakes are shown of nets that answer one class for a row.")
    worst = worst_rows(probabilities, truth)[:SHOWN_MISTAKES]
    names = trained.columns(probabilities.shape[1])
    some = torch.tensor(worst, dtype=torch.long)
    shown = pictures(trained, part.x[some]) if worst and trained.encoder.inputs.picture_shape is not None else [None] * len(worst)
    listed = []
    for i, row in enumerate(worst):
        best = probabilities[row].topk(min(2, len(names)))
        listed.append({"row": int(part.rows[row]), "truth": names[int(truth[row])], "picture": shown[i],
                       "guesses": [{"name": names[int(k)], "probability": float(p)} for p, k in zip(*best, strict=True)]})
    return {"mistakes": listed, "wrong": int((probabilities.argmax(1) != truth).sum()), "n": len(truth)}


def changed(pixels: Tensor, sliders: dict[str, float], seed: int, maximum: float) -> Tensor:
    """Pixels (1, c, h, w) shifted by shares of their width, turned, enlarged and with noise; as they are where the sliders are at rest."""
    x = pixels
    if any(sliders[name] != UNCHANGED[name] for name in ("shift x", "shift y", "rotation", "scale")):
        turn, by = math.radians(sliders["rotation"]), 1 / max(sliders["scale"], 1e-3)
        cos, sin = math.cos(turn) * by, math.sin(turn) * by
        dx, dy = -2 * sliders["shift x"], -2 * sliders["shift y"]
        theta = torch.tensor([[[cos, sin, cos * dx + sin * dy], [-sin, cos, -sin * dx + cos * dy]]])
        grid = F.affine_grid(theta, list(x.shape), align_corners=False)
        x = F.grid_sample(x.float(), grid, align_corners=False).round().clamp(0, maximum).to(torch.uint8)
    if sliders["noise"]:
        noise = torch.randn(x.shape, generator=torch.Generator().manual_seed(seed))
        x = (x.float() + noise * sliders["noise"] * maximum).round().clamp(0, maximum).to(torch.uint8)
    return x


def _pixels(trained: Trained, given: Any) -> Tensor:
    """The pixels (1, c, h, w) of a question. Raises InputError where they are not those of a picture of this net."""
    inputs = trained.encoder.inputs
    if inputs.kind != "pixels" or inputs.picture_shape is None:
        raise InputError("The pad is for nets that read pictures; this one reads other rows.")
    count = math.prod(inputs.picture_shape)
    if not isinstance(given, list) or len(given) != count or not all(isinstance(v, int) and 0 <= v <= inputs.maximum for v in given):
        raise InputError(f"A picture of this net has {count} pixels, whole numbers from 0 to {inputs.maximum:g}. Send these.")
    return torch.tensor(given, dtype=torch.uint8).reshape(1, *inputs.picture_shape)


def _sliders(given: Any) -> dict[str, float]:
    """Where the sliders are. Raises InputError for a value outside its range."""
    sliders = dict(UNCHANGED)
    for name, value in given.items() if isinstance(given, dict) else ():
        if name not in RANGES or isinstance(value, bool) or not isinstance(value, int | float):
            raise InputError(f"There are the sliders {', '.join(RANGES)}; got {str(name)[:40]!r}.")
        low, high = RANGES[name]
        if not low <= value <= high:
            raise InputError(f"{name} goes from {low:g} to {high:g}; got {value:g}.")
        sliders[name] = float(value)
    return sliders


def pictures(trained: Trained, x: Tensor) -> list[dict[str, Any]]:
    """Stored pictures, in the brightness that a screen has."""
    shape = trained.encoder.inputs.picture_shape
    assert shape is not None
    values = x.reshape(-1, *shape).float()
    if trained.encoder.inputs.kind == "pixels":
        values = values / trained.encoder.inputs.maximum
    else:
        values = (values - values.amin()) / (values.amax() - values.amin()).clamp(min=1e-12)
    return [picture((one * 255).round()) for one in values]


def _layer(name: str, output: Tensor) -> dict[str, Any]:
    """What a layer gives for the one row: maps as pictures, units as numbers."""
    one = output[0]
    if one.dim() == 3:
        return {"name": name, "shape": list(one.shape), "maps": [_scaled(m) for m in one[:MAPS]]}
    flat = one.flatten()
    return {"name": name, "shape": list(one.shape), "units": [round(float(v), 4) for v in flat[:UNITS]], "count": flat.numel()}


def _scaled(values: Tensor) -> dict[str, Any]:
    low, high = float(values.min()), float(values.max())
    return {**picture((values - low) / ((high - low) or 1.0) * 255), "low": low, "high": high}


def _beside(opened: Opened, question: dict[str, Any], part: Part) -> dict[str, Any]:
    """The training pictures nearest to the one asked about, and whether it is farther from them all than validation pictures are."""
    trained, data = opened.trained(question), opened.data(question)
    train = few(data.train, MOST_ROWS)
    distances = _distances(part.x, train.x)[0]
    nearest = distances.topk(min(NEIGHBOURS, len(distances)), largest=False)
    shown = pictures(trained, train.x[nearest.indices])
    name = str(opened.folder(question))
    if name not in opened.usual and len(data.valid):
        opened.usual[name] = _distances(few(data.valid, TYPICAL).x, train.x).amin(1)
    usual = opened.usual.get(name)
    limit = None if usual is None else float(usual.quantile(FAR))
    return {"neighbours": [{"picture": shown[i], "truth": name_of(trained, train, int(k)), "row": int(train.rows[k]), "distance": float(d)}
                           for i, (d, k) in enumerate(zip(*nearest, strict=True))],
            "far": {"distance": float(nearest.values[0]), "limit": limit, "far": limit is not None and float(nearest.values[0]) > limit}}


def few(part: Part, most: int) -> Part:
    """Rows of a part spread over all of it."""
    n = len(part)
    rows = torch.arange(n) if n <= most else torch.linspace(0, n - 1, most, dtype=torch.float64).long()
    return Part(part.x[rows], None if part.y is None else part.y[rows], part.rows[rows])


def _distances(x: Tensor, of: Tensor) -> Tensor:
    """Root mean squared differences (n, m) of pixels."""
    asked, size = x.flatten(1).float(), x[0].numel()
    return torch.cat([torch.cdist(asked, block.flatten(1).float()) for block in of.split(BLOCK)], 1) / math.sqrt(size)


def name_of(trained: Trained, part: Part, i: int) -> str | None:
    if part.y is None or not trained.task.classes:
        return None
    truth = trained.truth(part.rows_at(i, i + 1))
    return trained.task.classes[int(truth[0])] if truth.dim() == 1 and len(truth) else None
