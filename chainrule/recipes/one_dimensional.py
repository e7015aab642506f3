"""Convolution in one dimension: a residual net on series, and a net of kernels over embedded letters on sequences."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

from chainrule.core.registry import recipes
from chainrule.recipes.outcome import Figure, Outcome, Setting, Training, command, seeds_table, share_right, together, trainings

SERIES: tuple[str, dict[str, Any]] = ("cylinder-bell-funnel", {"net": "resnet1d:filters=32", "optimizer": "adam:rate=0.002",
                                                               "schedule": "cosine", "batch": 8, "epochs": 40})
SEQUENCES: tuple[str, dict[str, Any]] = ("motifs", {"net": "textcnn:size=16,widths=4x6,maps=48", "optimizer": "adam:rate=0.003",
                                                    "schedule": "cosine", "batch": 50, "epochs": 12})


@recipes("one-dimensional", source="Wang, Yan & Oates (2017), https://doi.org/10.1109/IJCNN.2017.7966039; Kim (2014), "
                                   "https://arxiv.org/abs/1408.5882")
def one_dimensional(setting: Setting) -> Outcome:
    """A ResNet on 900 series of three shapes after 30 to learn from, and a text CNN on nucleotides with a hidden motif."""
    figures, several = list[Figure](), dict[str, list[Training]]()
    for name, options in (SERIES, SEQUENCES):
        used = {**options, "epochs": 2} if setting.short else options
        several[name] = done = trainings(replace(setting, short=False), name, used, folder=name)
        ends = together(done)
        figures.append(Figure(f"test accuracy on {name}", sum(map(share_right, done)) / len(done), ends.low, ends.high, 0.9,
                              "asked of this machine", "none" if setting.short else "at least"))
    return Outcome(sorted(figures, key=lambda figure: figure.ours), seeds_table(several, "data"), [command(*SERIES), command(*SEQUENCES)])
