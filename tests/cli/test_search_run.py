"""A baseline that is not given, a search that is interrupted."""

import json
from pathlib import Path

import pytest
from rich.console import Console

from raynas.cli.search_run import SearchRun
from raynas.cli.terminal import Interrupted
from raynas.errors import RaynasError
from tests.cli.command_lines import search
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
