"""Write a found network to files that run without raynas; ``--help`` lists the options."""

import sys

from raynas.cli import export_found

if __name__ == "__main__":
    sys.exit(export_found(sys.argv[1:]))
