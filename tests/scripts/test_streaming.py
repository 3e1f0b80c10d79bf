"""The bench of streamed images, small."""

from pathlib import Path

import pytest
import torch

from scripts.bench.streaming import ROWS, lines, train, write_images


@pytest.fixture(scope="module")
def images(tmp_path_factory: pytest.TempPathFactory) -> Path:
    root = tmp_path_factory.mktemp("bench") / "images"
    write_images(root, 240, 16)
    return root


@pytest.mark.parametrize("row", ROWS)
def test_a_small_run(row: str, images: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(torch, "set_num_threads", lambda n: None)
    run = train(row, images, tmp_path, 16, 1)
    assert [epoch["images"] for epoch in run["epochs"]] == [128] * ROWS[row], "two batches of the 154 in training"
    assert any(tmp_path.rglob("*.images")) == (row == "streamed") and run["mb"] > 50
    table = list(lines(row, [run]))
    assert len(table) == ROWS[row] and all(line.count("|") == 7 for line in table)


def test_a_process_that_fails_is_a_line() -> None:
    assert list(lines("in memory", ["MemoryError: no"])) == ["| in memory | MemoryError: no | | | | |"]
