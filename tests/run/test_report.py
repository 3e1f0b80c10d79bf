"""What a search leaves in its folder."""

import dataclasses
import json
import logging
from pathlib import Path
from typing import Any

import pytest
import torch
from ray import tune

from raynas.core.joint_space import JointSpace
from raynas.core.result import SearchResult
from raynas.run.networks import TrialNetworks
from raynas.run.report import announce, report, title_of
from raynas.search_spaces import MLP
from raynas.strategies import Asha, RandomSearch
from raynas.trials import Function, Training
from raynas.trials.checkpoint import Checkpoint
from tests.views.report.searches import searched


def score(model: object, config: object) -> float:
    return 0.5


def found(folder: Path, settings: Any, **given: Any) -> SearchResult:
    """A search whose best trial left its weights."""
    result = searched(path=folder, **given)
    best = result.best()
    weights = {name: torch.ones_like(tensor) for name, tensor in MLP().build(best.arch).state_dict().items()}
    checkpoint = Checkpoint(best.arch, best.fidelity, {"model": weights, "state": None})
    checkpoint.write(folder / best.trial / "checkpoint_000000")
    return dataclasses.replace(result, networks=TrialNetworks(MLP(), settings, folder))


def test_all_that_is_left_and_where_to_go_on(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    training = Training(epochs=9)
    result = found(tmp_path, training)
    report(result, training, "a title", logs=tmp_path / "tensorboard")
    told = json.loads((tmp_path / "summary.json").read_text())
    assert told["title"] == "a title" and told["best"]["trial"] == result.best().trial
    assert told["files"].keys() >= {"as JSON", "latency_ms plot", "params plot", "architecture", "weights"}
    assert all(Path(file).is_file() for name, file in told["files"].items() if name != "archive")
    assert told["commands"] == {
        "look closer": f"tensorboard --logdir {tmp_path}/tensorboard",
        "trained network": "result.best_model()",
        "train longer": "result.retrain(epochs=36)",
        "search on": "the same call with a larger num_samples",
    }
    assert str(tmp_path) in capsys.readouterr().out.replace("\n", "")


def test_of_a_function_of_the_users_own(tmp_path: Path) -> None:
    settings = Function(fn=score)
    report(found(tmp_path, settings), settings, "a title", progress=False)
    told = json.loads((tmp_path / "summary.json").read_text())
    assert told["commands"].keys() == {"trained network", "search on"}
    assert sorted(path.name for path in (tmp_path / "best").iterdir()) == ["architecture.json", "weights.safetensors"]


def test_an_interrupted_search_says_so(
    tmp_path: Path, caplog: pytest.LogCaptureFixture, capsys: pytest.CaptureFixture[str]
) -> None:
    result = found(tmp_path, Training(), interrupted=True)
    report(result, Training(), "a title")
    assert f"interrupted after 6 trials: the same call continues; results so far: {tmp_path}" in caplog.text
    told = json.loads((tmp_path / "summary.json").read_text())
    assert told["interrupted"] and told["commands"]["continue"] == "the same call"
    assert "search on" not in told["commands"] and capsys.readouterr().out == ""


def test_a_search_without_a_result(tmp_path: Path) -> None:
    result = searched([("failed", 0, 0.0, 0.0, 0.0)], path=tmp_path)
    report(result, Training(), "a title", progress=False)
    names = ["report.html", "report.md", "summary.json", "summary.txt"]
    assert sorted(path.name for path in tmp_path.iterdir()) == names
    told = json.loads((tmp_path / "summary.json").read_text())
    assert told["commands"] == {"try again": "the same call with retry_failed=True, once the reason is mended"}


def test_what_goes_wrong_with_it_costs_a_warning(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    result = found(tmp_path, Training())
    (tmp_path / "best").write_text("a file in the way")
    with caplog.at_level(logging.WARNING):
        report(result, Training(), "a title", progress=False)
    assert f"the report in {tmp_path} is incomplete: " in caplog.text


def test_elsewhere_than_in_the_folder_of_the_search(tmp_path: Path) -> None:
    result = found(tmp_path / "2-train", Training())
    report(result, Training(), "a title", directory=tmp_path, progress=False)
    told = json.loads((tmp_path / "summary.json").read_text())
    assert told["files"]["archive"] == str(tmp_path / "2-train" / "archive.jsonl")
    assert (tmp_path / "best" / "weights.safetensors").is_file() and not (tmp_path / "2-train" / "best").exists()


class Given(MLP):
    def summary(self, max_rows: int | None = None) -> str:
        return f"a table of up to {max_rows} rows"


def test_what_varies_in_a_given_model_is_said(
    caplog: pytest.LogCaptureFixture, capsys: pytest.CaptureFixture[str]
) -> None:
    announce(MLP())
    assert capsys.readouterr().out == ""
    announce(JointSpace(Given(), {"lr": tune.uniform(0, 1)}))
    assert capsys.readouterr().out == "a table of up to 30 rows\n"
    with caplog.at_level(logging.INFO):
        announce(Given(), progress=False)
    assert capsys.readouterr().out == "" and "a table of up to 30 rows" in caplog.text


def test_titles() -> None:
    strategy = RandomSearch(early_stopping=Asha())
    assert title_of(MLP(), Training(data="digits"), strategy) == "MLP on digits, RandomSearch + Asha"
    assert title_of(MLP(), Function(fn=score), RandomSearch()) == "MLP, RandomSearch"
