"""A training to the end, with the settings beside the architecture."""

from pathlib import Path

from raynas.run.best import keep
from raynas.search_spaces import MLP, NASBench201
from raynas.trials import Training
from tests.cli.command_lines import retrain


def test_settings_beside_an_architecture(tmp_path: Path) -> None:
    space = NASBench201(channels=4, cells=1, input_shape=(1, 8, 8))
    arch = next(space.enumerate())
    keep(arch, tmp_path, space, Training(epochs=7, lr=0.2))
    command = retrain(str(tmp_path / "architecture.json"))
    assert command.space() == space and command.training == Training(epochs=7, lr=0.2)
    assert command.settings == tmp_path / "retrain.yaml"
    assert retrain(str(tmp_path / "architecture.json"), "--epochs", "8").training.epochs == 8
    assert retrain(str(tmp_path / "architecture.json"), "--space", "mlp").space() == MLP()


def test_an_architecture_alone() -> None:
    command = retrain("my.json", "--space", "mlp", "--data", "mnist")
    assert command.space() == MLP() and command.settings is None
    assert command.training == Training(data="mnist", epochs=30)
