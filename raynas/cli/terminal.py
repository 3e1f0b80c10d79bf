"""Output of the two scripts."""

import os
import platform
import shlex
from pathlib import Path

from rich.console import Console
from rich.text import Text


class Interrupted(Exception):
    """A search was interrupted; the message says how far it got."""


def say(text: str, console: Console) -> None:
    """Print a text that no line break of the console may cut: paths and commands are there to be copied."""
    console.print(Text(text), soft_wrap=True)


def shown(path: Path) -> str:
    """Return a path for people: relative if it is below the working folder."""
    relative = os.path.relpath(path)
    return str(path) if relative.startswith("..") else relative


def opening(path: str) -> str:
    """Return the command that opens a file in the program that the system has for it."""
    opener = {"Darwin": "open", "Windows": "start"}.get(platform.system(), "xdg-open")
    return f"{opener} {shlex.quote(path)}"
