"""Progress on a terminal, which is given back."""

import io
import logging
import sys
import time

import pytest
from rich.console import Console

from raynas.core.archive import Archive
from raynas.views.progress import ProgressCallback, display
from tests.views.progress.searches import add, searcher_of


class Terminal(io.StringIO):
    def isatty(self) -> bool:
        return True


def test_a_terminal_gets_a_table_in_place_and_is_given_back(monkeypatch: pytest.MonkeyPatch) -> None:
    terminal = Terminal()
    monkeypatch.setattr(sys, "stdout", terminal)
    monkeypatch.setattr(sys, "stderr", terminal)
    monkeypatch.setattr(display, "TABLE_SECONDS", 0.0)
    handler = logging.StreamHandler(terminal)
    log = logging.getLogger("test_progress")
    log.addHandler(handler)
    archive = Archive()
    console = Console(file=terminal, force_terminal=True, width=80, height=24, legacy_windows=False, _environ={})
    callback = ProgressCallback(searcher_of(archive), 3, console)
    try:
        for trial in ("1", "2", "3"):
            add(archive, trial, accuracy=0.5)
            callback.on_step_end(0, [])
            time.sleep(0.02)
        assert terminal.getvalue().rfind("\x1b[?25h") > terminal.getvalue().rfind("\x1b[?25l")  # the cursor shows
        log.warning("a warning")
        assert handler.stream is not terminal
        callback.on_experiment_end([])
        assert handler.stream is terminal
        assert sys.stdout is terminal
    finally:
        log.removeHandler(handler)
    assert "a warning" in terminal.getvalue()
    assert terminal.getvalue().count("3/3 in") >= 1
    assert "\x1b[1A" in terminal.getvalue()  # it was drawn over, not appended
