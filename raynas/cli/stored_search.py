"""A stored search that a command line names, for commands that take no options, read without torch."""

import re
from collections.abc import Sequence
from pathlib import Path

from raynas.cli.flags import expand
from raynas.cli.parser import OptionParser
from raynas.errors import RaynasError
from raynas.run.file_names import ARCHIVE

MAX_LISTED = 5
"""Number of searches that a message lists."""


def read_words(argv: Sequence[str], command: str, usage: str, description: str, examples: str) -> list[str]:
    """Return the words of a command line without options.

    Args:
        argv: the command line.
        command: its name, for the help.
        usage: the words that it takes.
        description: what it does.
        examples: of it.

    Raises:
        RaynasError: if there is an option.
        SystemExit: after ``--help``.
    """
    parser = OptionParser(command, usage, description, examples)
    parser.parse(expand([token for token in argv if token.startswith("-")]))
    return [token for token in argv if not token.startswith("-")]


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
