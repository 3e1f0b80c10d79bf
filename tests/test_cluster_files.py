"""The files of docs/cluster that users copy are what Ray and raynas read."""

import json
import shlex
from pathlib import Path
from typing import Any

import jsonschema  # type: ignore[import-untyped]
import pytest
import ray
import yaml

from raynas.cli.search_request import read_search
from raynas.storage.location import is_uri

FOLDER = Path(__file__).parents[1] / "docs" / "cluster"
PAGE = (FOLDER.parent / "cluster.md").read_text(encoding="utf-8")


def content(name: str) -> dict[str, Any]:
    assert f"(cluster/{name})" in PAGE, "the page links to it"
    return dict(yaml.safe_load((FOLDER / name).read_text(encoding="utf-8")))


@pytest.fixture
def job() -> dict[str, Any]:
    made = content("rayjob.yaml")
    assert (made["apiVersion"], made["kind"]) == ("ray.io/v1", "RayJob")
    return dict(made["spec"])


def test_the_job_runs_a_search_that_another_cluster_continues(job: dict[str, Any]) -> None:
    program, command, *arguments = shlex.split(job["entrypoint"])
    assert (program, command) == ("raynas", "search")
    assert is_uri(read_search(arguments).run.results)
    assert job["backoffLimit"] > 0 and job["shutdownAfterJobFinishes"]


def test_nodes_of_the_job(job: dict[str, Any]) -> None:
    cluster = job["rayClusterSpec"]
    assert cluster["authOptions"] == {"mode": "token"} and cluster["enableInTreeAutoscaling"]
    head, (workers,) = cluster["headGroupSpec"], cluster["workerGroupSpecs"]
    assert head["rayStartParams"] == {"num-cpus": "0"}
    assert workers["minReplicas"] <= workers["replicas"] < workers["maxReplicas"]
    (of_head,), (of_worker,) = (group["template"]["spec"]["containers"] for group in (head, workers))
    assert of_head["image"] == of_worker["image"]
    assert of_worker["resources"]["limits"]["nvidia.com/gpu"] == "1"
    accounts = {group["template"]["spec"]["serviceAccountName"] for group in (head, workers)}
    assert len(accounts) == 1


def test_the_launcher_reads_its_file() -> None:
    config = content("launcher.yaml")
    schema = Path(ray.__file__).parent / "autoscaler" / "ray-schema.json"
    jsonschema.validate(config, json.loads(schema.read_text(encoding="utf-8")))
    kinds = config["available_node_types"]
    head = kinds.pop(config["head_node_type"])
    assert head["resources"]["CPU"] == 0
    assert "InstanceMarketOptions" not in head["node_config"]
    assert all(kind["node_config"]["InstanceMarketOptions"] == {"MarketType": "spot"} for kind in kinds.values())
    assert "~/.ray/auth_token" in config["file_mounts"].values()
    assert any("RAY_AUTH_MODE=token" in command for command in config["initialization_commands"])
