"""Short trainings: what the tests ask is far easier than a real device."""

import pytest

from raynas.metrics.latency_predictor import graph, meta_learning, multi_device, trees


@pytest.fixture(autouse=True)
def short(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(graph, "N_STEPS", 150)
    monkeypatch.setattr(multi_device, "N_STEPS", 150)
    monkeypatch.setattr(meta_learning, "N_EPISODES", 100)
    monkeypatch.setattr(trees, "N_TREES", 100)
