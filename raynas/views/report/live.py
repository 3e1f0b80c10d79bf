"""The report during a search: ``report.html``, written again now and then at a small share of the time."""

from pathlib import Path
from time import monotonic

from raynas.core.archive import Archive
from raynas.core.goal import Goal
from raynas.core.result import SearchResult
from raynas.core.searcher import ArchitectureSearcher
from raynas.core.space import SearchSpace
from raynas.files.replacing import write_whole
from raynas.views.callback import ViewCallback
from raynas.views.report.blocks import Image
from raynas.views.report.facts import summarise
from raynas.views.report.files import HTML, shared_weights_in
from raynas.views.report.findings import Findings
from raynas.views.report.winner_picture import picture_name, winner_picture

FIRST_SECONDS, PERIOD_SECONDS = 30.0, 60.0
"""Time until the first report, and the least time between two."""

MAX_SHARE = 0.02
"""Largest share of the time of the driver that reports take: the next waits until the last is worth no more."""


class ReportCallback(ViewCallback):
    """Writes the report of a search while Tune runs it.

    Args:
        searcher: of the search.
        directory: of the report.
    """

    def __init__(self, searcher: ArchitectureSearcher, directory: Path) -> None:
        view = LiveReport(searcher.space.architecture_space, directory)
        super().__init__(searcher, view, f"{HTML} in {directory} is not up to date")


class LiveReport:
    """Writes a page whenever one is due; the whole report follows at the end of the search.

    Args:
        space: of architectures.
        directory: of the report.
    """

    def __init__(self, space: SearchSpace, directory: Path) -> None:
        self._space, self._directory = space, directory
        self._due_at = monotonic() + FIRST_SECONDS
        self._n_shown = 0
        self._picture: Image | None = None

    def update(self, archive: Archive, goal: Goal) -> None:
        """Write the page if it is due and a record was added."""
        start = monotonic()
        if start < self._due_at or len(archive) == self._n_shown:
            return
        self._n_shown = len(archive)
        try:
            self.write(archive, goal)
        finally:
            end = monotonic()
            self._due_at = end + max(PERIOD_SECONDS, (end - start) / MAX_SHARE)

    def write(self, archive: Archive, goal: Goal) -> None:
        """Write the page of the search so far."""
        from raynas.views.report.page import as_html
        from raynas.views.report.sections import page_of

        result = SearchResult(self._space, goal, archive, self._directory)
        sessions = archive.events("session")
        title = str(sessions[-1].get("title", "")) if sessions else ""
        findings = Findings(
            summary=summarise(result, title=title or self._space.name),
            result=result,
            is_running=True,
            shared=shared_weights_in(self._directory),
        )
        best = findings.summary.best
        if best and (self._picture is None or self._picture.name != picture_name(best.arch)):
            self._picture = winner_picture(self._space, best.arch)
        write_whole(self._directory / HTML, as_html(page_of(findings, self._picture if best else None), level=1))

    def close(self, archive: Archive, goal: Goal) -> None:
        """Leave the rest to the report at the end."""
