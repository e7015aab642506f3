"""The process of Play: `python -m chainrule.serve.training train ...` is `chainrule train ...` for as long as its server lives.

The server holds the other end of its standard input; however the server ends, killed too, that input ends with it.
"""

from __future__ import annotations

import os
import runpy
import signal
import threading
import time

INPUT, GRACE = 0, 5.0          # the descriptor, and seconds to save in


def main() -> None:
    """Run the command line as `python -m chainrule` does, and end it with the input."""
    threading.Thread(target=_end_with_input, daemon=True).start()
    runpy.run_module("chainrule", run_name="__main__")


def _end_with_input() -> None:
    while os.read(INPUT, 1):
        pass
    os.kill(os.getpid(), signal.SIGTERM)
    time.sleep(GRACE)
    os._exit(128 + signal.SIGTERM)


if __name__ == "__main__":
    main()
