"""Every node that trials may run on is compared with this process."""

import re
import sys
from pathlib import Path
from typing import Any

import pytest
import ray
from ray.exceptions import RaySystemError

from raynas.errors import RaynasError
from raynas.run import node_check
from raynas.run.node_check import _look, check_nodes, fault_of

HERE = {"Python": "3.11", "torch": "2.5.1", "raynas": "0.1.0", "sources": "abc", "folder": "seen"}


@pytest.mark.parametrize(
    ("other", "fault"),
    [
        ({}, ""),
        ({"Python": "3.12"}, "it has Python 3.12, this process 3.11"),
        ({"torch": "2.4.0"}, "it has torch 2.4.0, this process 2.5.1; install the same on both"),
        ({"torch": ""}, r"it has torch \(missing\)"),
        ({"raynas": "", "sources": ""}, r"it has raynas \(missing\)"),
        ({"sources": "abd"}, "its raynas 0.1.0 has other source files"),
        ({"folder": ""}, "does not see the results folder /data/x; choose one on a file system that every node shares"),
    ],
)
def test_what_differs_is_named(other: dict[str, str], fault: str) -> None:
    found = fault_of({**HERE, **other}, HERE, Path("/data/x"))
    assert bool(found) == bool(fault) and re.search(fault, found)


def test_a_node_that_starts_no_process_is_named() -> None:
    assert "fails to start a process, RaySystemError: System error: no disk" in fault_of(
        RaySystemError("no disk"), HERE, None
    )


def test_the_look_sees_this_process_and_its_folder(tmp_path: Path) -> None:
    marker = tmp_path / "marker"
    look = ray.cloudpickle.loads(ray.cloudpickle.dumps(_look()))
    missing = look((str(marker), None))
    marker.touch()
    facts = look((str(marker), None))
    assert (missing["folder"], facts["folder"], look(None)["folder"]) == ("", "seen", "seen")
    assert facts["sources"] == missing["sources"] != "" and facts["torch"].startswith("2.")


def test_the_look_works_where_raynas_is_missing(monkeypatch: pytest.MonkeyPatch) -> None:
    pickled = ray.cloudpickle.dumps(_look())
    with monkeypatch.context() as without:
        for name in [name for name in sys.modules if name.partition(".")[0] == "raynas"]:
            without.setitem(sys.modules, name, None)
        facts = ray.cloudpickle.loads(pickled)(None)
    assert (facts["raynas"], facts["sources"]) == ("", "") and facts["torch"]


class Cluster:
    """A head without room, this machine and two others."""

    def __init__(self) -> None:
        self.asked: list[str] = []
        self.markers: list[Any] = []
        self.answers: dict[str, Any] = {}

    def nodes(self) -> list[dict[str, Any]]:
        has = {"head": {"CPU": 0}, "me": {"CPU": 2}, "a": {"CPU": 2}, "b": {"CPU": 4}}
        return [
            {"NodeID": name, "NodeManagerAddress": f"10.0.0.{name}", "Alive": True, "Resources": resources}
            for name, resources in has.items()
        ]

    def ask(self, nodes: dict[str, str], marker: Any) -> dict[str, Any]:
        self.asked += nodes
        self.markers.append(marker)
        assert marker is None or Path(marker[0]).exists()
        mine = _look()(marker)
        return {node: {**mine, **self.answers.get(node, {})} for node in nodes}


@pytest.fixture
def cluster(monkeypatch: pytest.MonkeyPatch) -> Cluster:
    made = Cluster()
    monkeypatch.setattr(ray, "nodes", made.nodes)
    monkeypatch.setattr(node_check, "_ask", made.ask)
    context = type("Context", (), {"get_node_id": lambda self: "me"})
    monkeypatch.setattr(ray, "get_runtime_context", context)
    return made


def test_nodes_that_trials_may_run_on_are_asked(cluster: Cluster, tmp_path: Path) -> None:
    check_nodes([{"cpu": 1}], tmp_path)
    assert cluster.asked == ["a", "b"]
    assert not list(tmp_path.iterdir()), "the marker is removed"
    cluster.asked.clear()
    check_nodes([{"cpu": 3}], None)
    assert cluster.asked == ["b"] and cluster.markers[-1] is None


def test_this_machine_alone_is_not_asked(cluster: Cluster, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    nodes = cluster.nodes()[:2]
    monkeypatch.setattr(ray, "nodes", lambda: nodes)
    check_nodes([{"cpu": 1}], tmp_path)
    assert cluster.markers == []


def test_a_fault_ends_the_search_before_it_begins(cluster: Cluster, tmp_path: Path) -> None:
    cluster.answers = {"a": {"folder": ""}, "b": {"torch": "1.0"}}
    with pytest.raises(RaynasError, match=rf"on node 10.0.0.a: .*{tmp_path}.*\(2 nodes have faults\)"):
        check_nodes([{"cpu": 1}], tmp_path)
    assert not list(tmp_path.iterdir())
