"""The command lines of ``raynas archive show|merge|export``, read without torch."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from raynas.cli.describe import describe
from raynas.cli.flags import expand
from raynas.cli.parser import OptionParser
from raynas.errors import RaynasError, UnknownNameError

ACTIONS = ("show", "merge", "export")

EXAMPLES = """\
examples:
  raynas archive show results/cnn-digits-auto
  raynas archive merge results/monday results/tuesday --output results/both
  raynas archive export results/cnn-digits-auto --output trials.csv"""


@dataclass(frozen=True, kw_only=True)
class ArchiveFlags:
    """Output of the result.

    Args:
        output: folder of the merged archive, or file of the table (.csv, .json or .parquet).
        mixed: merge archives even if their trials were scored by other settings, code or data.
    """

    output: str | None = None
    mixed: bool = False


@dataclass(frozen=True, kw_only=True)
class ArchiveRequest:
    """Archives, and what to do with them.

    Args:
        action: one of ``ACTIONS``.
        folders: of the searches.
        output: where the result goes; None for show.
        mixed: see ``ArchiveFlags``.
    """

    action: str
    folders: tuple[Path, ...]
    output: Path | None
    mixed: bool


def read_archive(argv: Sequence[str]) -> ArchiveRequest:
    """Read the command line: the action, the folders, then the options.

    Raises:
        RaynasError: if an option or the action is unknown, or a folder or the output is missing.
        SystemExit: after ``--help``.
    """
    n_words = next((n for n, token in enumerate(argv) if token.startswith("-")), len(argv))
    words, flags = argv[:n_words], argv[n_words:]
    parser = OptionParser(
        "raynas archive",
        "show|merge|export RESULTS_DIR... [OPTIONS]",
        "Show what archives hold, merge several of one search into a new one, or export the evaluations as a table.",
        EXAMPLES,
        common=[o.name for o in describe(ArchiveFlags).options],
    )
    parser.add_fields("output", ArchiveFlags)
    given = parser.parse(expand(flags)).make(ArchiveFlags)
    if not words or words[0] not in ACTIONS:
        raise UnknownNameError("action of raynas archive", words[0] if words else "", ACTIONS)
    action, folders = words[0], words[1:]
    if not folders:
        raise RaynasError(f"give a folder: raynas archive {action} RESULTS_DIR...")
    if (given.output is None) is not (action == "show"):
        rule = "leave out --output" if action == "show" else "give --output"
        raise RaynasError(f"raynas archive {action}: {rule}; see --help")
    if given.mixed and action != "merge":
        raise RaynasError("--mixed is for raynas archive merge; leave it out")
    return ArchiveRequest(
        action=action,
        folders=tuple(Path(folder).expanduser() for folder in folders),
        output=None if given.output is None else Path(given.output).expanduser(),
        mixed=given.mixed,
    )
