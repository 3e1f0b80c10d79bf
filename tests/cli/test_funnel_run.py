"""A funnel from the command line: ``--funnel``, what it takes and refuses, and its report."""

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest

from raynas import FunnelStage
from raynas.cli import commands, run_tune, search_run
from raynas.cli.flags import DEMO_FIELDS
from raynas.cli.search_command import SearchCommand, parse_search
from raynas.errors import RaynasError, UnknownNameError
from raynas.funnels import run
from raynas.strategies import Asha, LocalSearch, RandomSearch
from raynas.trials import Function, Training, ZeroCost
from tests.funnels.in_process import InProcess

STAGES = ("--funnel", "zero_cost 30 synflow", "train 10 epochs=2", "train 4 epochs=6 lr=1e-2")


def search(*argv: str) -> SearchCommand:
    return parse_search(argv)


# --- what it takes ---------------------------------------------------------------------------------------------------


def test_stages() -> None:
    command = search(*STAGES)
    demo = DEMO_FIELDS["train"]
    assert command.stages == (
        FunnelStage(ZeroCost(valid_share=demo["valid_share"]), n=30, objectives=["synflow"]),
        FunnelStage(Training(**{**demo, "epochs": 2}), n=10),
        FunnelStage(Training(**{**demo, "epochs": 6, "lr": 0.01}), n=4),
    )
    assert command.strategy == RandomSearch()
    assert command.trainable == command.stages[-1].settings
    assert command.search.objectives == ("accuracy",)
    assert search().stages == ()


def test_options_of_stages() -> None:
    """Those of --trainable, but for what the text sets; other kinds take over where the data is."""
    stages = search(
        *("--data", "mnist", "--trainable.batch_size", "32", "--trainable.seed", "3", "--trainable.data_dir", "/data"),
        *(
            "--funnel",
            "zero_cost 9 params macs batch_size=16 proxies=[snip,naswot]",
            "train 3 lr=none scale.channels=4 scale.n=2",
        ),
    ).stages
    where: dict[str, Any] = {"data": "mnist", "seed": 3, "data_dir": "/data"}
    assert stages[0].settings == ZeroCost(**where, batch_size=16, proxies=("snip", "naswot"))
    assert stages[0].objectives == ["params", "macs"]
    assert stages[1].settings == Training(**where, batch_size=32, epochs=9, scale={"channels": 4, "n": 2})


def test_a_function_as_a_stage() -> None:
    funnel = ("--funnel", "zero_cost 9", "function 3 max:reward fn=mine:other")
    stages = search("--trainable", "function", "--trainable.fn", "mine:train", *funnel).stages
    assert stages[1].settings == Function(fn="mine:other") and stages[1].objectives == ["max:reward"]
    stages = search("--trainable", "function", "--trainable.fn", "mine:train", *funnel[:2], "function 3").stages
    assert stages[1].settings == Function(fn="mine:train")


def test_early_stopping_is_for_the_stages_that_train() -> None:
    command = search(*STAGES, "--early_stopping", "asha", "--early_stopping.grace_period", "2", "--strategy", "local")
    assert [stage.early_stopping for stage in command.stages] == [None, *[Asha(grace_period=2)] * 2]
    assert command.strategy == LocalSearch(early_stopping=None)


def test_more_of_the_same_is_the_same_funnel() -> None:
    more = ("--funnel", "zero_cost 300 synflow", "train 20 epochs=2", "train 5 epochs=6 lr=1e-2")
    other = ("--funnel", "zero_cost 30 naswot", "train 10 epochs=2", "train 4 epochs=6 lr=1e-2")
    names = [str(search(*flags).run.name) for flags in (STAGES, more, other, (*STAGES, "--seed", "3"), ())]
    assert names[0] == names[1] and len(set(names)) == 4
    assert names[0].startswith("cnn-digits-funnel-random-")


def test_a_file_and_back(tmp_path: Path) -> None:
    (tmp_path / "funnel.yaml").write_text(
        "epochs: 4\nfunnel:\n  - zero_cost 30 synflow\n  - train 10 epochs=2\n  - train 4\nstrategy: local\n"
    )
    command = search("--config", str(tmp_path / "funnel.yaml"))
    assert [stage.n for stage in command.stages] == [30, 10, 4]
    assert isinstance(command.trainable, Training) and command.trainable.epochs == 4
    (tmp_path / "options.yaml").write_text(command.text)
    again = search("--config", str(tmp_path / "options.yaml"))
    assert (again.stages, again.strategy, again.run) == (command.stages, command.strategy, command.run)


def test_help(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit):
        search("--help")
    text = " ".join(capsys.readouterr().out.split())
    assert "%" not in text
    assert "--funnel TEXT ..." in text and '"train 60 epochs=2" "train 8 epochs=30"' in text


