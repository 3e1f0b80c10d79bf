"""Running again: after a repair, after an edit, with other data, and with workers that are killed meanwhile."""

import importlib
import linecache
import os
import signal
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np
import pytest
from ray import cloudpickle, tune

import raynas
from raynas.cli import commands, run_tune
from raynas.cli.exit_codes import ExitCode
from raynas.core.archive import Archive
from raynas.errors import ArchiveError, RaynasError
from raynas.strategies import RandomSearch, RegularizedEvolution
from tests.run.widths import Widths

SCRIPT = """
SCALE = 48

def total(config):
    return sum(config["arch"].values())

def train(model, config):
    return total(config) / SCALE
"""


@pytest.fixture
def edit(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Callable[..., ModuleType]]:
    """Writes a script of a user's with some words replaced, and imports it."""
    monkeypatch.syspath_prepend(str(tmp_path))
    monkeypatch.setattr(sys, "dont_write_bytecode", True)
    loaded: list[ModuleType] = []

    def write(*edits: tuple[str, str]) -> ModuleType:
        text = SCRIPT
        for old, new in edits:
            text = text.replace(old, new)
        (tmp_path / "users_script.py").write_text(text)
        sys.modules.pop("users_script", None)
        linecache.clearcache()
        importlib.invalidate_caches()
        loaded.append(importlib.import_module("users_script"))
        cloudpickle.register_pickle_by_value(loaded[-1])  # the folder of a script is on the path of its workers
        return loaded[-1]

    yield write
    sys.modules.pop("users_script", None)


def search(
    folder: Path, train: Any, num_samples: int = 4, strategy: Any = None, **arguments: Any
) -> raynas.SearchResult:
    settings: dict[str, Any] = {"max_concurrent": 1, "progress": False, "tensorboard": False, "leave_report": False}
    return raynas.search(
        Widths(),
        train,
        strategy or RegularizedEvolution(population_size=3, tournament_size=2),
        num_samples=num_samples,
        run_config=tune.RunConfig(storage_path=str(folder / "results"), name="search"),
        **{**settings, **arguments},
    )


def accuracies(result: raynas.SearchResult) -> list[float]:
    return [sum(e.arch.values()) / e.metrics["accuracy"] for e in result.evaluations]  # type: ignore[arg-type]


def test_repair_and_run_again(ray_cluster: None, tmp_path: Path, edit: Callable[..., ModuleType]) -> None:
    broken = search(tmp_path, edit(('"arch"', '"archs"')).train, 5, max_failures_in_a_row=3)
    assert (broken.counts["failed"], broken.interrupted) == (3, False)
    assert (
        "3 trials in a row failed for one reason: epoch 1: KeyError: 'archs' (users_script.py" in broken.ended_because
    )
    with pytest.raises(RaynasError, match="3 failed"):
        broken.best()
    repaired = search(tmp_path, edit().train, 5)
    assert (repaired.counts["finished"], repaired.counts["failed"]) == (5, 0)
    assert sorted(e.trial for e in repaired.evaluations) == [f"0000{n}" for n in range(1, 6)]
    assert repaired.best().metrics["accuracy"] == max(e.metrics["accuracy"] for e in repaired.evaluations)
    assert search(tmp_path, edit().train, 5).evaluations == repaired.evaluations


def test_edit_and_run_again(ray_cluster: None, tmp_path: Path, edit: Callable[..., ModuleType]) -> None:
    search(tmp_path, edit().train)
    edited = (("SCALE = 48", "SCALE = 96"),)
    with pytest.raises(ArchiveError, match=r"the assignment of SCALE in users_script.py changed; .*\(48 -> 96\)"):
        search(tmp_path, edit(*edited).train, 6)
    with pytest.raises(ArchiveError, match=r"the source of total in users_script.py changed.*on_change=warm_start"):
        search(tmp_path, edit(("sum(", "1 + sum(")).train, 6)
    kept = search(tmp_path, edit(*edited).train, 6, on_change="continue")
    assert accuracies(kept) == [48] * 4 + [96] * 2
    anew = search(tmp_path, edit(("SCALE = 48", "SCALE = 24")).train, 3, on_change="warm_start")
    assert accuracies(anew) == [24] * 3
    assert {e.trial for e in anew.evaluations} == {"00007", "00008", "00009"}
    assert len(anew.archive.earlier_evaluations) == 6
    extended = search(tmp_path, edit(("SCALE = 48", "SCALE = 24")).train, 4)
    assert extended.evaluations[:3] == anew.evaluations and accuracies(extended) == [24] * 4


