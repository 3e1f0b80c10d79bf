"""The settings and the folder of a training to the end."""

from pathlib import Path
from typing import Any

import pytest

from raynas.core.architecture import Architecture
from raynas.core.evaluation import Evaluation
from raynas.errors import RaynasError
from raynas.run.retraining import final_training, folder_for
from raynas.search_spaces import MLP
from raynas.trials import Function, SupernetTraining, Tabular, Training

WINNER = Evaluation(Architecture({"depth": 1}), {"accuracy": 0.5}, hyperparameters={"lr": 0.25})


def test_all_data_and_the_hyperparameters_of_the_winner() -> None:
    searched = Training(epochs=4, data_fraction=0.5, resolution=4, scale={"channels": 8}, weight_decay=0.01)
    assert final_training(searched, WINNER) == Training(epochs=4, weight_decay=0.01, lr=0.25)
    assert final_training(searched, WINNER, 40).epochs == 40


def test_a_supernet_says_how_to_train_a_network_alone() -> None:
    assert final_training(SupernetTraining(epochs=3, momentum=0.8), WINNER, 5) == Training(
        epochs=5, momentum=0.8, lr=0.25
    )


@pytest.mark.parametrize(
    "settings", [Function(fn=lambda model, config: 0.5), Tabular(table="a.csv", metrics={"accuracy": "a"})]
)
def test_others_do_not_know_how(settings: Any) -> None:
    with pytest.raises(RaynasError, match=r"does not say how to train to the end: call raynas.trials.retrain\(space"):
        final_training(settings, WINNER)


def test_another_training_has_another_folder(tmp_path: Path) -> None:
    arch = next(MLP().enumerate())
    folders = [
        folder_for(tmp_path, arch, space, training)
        for space in (MLP(), MLP(widths=(32, 64)))
        for training in (Training(), Training(epochs=6), Training(lr=0.2))
    ]
    assert len(set(folders)) == len(folders)
    assert folder_for(tmp_path, arch, MLP(), Training()) == folders[0]
