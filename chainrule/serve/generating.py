"""Dream: samples of a net that generates, under a class where it can be given one."""

from __future__ import annotations

from typing import Any

from chainrule.core.errors import InputError
from chainrule.core.sampling import Request
from chainrule.serve.opened import Opened, picture
from chainrule.workflows.sample import samples_of

MOST = 36


def dream(opened: Opened, question: dict[str, Any]) -> dict[str, Any]:
    """Some samples, pictures where its rows are pictures, else texts or numbers, and the classes that they can be asked of."""
    trained = opened.trained(question)
    n, seed = question.get("n", 16), question.get("seed", 0)
    if not isinstance(n, int) or not 1 <= n <= MOST or not isinstance(seed, int) or not 0 <= seed < 2**63:
        raise InputError(f"A dream has 1 to {MOST} samples and a seed from 0 on.")
    given = question.get("given") or None
    temperature = question.get("temperature", 1.0)
    drawn = samples_of(trained, Request(n, given, float(temperature) if trained.encoder.inputs.vocabulary is not None else 1.0, seed=seed))
    classes = list(trained.sampled_classes)
    result: dict[str, Any] = {"classes": classes, "given": given, "seed": seed, "notes": list(drawn.notes)}
    shape = trained.encoder.inputs.picture_shape
    if drawn.rows is None:
        return {**result, "texts": [drawn.given + text if not text.startswith(drawn.given) else text for text in drawn.texts]}
    if shape is None:
        return {**result, "columns": {name: [str(v) for v in values] for name, values in drawn.columns.items()},
                "rows": [] if drawn.columns else [[round(float(v), 4) for v in row.flatten()[:12]] for row in drawn.rows]}
    most = trained.encoder.inputs.maximum if trained.encoder.inputs.kind == "pixels" else float(drawn.rows.max()) or 1.0
    return {**result, "pictures": [picture((one.reshape(shape).float() / most * 255).round().clamp(0, 255)) for one in drawn.rows]}
