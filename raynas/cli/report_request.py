"""The command line of ``raynas report``."""

from collections.abc import Sequence
from pathlib import Path

from raynas.cli.flags import expand
from raynas.cli.parser import OptionParser
from raynas.errors import RaynasError

EXAMPLES = """\
examples:
  raynas report results/cnn-digits-auto"""


def read_report(argv: Sequence[str]) -> Path:
    """Return the folder that the command line names.

    Raises:
        RaynasError: if it names none, or there is an option.
        SystemExit: after ``--help``.
    """
    given = [token for token in argv if not token.startswith("-")]
    parser = OptionParser(
        "raynas report",
        "RESULTS_DIR",
        "Write the report of a search or a funnel again, and print it: of a finished one, or of what an unfinished one "
        "found so far. What it found best is written too, unless it is there.",
        EXAMPLES,
    )
    parser.parse(expand([token for token in argv if token.startswith("-")]))
    if len(given) != 1:
        raise RaynasError(f"give one folder: raynas report RESULTS_DIR, got {' '.join(given) or 'none'}")
    return Path(given[0])
