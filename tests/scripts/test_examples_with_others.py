"""The examples with other libraries run, at a small size: Lightning, Hugging Face, Ray Data."""

import json
import os
import subprocess
import sys
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import pytest

EXAMPLES = Path(__file__).parents[2] / "scripts" / "examples"

OTHERS: dict[str, dict[str, Any]] = {
    "hugging_face_trainer": {"epochs": 2, "trials": 2, "n_texts": 64},
    "lightning_module": {"epochs": 2, "trials": 2},
    "ray_data": {"epochs": 2, "trials": 2},
}

NEEDS = {"hugging_face_trainer": ("transformers", "accelerate"), "lightning_module": ("lightning",)}

SCRIPT = """
import json, os, runpy, sys
import ray
from tests.small_clusters import start_fewer_processes
from tests.torchvision_here import can_import_torchvision

start_fewer_processes()
sys.executable = os.environ.get("FORKING_PYTHON", sys.executable)
can_import_torchvision()  # which Lightning and transformers import, and stumble over one for another torch
ray.init(
    "local", num_cpus=2, include_dashboard=False, log_to_driver=False, object_store_memory=150 * 2**20,
    runtime_env={"worker_process_setup_hook": can_import_torchvision},
)
folder, examples = sys.argv[1], json.loads(sys.argv[2])
for path, arguments in examples.items():
    print(path, flush=True)
    runpy.run_path(path)["main"](**arguments, results=folder)
"""


@pytest.mark.own_cluster
def test_they_run(ray_cluster: None, tmp_path: Path) -> None:
    run = {
        str(EXAMPLES / f"{name}.py"): arguments
        for name, arguments in OTHERS.items()
        if all(map(find_spec, NEEDS.get(name, ())))
    }
    environment = {**os.environ, "RAY_ADDRESS": "local"}
    command = [sys.executable, "-c", SCRIPT, str(tmp_path), json.dumps(run)]
    done = subprocess.run(command, env=environment, capture_output=True, text=True, timeout=280)
    assert done.returncode == 0, done.stderr
    lines = [line for line in done.stdout.splitlines() if line.startswith("best of 2: ")]
    assert len(lines) == len(run), done.stdout
    for archive in tmp_path.glob("*/archive.jsonl"):
        ended = [record for record in map(json.loads, archive.read_text().splitlines()) if record["event"] == "ended"]
        assert {record["status"] for record in ended} <= {"finished", "stopped"} and len(ended) == 2
