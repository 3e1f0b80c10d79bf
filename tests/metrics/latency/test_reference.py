"""The shortest time of the reference network is remembered on this machine, from process to process."""

import json
from pathlib import Path

import pytest
import torch

from raynas.metrics.latency import reference
from raynas.metrics.latency.reference import FILE, Reference

CPU = torch.device("cpu")


@pytest.fixture(autouse=True)
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setattr(reference, "own_folder", lambda: tmp_path)
    monkeypatch.setattr(reference, "_QUIET", {})
    return tmp_path


def another_process(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(reference, "_QUIET", {})


def test_times_are_compared_with_the_shortest(monkeypatch: pytest.MonkeyPatch) -> None:
    network = Reference(CPU, 1)
    assert network.slowdown(2.0, counts=True) == 1
    assert network.slowdown(3.0, counts=True) == 1.5
    assert network.slowdown(1.0, counts=True) == 1
    assert network.slowdown(3.0, counts=True) == 3
    another_process(monkeypatch)
    assert Reference(CPU, 1).slowdown(3.0, counts=True) == 3
    assert Reference(CPU, 2).slowdown(3.0, counts=True) == 1, "with other threads it is another time"


def test_a_disturbed_time_does_not_count(folder: Path) -> None:
    assert Reference(CPU, 1).slowdown(2.0, counts=False) == 1
    assert not (folder / FILE).exists()


def test_times_of_an_earlier_start_of_the_machine_are_forgotten(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    Reference(CPU, 1).slowdown(1.0, counts=True)
    another_process(monkeypatch)
    monkeypatch.setattr(reference, "boot_id", lambda: "another")
    assert Reference(CPU, 1).slowdown(3.0, counts=True) == 1
    assert all(key.startswith("another") for key in json.loads((folder / FILE).read_text()))


@pytest.mark.parametrize("content", ["", "[]", '{"x": "y"}', '{"x": -1}', "{" * 99])
def test_a_damaged_file_is_replaced(content: str, folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (folder / FILE).write_text(content)
    assert Reference(CPU, 1).slowdown(2.0, counts=True) == 1
    another_process(monkeypatch)
    assert Reference(CPU, 1).slowdown(4.0, counts=True) == 2


def test_without_a_folder_it_works_too(monkeypatch: pytest.MonkeyPatch) -> None:
    def no_folder() -> Path:
        raise OSError("read-only")

    monkeypatch.setattr(reference, "own_folder", no_folder)
    assert Reference(CPU, 1).slowdown(2.0, counts=True) == 1
    assert Reference(CPU, 1).slowdown(3.0, counts=True) == 1.5


def test_it_leaves_random_numbers_alone() -> None:
    state = torch.get_rng_state()
    assert isinstance(Reference(CPU, 1).run(), torch.Tensor)
    assert torch.equal(state, torch.get_rng_state())
