"""The display of a search's progress: a table that stays in place on a terminal, otherwise lines now and then."""

import logging
import sys
import time
from typing import TextIO

from rich.console import Console, RenderableType
from rich.live import Live

from raynas.core.archive import Archive
from raynas.core.goal import Goal
from raynas.core.searcher import ArchitectureSearcher
from raynas.views.callback import ViewCallback
from raynas.views.progress.lines import ProgressLines
from raynas.views.progress.state import SearchState
from raynas.views.progress.table import progress_table

TABLE_SECONDS = 0.25
"""Period of drawing the table; drawing takes a hundredth of the time at most."""

LINE_SECONDS = 10.0
"""Period of printing a line where there is no terminal."""

HINT = "Ctrl-C stops; the same command resumes."


class ProgressCallback(ViewCallback):
    """Shows the progress of a search while Tune runs it.

    Args:
        searcher: the search to show.
        num_samples: trials that the search has in the end.
        console: shows it; the default is standard output.
    """

    def __init__(self, searcher: ArchitectureSearcher, num_samples: int, console: Console | None = None) -> None:
        state = SearchState(searcher.archive, num_samples)
        display = ProgressDisplay(searcher.space.name, state, console or Console())
        super().__init__(searcher, display, "the progress shown is incomplete")


class ProgressDisplay:
    """Shows the state of a search on a console.

    Args:
        name: of the search space.
        state: of the search.
        console: a terminal gets the table.
    """

    def __init__(self, name: str, state: SearchState, console: Console) -> None:
        self._name, self._state, self._console = name, state, console
        self._lines = ProgressLines(state)
        self._live: Live | None = None
        self._redirected: list[tuple[logging.StreamHandler[TextIO], TextIO]] = []
        self._printed = False
        self._due = 0.0

    def update(self, archive: Archive, goal: Goal) -> None:
        """Read the records that were added, and show the state if that is due."""
        self._state.update(archive)
        now = time.monotonic()
        if now >= self._due:
            self._due = now + LINE_SECONDS  # where showing fails, not every step should try
            self._show(goal)
            used = time.monotonic() - now
            self._due = now + (max(TABLE_SECONDS, 100 * used) if self._live else LINE_SECONDS)

    def close(self, archive: Archive, goal: Goal) -> None:
        """Show the last state, and give the terminal back."""
        try:
            self._state.update(archive)
            self._show(goal)
        finally:
            if self._live:
                self._live.stop()
            for handler, stream in self._redirected:
                handler.setStream(stream)
            self._redirected.clear()

    def _show(self, goal: Goal) -> None:
        if not self._console.is_terminal or self._console.is_dumb_terminal or self._console.is_jupyter:
            self._print(goal)
            return
        table = progress_table(self._state, self._name, goal, HINT)
        if self._live is None:
            self._live = self._open(table)
        self._live.update(table, refresh=True)

    def _open(self, table: RenderableType) -> Live:
        on_terminal = [stream for stream in (sys.stdout, sys.stderr) if stream.isatty()]
        live = Live(
            table,
            console=self._console,
            auto_refresh=False,
            redirect_stdout=sys.stdout in on_terminal,
            redirect_stderr=sys.stderr in on_terminal,
        )
        live.start()
        self._console.show_cursor(True)  # a killed driver must not leave the user without one
        # Handlers made before hold the terminal itself, where the table would overwrite their lines.
        for handler in _stream_handlers():
            if handler.stream in on_terminal:
                self._redirected.append((handler, handler.stream))
                handler.setStream(sys.stderr)
        return live

    def _print(self, goal: Goal) -> None:
        header = [] if self._printed else [self._lines.header(self._name, goal, HINT)]
        self._printed = True
        for line in [*header, *self._lines.lines(goal)]:
            self._console.print(line, highlight=False, markup=False)


def _stream_handlers() -> "list[logging.StreamHandler[TextIO]]":
    loggers = [log for log in logging.root.manager.loggerDict.values() if isinstance(log, logging.Logger)]
    handlers = [handler for log in [logging.root, *loggers] for handler in log.handlers]
    return [handler for handler in handlers if isinstance(handler, logging.StreamHandler)]
