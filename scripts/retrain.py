"""Train a found architecture from scratch to the end and test it; ``--help`` lists the options."""

import sys

from raynas.cli import retrain_found

if __name__ == "__main__":
    sys.exit(retrain_found(sys.argv[1:]))
