"""The best are trained again with other seeds at the end of a search, and the winner is chosen by the mean."""

import random
from collections import Counter
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest
from ray import tune
from torch import nn

import raynas
from raynas.core.archive import Archive
from raynas.core.decision import Categorical, Decision
from raynas.core.near_ties import standard_error
from raynas.errors import SettingError
from raynas.run.repeats import EPOCHS, SEED, Repeater, Repeats
from raynas.strategies import GridSearch
from raynas.trials import Tabular
from raynas.trials.function import Function
from tests.run.widths import Widths


class ThreeWidths(Widths):
    """Three networks."""

    @property
    def decisions(self) -> list[Decision]:
        return [Categorical("width_0", (2, 4, 16)), Categorical("width_1", (2,)), Categorical("width_2", (2,))]


def lucky(model: nn.Module, config: Mapping[str, Any]) -> Any:
    """Two epochs; the second score is the share of the first width, and chance."""
    yield 0.0
    yield config["arch"]["width_0"] / 20 + 0.1 * random.random()


def run(folder: Path, **more: Any) -> raynas.SearchResult:
    where = tune.RunConfig(storage_path=str(folder), name="search")
    settings: dict[str, Any] = {"num_samples": 3, "repeats": Repeats(top=2, seeds=3), "progress": False}
    settings |= {"tensorboard": False, "run_config": where}
    return raynas.search(ThreeWidths(), Function(fn=lucky, epochs=2), GridSearch(), **settings | more)


def test_the_mean_of_the_repeats_replaces_the_score_and_a_killed_stage_continues(
    ray_cluster: None, tmp_path: Path
) -> None:
    result = run(tmp_path)
    best = result.best()
    assert best.arch["width_0"] == 16 and len(best.repeats) == 3
    values = [repeat["accuracy"] for repeat in best.repeats]
    assert len(set(values)) == 3 and best.first["accuracy"] not in values
    assert best.metrics["accuracy"] == pytest.approx(sum(values) / 3)
    assert 0 < (standard_error(best, "accuracy") or 0) < 0.06
    assert sorted(len(e.repeats) for e in result.full) == [0, 3, 3]
    text = (tmp_path / "search" / "summary.txt").read_text()
    assert "Trained again with other seeds" in text and "winner's curse" in text

    file = tmp_path / "search" / "archive.jsonl"
    lines = file.read_text().splitlines()
    kept = [line for line in lines if '"repeated"' not in line or '"seed": 2' not in line]
    assert len(lines) - len(kept) == 2
    file.write_text("\n".join(kept) + "\n")
    again = run(tmp_path)
    trained = Counter((r["trial"], r["seed"]) for r in again.archive.events("repeated"))
    assert len(trained) == 6 and set(trained.values()) == {1}, "only what was lost is trained again"
    assert sorted(again.best().repeats, key=str) == sorted(best.repeats, key=str), "another process, the same scores"
    assert Archive.load(file).evaluations == again.evaluations


def test_a_repeat_ends_where_its_trial_did() -> None:
    repeater = Repeater(ThreeWidths(), Function(fn=lucky, epochs=2), ["accuracy"])
    config = {"arch": next(iter(ThreeWidths().enumerate())).to_config(), SEED: 1}
    assert repeater.run({**config, EPOCHS: 1})["accuracy"] == 0.0
    scores = [repeater.run({**config, EPOCHS: 2, SEED: seed})["accuracy"] for seed in (1, 1, 2)]
    assert scores[0] == scores[1] != scores[2]


def test_only_trainings_can_be_repeated() -> None:
    with pytest.raises(SettingError, match="which Tabular does not: leave them out"):
        Repeats().check(Tabular(table="a.csv", metrics={"accuracy": "a"}))
    with pytest.raises(SettingError, match="seeds must be a whole number of at least 1"):
        Repeats(seeds=0)
    Repeats().check(Function(fn=lucky))
