"""The page beside a training: a server in a process of its own, which the training starts and then forgets.

Run as a module it is that server: `python -m chainrule.serve.live RUN`. Its standard input ends with the training.
"""

from __future__ import annotations

import contextlib
import os
import subprocess
import sys
from pathlib import Path

from chainrule.core.errors import ChainruleError
from chainrule.core.events import Event, Started
from chainrule.serve.server import serve


class Live:
    """A sink that opens the page of a run when it starts. Whatever becomes of the server, the training goes on."""

    def __init__(self) -> None:
        self._server: subprocess.Popen[bytes] | None = None

    def __call__(self, event: Event) -> None:
        if self._server is not None or not isinstance(event, Started) or not event.run:
            return
        with contextlib.suppress(OSError):
            self._server = subprocess.Popen([sys.executable, "-m", "chainrule.serve.live", str(event.run)], stdin=subprocess.PIPE,
                                            stdout=subprocess.DEVNULL, start_new_session=True,
                                            env={**os.environ, "OMP_NUM_THREADS": "1"})


def main() -> int:
    """Serve the run that the command line names until its training has ended and its last reader has gone."""

    def announce(text: str) -> None:
        print(f"Page: {text}" if text.startswith("http") else text, file=sys.stderr, flush=True)

    try:
        serve(Path(sys.argv[1]), announce=announce, linger=True)
    except ChainruleError as error:
        print(str(error), file=sys.stderr)
        return error.exit_code
    except KeyboardInterrupt:
        return 0
    return 0


if __name__ == "__main__":
    sys.exit(main())
