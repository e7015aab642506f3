"""One side of one race in a process of its own: commands come as lines of JSON, answers go back as lines of JSON."""

from __future__ import annotations

import json
import os
import sys
import traceback
from collections.abc import Callable
from typing import Any

from chainrule.bench.sides import SIDES, Side
from chainrule.bench.works import Setting, find, reached, rebuilt


def answer(setting: Setting, side: Side, request: dict[str, Any]) -> dict[str, Any]:
    """What one command is answered with: `settle`, `run` so many units, or `loss` of the evaluated rows after the same work for all."""
    match request["do"]:
        case "settle":
            return {"chosen": side.settle()}
        case "run":
            return {"marks": side.run(request["units"], request["chosen"]), "remark": side.remark()}
        case _:
            alike = side.learn(setting.work.learned)
            loss, right = evaluated(setting, side)
            return {"loss": loss, "right": right, "alike": alike}


def evaluated(setting: Setting, side: Side) -> tuple[float, float | None]:
    """The loss and the share of right answers, by the functions that serve every side."""
    outputs = side.outputs()
    if isinstance(outputs, tuple):
        return rebuilt(*outputs, setting.eval_x), None
    return reached(setting.work, outputs, setting.eval_y)


def serve(name: str, work_name: str, variant: str, quick: bool, say: Callable[[dict[str, Any]], None]) -> None:
    """Answer until the commands end. A failure is an answer too, in one sentence; its traceback goes to stderr."""
    try:
        work = find(work_name).shortened() if quick else find(work_name)
        setting = Setting(work, variant)
        side = SIDES[name].make(setting)
        say({"ready": True})
        for line in sys.stdin:
            say(answer(setting, side, json.loads(line)))
    except Exception as error:  # whatever a peer raises belongs in its row of the table
        traceback.print_exc()
        say({"error": f"{type(error).__name__}: {(str(error).strip().splitlines() or ['no word'])[0][:200]}"})


if __name__ == "__main__":
    # What libraries print must not mix with the answers: descriptor 1 becomes stderr, the answers keep the pipe.
    with os.fdopen(os.dup(1), "w") as pipe:
        os.dup2(2, 1)

        def tell(message: dict[str, Any]) -> None:
            pipe.write(json.dumps(message) + "\n")
            pipe.flush()

        _, given_name, given_work, given_variant, given_quick = sys.argv
        serve(given_name, given_work, given_variant, given_quick == "quick", tell)
