"""The two stages on a cluster: shared weights are trained, then their subnets are searched."""

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
import torch
from ray import tune

import raynas
from raynas.core.archive import Archive
from raynas.errors import ArchiveError, RaynasError, SettingError, SpaceError
from raynas.oneshot import Setup, SinglePath
from raynas.oneshot.single_path import SinglePathLearner
from raynas.search_spaces import NASBench201
from raynas.strategies import Asha, RandomSearch, RegularizedEvolution
from raynas.trials import Subnet, SupernetTraining, TrainedSupernet
from raynas.trials.supernet.trained import ABOUT
from tests.trials.spaces import TinyCnn

pytestmark = pytest.mark.usefixtures("ray_cluster")

SPACE = NASBench201(channels=4, cells=1, input_shape=(1, 8, 8))


def settings(**changes: Any) -> SupernetTraining:
    return SupernetTraining(**{"data": "digits", "data_fraction": 0.25, "epochs": 2, "lr": 0.05, **changes})


def config(folder: Path, name: str) -> tune.RunConfig:
    return tune.RunConfig(name=name, storage_path=str(folder))


def train(folder: Path, space: Any = SPACE, **changes: Any) -> TrainedSupernet:
    arguments: dict[str, Any] = {"progress": False, "tensorboard": False, "run_config": config(folder, "supernet")}
    return raynas.train_supernet(space, settings(**changes), **arguments)


def search(folder: Path, scoring: Any, name: str, strategy: Any = None, **arguments: Any) -> raynas.SearchResult:
    strategy = strategy or RegularizedEvolution(population_size=6, tournament_size=3)
    given: dict[str, Any] = {"num_samples": 20, "progress": False, "tensorboard": False, "leave_report": False}
    return raynas.search(SPACE, scoring, strategy, run_config=config(folder, name), **given | arguments)


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory, ray_cluster: None) -> Path:
    folder = tmp_path_factory.mktemp("results")
    train(folder)
    return folder


def test_training_on_the_cluster_equals_training_here(folder: Path) -> None:
    runner = settings().runner(SPACE)
    runner.begin({"arch": {"method": "SinglePath"}})
    while not runner.step()["done"]:
        pass
    supernet = TrainedSupernet.load(folder / "supernet", SPACE)
    assert list(supernet.history) == runner.trial.history and len(runner.trial.history) == 2
    assert supernet.about["method"] == repr(SinglePath())


def test_a_finished_training_is_not_repeated(folder: Path) -> None:
    before = (folder / "supernet" / "archive.jsonl").stat().st_size
    again = train(folder)
    assert (folder / "supernet" / "archive.jsonl").stat().st_size - before < 1000  # one more session, no more epochs
    assert len(Archive.load(folder / "supernet" / "archive.jsonl").events("proposed")) == 1
    (folder / "supernet" / ABOUT).unlink()  # as if killed right after the last epoch
    assert train(folder).digest == again.digest


def test_another_training_under_the_same_name_is_refused(folder: Path) -> None:
    with pytest.raises(ArchiveError, match="or another name"):
        train(folder, lr=0.06)


def test_a_search_over_subnets(folder: Path) -> None:
    """In bulk, by any strategy, with constraints, resumed and extended; a Tune trial each gives the same scores."""
    scoring = Subnet(supernet=TrainedSupernet.load(folder / "supernet", SPACE))
    first = search(folder, scoring, "bulk", constraints="params <= 9000", max_concurrent=2)
    assert first.counts["finished"] == 20 and first.counts["refused"] > 0
    assert first.best().metrics["params"] <= 9000
    longer = search(folder, scoring, "bulk", constraints="params <= 9000", num_samples=24, max_concurrent=1)
    assert longer.evaluations[:20] == first.evaluations and len(longer.evaluations) == 24
    points = [dict(e.arch) for e in first.evaluations[:2]]
    arguments: dict[str, Any] = {"points_to_evaluate": points, "num_samples": 2, "max_concurrent": 1}
    each = search(folder, Subnet(supernet=scoring.supernet, bulk=0), "each", RandomSearch(), **arguments)
    for one, other in zip(each.evaluations, first.evaluations, strict=False):
        assert one.arch == other.arch and one.metrics["loss"] == other.metrics["loss"]


def test_what_bulk_cannot_do_is_refused(folder: Path) -> None:
    scoring = Subnet(supernet=str(folder / "supernet"))
    with pytest.raises(ValueError, match="early_stopping needs; use bulk=0"):
        search(folder, scoring, "stopped", RandomSearch(early_stopping=Asha()))


def test_a_failed_training_says_why(tmp_path: Path) -> None:
    with pytest.raises(RaynasError, match=r"training the supernet failed: .*lower learning rate.*tries again"):
        train(tmp_path, lr=1e30)


class StumblingLearner(SinglePathLearner):
    """Fails in the second epoch for as long as the file says."""

    file: Path

    def update(self, train: Any, valid: Any) -> torch.Tensor:
        left = int(self.file.read_text())
        if self.epoch == 1 and left:
            self.file.write_text(str(left - 1))
            raise OSError("the network drive does not answer")
        return super().update(train, valid)


@dataclass(frozen=True, kw_only=True)
class Stumbling(SinglePath):
    file: str

    def start(self, setup: Setup) -> StumblingLearner:
        learner = StumblingLearner(setup)
        learner.file = Path(self.file)
        return learner


def test_an_epoch_that_fails_is_tried_again_from_the_one_before(tmp_path: Path) -> None:
    file = tmp_path / "failures_left"
    file.write_text("4")
    method = Stumbling(file=str(file))
    with pytest.raises(RaynasError, match=r"the network drive does not answer.*epoch 1 is kept"):
        train(tmp_path, method=method, data_fraction=0.1)
    assert file.read_text() == "0"
    trained = train(tmp_path, method=method, data_fraction=0.1)
    archive = Archive.load(tmp_path / "supernet" / "archive.jsonl")
    assert [record["epoch"] for record in trained.history] == [1, 2]
    assert [record["fidelity"] for record in archive.events("result")] == [1]  # the second ended the trial
    assert len(archive.events("proposed")) == len(archive.events("ended")) == 1


def test_a_space_without_a_supernet(tmp_path: Path) -> None:
    with pytest.raises(SpaceError, match="cannot share weights"):
        train(tmp_path, TinyCnn())


def test_limits_that_cannot_hold_in_training_are_refused(tmp_path: Path) -> None:
    for constraint in ("latency_ms <= 1", "params <= 1e6 soft", "accuracy >= 0.5"):
        with pytest.raises(SettingError, match="cannot hold while shared weights are trained: only hard limits on"):
            raynas.train_supernet(SPACE, settings(), constraints=constraint, run_config=config(tmp_path, "limited"))


def test_a_limit_relative_to_a_baseline(tmp_path: Path) -> None:
    arguments: dict[str, Any] = {"progress": False, "tensorboard": False, "run_config": config(tmp_path, "limited")}
    trained = raynas.train_supernet(
        SPACE, settings(epochs=1), constraints="params <= 1.5 * baseline", baseline="default", **arguments
    )
    (session,) = Archive.load(trained.path / "archive.jsonl").events("session")
    assert "within params <= " in session["space"] and "baseline" not in session["space"]
