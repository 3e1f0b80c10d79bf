"""The benchmark of choices before and after recovery: its arithmetic by hand, and a run at its smallest."""

from pathlib import Path
from typing import Any

import pytest

from scripts.bench.recover_then_decide import CHEAP, choices, halved, main, report
from scripts.bench.search_quality import read


def test_halving_keeps_a_third_at_each_rung_and_counts_epochs() -> None:
    curves = [
        [9, 8, 1.0, 1.0],
        [3, 3, 3.0, 3.0],
        [2, 2, 4.0, 2.0],
        [5, 5, 5.0, 0.1],
        [6, 6, 6.0, 6.0],
        [7, 7, 7.0, 7.0],
    ]
    # Two of six live after an epoch, one of those after three.
    assert halved(curves) == (1, 6 * 1 + 2 * 2 + 1 * 1)
    assert halved([[2.0], [1.0]]) == (1, 2)


def rows(seed: int = 0) -> list[dict[str, Any]]:
    before = dict.fromkeys(CHEAP, 0.0)

    def row(name: str, score: float, *curve: float) -> dict[str, Any]:
        return {
            "setting": {"metric": "accuracy"},
            "seed": seed,
            "name": name,
            "before": {**before, "divergence": score, "macs": score},
            "curve": list(curve),
            "test": {"accuracy": 1 - curve[-1]},
        }

    candidates = [
        row("screened 0", 0.1, 0.5, 0.4),
        row("screened 1", 0.2, 0.3, 0.2),
        row("random 0", 0.3, 0.6, 0.5),
        row("random 1", 0.4, 0.4, 0.3),
    ]
    return [*candidates, row("uniform", 0.15, 0.5, 0.45), row("uniform, longer", 0.15, 0.5, 0.45, 0.4, 0.35)]


def test_choices_cost_what_they_train_and_regret_is_against_the_best_of_all() -> None:
    found = choices(rows())
    assert found["recover, then decide"] == pytest.approx(
        {"divergence": 0.2, "regret": 0.0, "test": 0.8, "epochs": 5.0}
    )
    assert found["best before recovery"]["regret"] == pytest.approx(1.0)
    assert found["2 best before recovery"] == pytest.approx(
        {"divergence": 0.2, "regret": 0.0, "test": 0.8, "epochs": 4.0}
    )
    assert found["random"]["divergence"] == pytest.approx(0.4)
    assert found["2 random"]["divergence"] == pytest.approx(0.3)
    assert found["uniform width"]["regret"] == pytest.approx(1.25)
    assert found["uniform width, longer"]["divergence"] == 0.35
    assert found["all in full"]["epochs"] == 8


def test_the_report_compares_seed_by_seed() -> None:
    lines = report([*rows(0), *rows(1)]).splitlines()
    assert lines[2].startswith("| recover, then decide | 5 | 0.20000 | 0.0% ± 0.0% |  | 0.8000")
    assert "+100.0% ± 0.0%" in next(line for line in lines if line.startswith("| best before recovery"))
    assert any(line.startswith("| divergence before | -0.10 ± 0.00 |") for line in lines)
    assert lines[-1] == "2 seeds, 5 candidates; precision by chance 0.40."


def test_it_runs_small_and_goes_on_where_it_was(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    command = ["--quick", "--model", "resnet", "--data", "digits", "--folder", str(tmp_path / "models")]
    command += ["--results", str(tmp_path)]
    main(command)
    told = capsys.readouterr().out
    file = tmp_path / "resnet.jsonl"
    found = read(file)
    assert [row["name"] for row in found][-2:] == ["uniform", "uniform, longer"] and len(found) == 6
    assert all(len(row["curve"]) == 2 and set(row["before"]) == set(CHEAP) for row in found[:-1])
    file.write_text("".join(file.read_text().splitlines(keepends=True)[:-1]))
    main(command)
    again = read(file)
    assert again[:-1] == found[:-1] and again[-1]["curve"] == found[-1]["curve"]
    assert capsys.readouterr().out == told == (tmp_path / "resnet.md").read_text()
