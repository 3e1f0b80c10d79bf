"""A report written again from the command line."""

import dataclasses
import re
from pathlib import Path

from rich.console import Console

from raynas.cli.terminal import say, shown
from raynas.errors import RaynasError
from raynas.files.content import read_file
from raynas.funnels.report import TEXT
from raynas.run.file_names import ARCHIVE
from raynas.run.report_again import report_again
from raynas.views.report import render

MAX_LISTED = 5
"""Number of searches that a message lists."""


def run_report(given: Path, console: Console) -> None:
    """Write the report of the search, or the funnel, in a folder again, and print it.

    Args:
        given: the folder, or its archive.
        console: where to print.

    Raises:
        RaynasError: if it holds no search, or the report cannot be written.
    """
    path = given.expanduser()
    path = path.parent if path.name == ARCHIVE else path
    stages = _stages(path)
    if not (path / ARCHIVE).is_file() and not stages:
        raise RaynasError(_no_search(path))
    if not (path / ARCHIVE).is_file() and (path / TEXT).is_file():
        say(f"\n{read_file(path / TEXT).decode(errors='replace')}", console)
    summary = report_again(path if (path / ARCHIVE).is_file() else stages[-1], directory=path)
    files = {name: shown(Path(file)) for name, file in summary.files.items()}
    render(dataclasses.replace(summary, files=files), console)


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
