"""Help texts: the options that most users need, or all."""

import shutil
import textwrap
from argparse import Action
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import groupby

from jsonargparse import DefaultHelpFormatter

MAX_WIDTH = 100
"""Largest number of columns."""

INDENT = 24
"""Columns before the description of an option."""


@dataclass(frozen=True, kw_only=True)
class HelpRow:
    """An option in the short help.

    Args:
        group: title of its group.
        key: its path.
        flags: the option as users write it.
        text: its description, with the default.
    """

    group: str
    key: str
    flags: str
    text: str


def short_help(
    prog: str, usage: str, description: str, rows: Sequence[HelpRow], common: Sequence[str], examples: str
) -> str:
    """Return the help that describes the common options, and names the others by group.

    Args:
        prog: name of the command.
        usage: the rest of the usage line.
        description: its purpose, in a sentence or two.
        rows: all options, those of a group one after another.
        common: keys of the options to describe, in this order.
        examples: the end of the text.
    """
    width = min(shutil.get_terminal_size().columns, MAX_WIDTH) - 2
    others = [row for row in rows if row.key not in common]
    useless = {*(() if others else ("help_all",)), *(("config",) if {row.group for row in rows} == {""} else ())}
    told = sorted((row for row in rows if row.key in common), key=lambda row: common.index(row.key))
    title = "common options:" if others else "options:"
    lines = [f"usage: {prog} {usage}", "", *textwrap.wrap(description, width), "", title]
    for row in told:
        if row.key not in useless:
            lines += _described(row.flags, row.text, width)
    if others:
        lines += ["", f"other options ({prog} --help-all describes all):"]
    for group, members in groupby(others, lambda row: row.group):
        names = " ".join(_name(row) for row in members)
        lines += _described(group, names, width)
    return "\n".join([*lines, "", examples]) + "\n"


def _name(row: HelpRow) -> str:
    """Return the flag alone, in its shortest spelling."""
    return row.flags.split()[0].rstrip(",")


def _described(term: str, text: str, width: int) -> list[str]:
    """Return a term with its description beside it, or below it where it is long."""
    head = f"  {term}"
    body = textwrap.wrap(text, width - INDENT, break_on_hyphens=False, break_long_words=False) or [""]
    if len(head) + 2 > INDENT:
        return [head, *(INDENT * " " + line for line in body)]
    return [f"{head:<{INDENT}}{body[0]}".rstrip(), *(INDENT * " " + line for line in body[1:])]


class FullHelp(DefaultHelpFormatter):
    """Shows flags as users write them, and keeps the line breaks of tables and examples."""

    def _format_action_invocation(self, action: Action) -> str:
        return str(getattr(action, "shown", None) or super()._format_action_invocation(action))

    def _get_help_string(self, action: Action) -> str:
        return str(action.help or "")  # jsonargparse takes a single "%" for itself

    def _fill_text(self, text: str, width: int, indent: str) -> str:
        if "\n" not in text:
            return super()._fill_text(text, width, indent)
        return textwrap.indent(text, indent)
