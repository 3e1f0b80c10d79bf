"""A model mined by actors, interrupted and resumed."""

import json
from pathlib import Path
from typing import Any

import pytest
import torch
from ray import tune

import raynas
from raynas.compressing.mining import mine
from raynas.compressing.mining.run import _space
from raynas.core.archive import Archive
from raynas.errors import SettingError
from raynas.trials import Distillation, SupernetDistillation
from tests.trials.test_distillation import digits_space

FAST = SupernetDistillation(data="digits", epochs=1, data_fraction=0.2, warmup_epochs=0, device="cpu")


def mined(folder: Path, **changes: Any) -> Any:
    config = tune.RunConfig(storage_path=str(folder), name="mined")
    given: dict[str, Any] = {"members": 4, "recovered": 3, "progress": False, "run_config": config}
    return mine(digits_space(), FAST, **given | changes)


@pytest.mark.usefixtures("ray_cluster")
def test_a_front_that_is_exported_and_resumed(tmp_path: Path) -> None:
    found = mined(tmp_path)
    assert {e.arch for e in found.members.evaluations} >= {found.space.largest, found.space.smallest}
    assert len(found.recovered) == 3 and found.front and not found.failed
    costs = [e.metrics["macs"] for e in found.front]
    assert costs == sorted(costs)
    (told,) = found.belief
    assert told.metric == "divergence" and told.spearman.n == 3 and "trained further" in str(found)
    file = tmp_path / "mined" / "mined.json"
    stored = json.loads(file.read_text())
    assert len(stored["recovered"]) == 3 and stored["objectives"] == ["min:divergence", "min:macs"]

    small = found.pick("macs <= 0.9 * baseline")
    assert small.metrics["macs"] <= 0.9 * found.front[-1].metrics["macs"] or small.arch != found.space.largest
    assert found.model(small.arch)(torch.rand(2, 1, 8, 8)).shape == (2, 10)
    with pytest.raises(raynas.RaynasError, match="no member that was scored meets macs <= 1"):
        found.pick("macs <= 1")
    exported = found.export(found.recovered[0].arch, tmp_path / "net", formats=["source"], verify=False)
    assert "model.py" in exported.files and "trained for 1 epochs" in (tmp_path / "net" / "README.md").read_text()
    assert set(found.to_frame()["recovered/divergence"].dropna()) == {
        each.evaluation.metrics["divergence"] for each in found.recovered
    }

    again = mined(tmp_path)  # All of it is finished.
    assert json.loads(file.read_text()) == stored and again.members.evaluations == found.members.evaluations
    archive = Archive.load(tmp_path / "mined" / "2-members" / "archive.jsonl")
    assert len(archive.events("proposed")) == 4


@pytest.mark.parametrize(
    ("arguments", "told"),
    [
        ({"given": torch.nn.Linear(2, 2)}, "mine needs data: data='folder:photos'"),
        ({"given": 3, "data": "digits"}, "mine needs a model, or the space that raynas.convert makes of one, got 3"),
        ({"given": 3, "training": FAST, "data": "digits"}, "data is named twice"),
        ({"given": 3, "training": Distillation()}, "training must be a SupernetDistillation"),
        ({"given": digits_space(), "data": "digits", "vary": {}}, "example_inputs and vary are for a model"),
        ({"given": digits_space(), "data": "digits", "members": 0}, "members must be a whole number of at least 1"),
    ],
)
def test_arguments_are_checked(arguments: dict[str, Any], told: str) -> None:
    with pytest.raises(SettingError, match=told):
        mine(**arguments)


def test_a_model_is_converted_with_an_example_of_the_data() -> None:
    model = torch.nn.Sequential(torch.nn.Flatten(), torch.nn.Linear(64, 16), torch.nn.ReLU(), torch.nn.Linear(16, 10))
    space = _space(model, FAST, None, None)
    assert space.given is model and [decision.name for decision in space.decisions] == ["1.width"]
