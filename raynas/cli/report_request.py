"""The command line of ``raynas report``, read without torch, so that a wrong folder is said at once."""

import re
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from raynas.cli.flags import expand
from raynas.cli.parser import OptionParser
from raynas.errors import RaynasError
from raynas.run.file_names import ARCHIVE

EXAMPLES = """\
examples:
  raynas report results/cnn-digits-auto"""


MAX_LISTED = 5
"""Number of searches that a message lists."""


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
    folder = results_folder(given[0])
    return ReportRequest(search_in(folder), folder)


def results_folder(given: str) -> Path:
    """Return the folder that is meant: it, or its archive, was given."""
    path = Path(given).expanduser()
    return path.parent if path.name == ARCHIVE else path


def search_in(folder: Path) -> Path:
    """Return the folder of the search in a folder; of a funnel that of its last stage.

    Raises:
        RaynasError: if there is none; names those in it.
    """
    if (folder / ARCHIVE).is_file():
        return folder
    if stages := _stages(folder):
        return stages[-1]
    raise RaynasError(_no_search(folder))


def _stages(path: Path) -> list[Path]:
    """Return the folders of the stages of a funnel that have begun, in their order."""
    found = [folder for folder in path.glob("*-*") if re.match(r"\d+-", folder.name) and (folder / ARCHIVE).is_file()]
    return sorted(found, key=lambda folder: int(folder.name.partition("-")[0]))


def _no_search(path: Path) -> str:
    if not path.is_dir():
        return f"there is no folder {str(path)!r}; name that of a search, such as results/NAME"
    inside = sorted(folder.parent.name for folder in path.glob(f"*/{ARCHIVE}"))
    more = f" and {len(inside) - MAX_LISTED} more" if len(inside) > MAX_LISTED else ""
    hint = f"; in it are the searches {', '.join(inside[:MAX_LISTED])}{more}: name one of them" if inside else ""
    return f"{str(path)!r} holds no search: there is no {ARCHIVE} in it{hint}"
