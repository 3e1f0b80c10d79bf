"""Stored ratios of benchmarks against new ones."""

import json
from pathlib import Path

import pytest

from scripts.bench import compare
from scripts.bench.compare import BENCHMARKS, STORED, main, moved, ratios_of

STABLE = {"time": [1.0, 1.1, 0.9], "memory": [0.5, 0.5, 0.5]}


def test_a_ratio_moves_when_its_median_leaves_the_spread() -> None:
    assert moved(STABLE, {"time": [1.15, 1.2, 0.5], "memory": [0.505]}) == []
    (found,) = moved(STABLE, {"time": [1.3, 1.25, 1.0]})
    assert (found.name, found.before, found.now) == ("time", 1.0, 1.25)
    assert found.spread == pytest.approx(0.2)
    assert [m.name for m in moved(STABLE, {"memory": [0.4], "time": [0.1]}, "bench")] == ["bench memory", "bench time"]


def test_a_new_ratio_has_nothing_to_move_from() -> None:
    assert moved(STABLE, {"energy": [3.0]}) == []


def test_ratios_are_in_the_last_line() -> None:
    assert ratios_of('some text\n{"ratios": {"wall": 1.5}}\n') == {"wall": 1.5}
    for output in ("", "done", "[1]", '{"ratios": {"wall": "fast"}}'):
        with pytest.raises(ValueError, match="last line must be JSON"):
            ratios_of(output)


@pytest.fixture
def stored(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setattr(compare, "STORED", tmp_path / "ratios.json")
    monkeypatch.setattr(compare, "run", lambda name, runs: {"time": [1.0] * runs})
    return tmp_path / "ratios.json"


def test_store_then_compare(stored: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["overhead"]) == 0
    assert "run with --store" in capsys.readouterr().out
    assert main(["overhead", "--store"]) == 0
    assert json.loads(stored.read_text())["overhead"]["ratios"] == {"time": [1.0, 1.0, 1.0]}
    assert main(["overhead"]) == 0
    assert "no ratio moved" in capsys.readouterr().out
    monkeypatch.setattr(compare, "run", lambda name, runs: {"time": [1.2] * runs})
    assert main(["overhead"]) == 1
    assert "overhead time: 1 before, 1.2 now" in capsys.readouterr().out


def test_storing_one_keeps_the_others(stored: Path) -> None:
    main(["overhead", "--store"])
    main(["darts_step", "--store"])
    assert set(json.loads(stored.read_text())) == {"overhead", "darts_step"}


@pytest.mark.parametrize("argv", [["nonsense"], ["--runs", "0"]])
def test_a_wrong_argument(argv: list[str]) -> None:
    with pytest.raises(SystemExit):
        main(argv)


def test_what_is_stored_is_of_today() -> None:
    for name, entry in json.loads(STORED.read_text()).items():
        assert entry["arguments"] == list(BENCHMARKS[name])
        assert all(len(values) >= 3 for values in entry["ratios"].values())
