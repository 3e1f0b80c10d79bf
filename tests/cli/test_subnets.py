"""The two-stage recipe from the command line: ``--trainable subnet``."""

import json
from pathlib import Path

import pytest

from raynas.cli import commands, run_tune
from raynas.cli.search_command import parse_search
from raynas.cli.subnets import SubnetSearch
from raynas.core.architecture import Architecture
from raynas.errors import RaynasError, UnknownNameError
from raynas.oneshot import ONESHOT, SinglePath

SUBNETS = ("--space", "nasbench201", "--trainable", "subnet")
SMALL = ("--space.channels", "4", "--space.cells", "1", "--trainable.data_fraction", "0.2")


def test_the_recipe() -> None:
    command = parse_search([*SUBNETS, "--epochs", "3", "--trainable.lr", "0.05", "--trainable.bulk", "4"])
    assert command.trainable == SubnetSearch(method=SinglePath(), epochs=3, lr=0.05, bulk=4)
    assert command.names["method"] == "single_path"
    assert command.strategy.early_stopping is None
    assert str(command.run.name).startswith("nasbench201-digits-subnets-auto-")
    assert command.retrain is not None


@pytest.mark.parametrize("name", sorted(ONESHOT))
def test_every_method_and_its_options(name: str, tmp_path: Path) -> None:
    command = parse_search([*SUBNETS, "--trainable.method", name])
    assert isinstance(command.trainable, SubnetSearch)
    assert command.trainable.method == ONESHOT[name]()
    (tmp_path / "options.yaml").write_text(command.text)
    again = parse_search(["--config", str(tmp_path / "options.yaml")])
    assert again.trainable == command.trainable and again.run.name == command.run.name


def test_another_method_is_another_search() -> None:
    names = {parse_search([*SUBNETS, *flags]).run.name for flags in ([], ["--method", "fair"], ["--epochs", "7"])}
    assert len(names) == 3
    assert parse_search([*SUBNETS, "--num_samples", "9", "--trainable.bulk", "2"]).run.name in names


def test_help_lists_the_methods(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit):
        parse_search([*SUBNETS, "--help-all"])
    text = capsys.readouterr().out
    assert all(f"  {name} " in text for name in ONESHOT)
    assert "--trainable.workers N" in text and "--method NAME" in text


def test_what_makes_no_sense() -> None:
    with pytest.raises(RaynasError, match="nothing to stop early"):
        parse_search([*SUBNETS, "--early_stopping", "asha"])
    with pytest.raises(RaynasError, match="no --hyperparameters"):
        parse_search([*SUBNETS, "--hyperparameters.lr", "0.1"])
    with pytest.raises(UnknownNameError, match="unknown option"):
        parse_search(["--method", "single_path"])
    with pytest.raises(UnknownNameError, match="single_path"):
        parse_search([*SUBNETS, "--method", "single_pat"])


def test_a_space_without_a_supernet_is_one_line(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], ray_cluster: None
) -> None:
    argv = ["--space", "mlp", "--trainable", "subnet", "--results", str(tmp_path), "--no_progress"]
    assert run_tune(argv) == commands.BAD_INPUT
    err = capsys.readouterr().err
    assert err.startswith("error: MLP is not read off a model with choices") and err.count("\n") == 1


def test_from_flags_to_report(
    ray_cluster: None, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    flags = ["--epochs", "1", "--num_samples", "5", "--retrain.epochs", "1", "--no_progress", "--no_compare_random"]
    argv = [*SUBNETS, *SMALL, *flags, "--no_tensorboard", "--name", "two_stages"]
    assert run_tune(argv) == commands.OK
    path = Path("results/two_stages")
    assert "inherited from a supernet" in capsys.readouterr().out
    summary = json.loads((path / "summary.json").read_text())
    assert summary["counts"]["finished"] == 5
    assert 0 <= summary["retrained"]["test_accuracy"] <= 1
    about = json.loads((path / "supernet" / "supernet.json").read_text())
    assert len(about["history"]) == 1
    assert Architecture.from_json((path / "best" / "architecture.json").read_text())

    written = (path / "supernet" / "supernet.safetensors").stat().st_mtime_ns
    assert run_tune([*argv, "--num_samples", "7"]) == commands.OK  # the supernet is there, the search goes on
    assert (path / "supernet" / "supernet.safetensors").stat().st_mtime_ns == written
    assert json.loads((path / "summary.json").read_text())["counts"]["finished"] == 7
