"""Search for an architecture with Ray Tune; ``--help`` lists the options."""

import sys

from raynas.cli import run_tune

if __name__ == "__main__":
    sys.exit(run_tune(sys.argv[1:]))
