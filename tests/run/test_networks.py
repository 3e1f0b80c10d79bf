"""Networks with the weights that trials left behind."""

from pathlib import Path
from typing import Any

import pytest
import torch

from raynas.core.architecture import Architecture
from raynas.core.evaluation import Evaluation
from raynas.errors import RaynasError
from raynas.run.networks import TrialNetworks
from raynas.run.trainables import as_settings
from raynas.search_spaces import MLP
from raynas.trials import Function, Training
from raynas.trials.checkpoint import Checkpoint
from tests.run.test_trainables import Mine
from tests.run.widths import ARCHS, SPACE

ARCH = ARCHS[0]


def ended(trial: str = "00001", fidelity: int = 2, arch: Architecture = ARCH) -> Evaluation:
    return Evaluation(arch, {"accuracy": 0.5}, fidelity, trial=trial)


def left(folder: Path, fill: float, epoch: int, trial: str = "00001") -> None:
    """Leave a checkpoint whose weights are all of one value."""
    weights = {name: torch.full_like(tensor, fill) for name, tensor in SPACE.build(ARCH).state_dict().items()}
    Checkpoint(ARCH, epoch, {"model": weights, "state": {"fill": fill}}).write(folder / trial / f"checkpoint_{epoch}")


def score(model: object, config: object) -> float:
    return 0.5


def test_the_weights_of_the_last_report_that_counts(tmp_path: Path) -> None:
    networks = TrialNetworks(SPACE, Function(fn=score), tmp_path)
    for epoch in (1, 2, 3):
        left(tmp_path, float(epoch), epoch)
    model = networks.model(ended(fidelity=2))
    assert {weight.mean().item() for weight in model.parameters()} == {2.0}
    assert networks.state(ended(fidelity=2))["state"] == {"fill": 2.0}  # type: ignore[index]
    assert networks.state(ended("00002")) is None


@pytest.mark.parametrize(
    ("settings", "told"),
    [
        (Function(fn=score), r"no weights of trial 00001: it has no checkpoint that holds any; train the network that"),
        (as_settings(Mine), r"does not know how this trainable saves them; train the network that"),
    ],
)
def test_no_weights_and_what_to_do(settings: Any, told: str, tmp_path: Path) -> None:
    networks = TrialNetworks(SPACE, settings, tmp_path)
    with pytest.raises(RaynasError, match=rf"{told}.*\(the 3 best trials keep their checkpoints\)"):
        networks.model(ended())
    (tmp_path / "00001" / "checkpoint_000000").mkdir(parents=True)
    with pytest.raises(RaynasError, match=rf"{told}.*\(its checkpoints are in .*00001\)"):
        networks.model(ended())


def test_a_network_trained_smaller_is_given_back_as_it_was_trained(tmp_path: Path) -> None:
    space, training = MLP(), Training(data="digits", epochs=1, resolution=4, data_fraction=0.1)
    arch = next(space.enumerate())
    runner = training.runner(space)
    runner.begin({"arch": arch.to_config()})
    result = runner.step()
    runner.save(tmp_path / "00001" / "checkpoint_000000")
    trained = runner.trial.trainer
    model = TrialNetworks(space, training, tmp_path).model(ended(fidelity=1, arch=arch))
    assert trained.examine(model=model)["accuracy"] == result["accuracy"]
    assert next(model.parameters()).shape != next(space.build(arch).parameters()).shape


def test_it_is_retrained_in_a_folder_of_its_own(tmp_path: Path) -> None:
    arch = next(MLP().enumerate())
    networks = TrialNetworks(MLP(), Training(data="digits", epochs=1, data_fraction=0.1), tmp_path)
    metrics = networks.retrain(ended(arch=arch), 1, None)
    (folder,) = (tmp_path / "best").iterdir()
    assert 0 <= metrics["test_accuracy"] <= 1 and (folder / "weights.safetensors").is_file()
    assert networks.retrain(ended(arch=arch), 1, tmp_path / "mine")["test_accuracy"] == metrics["test_accuracy"]
    assert (tmp_path / "mine" / "weights.safetensors").is_file()


def test_the_network_of_a_trial_is_exported_with_its_metrics(tmp_path: Path) -> None:
    space = MLP(input_shape=(1, 8, 8), max_layers=1, widths=(4,))
    arch = next(space.enumerate())
    settings = Training(epochs=2, seed=5)
    weights = space.build(arch).state_dict()
    Checkpoint(arch, 2, {"model": weights}).write(tmp_path / "00001" / "checkpoint_2")
    done = TrialNetworks(space, settings, tmp_path).export(
        ended(arch=arch), tmp_path / "net", formats=["source"], verify=False
    )
    card = (tmp_path / "net" / "README.md").read_text()
    for part in ("| accuracy | 0.5 |", "by trial 00001 after 2 epochs, accuracy and loss on the validation", "seed 5"):
        assert part in card
    assert "preprocess" in (tmp_path / "net" / "model.py").read_text() and "model.py" in done.files
    assert (tmp_path / "net" / "architecture.json").read_text().strip() == arch.to_json()
