"""Libraries made by actors, and assemblies that are trained as trials."""

import json
from pathlib import Path

import pytest
import torch

from raynas.compressing.assembling import block_library
from raynas.trials import Distillation
from tests.compressing.assembling.nets import vit

FAST = Distillation(data="digits", epochs=1, data_fraction=0.2, device="cpu")
IMAGES = torch.rand(2, 1, 8, 8, generator=torch.Generator().manual_seed(0))


@pytest.mark.usefixtures("ray_cluster")
def test_actors_make_the_same_library_and_assemblies_are_recovered(tmp_path: Path) -> None:
    names = ("width:0.5", "skip")
    here = block_library(vit(), IMAGES, FAST, tmp_path / "here", alternatives=names, workers=0)
    there = block_library(vit(), IMAGES, FAST, tmp_path / "there", alternatives=names, workers=2)
    for file in sorted(here.folder.path.iterdir()):
        other = there.folder.path / file.name
        if file.suffix == ".json":
            first, second = json.loads(file.read_text()), json.loads(other.read_text())
            assert {**first, "seconds": 0} == {**second, "seconds": 0}
        else:
            assert file.read_bytes() == other.read_bytes()
    best = there.assemble("macs <= 0.6 * baseline", n=2)
    result = there.recover(best, progress=False)
    assert {evaluation.arch for evaluation in result.evaluations} == {assembly.arch for assembly in best}
    assert result.best().metrics["divergence"] < there.scored(best[0])["divergence"]
    assert result.best_model()(IMAGES).shape == (2, 10)
