"""Shared weights: trained, checkpointed, killed, shared out among workers, written and read."""

import dataclasses
import json
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import nn

from raynas.core.architecture import Architecture
from raynas.data.images import ImageData
from raynas.errors import DataError, RaynasError, SpaceError
from raynas.nn import Choice, ModelSpace, Supernet
from raynas.nn.batch_statistics import recalibrate
from raynas.oneshot import Learner, OneShot, Setup, SinglePath
from raynas.oneshot.single_path import SinglePathLearner
from raynas.search_spaces import MLP, NASBench201
from raynas.trials import SupernetTraining, TrainedSupernet
from raynas.trials.checkpoint import CHECKPOINT_KEY
from raynas.trials.supernet.trained import ABOUT, DERIVED, WEIGHTS, supernet_on, write_supernet
from raynas.trials.supernet.trainer import SupernetTrainer, Workers
from tests.trials.spaces import TinyCnn

SPACE = NASBench201(channels=4, cells=1, input_shape=(1, 8, 8))
CPU = torch.device("cpu")


class Seen(SinglePathLearner):
    """Remembers the held-out labels it is given, and derives an architecture."""

    labels: list[torch.Tensor]

    def update(self, train: Any, valid: Any) -> torch.Tensor:
        self.labels = [*getattr(self, "labels", []), valid[1]]
        return super().update(train, valid)

    @property
    def derived(self) -> Architecture:
        return self.sampled(1, "derived")[0]


@dataclasses.dataclass(frozen=True, kw_only=True)
class HeldOut(OneShot):
    """A method that wants held-out batches; ``stops_after`` epochs it has seen enough."""

    uses_valid = True
    stops_after: int = 100

    def start(self, setup: Setup) -> Learner:
        learner = Seen(setup)
        stops_after = self.stops_after

        def watch(valid: Any) -> dict[str, float]:
            n = sum(len(labels) for _, labels in valid())
            learner.ended_because = "it has seen enough" if learner.epoch + 1 >= stops_after else ""
            return {"n_watched": float(n)}

        learner.watch = watch  # type: ignore[method-assign]
        return learner


def settings(**changes: Any) -> SupernetTraining:
    return SupernetTraining(**{"data": "digits", "data_fraction": 0.25, "epochs": 3, "lr": 0.05, **changes})


def trained(given: SupernetTraining, n_epochs: int | None = None, checkpoint: Path | None = None) -> Any:
    """What runs a trial, after so many epochs."""
    runner = given.runner(SPACE)
    runner.raises = True
    runner.begin(
        {"arch": {"method": type(given.method).__name__}, **({CHECKPOINT_KEY: checkpoint} if checkpoint else {})}
    )
    for _ in range(n_epochs or given.epochs):
        if runner.step()["done"]:
            break
    return runner


# --- training --------------------------------------------------------------------------------------------------------


def test_training_lowers_the_loss_and_reports_the_candidates() -> None:
    runner = trained(settings(epochs=5, lr=0.1, batch_size=32))
    losses = [h["train_loss"] for h in runner.trial.history]
    assert losses[-1] < losses[0] - 0.1
    result = runner.step()
    assert result["complete"] == 1 and result["training_iteration"] == 5
    # By hand: the mean over the learner's candidates, each on its own recalibrated copy.
    trainer: SupernetTrainer = runner.trial.trainer._trainer
    accuracies = []
    for arch in trainer.learner.candidates():
        model = trainer.learner.supernet.extract(arch)
        recalibrate(model, trainer._calibration())
        accuracies.append(trainer.examine("valid", model)["accuracy"])
    assert result["accuracy"] == pytest.approx(np.mean(accuracies))
    assert result["accuracy"] > 0.15  # chance is 0.1


def test_a_killed_training_goes_on_as_if_nothing_had_been(tmp_path: Path) -> None:
    whole = trained(settings())
    killed = trained(settings(), n_epochs=1)
    killed.save(tmp_path)
    resumed = trained(settings(), checkpoint=tmp_path)
    assert resumed.trial.history == whole.trial.history
    weights, again = (t.trial.state()["learner"]["supernet"] for t in (whole, resumed))
    assert all(torch.equal(weights[name], again[name]) for name in weights)
    torch.load(tmp_path / "state.pt", weights_only=True)  # executes nothing


def test_weights_follow_the_seed() -> None:
    first, second = (trained(settings(seed=seed, epochs=1)).trial.history[0]["train_loss"] for seed in (0, 1))
    assert first != second
    assert first == trained(settings(epochs=1)).trial.history[0]["train_loss"]


def test_gradients_are_clipped() -> None:
    given = settings(epochs=1, clip_norm=1e-6, weight_decay=0.0, batch_size=128)
    after = dict(trained(given).trial.trainer._trainer.model.named_parameters())
    space, source = given.fitted(SPACE)
    for name, before in given.on_workers(space, source, CPU).model.named_parameters():
        assert torch.allclose(before, after[name], atol=1e-5), name


