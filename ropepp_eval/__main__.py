"""`python -m ropepp_eval` is `ropepp-eval`."""

import sys

from ropepp_eval.cli import main

if __name__ == "__main__":
    sys.exit(main())