# --- what it refuses -------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("argv", "told"),
    [
        (("--funnel", "train many", "train 3"), "cannot read stage 'train many'"),
        (("--funnel", "train", "train 3"), "cannot read stage 'train'"),
        (("--funnel", "trian 5", "train 3"), "did you mean 'train'"),
        (("--funnel", "train 5 epoch=3", "train 3"), "did you mean 'epochs'"),
        (("--funnel", "train 5 epochs=few", "train 3"), "epochs must be a whole number"),
        (("--funnel", "train 5 scale=3", "train 3"), "write scale.NAME=VALUE"),
        (("--funnel", "train 5 lr.low=3", "train 3"), "write lr=VALUE"),
        (("--funnel", "train 5 lr=" + "[" * 5000, "train 3"), "lr must be"),
        (("--funnel", "train 0", "train 0"), "at least 1, got 0"),
        (("--funnel", "train 5 accurcy", "train 3"), "needs a direction"),
        (("--funnel", "train 5 max:reward", "train 3"), "unknown metric 'reward'"),
        (("--funnel", "zero_cost 5 proxies=[synflw]", "train 3"), "did you mean 'synflow'"),
        (("--funnel", "function 5", "train 3"), "stage 'function 5' needs fn=..."),
        (("--funnel", "subnet 5", "train 3"), "needs supernet=..."),
        (("--funnel", "zero_cost 5", "zero_cost 3 snip", "--early_stopping", "asha"), "nothing to stop early"),
        ((*STAGES, "--num_samples", "60"), "--num_samples is not for a funnel"),
        ((*STAGES, "--hyperparameters.lr", "0.1"), "--hyperparameters is not for a funnel"),
        ((*STAGES, "--trainable", "subnet"), "write a stage, 'subnet NUMBER supernet=FOLDER'"),
    ],
)
def test_a_wrong_stage_gets_one_line(argv: tuple[str, ...], told: str) -> None:
    with pytest.raises((RaynasError, ValueError)) as caught:
        search(*argv)
    assert told in str(caught.value)
    assert "\n" not in str(caught.value)


def test_an_unknown_trainable_lists_the_known_ones() -> None:
    with pytest.raises(UnknownNameError, match=r"Known: function, .*train, zero_cost"):
        search("--funnel", "nonsense 5", "train 3")


def test_one_stage_is_no_funnel(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert run_tune(["--funnel", "train 3", "--results", str(tmp_path)]) == commands.BAD_INPUT
    assert "error: a funnel needs at least two stages, got 1" in capsys.readouterr().err


# --- a run -----------------------------------------------------------------------------------------------------------


def scored(settings: Any, config: Mapping[str, Any]) -> dict[str, Any]:
    """The fewer layers the better, in every stage."""
    value = 1 / config["arch"]["n_layers"]
    if isinstance(settings, ZeroCost):
        return {"synflow": value, "params": 10.0, "training_iteration": 1}
    return {"accuracy": value, "params": 10.0, "train_seconds": 1.0, "training_iteration": settings.epochs}


@pytest.fixture
def in_process(monkeypatch: pytest.MonkeyPatch) -> InProcess:
    found = InProcess(scored)
    monkeypatch.setattr(run, "search", found)
    monkeypatch.setattr(search_run, "search", found)
    return found


def test_from_flags_to_report(in_process: InProcess, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """10 networks for 2 epochs and 4 for 6 are 44 epochs: 7 of random search for 6 each, rounded."""
    argv = [*STAGES, "--results", str(tmp_path), "--name", "funnel", "--retrain.epochs", "0"]
    assert run_tune(argv) == commands.OK
    folder = tmp_path / "funnel"
    told = json.loads((folder / "summary.json").read_text())
    assert told["title"] == "cnn on digits, random, a funnel of 3 stages"
    assert told["counts"]["finished"] == 4
    comparison = told["comparison"]
    assert (comparison["n_trials"], comparison["epochs"]) == (14, 44)
    assert (comparison["n_random_trials"], comparison["random_epochs"]) == (7, 42)
    assert any("which were chosen by the earlier score" in note for note in told["notes"])
    assert told["commands"]["search on"] == "the same command with larger numbers in --funnel"
    assert told["commands"]["look closer"].endswith("funnel")
    assert all(Path(file).exists() for file in told["files"].values()), told["files"]
    assert json.loads((folder / "best" / "architecture.json").read_text()) == told["best"]["architecture"]
    assert "epochs: 6" in (folder / "best" / "retrain.yaml").read_text()
    text = capsys.readouterr().out
    assert "Stage 1 of 3, ZeroCost(valid_share=0.5): 30 by RandomSearch, ranked by max:synflow" in text
    assert "Against random search with as many epochs as all stages together" in text
    assert {"1-zero_cost", "2-train", "3-train", "random", "funnel.txt"} <= {path.name for path in folder.iterdir()}


def test_interrupted_and_run_again(in_process: InProcess, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    argv = [*STAGES, "--results", str(tmp_path), "--no_progress", "--retrain.epochs", "0", "--no_compare_random"]
    in_process.n_left = 33
    assert run_tune(argv) == commands.INTERRUPTED
    assert "3 of 10 trials of stage 2 of 3 are done" in capsys.readouterr().err
    in_process.n_left = 100
    assert run_tune(argv) == commands.OK
    assert in_process.n_left == 100 - 11
    assert set(in_process.scored.values()) == {1}
