"""Several characters at once: strips of five digits read by a net that was trained on single ones."""

from __future__ import annotations

from typing import Any

import chainrule
from chainrule.core.registry import recipes
from chainrule.recipes.outcome import Figure, Outcome, Setting, command

SOURCE = "asked of this net; Matan, Burges, LeCun & Denker (1992), NIPS 4:488"
LENET: dict[str, Any] = {"net": "lenet:dropout=0.5", "optimizer": "adam:rate=0.002", "schedule": "one-cycle", "batch": 100, "epochs": 8,
                         "augment": "rotate:10+scale:0.1+shift:2"}
SMALL: dict[str, Any] = {"net": "lenet:filters=4x8,hidden=16", "epochs": 1}


@recipes("strips", source="Matan, Burges, LeCun & Denker (1992), NIPS 4:488")
def strips(setting: Setting) -> Outcome:
    """LeNet, trained on MNIST's single digits and moved over strips of five as a convolution: at least 95 % are read right throughout.

    The strips are made of test digits, spaced unevenly. In its short form a small net reads strips of the embedded digits.
    """
    single, options, strip = ("digits", SMALL, "count=80,source=digits") if setting.short else ("mnist", LENET, "count=8000,source=mnist")
    run = chainrule.train(chainrule.load(single, data_dir=setting.data_dir), **options, out=setting.out / "strips", progress=False)
    measures = run.test_on(chainrule.load(f"strips:{strip}", data_dir=setting.data_dir)).measures
    whole, each = measures["exact"], measures["accuracy"]
    assert whole.low is not None
    assert whole.high is not None
    figures = [Figure("% of strips of five digits that are read right throughout", 100 * whole.value, 100 * whole.low, 100 * whole.high, 95,
                      SOURCE, "none" if setting.short else "at least"),
               Figure("% of their digits", 100 * each.value)]
    return Outcome(figures, notes=[command(single, options), f"chainrule test RUN --on strips:{strip}"])
