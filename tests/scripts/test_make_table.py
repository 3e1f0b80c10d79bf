"""The script that trains a space and writes its table: its scores are those of trials, and it goes on where it was."""

import json
from pathlib import Path
from typing import Any

import pandas as pd
import pytest

from raynas.core.architecture import Architecture
from raynas.errors import RaynasError
from raynas.search_spaces import MLP, NASBench201
from raynas.trials import Tabular, Training
from scripts.make_table import TableOptions, functions, main, prepare, scores_of, table, trained

SPACE = MLP(max_layers=1, widths=(8,), dropouts=(0.0,))  # of 12 members
FLAGS = (
    *("--space", "mlp", "--space.max_layers", "1", "--space.widths", "8", "--space.dropouts", "0"),
    *("--data", "digits", "--epochs", "2", "--trainable.data_fraction", "0.1"),
)
TRAINING = Training(data="digits", epochs=2, data_fraction=0.1, valid_share=0.5)


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("table")
    assert main([*FLAGS, "--output", str(folder / "new" / "table.csv.gz"), "--n_seeds", "2"]) == 0
    return folder / "new"


def untimed(path: Path) -> pd.DataFrame:
    frame: pd.DataFrame = pd.read_csv(path).drop(columns="seconds")
    return frame


def test_the_table_tells_what_trials_would(made: Path) -> None:
    read = Tabular(
        table=str(made / "table.csv.gz"),
        metrics={"accuracy": "accuracy_epoch{}", "params": "params", "macs": "macs", "test": "test_accuracy"},
        fidelities=(1, 2),
        seconds="seconds",
    ).load(SPACE)
    assert set(read.rows) == set(SPACE.enumerate()) and len(read) == 12
    arch = Architecture({"n_layers": 1, "activation": "gelu", "dropout": 0.0, "norm": "batch", "layers.0.width": 8})
    curves = []
    for seed in (0, 1):
        results: list[dict[str, Any]] = []
        settings = Training(data="digits", epochs=2, data_fraction=0.1, valid_share=0.5, seed=seed)
        settings.evaluate(SPACE, arch, on_result=results.append)
        curves.append([result["accuracy"] for result in results])
    first, last = read.reports(arch)
    assert [first["accuracy"], last["accuracy"]] == pytest.approx(
        [sum(e) / 2 for e in zip(*curves, strict=True)], abs=1e-4
    )
    assert (last["params"], last["macs"]) == (results[-1]["params"], results[-1]["macs"])
    assert last["train_seconds"] == pytest.approx(2 * first["train_seconds"]) and first["train_seconds"] > 0
    assert 0.05 < last["test"] < 1


