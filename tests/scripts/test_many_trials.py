"""The bench of thousands of trials, with few."""

import json
import os
import signal
from pathlib import Path

import pytest

from scripts.bench import many_trials, overhead


def test_a_small_run(
    ray_cluster: None, tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    killed: list[tuple[int, int]] = []
    monkeypatch.setattr(os, "kill", lambda *args: killed.append(args))
    watch = many_trials.Watch(tmp_path, every=3, kill_at=4)
    overhead.ours(6, 2, tmp_path, [watch])
    assert killed == [(os.getpid(), signal.SIGKILL)]
    lines = [json.loads(line) for line in capsys.readouterr().out.splitlines() if line.startswith("{")]
    assert [line["trials"] for line in lines] == [1, 3, 4, 6]
    assert all(0 < line["cpu_ms_per_trial"] < 1000 * line["cpu_s"] for line in lines)
    assert all(line["megabytes"] > 50 for line in lines)
    assert lines[0]["files"] < lines[-1]["files"]
    # Tune's folders of trials that ended are gone, but for those that ran at its first snapshot; its state has nothing.
    results = tmp_path / "raynas"
    assert len([folder for folder in results.iterdir() if folder.name.isdecimal()]) <= 2
    (state,) = results.glob("experiment_state-*.json")
    held = json.loads(state.read_text())
    assert held["trial_data"] == [["{}", "{}"]] * 6
