"""Reports written again from folders."""

import json
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file

from raynas.core.architecture import Architecture
from raynas.errors import OutsideError
from raynas.run.report import report
from raynas.run.report_again import read_metrics, report_again
from raynas.trials import Training
from tests.run.stored import left_weights, stored


def told(folder: Path) -> dict[str, Any]:
    return dict(json.loads((folder / "summary.json").read_text()))


def test_it_is_the_report_that_the_search_wrote(tmp_path: Path) -> None:
    report(stored(tmp_path), Training(), "a title", progress=False)
    before = {path.name: path.read_bytes() for path in tmp_path.iterdir() if path.is_file()}
    best = (tmp_path / "best" / "architecture.json").read_text()
    assert {"summary.txt", "summary.json", "pareto_params.png"} <= before.keys()
    for name in ("summary.txt", "pareto_params.png"):
        (tmp_path / name).unlink()
    report_again(tmp_path)
    again = {path.name: path.read_bytes() for path in tmp_path.iterdir() if path.is_file()}
    pages = ("report.html", "report.md")  # with the options that some trial had, as the archive knows no others
    assert all(again.pop(page).count(b"<h2>") == before.pop(page).count(b"<h2>") for page in pages)
    assert again == before
    assert (tmp_path / "best" / "architecture.json").read_text() == best


def test_of_a_killed_search(tmp_path: Path) -> None:
    result = stored(tmp_path, num_samples=9)
    weights = left_weights(tmp_path, result)
    (tmp_path / "tensorboard").mkdir()
    summary = report_again(tmp_path)
    assert summary.interrupted and summary.title == "MLP on digits, RandomSearch"
    assert told(tmp_path)["best"]["trial"] == result.best().trial
    assert told(tmp_path)["commands"] == {
        "look closer": f"tensorboard --logdir {tmp_path}/tensorboard",
        "continue": "the same command",
    }
    assert Architecture.from_json((tmp_path / "best" / "architecture.json").read_text()) == result.best().arch
    held = load_file(tmp_path / "best" / "weights.safetensors")
    assert held.keys() == weights.keys() and all(torch.equal(held[name], weights[name]) for name in held)


def test_in_the_working_copy_of_a_bucket_it_says_where_the_weights_are(tmp_path: Path) -> None:
    result = stored(tmp_path, num_samples=9)
    (tmp_path / ".bucket.json").write_text(json.dumps({"bucket": "s3://bucket/results/search", "holder": "me"}))
    (note,) = report_again(tmp_path).notes
    assert note.startswith("The checkpoints are in s3://bucket/results/search: ")
    left_weights(tmp_path, result)
    (tmp_path / "best" / "architecture.json").unlink()
    assert report_again(tmp_path).notes == ()


def test_what_only_the_search_knew_is_kept_as_long_as_nothing_ended_since(tmp_path: Path) -> None:
    stored(tmp_path, num_samples=9)
    report_again(tmp_path)
    earlier = {**told(tmp_path), "ended_because": "all was tried", "notes": ["A note."], "title": "my title"}
    (tmp_path / "summary.json").write_text(json.dumps(earlier))
    summary = report_again(tmp_path)
    assert (summary.ended_because, summary.interrupted, summary.notes) == ("all was tried", False, ("A note.",))
    earlier["counts"]["finished"] -= 1
    (tmp_path / "summary.json").write_text(json.dumps(earlier))
    summary = report_again(tmp_path)
    assert (summary.ended_because, summary.interrupted, summary.notes) == ("", True, ())
    assert summary.title == "my title"
    (tmp_path / "summary.json").write_text("[damaged")
    assert report_again(tmp_path).title == "MLP on digits, RandomSearch"


def test_another_best_replaces_what_was_kept(tmp_path: Path) -> None:
    result = stored(tmp_path)
    folder = tmp_path / "best"
    folder.mkdir()
    (folder / "architecture.json").write_text(result.evaluations[0].arch.to_json() + "\n")
    for name in ("weights.safetensors", "retrain.yaml"):
        (folder / name).touch()
    report_again(tmp_path)
    assert [path.name for path in folder.iterdir()] == ["architecture.json"]
    assert Architecture.from_json((folder / "architecture.json").read_text()) == result.best().arch


def test_the_winner_trained_to_its_end(tmp_path: Path) -> None:
    key = stored(tmp_path).best().arch.key
    for name, accuracy in ((f"retrained-{key}-30epochs-0a", 0.75), ("retrained-other-30epochs-0a", 0.5)):
        folder = tmp_path / "best" / name
        folder.mkdir(parents=True)
        (folder / "metrics.json").write_text(json.dumps({"test_accuracy": accuracy, "epochs": 30}))
    assert report_again(tmp_path).retrained == {"test_accuracy": 0.75, "epochs": 30}
    assert read_metrics(tmp_path) == {}


def test_random_search_beside_it(tmp_path: Path) -> None:
    stored(tmp_path)
    stored(tmp_path / "random", num_samples=7)
    summary = report_again(tmp_path)
    assert summary.comparison is None
    assert summary.notes == ("The random search for comparison did not come to its end.",)
    (tmp_path / "random" / "archive.jsonl").unlink()
    stored(tmp_path / "random")
    summary = report_again(tmp_path)
    assert summary.comparison and summary.comparison.difference == 0 and not summary.notes


def test_a_link_that_leads_out_is_refused(tmp_path: Path) -> None:
    stored(tmp_path / "search")
    (tmp_path / "search" / "best").symlink_to(tmp_path)
    with pytest.raises(OutsideError, match="outside of the results folder"):
        report_again(tmp_path / "search")
