"""Runs to be stored with the tests, so that later versions can be held to reading them: `python stored_run.py FOLDER`.

FOLDER gets `table`, a finished run over a table with words and gaps; `halfway`, a run over a set that comes with the package, stopped in
the middle; and `answers.json`, what the first predicts for `new.csv`, and the second, once it has gone on to its end, for its own data.
Whoever counts up a format (`FORMAT` in record, checkpoint or encoder) makes them anew into `tests/reliability/stored`, and keeps the run
records of the format before, which are to be refused by name.
"""

from __future__ import annotations

import json
import os
import shutil
import sys
from pathlib import Path

import chainrule as cr
from chainrule.core.errors import Interrupted
from chainrule.core.events import Evaluated, Event
from chainrule.engine.stop import Stop

EPOCHS, HALFWAY = 6, 3
UNNEEDED = ("*.png", "*.html", "previous.safetensors", "rows.safetensors", ".*", "lock*")


def table(path: Path, rows: int, target: bool) -> None:
    lines = [f"{i % 7 if i % 9 else ''},{'Ulm' if i % 3 else 'Rom'},{'yes' if (i % 7 < 3) != (i % 11 == 0) else 'no'}" for i in range(rows)]
    header = "size,town,y"
    if not target:
        header, lines = "size,town", [line.rsplit(",", 1)[0] for line in lines]
    path.write_text("\n".join([header, *lines]) + "\n")


def make(folder: Path) -> None:
    folder.mkdir(parents=True)
    os.chdir(folder)
    table(Path("train.csv"), 90, target=True)
    table(Path("new.csv"), 12, target=False)
    asked = {"epochs": EPOCHS, "seed": 1, "plan": "eager", "threads": 1, "look": "off", "progress": False}
    run = cr.train("train.csv", net="mlp:hidden=4", out="table", **asked)
    answers = {"table": run.predict("new.csv")[0].tolist()}
    stop = Stop()

    def halfway(event: Event) -> None:
        if isinstance(event, Evaluated) and event.epoch == HALFWAY:
            stop.request("test")

    try:
        cr.train("iris", net="mlp:hidden=3", optimizer="adam:rate=0.05", out="halfway", stop=stop, sinks=[halfway], **asked)
    except Interrupted:
        shutil.copytree("halfway", "whole")
    answers["halfway"] = cr.resume("whole", progress=False).predict("iris")[0][::15].tolist()
    shutil.rmtree("whole")
    Path("answers.json").write_text(json.dumps(answers))
    for unneeded in UNNEEDED:
        for path in [*Path().glob(f"*/{unneeded}"), *Path().glob(f"*/*/{unneeded}")]:
            path.unlink()
    Path("train.csv").unlink()
    Path("openings.jsonl").unlink(missing_ok=True)


if __name__ == "__main__":
    make(Path(sys.argv[1]).absolute())
