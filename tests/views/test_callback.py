"""The callback that keeps a view up to date, and never troubles the search."""

import io
import pickle

import pytest
from rich.console import Console

from raynas.core.archive import Archive
from raynas.views.progress import ProgressCallback
from tests.views.progress.searches import crowded, searcher_of


def test_an_error_is_told_once_and_kept_from_tune(caplog: pytest.LogCaptureFixture) -> None:
    archive = Archive()
    callback = ProgressCallback(searcher_of(archive), 3, Console(file=io.StringIO()))
    for _ in range(3):
        archive.append("ended", trial="never proposed", status="finished", fidelity=1, metrics={}, error="")
        callback.on_step_end(0, [])
    callback.on_experiment_end([])
    assert [record.message for record in caplog.records] == [
        "the progress shown is incomplete: KeyError: 'never proposed'"
    ]


def test_a_copy_in_another_process_shows_nothing(capsys: pytest.CaptureFixture[str]) -> None:
    copy = pickle.loads(pickle.dumps(ProgressCallback(searcher_of(crowded()), 3)))
    copy.on_step_end(0, [])
    copy.on_experiment_end([])
    assert capsys.readouterr().out == ""
