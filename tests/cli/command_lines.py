"""Command lines, files of options and an architecture for the tests of the command line."""

from pathlib import Path

from raynas.cli.retrain_command import RetrainCommand, parse_retrain
from raynas.cli.search_command import SearchCommand, parse_search


def search(*argv: str) -> SearchCommand:
    return parse_search(argv)


def retrain(*argv: str) -> RetrainCommand:
    return parse_retrain(argv)


def written(folder: Path, text: str, name: str = "options.yaml") -> str:
    (folder / name).write_text(text)
    return str(folder / name)