def test_scoring_candidates_leaves_the_shared_weights_alone() -> None:
    trainer = trained(settings(epochs=1)).trial.trainer._trainer
    before = {name: tensor.clone() for name, tensor in trainer.learner.supernet.state_dict().items()}
    trainer.examine_candidates()
    assert all(torch.equal(before[n], t) for n, t in trainer.learner.supernet.state_dict().items())


def test_candidates_of_partial_channels_are_scored_as_paths() -> None:
    def candidates(k: int) -> dict[str, Callable[[], nn.Module]]:
        return {"a": lambda: nn.Conv2d(8 // k, 8 // k, 3, padding=1), "b": nn.Identity}

    class Narrow(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.stem = nn.Conv2d(1, 8, 3, padding=1)
            self.norm = nn.BatchNorm2d(8)
            self.op = Choice(candidates(1), "op", narrow=candidates)
            self.head = nn.Linear(8, 10)

        def forward(self, x: torch.Tensor) -> torch.Tensor:
            out: torch.Tensor = self.head(self.op(self.norm(self.stem(x))).mean((2, 3)))
            return out

    space, source = settings(batch_size=32).fitted(ModelSpace(Narrow, input_shape=(1, 8, 8)))
    trainer = SupernetTrainer(Supernet(space, partial_channels=4), source, settings(batch_size=32), device=CPU)
    before = {name: tensor.clone() for name, tensor in trainer.learner.supernet.state_dict().items()}
    assert 0 <= trainer.examine_candidates()["accuracy"] <= 1
    assert all(torch.equal(before[n], t) for n, t in trainer.learner.supernet.state_dict().items())


# --- held-out images -------------------------------------------------------------------------------------------------


def test_held_out_batches_are_the_other_half_of_the_training_images() -> None:
    runner = trained(settings(method=HeldOut(), epochs=1, batch_size=32))
    trainer = runner.trial.trainer._trainer
    n_steps = trainer.batches.n_steps
    assert [len(labels) for labels in trainer.learner.labels] == [32] * n_steps
    _, source = settings().fitted(SPACE)
    assert isinstance(source, ImageData)
    n_watched = runner.trial.history[0]["n_watched"]
    assert n_watched == pytest.approx(len(source.train) / 2, abs=10)  # of each class, rounded
    # The validation split stays for scoring.
    assert np.array_equal(trainer.batches.data.valid.images, source.valid.images)


def test_loaders_cannot_be_halved() -> None:
    with pytest.raises(DataError, match="cannot be halved"):
        trained(settings(data="tests.trials.supernet.test_training:loaders", data_fraction=1.0, method=HeldOut()))


def loaders() -> Sequence[Any]:
    data = torch.utils.data.TensorDataset(torch.randn(64, 1, 8, 8), torch.arange(64) % 10)
    return data, data


def test_loaders_of_the_users_own() -> None:
    given = settings(data="tests.trials.supernet.test_training:loaders", data_fraction=1.0, epochs=1, batch_size=16)
    runner = given.runner(SPACE)
    runner.raises = True
    runner.begin({"arch": {"method": "SinglePath"}})
    assert runner.step()["training_iteration"] == 1


def test_what_a_method_says_is_told(tmp_path: Path) -> None:
    runner = trained(settings(method=HeldOut(stops_after=2)))
    assert [h["epoch"] for h in runner.trial.history] == [1, 2]  # of three
    result = runner.step()
    assert result["complete"] == 1
    assert result["derived"] == Architecture(runner.trial.history[-1]["derived"]).to_json()
    runner.save(tmp_path)
    again = trained(settings(method=HeldOut(stops_after=2)), checkpoint=tmp_path)
    assert len(again.trial.history) == 2  # there was nothing left to do


# --- workers ---------------------------------------------------------------------------------------------------------


def test_shares_of_a_batch() -> None:
    batch = torch.arange(7.0), torch.arange(7)
    shares = [Workers(rank, 3).share(batch)[1].tolist() for rank in range(3)]
    assert shares == [[0, 3], [1, 4], [2, 5]]  # all alike, the seventh is left out


class Plain(nn.Module):
    """No batch norm: its statistics would be those of a half batch."""

    def __init__(self) -> None:
        super().__init__()
        deep = lambda: nn.Sequential(nn.ReLU(), nn.Linear(32, 32), nn.Tanh())  # noqa: E731
        choice = Choice({"relu": nn.ReLU, "deep": deep}, "op")
        self.net = nn.Sequential(nn.Flatten(), nn.Linear(64, 32), choice, nn.Linear(32, 10))

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        out: torch.Tensor = self.net(x)
        return out


@pytest.mark.filterwarnings("ignore::DeprecationWarning")  # Ray Train, of other parts of Ray
@pytest.mark.usefixtures("ray_cluster")
def test_two_workers_equal_one() -> None:
    """They share each batch, so 2 workers with 32 images each are one with 64 (measured: equal to 5e-8)."""
    states, histories = [], []
    for workers in (1, 2):
        given = settings(epochs=2, workers=workers, data_fraction=1.0)
        runner = given.runner(ModelSpace(Plain, input_shape=(1, 8, 8)))
        runner.raises = True
        runner.begin({"arch": {"method": "SinglePath"}})
        while not runner.step()["done"]:
            pass
        states.append(runner.trial.state()["learner"]["supernet"])
        histories.append(runner.trial.history)
        runner.release()
    for name, tensor in states[0].items():
        assert torch.allclose(tensor, states[1][name], atol=1e-5), name
    for one, two in zip(*histories, strict=True):
        assert one["accuracy"] == pytest.approx(two["accuracy"], abs=1e-2)
        assert one["train_loss"] == pytest.approx(two["train_loss"], abs=1e-5)


@pytest.mark.usefixtures("ray_cluster")
def test_more_workers_than_there_is_room_for() -> None:
    runner = settings(workers=64, batch_size=64).runner(SPACE)
    runner.begin({"arch": {"method": "SinglePath"}})
    assert "64 workers need 64 CPUs, the cluster has 2" in runner.step()["error"]


# --- settings --------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("change", "told"),
    [
        ({"workers": 0}, "workers must be a whole number of at least 1, got 0"),
        ({"workers": 3}, r"batch_size must be a multiple of workers \(3\), got 64"),
        ({"clip_norm": 0}, "clip_norm must be a number above 0, got 0"),
        ({"calibration_batches": 0}, "calibration_batches must be a whole number of at least 1, got 0"),
        ({"method": "darts"}, "method must be one of raynas.oneshot, got 'darts'"),
    ],
)
def test_wrong_settings(change: dict[str, Any], told: str) -> None:
    with pytest.raises(ValueError, match=told):
        settings(**change)


@pytest.mark.parametrize("space", [TinyCnn(), MLP()])
def test_a_space_without_a_supernet(space: Any) -> None:
    with pytest.raises(SpaceError, match="not read off a model with choices"):
        settings().runner(space)


# --- files -----------------------------------------------------------------------------------------------------------


def written(folder: Path, **changes: Any) -> TrainedSupernet:
    given = settings(epochs=1, **changes)
    state = trained(given).trial.state()
    folder.mkdir(exist_ok=True)
    return write_supernet(folder, given.fitted(SPACE)[0], given, state)


def test_a_supernet_is_read_as_it_was_written(tmp_path: Path) -> None:
    kept = written(tmp_path, method=HeldOut())
    read = TrainedSupernet.load(tmp_path, NASBench201(channels=4, cells=1))  # its input shape follows
    assert read.space == kept.space and read.history == kept.history and len(read.history) == 1
    assert read.derived == kept.derived == Architecture(json.loads((tmp_path / DERIVED).read_text()))
    supernet = read.supernet()
    for name, tensor in supernet.state_dict().items():
        assert np.array_equal(tensor.numpy(), kept.weights[name])


def test_the_size_of_a_proxy_is_kept(tmp_path: Path) -> None:
    written(tmp_path, scale={"channels": 2})
    assert TrainedSupernet.load(tmp_path, SPACE).space.channels == 2  # type: ignore[attr-defined]


def test_what_cannot_be_read(tmp_path: Path) -> None:
    with pytest.raises(RaynasError, match="holds no trained supernet"):
        TrainedSupernet.load(tmp_path, SPACE)
    written(tmp_path)
    with pytest.raises(SpaceError, match="supernet of another space"):
        TrainedSupernet.load(tmp_path, NASBench201(channels=8, cells=1))
    whole = (tmp_path / WEIGHTS).read_bytes()
    (tmp_path / WEIGHTS).write_bytes(whole[:-4] + b"evil")
    with pytest.raises(RaynasError, match="not what was written"):
        TrainedSupernet.load(tmp_path, SPACE).supernet()
    for damaged in ("[]", "{", '{"space": "x"}'):
        (tmp_path / ABOUT).write_text(damaged)
        with pytest.raises(RaynasError, match="is damaged"):
            TrainedSupernet.load(tmp_path, SPACE)


def test_shared_weights_are_not_copied_and_never_written_to() -> None:
    supernet = Supernet(SPACE)
    arrays = {name: tensor.detach().numpy().copy() for name, tensor in supernet.state_dict().items()}
    for array in arrays.values():
        array.flags.writeable = False
    shared = supernet_on(SPACE, arrays)
    for name, parameter in shared.named_parameters():
        assert parameter.data_ptr() == arrays[name].__array_interface__["data"][0], name
    subnet = shared.extract(SPACE.sample(np.random.default_rng(0)), copy_weights=False)
    own = {id(p) for p in shared.parameters()}
    assert all(id(p) in own for p in subnet.parameters())
    before = {name: array.copy() for name, array in arrays.items()}
    recalibrate(subnet, [torch.randn(8, 1, 8, 8)])
    assert all(np.array_equal(before[name], array) for name, array in arrays.items())


def test_weights_of_another_supernet() -> None:
    arrays = {name: tensor.numpy() for name, tensor in Supernet(SPACE).state_dict().items()}
    with pytest.raises(RaynasError, match="not those of a supernet"):
        supernet_on(NASBench201(channels=8, cells=1, input_shape=(1, 8, 8)), arrays)


def test_the_default_method() -> None:
    assert SupernetTraining().method == SinglePath()
