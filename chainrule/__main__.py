"""`chainrule`, and `python -m chainrule`: the command line. Ctrl-C is met with a sentence also while it is still being imported."""

import sys

from chainrule.cli.signals import SIGNALS, again

try:
    from chainrule.cli.main import main
except KeyboardInterrupt:
    print(again("Interrupted.", sys.argv[1:]), file=sys.stderr)
    sys.exit(SIGNALS["SIGINT"])

if __name__ == "__main__":
    main()
