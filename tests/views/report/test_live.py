"""The report during a search."""

from pathlib import Path

import pytest

from raynas.views.report import HTML, live
from raynas.views.report.live import LiveReport
from tests.views.report.searches import searched


def test_it_is_written_when_due_and_something_is_new(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    now = [100.0]
    monkeypatch.setattr(live, "monotonic", lambda: now[0])
    result = searched()
    view = LiveReport(result.space, tmp_path)
    written: list[float] = []

    def write(*given: object) -> None:
        written.append(now[0])
        now[0] += 9.0  # as long as it takes

    monkeypatch.setattr(view, "write", write)
    for seconds in (100.0, 129.0, 130.0, 140.0):
        now[0] = seconds
        view.update(result.archive, result.goal)
    assert written == [130.0]
    result.archive.append("waited")
    now[0] = 139.0 + 9.0 / live.MAX_SHARE - 1.0  # the share of the time would be too large
    view.update(result.archive, result.goal)
    assert written == [130.0]
    now[0] += 2.0
    view.update(result.archive, result.goal)
    assert len(written) == 2


def test_the_page_says_that_the_search_runs(tmp_path: Path) -> None:
    result = searched()
    LiveReport(result.space, tmp_path).write(result.archive, result.goal)
    assert "Running after 6 trials" in (tmp_path / HTML).read_text()
