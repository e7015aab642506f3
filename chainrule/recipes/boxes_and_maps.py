"""Boxes and maps: objects found in drawn scenes, and roads learned from maps that are partly wrong."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from torch import Tensor

import chainrule
from chainrule.core.registry import recipes
from chainrule.data.synthetic.roads import CLASSES, draw
from chainrule.evaluate.intervals import influences, of_mean
from chainrule.evaluate.segmentation import confusions, segmentation, shares
from chainrule.recipes.outcome import Figure, Outcome, Setting, command

VOC = "asked of these scenes; the overlap is that of Everingham et al. (2010), https://doi.org/10.1007/s11263-009-0275-4"
MNIH = "asked of these maps, as of those of Mnih & Hinton (2012), ICML 29, https://icml.cc/2012/papers/318.pdf"
SCENES, SHORT_SCENES = "scenes:count=6000", "scenes:count=60,side=32"
DETECTING: dict[str, Any] = {"net": "detector:filters=24x48x96", "optimizer": "adam:rate=0.004", "schedule": "one-cycle", "batch": 32,
                             "epochs": 10}
SIDE, COUNT, WRONG, SHIFT = 64, 800, 0.3, 2
MAPPING: dict[str, Any] = {"net": "unet:width=8,depth=3,norm=batch", "optimizer": "adam:rate=0.005", "schedule": "one-cycle", "batch": 16,
                           "epochs": 15}


@recipes("boxes", source="Redmon, Divvala, Girshick & Farhadi (2016), https://arxiv.org/abs/1506.02640")
def boxes(setting: Setting) -> Outcome:
    """One to three shapes a scene, found by a detector of one stage: at least 90 % of the boxes answered with half of them shared.

    A box counts where a box of its class, answered with a confidence of at least a half, shares half of what both cover.
    """
    data = SHORT_SCENES if setting.short else SCENES
    options = {**DETECTING, "net": "detector:filters=4x8", "epochs": 1} if setting.short else DETECTING
    run = chainrule.train(data, **options, out=setting.out / "boxes", progress=False)
    measures = run.test().measures
    recall = measures["recall"]
    figures = [Figure("% of boxes with an intersection over union of at least 0.5", 100 * recall.value, _per_cent(recall.low),
                      _per_cent(recall.high), 90, VOC, "none" if setting.short else "at least")]
    figures += [Figure(name.replace("_", " "), m.value, m.low, m.high) for name, m in measures.items()
                if name in ("iou", "precision", "average_precision")]
    return Outcome(figures, notes=[command(data, options)], pictures=_drawn(run.path / "boxes.png"))


@recipes("roads", source="Mnih & Hinton (2012), ICML 29, https://icml.cc/2012/papers/318.pdf")
def roads(setting: Setting) -> Outcome:
    """A U-Net that learns from maps which lack three in ten objects and are out of register, judged by right ones: better than its teacher.

    Interval by pictures, of both on the same ones.
    """
    count, side = (24, 16) if setting.short else (COUNT, SIDE)
    options = {**MAPPING, "net": "unet:width=2,depth=1", "epochs": 1} if setting.short else MAPPING
    data = f"roads:count={count},side={side},wrong={WRONG:g},shift={SHIFT}"
    run = chainrule.train(data, **options, out=setting.out / "roads", progress=False)
    result = run.test()
    stored = run.folder.read_predictions()
    assert stored is not None
    maps, rows = draw(count, side, wrong=WRONG, shift=SHIFT, seed=0), stored[0]["rows"]
    ours = confusions(stored[0]["predictions"].argmax(-1), maps.clean[rows], len(CLASSES)).double()
    teacher = confusions(maps.wrong[rows], maps.clean[rows], len(CLASSES)).double()

    def gain(w: Tensor) -> Tensor:
        one, other = (shares((counts * w[:, :, None]).sum(0))[0].nanmean() for counts in (ours, teacher))
        return (one - other)[None, None]

    value, influence = influences(gain, len(rows))
    ends = of_mean(100 * (value + influence[0]))
    own, labels = result.measures["iou"], segmentation(teacher, CLASSES).measures["iou"]
    figures = [Figure("IoU of the net less that of the maps it learned from, in points", 100 * float(value), ends.low, ends.high, 0, MNIH,
                      "none" if setting.short else "at least"),
               Figure("mean IoU % of the net", 100 * own.value, _per_cent(own.low), _per_cent(own.high)),
               Figure("mean IoU % of such maps", 100 * labels.value, _per_cent(labels.low), _per_cent(labels.high))]
    return Outcome(figures, notes=[command(data, options)], pictures=_drawn(run.path / "maps.png"))


def _per_cent(end: float | None) -> float | None:
    return None if end is None else 100 * end


def _drawn(path: Path) -> list[Path]:
    return [path] if path.exists() else []
