"""Workers that share each batch."""

import pytest
import torch
from torch import nn

from raynas.nn import Choice, ModelSpace
from raynas.trials.supernet import parallel
from raynas.trials.workers import backend_for
from tests.trials.supernet.small import SPACE, settings


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
    assert "64 workers need {'CPU': 1} each, the nodes have room for 2" in runner.step()["error"]


def test_a_trial_that_waits_for_workers_needs_no_gpu(monkeypatch: pytest.MonkeyPatch) -> None:
    """Its process sees none: Ray gives the GPUs to the workers."""
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    monkeypatch.setattr(parallel, "resources_of_nodes", lambda: [{"CPU": 4.0, "GPU": 2.0}])
    given = settings(workers=2, device="cuda")
    runner = given.runner(SPACE)
    runner.begin({"arch": {"method": "SinglePath"}})
    assert not runner.progress.error
    assert given.worker_resources == {"CPU": 1, "GPU": 1} and "gpu" not in given.resources
    alone = settings(device="cuda").runner(SPACE)
    alone.begin({"arch": {"method": "SinglePath"}})
    assert "this process sees no GPU" in alone.progress.error


@pytest.mark.parametrize(
    ("resources", "backend"),
    [({"CPU": 1}, "gloo"), ({"CPU": 1, "GPU": 1.0}, "nccl"), ({"CPU": 1, "GPU": 0.5}, "gloo")],
)
def test_workers_talk_over_nccl_where_each_has_a_gpu(resources: dict[str, float], backend: str) -> None:
    assert backend_for(resources) == backend
