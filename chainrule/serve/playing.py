"""What Play shows of the net as it was last saved: every unit as a picture over the plane of the two inputs, and its weights."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor

from chainrule.core.errors import InputError
from chainrule.engine import checkpoint
from chainrule.engine.store import LAST
from chainrule.serve.inside import activations
from chainrule.serve.opened import Opened, leaves, picture, signed

SIDE, MARGIN = 40, 0.15       # of the pictures, in points; and how far they reach beyond the data
UNITS, POINTS = 12, 500


def pictures(opened: Opened, question: dict[str, Any]) -> dict[str, Any]:
    """Units by layer, the classes over the plane, the points, and the weights between layers."""
    folder, trained, data = opened.folder(question), opened.trained(question), opened.data(question)
    if data.input_shape != (2,):
        raise InputError("Play is with two inputs. Choose two columns.")
    tensors, payload = checkpoint.read(folder / LAST)
    trained.net.put({name.removeprefix("run/net/"): t for name, t in tensors.items() if name.startswith("run/net/")})
    x = data.train.x[:].float()
    low, high = x.amin(0), x.amax(0)
    low, high = low - MARGIN * (high - low), high + MARGIN * (high - low)
    across, up = (torch.linspace(float(low[i]), float(high[i]), SIDE) for i in (0, 1))
    grid = torch.stack([across.repeat(SIDE), up.flip(0).repeat_interleave(SIDE)], 1)       # (side * side, 2), the top row first
    layers = [{"name": name, "units": values.shape[1], "pictures": [signed(unit.reshape(SIDE, SIDE)) for unit in values.T[:UNITS]]}
              for name, values in activations(trained, grid).items() if values.dim() == 2]
    owned: dict[str, Any] = {name: getattr(part, "weight", None) for name, part in leaves(trained.net.module).items()}
    weights = [{"name": name, "weight": t.detach().float().cpu()[:UNITS, :UNITS].tolist()} for name, t in owned.items()
               if isinstance(t, Tensor) and t.dim() == 2]
    answers = trained.predictions(grid)
    result: dict[str, Any] = {"layers": layers, "weights": weights, "low": low.tolist(), "high": high.tolist(),
                              "step": payload["position"]["step"], "names": list(trained.encoder.inputs.feature_names) or ["x", "y"]}
    if trained.task.classes:
        probability, best = answers.max(1)
        result |= {"classes": list(trained.task.classes), "best": picture(best.reshape(SIDE, SIDE)),
                   "sure": picture((probability * 255).reshape(SIDE, SIDE))}
    else:
        result["surface"] = signed((answers[:, 0] - answers[:, 0].mean()).reshape(SIDE, SIDE))
    for name, part in (("train", data.train), ("valid", data.valid)):
        some = part.rows_at(0, POINTS)
        truth = trained.truth(some).flatten().tolist() if len(some) else []
        result[name] = [[round(float(a), 4), round(float(b), 4), t] for (a, b), t in zip(some.x[:].tolist(), truth, strict=True)]
    return result
