"""Resources of a cluster that may grow."""

from typing import Any

import pytest
import ray

from raynas import nodes
from raynas.trials import Training


def cluster(monkeypatch: pytest.MonkeyPatch, *resources: dict[str, float], limits: dict[str, float] | None) -> None:
    has: list[dict[str, Any]] = [{"Alive": True, "Resources": each} for each in resources]
    monkeypatch.setattr(ray, "nodes", lambda: has)
    monkeypatch.setattr(ray, "is_initialized", lambda: True)
    monkeypatch.setattr(nodes, "_limits_of_autoscaler", lambda: limits)


@pytest.mark.parametrize(
    ("resources", "limits", "expected"),
    [
        ([{"CPU": 4}], None, False),
        ([{"CPU": 0}, {"CPU": 4, "GPU": 1}], None, True),
        ([{"CPU": 0}], {"CPU": 64}, False),
        ([{"CPU": 0}], {"CPU": 64, "GPU": 4}, True),  # before its first GPU node exists
    ],
)
def test_device_auto_means_the_gpus_that_there_are_or_will_be(
    monkeypatch: pytest.MonkeyPatch, resources: list[dict[str, float]], limits: dict[str, float] | None, expected: bool
) -> None:
    cluster(monkeypatch, *resources, limits=limits)
    assert nodes.may_have("GPU") == expected
    assert ("gpu" in Training(data="digits").resources) == expected
    assert "gpu" not in Training(data="digits", device="cpu").resources


@pytest.mark.parametrize(
    ("bundles", "limits", "expected"),
    [
        ([{"cpu": 1}], None, False),
        ([{"cpu": 8}], {"CPU": 8}, True),
        ([{"cpu": 9}], {"CPU": 8}, False),
        ([{"cpu": 1}, {"cpu": 1, "gpu": 1}], {"CPU": 8}, False),
    ],
)
def test_an_autoscaler_with_known_limits(
    monkeypatch: pytest.MonkeyPatch, bundles: list[dict[str, float]], limits: dict[str, float] | None, expected: bool
) -> None:
    cluster(monkeypatch, {"CPU": 1}, limits=limits)
    assert nodes.may_grow(bundles) == expected


@pytest.mark.usefixtures("ray_cluster")
def test_a_cluster_without_autoscaler_does_not_grow() -> None:
    """Reads what Ray itself says, which is not public."""
    assert not nodes.may_grow([{"cpu": 1}])
    assert not nodes.may_have("GPU") and nodes.may_have("CPU")
    assert nodes.room_for(nodes.resources_of_nodes(), [{"cpu": 1}]) == 2
