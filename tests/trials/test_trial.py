"""What the author of a trial writes."""

from collections.abc import Mapping

import pytest

from raynas.core.architecture import Architecture
from raynas.errors import RaynasError
from raynas.trials import Training, Trial
from tests.trials.scripted import scripted
from tests.trials.spaces import TinyCnn


def test_two_methods_make_a_trial() -> None:
    result = scripted({"accuracy": 0.5}, {"accuracy": 0.6}, {"accuracy": 0.7})
    assert (result["accuracy"], result["training_iteration"], result["complete"]) == (0.7, 3, 1)


def test_it_may_end_before_its_last_epoch() -> None:
    result = scripted({"accuracy": 0.5}, {"accuracy": 0.6}, StopIteration())
    assert (result["accuracy"], result["training_iteration"], result["complete"]) == (0.6, 2, 1)
    assert scripted(StopIteration())["error"] == "epoch 1: nothing was reported"


class Minimal(Trial[Training]):
    """Only what must be there."""

    def start(self, arch: Architecture, hyperparameters: Mapping[str, object]) -> None:
        self.arch = arch

    def advance(self) -> Mapping[str, float]:
        return {"accuracy": 0.5}


def test_all_else_has_a_default() -> None:
    trial = Minimal(TinyCnn(), Training(epochs=2))
    assert trial.state() is None and trial.notes == {} and trial.directory is None
    with pytest.raises(RaynasError, match="cannot go on from a checkpoint"):
        trial.load_state({})
    with pytest.raises(RaynasError, match="can take nothing over from another architecture"):
        trial.take_over({}, Architecture({"depth": 1}))
    for trial.epoch, finished in ((1, False), (2, True), (3, True)):
        assert trial.finished is finished
    assert trial.device == trial.settings.torch_device
    trial.close()
