"""Options in a file, as flags in front of those of the command line."""

from pathlib import Path

import pytest

from raynas.cli.flags import texts_in
from raynas.errors import RaynasError
from raynas.search_spaces import NASBench201
from raynas.strategies import LocalSearch
from raynas.trials import Training
from tests.cli.command_lines import search, written

FILE = """
space: {name: nasbench201, channels: 4}
data: mnist
trainable:
  epochs: 4
strategy: local
early_stopping: null
objectives: accuracy
constraints: [params <= 1e5, latency_ms <= 3]
hyperparameters:
  lr: loguniform(1e-3, 1e-1)
  optimizer: [sgd, adam]
compare_random: false
"""


def test_a_file(tmp_path: Path) -> None:
    command = search("--config", written(tmp_path, FILE))
    assert command.space() == NASBench201(channels=4)
    assert command.trainable == Training(data="mnist", epochs=4)
    assert command.strategy == LocalSearch(early_stopping=None)
    assert command.search.objectives == ("accuracy",)
    assert command.search.constraints == ("params <= 1e5", "latency_ms <= 3")
    assert command.search.hyperparameters["optimizer"].categories == ["sgd", "adam"]
    assert not command.report.compare_random


def test_flags_win_wherever_they_stand(tmp_path: Path) -> None:
    file = written(tmp_path, FILE)
    for argv in (("--seed", "3", "--epochs", "7", "--config", file), (f"--config={file}", "--epochs=7", "--seed=3")):
        command = search(*argv, "--compare_random")
        assert isinstance(command.trainable, Training)
        assert (command.trainable.epochs, command.search.seed, command.report.compare_random) == (7, 3, True)


def test_the_options_of_a_search_are_a_file(tmp_path: Path) -> None:
    first = search("--strategy", "optuna", "--hyperparameters.lr", "uniform(0.1, 1)", "--constraints", "macs <= 1e6")
    again = search("--config", written(tmp_path, first.text))
    assert (again.strategy, again.trainable, again.run) == (first.strategy, first.trainable, first.run)


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("- a list", "must hold options"),
        ("a: [", "not a YAML file"),
        ("!!python/object/apply:os.system ['exit 3']", "not a YAML file"),
        ("stratgy: local", "did you mean '--strategy'"),
        ("strategy: {name: local, population_size: 3}", "option of strategy 'local'"),
        ("num_samples: many", "--num_samples takes a whole number, got 'many'"),
    ],
)
def test_a_bad_file(text: str, told: str, tmp_path: Path) -> None:
    with pytest.raises(RaynasError, match=told):
        search("--config", written(tmp_path, text))


def test_a_missing_file() -> None:
    with pytest.raises(RaynasError, match=r"cannot read the options in 'nowhere.yaml'"):
        search("--config", "nowhere.yaml")


def test_values_of_flags_as_text() -> None:
    tokens = ["--a=1", "--b", "x", "y", "--c", "--a=2", "--d=x y"]
    assert texts_in(tokens) == {"a": "2", "b": "x y", "c": "", "d": "x y"}
    assert texts_in([]) == {}
