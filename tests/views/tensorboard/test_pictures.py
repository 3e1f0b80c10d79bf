"""The pictures of a search: which there are, and when they are drawn."""

import logging
from pathlib import Path

import pytest

from raynas.core.archive import Archive
from raynas.metrics import read_goal
from raynas.views.tensorboard import TensorBoardLog, add_measured, pictures
from raynas.views.tensorboard.pictures import Exhibit, Gallery
from raynas.views.tensorboard.search_run import SearchRun
from tests.views.tensorboard.logs import ACCURACY, SPACE, add, end, propose, read, report, scalars, write


def test_pictures_are_drawn_when_it_is_time_and_at_the_end(tmp_path: Path) -> None:
    archive = Archive()
    log = TensorBoardLog(tmp_path, SPACE)
    for i in range(5):
        add(archive, str(i), accuracy=i / 10, params=10.0 ** (i + 1))
        log.update(archive, ACCURACY)
    log._gallery._due = 0.0
    log.update(archive, ACCURACY)
    log.update(archive, ACCURACY)
    add(archive, "5", "stopped", accuracy=0.5, params=0.0)
    log.update(archive, ACCURACY)
    log.close(archive, ACCURACY)
    log.close(archive, ACCURACY)
    images = read(tmp_path / "search").Images("best/accuracy against params")
    assert [image.step for image in images] == [5, 6]
    assert images[0].encoded_image_string.startswith(b"\x89PNG")


def test_a_search_has_every_picture_that_its_records_allow(tmp_path: Path) -> None:
    archive = Archive()
    goal = read_goal("accuracy", "latency_ms <= 5").against({"accuracy": 0.4, "latency_ms": 3.0})
    for i in range(12):
        propose(archive, str(i))
        report(archive, str(i), 1, accuracy=i / 20, latency_ms=3.0)
        end(archive, str(i), 3, accuracy=i / 12, latency_ms=3.0 + i / 10, synflow=1.0 * i)
    add(archive, "12", "stopped", accuracy=0.0, latency_ms=9.0)
    for i in (10, 11):
        archive.append("measured", trial=str(i), metrics={"latency_ms": 4.0 + i}, error="")
    write(tmp_path, archive, goal)
    run = tmp_path / "search"
    tags = read(run).Tags()
    assert {tag for tag in tags["images"] if not tag.startswith("share/")} == {
        "best/accuracy against latency_ms",
        "best/accuracy: network",
        "search/latency_ms measured at the end",
        "search/rank correlation of cheap scores",
        "search/rank correlation of fidelities",
        "search/survival",
    }
    assert {"share/op/conv", "spearman/synflow", "spearman/accuracy after 1 of 3 epochs"} <= set(tags["scalars"])
    assert len([tag for tag in tags["images"] if tag.startswith("share/")]) == 1
    volume = [value for _, value in scalars(run, "search/hypervolume")]
    assert len(volume) == 13 and volume == sorted(volume) and volume[0] < volume[-1]


def test_the_number_of_drawings_is_bounded(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(pictures, "FIGURE_SECONDS", 0.0)
    monkeypatch.setattr(pictures, "MAX_CHANGES", 20)
    n, drawn = 0, list[int]()

    def show() -> dict[str, float]:
        drawn.append(n)
        return {}

    gallery = Gallery(SearchRun(tmp_path), [Exhibit("a", lambda: n, lambda: n // 3, show)])
    while n < 3000:
        n += 1
        gallery._due = 0.0
        gallery.update()
    assert drawn[:4] == [1, 2, 3, 4] and 20 < len(drawn) < 45


def test_a_picture_that_fails_costs_no_other_and_is_told_once(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    def fail() -> dict[str, float]:
        raise ValueError("no")

    n = 0
    one = Exhibit("the one", lambda: n, lambda: n, fail)
    other = Exhibit("the other", lambda: n, lambda: n, lambda: {"other": float(n)})
    run = SearchRun(tmp_path)
    gallery = Gallery(run, [one, other])
    with caplog.at_level(logging.WARNING):
        while n < 2:
            n += 1
            gallery.make()
    run.flush()
    assert [record.message for record in caplog.records] == ["TensorBoard lacks the one: ValueError: no"]
    assert scalars(tmp_path, "other") == [(1, 1.0), (2, 2.0)]


def test_what_is_measured_after_a_search_is_added_once(tmp_path: Path) -> None:
    archive = Archive()
    for i in range(3):
        add(archive, str(i), accuracy=i / 10, latency_ms=3.0)
    write(tmp_path, archive)
    archive.append("measured", trial="2", metrics={"latency_ms": 4.0}, error="")
    for _ in range(2):
        add_measured(tmp_path, archive.evaluations, ACCURACY)
    (image,) = read(tmp_path / "search").Images("search/latency_ms measured at the end")
    assert image.step == 3
