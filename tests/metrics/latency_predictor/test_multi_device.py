from types import SimpleNamespace
from typing import Any, cast

import numpy as np
import torch

from raynas.metrics.latency_predictor.multi_device import DeviceEnsemble, MultiDeviceTransfer
from raynas.metrics.latency_predictor.transfer import Archive
from tests.metrics.latency_predictor.made_up import cells, described, milliseconds


def test_a_new_device_begins_as_the_known_one_that_orders_alike() -> None:
    archs, references = cells(80), cells(10, seed=9)
    devices = ("cpu", "dsp")
    archives = [Archive(d, described(archs), np.array(milliseconds(d, archs)), np.full(10, np.nan)) for d in devices]
    learned = MultiDeviceTransfer.learn(archives, described(references), np.random.default_rng(0))
    others = cells(60, seed=5)
    for i, device in enumerate(devices):
        model = learned.adapt(range(10), np.array(milliseconds(device, references)))
        alike = model.ensemble.devices[0] - learned.ensemble.devices[i]
        assert float(alike.abs().mean()) < 0.1  # a few small steps away
        said = model.predict(described(others))
        assert np.corrcoef(said, milliseconds(device, others, noise=0.0))[0, 1] > 0.8
    assert len(learned.ensemble.devices) == 2  # untouched


def test_devices_of_equal_rank_correlation_are_told_apart() -> None:
    scores = torch.tensor([[0.0, 0.1, 9.0, 8.0], [0.0, 5.0, 8.1, 8.0]])  # both swap the last two, the first by more

    class Ensemble:
        devices = torch.zeros(2, 1, 1)

        def __call__(self, graphs: Any, features: Any, devices: torch.Tensor) -> torch.Tensor:
            return scores[devices[0]][None]

    learned = SimpleNamespace(ensemble=cast(DeviceEnsemble, Ensemble()))
    alike = MultiDeviceTransfer._most_alike(cast(Any, learned), cast(Any, None), torch.zeros(4, 1), torch.arange(4.0))
    assert alike == 1
