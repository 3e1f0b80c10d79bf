"""A baseline that is not given, a search that is interrupted."""

import json
from pathlib import Path

import pytest
from rich.console import Console

from raynas.cli.search_run import SearchRun
from raynas.cli.terminal import Interrupted
from raynas.errors import RaynasError
from raynas.metrics.latency_predictor import LatencyPredictor, save_predictor
from tests.cli.command_lines import search
from tests.metrics.latency_predictor.made_up import cells, measured
from tests.views.report.searches import searched


def test_a_baseline_is_read_before_anything_is_computed() -> None:
    limit = ("--constraints", "params <= 0.9 * baseline")
    with pytest.raises(ValueError, match=r'say baseline="default".*; on the command line --baseline default'):
        SearchRun(search(*limit), Console())
    with pytest.raises(RaynasError, match="cannot read the architecture 'nowhere"):
        SearchRun(search(*limit, "--baseline", "nowhere.json"), Console())
    SearchRun(search(*limit, "--baseline", "default"), Console())


def test_an_interrupted_search_leaves_what_it_has_and_says_so(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "mine"
    path.mkdir()
    result = searched(path=path, interrupted=True)
    monkeypatch.setattr("raynas.cli.search_run.search", lambda *arguments, **options: result)
    command = search("--space", "mlp", "--results", str(tmp_path), "--name", "mine", "--num_samples", "9")
    with pytest.raises(Interrupted, match="6 of 9 trials are done"):
        SearchRun(command, Console()).search()
    told = json.loads((path / "summary.json").read_text())
    assert told["interrupted"] and told["best"]["trial"] == result.best().trial
    assert told["commands"]["continue"] == "the same command" and "search on" not in told["commands"]
    assert (path / "best" / "architecture.json").is_file() and (path / "pareto_params.png").is_file()


def test_a_search_of_failures_says_how_they_are_tried_again(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    result = searched([("failed", 0, 0.0, 0.0, 0.0)], path=tmp_path)
    monkeypatch.setattr("raynas.cli.search_run.search", lambda *arguments, **options: result)
    run = SearchRun(search("--space", "mlp", "--results", str(tmp_path), "--name", "mine"), Console())
    commands = run.summary(result, None, None, None).commands
    assert commands["try again"].startswith("the same command with --retry_failed") and "search on" not in commands


def test_the_time_limit_of_a_trial_reaches_the_search(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    given: list[object] = []

    def stand_in(*arguments: object, max_trial_seconds: object, **options: object) -> None:
        given.append(max_trial_seconds)
        raise RaynasError("enough")

    monkeypatch.setattr("raynas.cli.search_run.search", stand_in)
    for line in ((), ("--max-trial-seconds", "90")):
        command = search("--space", "mlp", "--results", str(tmp_path), "--name", "mine", *line)
        with pytest.raises(RaynasError, match="enough"):
            SearchRun(command, Console()).search()
    assert given == [None, 90.0]
    names = {search("--space", "mlp", *line).run.name for line in ((), ("--max-trial-seconds", "90"))}
    assert len(names) == 1  # it is the same search


def test_a_predictor_is_said_with_its_error_and_checked_against_the_space(tmp_path: Path) -> None:
    path, console = tmp_path / "p.safetensors", Console(record=True, width=200)
    flags = ("--space", "nasbench201", "--data", "digits", "--latency.predictor", str(path))
    archs = cells(20)
    space = SearchRun(search(*flags[:4]), Console()).space
    save_predictor(LatencyPredictor.fit(space, measured("cpu", archs), "linear", n_folds=2), path)
    SearchRun(search(*flags), console)
    assert "latency on cpu predicted by linear: " in (said := console.export_text()) and "2-fold" in said
    with pytest.raises(RaynasError, match="of networks of another space or size"):
        SearchRun(search(*flags, "--space.channels", "4"), console)