@pytest.mark.parametrize("kept", [1, 9])
def test_a_run_that_was_killed_goes_on(
    made: Path, tmp_path: Path, kept: int, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    lines = (made / "table.jsonl").read_text().splitlines()
    (tmp_path / "table.jsonl").write_text("\n".join([*lines[:kept], lines[kept][:20]]))
    tasks: list[Any] = []

    def counted(task: Any) -> Any:
        tasks.append(task)
        return trained(task)

    monkeypatch.setattr("scripts.make_table.trained", counted)
    assert main([*FLAGS, "--output", str(tmp_path / "table.csv.gz"), "--n_seeds", "2"]) == 0
    assert len(tasks) == 24 - (kept - 1) and f"{25 - kept} of 24 trainings to do" in capsys.readouterr().out
    pd.testing.assert_frame_equal(untimed(tmp_path / "table.csv.gz"), untimed(made / "table.csv.gz"))


def test_other_settings_are_another_table(made: Path, capsys: pytest.CaptureFixture[str]) -> None:
    before = (made / "table.jsonl").read_text()
    assert main([*FLAGS, "--epochs", "3", "--output", str(made / "table.csv.gz")]) == 2
    assert "holds trainings with other settings" in capsys.readouterr().err
    assert (made / "table.jsonl").read_text() == before


def test_fewer_seeds_are_those_that_are_asked_for(made: Path, capsys: pytest.CaptureFixture[str]) -> None:
    output = made / "one_seed.csv.gz"
    (made / "one_seed.jsonl").write_text((made / "table.jsonl").read_text())
    assert main([*FLAGS, "--output", str(output)]) == 0
    assert "0 of 12 trainings to do" in capsys.readouterr().out
    lines = [json.loads(line) for line in (made / "table.jsonl").read_text().splitlines()[1:]]
    expected = {Architecture(line["arch"]).key: line["curve"][-1] for line in lines if line["seed"] == 0}
    for _, row in pd.read_csv(output).iterrows():
        assert row["accuracy_epoch2"] == pytest.approx(expected[Architecture.from_json(row["arch"]).key], abs=1e-4)


def test_several_processes_give_the_same(made: Path, tmp_path: Path) -> None:
    assert main([*FLAGS, "--output", str(tmp_path / "table.csv.gz"), "--n_seeds", "2", "--workers", "2"]) == 0
    pd.testing.assert_frame_equal(untimed(tmp_path / "table.csv.gz"), untimed(made / "table.csv.gz"))


def test_cells_of_the_same_function_are_trained_once() -> None:
    space = NASBench201(cells=1, channels=2, input_shape=(1, 8, 8), operations=("none", "skip_connect"))
    groups = functions(space, limit=10)
    # Sums of 0 to 4 copies of the input: by 0-3, 0-1-3, 0-2-3 and 0-1-2-3; counted by hand.
    assert len(groups) == 5 and sum(map(len, groups.values())) == 2**6
    first = next(iter(groups))
    line = {"arch": dict(first), "seed": 0, "curve": [0.25, 0.5], "test_accuracy": 0.4, "seconds": 1.0}
    frame = table(space, groups, [line])
    assert len(frame) == 64 and frame["accuracy_epoch2"].notna().sum() == len(groups[first])
    assert frame["macs"].notna().all(), "what it costs is known of all"


def test_seeds_are_averaged() -> None:
    lines = [
        {"curve": [0.1, 0.5], "test_accuracy": 0.2, "seconds": 1.0},
        {"curve": [0.3, 0.9], "test_accuracy": 0.4, "seconds": 3.0},
    ]
    assert scores_of(lines) == {"accuracy_epoch1": 0.2, "accuracy_epoch2": 0.7, "test_accuracy": 0.3, "seconds": 2.0}
    assert scores_of([]) == {}


def test_a_failed_training_is_kept_as_such() -> None:
    prepare(SPACE, Training(data="digits", epochs=1, data_fraction=0.1, lr=1e30, warmup_epochs=0.0))
    line = trained(
        (Architecture({"n_layers": 1, "activation": "relu", "dropout": 0.0, "norm": "none", "layers.0.width": 8}), 0)
    )
    assert "diverged" in line["error"] and "curve" not in line
    assert table(SPACE, functions(SPACE, 12), [line])["params"].notna().all()


@pytest.mark.parametrize("limit", [11, 1])
def test_spaces_that_are_too_large_are_refused(limit: int) -> None:
    space = SPACE if limit == 11 else NASBench201()
    with pytest.raises(RaynasError, match=r"12 different networks, and max_networks is 11|has 15,625 architectures"):
        functions(space, limit)


@pytest.mark.parametrize("changes", [{"workers": 0}, {"n_seeds": 0}, {"max_networks": 0}, {"output": "table.parquet"}])
def test_options_are_checked(changes: dict[str, Any]) -> None:
    with pytest.raises(ValueError, match=r"must be at least 1, got 0|must end in .csv.gz or .csv"):
        TableOptions(**changes)


def test_errors_are_one_line(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["--space", "mpl"]) == 2
    err = capsys.readouterr().err
    assert err.startswith("error: unknown search space 'mpl'; did you mean 'mlp'") and err.count("\n") == 1
    assert main(["--workers", "0"]) == 2 and "workers must be at least 1" in capsys.readouterr().err
