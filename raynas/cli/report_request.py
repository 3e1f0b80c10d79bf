"""The command line of ``raynas report``, read without torch, so that a wrong folder is said at once."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from raynas.cli.stored_search import read_words, results_folder, search_in
from raynas.errors import RaynasError

EXAMPLES = """\
examples:
  raynas report results/cnn-digits-auto"""


@dataclass(frozen=True)
class ReportRequest:
    """A report to write again.

    Args:
        search: the folder of the search; of a funnel that of its last stage.
        directory: the folder of the report.
    """

    search: Path
    directory: Path


def read_report(argv: Sequence[str]) -> ReportRequest:
    """Read the command line: a folder, or its archive.

    Raises:
        RaynasError: if it names no folder of a search, or there is an option.
        SystemExit: after ``--help``.
    """
    given = read_words(
        argv,
        "raynas report",
        "RESULTS_DIR",
        "Write the report of a search or a funnel again, and print it: of a finished one, or of what an unfinished one "
        "found so far. What it found best is written too, unless it is there.",
        EXAMPLES,
    )
    if len(given) != 1:
        raise RaynasError(f"give one folder: raynas report RESULTS_DIR, got {' '.join(given) or 'none'}")
    folder = results_folder(given[0])
    return ReportRequest(search_in(folder), folder)
