"""Logs of a search that is resumed, and the callback that writes them."""

import pickle
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from tensorboard.plugins.hparams import api_pb2

from raynas.core.archive import Archive
from raynas.views.tensorboard import TensorBoardCallback, TensorBoardLog, log
from raynas.views.tensorboard.search_run import SearchRun
from tests.views.tensorboard.logs import ACCURACY, SPACE, add, end, hparams_page, propose, read, report, scalars, write


def test_resuming_leaves_what_was_written_and_adds_what_is_missing(tmp_path: Path) -> None:
    archive = Archive()
    add(archive, "whole", accuracy=0.1)
    add(archive, "lost", accuracy=0.2)
    propose(archive, "cut")
    report(archive, "cut", 1, accuracy=0.3)
    write(tmp_path, archive)
    trials = tmp_path / "trials"
    next((trials / "lost").iterdir()).unlink()
    (whole,) = (trials / "whole").iterdir()
    before = whole.read_bytes()
    n_before = len(archive)
    report(archive, "cut", 1, accuracy=0.3)  # from the start, as there was no checkpoint
    end(archive, "cut", 2, accuracy=0.4)
    write(tmp_path, archive, n_before=n_before)

    assert list((trials / "whole").iterdir()) == [whole]
    assert whole.read_bytes() == before
    assert scalars(trials / "lost", "trial/accuracy") == [(1, 0.2)]
    assert scalars(trials / "cut", "trial/accuracy") == [(1, 0.3), (2, 0.4)]
    assert hparams_page(tmp_path)[1]["trials/cut"].sessions[0].status == api_pb2.STATUS_SUCCESS
    assert scalars(tmp_path / "search", "search/best_accuracy") == [(1, 0.1), (2, 0.2), (3, 0.4)]


def test_resuming_writes_all_if_the_logs_were_deleted(tmp_path: Path) -> None:
    archive = Archive()
    add(archive, "1", accuracy=0.1)
    add(archive, "2", accuracy=0.2)
    write(tmp_path, archive, n_before=len(archive))
    assert scalars(tmp_path / "search", "search/best_accuracy") == [(1, 0.1), (2, 0.2)]
    assert len(list((tmp_path / "trials").iterdir())) == 2


def test_files_of_another_search_do_not_pass_for_trials_of_this_one(tmp_path: Path) -> None:
    old, new = Archive(), Archive()
    add(old, "1", accuracy=0.1)
    write(tmp_path, old)
    add(new, "1", accuracy=0.9)
    write(tmp_path, new)
    assert scalars(tmp_path / "trials" / "1", "trial/accuracy") == [(1, 0.9)]


def searcher_of(archive: Archive) -> Any:
    return SimpleNamespace(archive=archive, goal=ACCURACY, space=SPACE)


def test_the_callback_writes_what_the_searcher_recorded(tmp_path: Path) -> None:
    archive = Archive()
    callback = TensorBoardCallback(searcher_of(archive), tmp_path)
    add(archive, "1", accuracy=0.1, params=5.0)
    callback.on_step_end(1, [])
    assert scalars(tmp_path / "trials" / "1", "trial/accuracy") == [(1, 0.1)]
    callback.on_experiment_end([])
    assert read(tmp_path / "search").Images("best/accuracy against params")


def test_an_error_is_told_once_and_kept_from_tune(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    (tmp_path / "logs").write_text("a file where a folder should be")
    archive = Archive()
    callback = TensorBoardCallback(searcher_of(archive), tmp_path / "logs")
    for i in range(3):
        add(archive, str(i), accuracy=0.1)
        callback.on_step_end(i, [])
    callback.on_experiment_end([])
    assert len(caplog.records) == 1
    assert caplog.records[0].message.startswith(f"the TensorBoard logs in {tmp_path / 'logs'} are incomplete: NotADir")


def test_a_pickled_callback_goes_on_where_tune_calls_it(tmp_path: Path) -> None:
    archive = Archive()
    add(archive, "1", accuracy=0.1)
    copy = pickle.loads(pickle.dumps(TensorBoardCallback(searcher_of(archive), tmp_path)))
    assert list(tmp_path.iterdir()) == []
    copy.on_step_begin(0, [])
    copy.on_experiment_end([])
    assert scalars(tmp_path / "search", "search/best_accuracy") == [(1, 0.1)]


def test_steps_go_on_where_trials_were_taken_back(tmp_path: Path) -> None:
    archive = Archive()
    for trial in "123":
        add(archive, trial, "failed" if trial == "2" else "finished", accuracy=0.1)
    write(tmp_path, archive)
    archive.retry(["2"])
    again = TensorBoardLog(tmp_path, SPACE, n_before=len(archive), unfinished=frozenset(archive.unfinished()))
    end(archive, "2", 1, accuracy=0.4)
    again.update(archive, ACCURACY)
    again.close(archive, ACCURACY)
    assert scalars(tmp_path / "search", "search/best_accuracy") == [(1, 0.1), (2, 0.1), (3, 0.1), (4, 0.4)]


def test_a_second_session_doubles_nothing(tmp_path: Path) -> None:
    archive = Archive()
    for i in range(4):
        add(archive, str(i), accuracy=0.1 * i, params=1.0)
        if i % 2:
            write(tmp_path, archive, n_before=len(archive) - (i == 3) * 4)
    write(tmp_path, archive, n_before=len(archive))
    run = tmp_path / "search"
    assert [step for step, _ in scalars(run, "search/trials_finished")] == [1, 2, 3, 4]
    assert [image.step for image in read(run).Images("best/accuracy against params")] == [2, 4]


def test_after_many_trials_only_the_best_have_a_run(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(log, "MAX_TRIALS", 2)
    archive = Archive()
    for trial, accuracy in (("1", 0.1), ("2", 0.0), ("3", 0.0), ("4", 0.2), ("5", 0.15)):
        add(archive, trial, accuracy=accuracy)
    write(tmp_path, archive)
    assert sorted(path.name for path in (tmp_path / "trials").iterdir()) == ["1", "2", "4"]


def test_curves_get_thinner(tmp_path: Path) -> None:
    run = SearchRun(tmp_path)
    due = []
    for n in range(1, 20_000):
        if run.curve_is_due(n):
            run.add_curves({"x": 0.0}, n)
            due.append(n)
    assert due[:1000] == list(range(1, 1001)) and 3500 < len(due) < 4500