def test_two_scripts_do_not_share_a_folder(tmp_path: Path, edit: Callable[..., ModuleType]) -> None:
    from raynas.run.trainables import as_settings, label_of
    from raynas.trials import Function, Training

    assert label_of(as_settings(edit().train)) == "users_script.train"
    assert label_of(as_settings(edit)) == "test_repair.write"
    assert label_of(Function(fn="package.module:train")) == "package.module.train"
    assert label_of(Training(data="folder:/data/my photos")) == "my_photos"


def test_killed_workers_cost_no_trial(ray_cluster: None, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """One trial kills its process at the first try; another at every try, which is then its failure."""
    monkeypatch.setattr("raynas.run.lost_trials.MAX_LOST_RUNNING", 1)

    def train(model: object, config: dict[str, Any]) -> Iterator[float]:
        width = config["arch"]["width_0"]
        yield 0.1
        tries = tmp_path / str(width)
        with tries.open("a") as file:
            file.write("x")
        if width == 16 or (width == 8 and tries.stat().st_size == 1):
            os.kill(os.getpid(), signal.SIGKILL)
        yield 0.5

    points = [{"width_0": width, "width_1": 1, "width_2": 1} for width in (8, 16, 1)]
    result = search(tmp_path, train, 3, RandomSearch(), points_to_evaluate=points)
    ended = {e.arch["width_0"]: e for e in result.evaluations}
    assert {width: e.status for width, e in ended.items()} == {8: "finished", 16: "failed", 1: "finished"}
    assert "its process died 2 times without getting further" in ended[16].error and not result.interrupted
    assert len(result.archive.events("lost")) == 3 and len(result.archive.events("ended")) == 3
    assert {path.name for path in result.path.iterdir() if path.name.startswith("0")} == {"00001", "00002", "00003"}


def test_other_data_from_the_command_line(
    ray_cluster: None, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)

    def run(seed: int, *flags: str) -> int:
        rng = np.random.default_rng(seed)
        images = rng.integers(0, 256, (80, 4, 4, 1), dtype=np.uint8)
        np.savez("mine.npz", x_train=images, y_train=np.arange(80) % 2)
        options = ["--space", "mlp", "--data", "npz:mine.npz", "--epochs", "1", "--retrain.epochs", "0"]
        return run_tune([*options, "--no_progress", "--no_compare_random", "--no_tensorboard", *flags])

    assert run(0, "--num_samples", "2") == commands.OK
    capsys.readouterr()
    assert run(1, "--num_samples", "3") == ExitCode.UNUSABLE
    (line,) = capsys.readouterr().err.splitlines()
    assert "the content of npz:mine.npz changed" in line and "on_change=continue" in line
    assert run(1, "--num_samples", "3", "--on-change", "continue") == commands.OK
    assert run(1, "--num_samples", "3", "--retry-failed") == commands.OK
    (archive,) = Path("results").glob("*/archive.jsonl")
    assert len(Archive.load(archive).evaluations) == 3


def test_a_results_folder_that_disappears_ends_the_search_in_one_line(ray_cluster: None, tmp_path: Path) -> None:
    def train(model: object, config: dict[str, Any]) -> float:
        if config["arch"]["width_0"] == 16 and not (tmp_path / "removed").exists():
            (tmp_path / "results").rename(tmp_path / "removed")
        return float(sum(config["arch"].values()) / 48)

    points = [{"width_0": width, "width_1": 1, "width_2": 1} for width in (8, 16, 1)]
    with pytest.raises(ArchiveError, match=r"results/search was removed, renamed or unmounted; its archive.*\Z"):
        search(tmp_path, train, 3, RandomSearch(), points_to_evaluate=points)
    before = Archive.load(tmp_path / "results" / "search" / "archive.jsonl").evaluations
    assert [e.status for e in before] == ["finished"]
    result = search(tmp_path, train, 3, RandomSearch(), points_to_evaluate=points)
    assert (result.counts["finished"], result.counts["failed"]) == (3, 0)
    assert result.evaluations[0] == before[0]
