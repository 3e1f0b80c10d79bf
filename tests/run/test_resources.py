import pytest
import ray

from raynas.errors import RaynasError
from raynas.run.resources import room_for


@pytest.fixture(autouse=True)
def cluster(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(ray, "cluster_resources", lambda: {"CPU": 8.0, "GPU": 1.0, "licence": 3.0})


@pytest.mark.parametrize(
    ("resources", "room"),
    [
        ({"cpu": 1}, 8),
        ({"cpu": 3}, 2),
        ({"cpu": 1, "gpu": 0.25}, 4),
        ({"cpu": 1, "gpu": 0}, 8),
        ({"cpu": 1, "licence": 1}, 3),
        ({}, 1),
    ],
)
def test_the_scarcest_resource_counts(resources: dict[str, float], room: int) -> None:
    assert room_for(resources) == room


@pytest.mark.parametrize("resources", [{"cpu": 9}, {"gpu": 2}, {"tpu": 1}])
def test_no_room_is_an_error(resources: dict[str, float]) -> None:
    with pytest.raises(RaynasError, match=r"no node has room for a trial, which needs .*; the cluster has"):
        room_for(resources)
