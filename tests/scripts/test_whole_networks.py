"""The bench of whole networks, whose files are made in one run and timed in another."""

from collections.abc import Sequence
from pathlib import Path

import pytest

from raynas.metrics.latency import LatencySettings, Timing, latency
from raynas.metrics.latency.deployment import Deployment
from raynas.metrics.latency_table import load_table
from raynas.metrics.latency_table.profile import profile_latency
from scripts.bench import latency_tables, whole_networks
from tests.metrics.latency_table.nets import Watch, small_space

BACKENDS = ("eager", "onnxruntime")


def run(step: str, folder: Path, *, corrected: int = 2, left_out: int = 4) -> None:
    argv = [step, "--space", "small", "--folder", str(folder), "--backends", *BACKENDS]
    whole_networks.main([*argv, "--corrected", str(corrected), "--left_out", str(left_out)])


@pytest.fixture
def timed(monkeypatch: pytest.MonkeyPatch) -> list[tuple[str, str]]:
    """Back ends and forms of the networks that were timed: the time is made up, and falls."""
    found: list[tuple[str, str]] = []

    def timing(deployment: Deployment, settings: LatencySettings) -> Timing:
        found.append((settings.backend, deployment.form))
        return Timing(
            ms=10 / len(found), spread=0.0, backend=settings.backend, version="1", device="made up", n_threads=1,
            batch_size=1, dtype="float32", n_runs=1,
        )  # fmt: skip

    monkeypatch.setattr(whole_networks, "time_deployment", timing)
    monkeypatch.setattr(whole_networks, "SEARCH_SPACES", {"small": small_space})
    return found


def test_files_are_made_once_and_timed_in_turns_once(
    timed: Sequence[tuple[str, str]], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    run("make", tmp_path, left_out=3)
    (folder,) = (path for path in tmp_path.iterdir() if path.is_dir())
    before = {path: path.stat().st_mtime_ns for path in folder.iterdir()}
    assert len(before) == 3 and {path.suffix for path in before} == {".onnx"} and not timed
    run("time", tmp_path)
    assert timed == [*[("eager", "module"), ("onnxruntime", "onnx")] * 3, ("eager", "module")], "one has no file yet"
    assert "| eager, onnxruntime | 3 | 1.000 |" in capsys.readouterr().out
    run("make", tmp_path)
    assert before.items() <= {path: path.stat().st_mtime_ns for path in folder.iterdir()}.items()
    run("time", tmp_path)
    assert timed[7:] == [("onnxruntime", "onnx")]
    assert "| eager | 4 | 0 |\n| onnxruntime | 4 | 0 |" in capsys.readouterr().out


def test_a_table_has_the_networks_that_latency_tables_leaves_out(
    timed: Sequence[tuple[str, str]], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    Watch().replace(monkeypatch)
    made = latency_tables.build(small_space(), "eager", tmp_path / "other.json", 2, 4, n_threads=1)
    run("time", tmp_path)
    assert [n.arch for n in load_table(tmp_path / "small-eager.json").left_out] == [n.arch for n in made.left_out]
    path = tmp_path / "small-eager.json"
    continued = profile_latency(small_space(), latency("eager"), path=path, n_corrected=2, n_left_out=4)
    assert continued.complete and [n.ms for n in continued.left_out] == [10.0, 5.0, 10 / 3, 2.5]
