"""What a table of latencies keeps between networks."""

import pickle
from pathlib import Path

import pytest
import torch

from raynas.core.architecture import Architecture
from raynas.core.metric import Candidate
from raynas.metrics.cost import MetaModels
from raynas.metrics.latency_table import LatencyTable
from raynas.metrics.latency_table.profile import profile_latency
from raynas.nn import ModelSpace
from tests.metrics.latency_table.nets import Watch, small_space


def candidate(space: ModelSpace, *options: str) -> Candidate:
    arch = Architecture(dict(zip([d.name for d in space.decisions], options, strict=True)))
    models = MetaModels(space)
    return Candidate(
        space=space,
        arch=arch,
        device=torch.device("meta"),
        build=lambda: models(arch),
        count=lambda name: models.count(arch, name),
    )


def test_outcomes_of_operations_are_kept_between_networks_and_do_not_travel(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    Watch().replace(monkeypatch)
    space = small_space()
    table = profile_latency(space, path=tmp_path / "table.json", n_corrected=2, n_left_out=0)
    first, second = candidate(space, "8", "16", "32", "none"), candidate(space, "32", "8", "none", "16")
    table.measure(first)
    known = set(table._known)
    assert known
    again = table.measure(second)
    assert set(table._known) == known  # the second network has the operations of the first
    travelled: LatencyTable = pickle.loads(pickle.dumps(table))
    assert travelled == table and not travelled._known
    assert travelled.measure(second) == again
