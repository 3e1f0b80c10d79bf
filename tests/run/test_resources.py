"""Room is counted node by node, and again while the cluster grows or shrinks."""

import logging
from typing import Any

import pytest
import ray

from raynas import nodes
from raynas.errors import RaynasError
from raynas.run.resources import ASK_SECONDS, PATIENCE_SECONDS, Room


class Cluster:
    """Nodes that come and go, and a clock."""

    def __init__(self, *resources: dict[str, float], labels: dict[str, str] | None = None) -> None:
        self.now = 0.0
        self._labels = labels or {}
        self.nodes = [self._node(each) for each in resources]
        self.limits: dict[str, float] | None = None

    def _node(self, resources: dict[str, float]) -> dict[str, Any]:
        return {"Alive": True, "Resources": resources, "Labels": self._labels}

    def add(self, **resources: float) -> None:
        self.nodes.append(self._node(resources))

    def room(self, *bundles: dict[str, float], limit: int | None = None) -> Room:
        return Room(bundles, limit, clock=lambda: self.now)


@pytest.fixture
def cluster(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> Cluster:
    made: Cluster = request.param
    monkeypatch.setattr(ray, "nodes", lambda: made.nodes)
    monkeypatch.setattr(nodes, "_limits_of_autoscaler", lambda: made.limits)
    return made


def of(*resources: dict[str, float], labels: dict[str, str] | None = None) -> pytest.MarkDecorator:
    return pytest.mark.parametrize("cluster", [Cluster(*resources, labels=labels)], indirect=True)


MANAGED = {"ray.io/node-group": "workers"}


@of({"CPU": 3, "GPU": 0}, {"CPU": 3}, {"CPU": 0})
@pytest.mark.parametrize(("cpus", "room"), [(1, 6), (2, 2), (3, 2), (0.1, 60), (1.5, 4)])
def test_what_no_node_has_left_is_no_room(cluster: Cluster, cpus: float, room: int) -> None:
    assert cluster.room({"cpu": cpus})() == room


@of({"CPU": 64, "GPU": 4}, {"CPU": 1, "GPU": 2})
@pytest.mark.parametrize(
    ("resources", "room"),
    [
        ({"gpu": 0.4}, 12),  # two on each GPU, not 15
        ({"gpu": 1}, 6),
        ({"gpu": 0.1}, 60),
        ({"gpu": 0.6}, 6),
        ({"cpu": 1, "gpu": 0.5}, 9),  # the second node has one CPU
        ({"cpu": 1, "gpu": 0}, 65),
    ],
)
def test_a_share_of_a_gpu_lies_on_one_gpu(cluster: Cluster, resources: dict[str, float], room: int) -> None:
    assert cluster.room(resources)() == room


@of({"CPU": 4, "licence": 1}, {"CPU": 4})
def test_custom_resources_count_where_they_are(cluster: Cluster) -> None:
    assert cluster.room({"cpu": 1, "licence": 0.5})() == 2


@of({"CPU": 3}, {"CPU": 3})
def test_a_trial_of_several_bundles(cluster: Cluster) -> None:
    assert cluster.room({"CPU": 2}, {"CPU": 1})() == 2
    assert cluster.room({"CPU": 2}, {"CPU": 2})() == 1
    with pytest.raises(
        RaynasError, match=r"cluster has no room for a trial, which needs 3 times \{'CPU': 2\}, for a worker"
    ):
        cluster.room({"CPU": 2}, {"CPU": 2}, {"CPU": 2})


@of({"CPU": 2}, {"CPU": 3, "GPU": 1})
@pytest.mark.parametrize("limit", [None, 1, 50])
@pytest.mark.parametrize(
    ("resources", "has"),
    [
        ({"cpu": 4}, "3 CPUs"),
        ({"cpu": 1, "gpu": 2}, "3 CPUs and 1 GPU"),
        ({"tpu": 1}, "no tpu"),
        ({"CPU": 9}, "3 CPUs"),
    ],
)
def test_no_room_is_said_at_once_whatever_the_limit(
    cluster: Cluster, resources: dict[str, float], has: str, limit: int | None
) -> None:
    with pytest.raises(RaynasError, match=rf"no node has room for a trial, which needs .*cluster has {has} at most"):
        cluster.room(resources, limit=limit)


@of({"CPU": 2})
def test_the_limit_of_the_user_holds(cluster: Cluster) -> None:
    assert [cluster.room({"cpu": 1}, limit=limit)() for limit in (None, 1, 2, 7)] == [2, 1, 2, 2]
    assert [cluster.room({}, limit=limit)() for limit in (None, 3)] == [1, 3]


@of({"CPU": 0}, {"CPU": 2})
def test_nodes_that_join_later_are_used(cluster: Cluster) -> None:
    room = cluster.room({"cpu": 2})
    assert room() == 1
    cluster.add(CPU=5)
    assert room() == 1  # counted a moment ago
    cluster.now += ASK_SECONDS
    assert room() == 3


@of({"CPU": 1})
def test_a_lost_node_is_waited_for_but_not_for_ever(cluster: Cluster) -> None:
    room = cluster.room({"cpu": 1})
    lost, cluster.nodes = cluster.nodes, []
    cluster.now += ASK_SECONDS
    assert room() == 0
    cluster.nodes = lost
    cluster.now += PATIENCE_SECONDS
    assert room() == 1
    cluster.nodes = []
    cluster.now += PATIENCE_SECONDS
    with pytest.raises(RaynasError, match="run the same command again"):
        room()


@of({"CPU": 0}, labels=MANAGED)
def test_an_autoscaler_is_waited_for(cluster: Cluster, caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level(logging.WARNING):
        room = cluster.room({"cpu": 4})
    assert room() == 1  # a trial that waits is what the autoscaler adds a node for
    assert "needs {'cpu': 4}" in caplog.text and "waiting until the autoscaler adds one" in caplog.text
    cluster.add(CPU=8)
    cluster.now += ASK_SECONDS
    assert room() == 4  # two trials on it, and two for the next node
    cluster.now += 10 * PATIENCE_SECONDS
    cluster.nodes = cluster.nodes[:1]
    assert room() == 1


@of({"CPU": 2}, labels=MANAGED)
def test_what_an_autoscaler_can_never_add_is_not_waited_for(cluster: Cluster) -> None:
    cluster.limits = {"CPU": 100}
    with pytest.raises(RaynasError, match=r"no node has room.* no GPU"):
        cluster.room({"cpu": 1, "gpu": 1})
    cluster.limits = {"CPU": 100, "GPU": 8}
    assert cluster.room({"cpu": 1, "gpu": 1})() == 1


@of({"CPU": 2, "GPU": 1}, {"CPU": 64})
def test_dead_nodes_do_not_count(cluster: Cluster) -> None:
    cluster.nodes[1]["Alive"] = False
    assert cluster.room({"cpu": 1})() == 2
