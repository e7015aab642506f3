"""The child process of the page that loads trained nets and answers questions about them: a line of JSON each way.

`python -m chainrule.serve.worker ROOT` reads questions from its standard input until that ends.
"""

from __future__ import annotations

import contextlib
import json
import os
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch

from chainrule.core.errors import ChainruleError
from chainrule.serve import chain, drawing, generating, inside, pairing, playing
from chainrule.serve.folders import Runs
from chainrule.serve.opened import Opened

Answer = Callable[[Opened, dict[str, Any]], Any]
QUESTIONS: dict[str, Answer] = {
    "net": inside.graph_of, "neurons": inside.neurons, "examples": drawing.examples, "answer": drawing.answer, "vary": drawing.vary,
    "mistakes": drawing.mistakes, "dream": generating.dream, "play": playing.pictures, "compare": pairing.compare_runs,
    "chain": chain.chain,
}
NICENESS = 5              # it gives way to training


def answered(opened: Opened, line: str) -> dict[str, Any]:
    """The answer to one question, or a sentence why there is none."""
    try:
        question = json.loads(line)
        with torch.no_grad():
            return {"answer": QUESTIONS[question["about"]](opened, question)}
    except ChainruleError as error:
        return {"error": str(error)}
    except Exception as error:  # whatever a net of the user's own does; the page says so and goes on
        return {"error": f"This cannot be answered: {type(error).__name__}: {str(error)[:300]}"}


def main(root: str) -> None:
    """Answer until the input ends. What libraries print does not get between the answers."""
    answers = os.fdopen(os.dup(1), "w", encoding="utf-8")
    os.dup2(2, 1)
    with contextlib.suppress(AttributeError, OSError):
        os.nice(NICENESS)
    torch.set_num_threads(1)
    opened = Opened(Runs(Path(root)))
    for line in sys.stdin:
        answers.write(json.dumps(answered(opened, line), default=str) + "\n")
        answers.flush()


if __name__ == "__main__":
    main(sys.argv[1])
