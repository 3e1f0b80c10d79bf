"""The folder of the best architecture."""

from pathlib import Path

import torch
from safetensors.torch import load_file

from raynas.core.architecture import Architecture
from raynas.run.best import keep, weights_of
from raynas.search_spaces import MLP
from raynas.trials import Training
from tests.run.widths import ARCHS, SPACE
from tests.views.report.searches import searched


def files(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.iterdir())


def test_an_architecture_of_a_published_space_with_its_training(tmp_path: Path) -> None:
    arch = next(MLP().enumerate())
    keep(arch, tmp_path / "best", MLP(), Training(lr=0.25))
    assert Architecture.from_json((tmp_path / "best" / "architecture.json").read_text()) == arch
    assert "lr: 0.25" in (tmp_path / "best" / "retrain.yaml").read_text()
    assert files(tmp_path / "best") == ["architecture.json", "retrain.yaml"]


def test_weights_are_those_of_this_architecture_or_none(tmp_path: Path) -> None:
    weights = SPACE.build(ARCHS[0]).state_dict()
    keep(ARCHS[0], tmp_path, SPACE, None, weights)
    held = load_file(tmp_path / "weights.safetensors")
    assert held.keys() == weights.keys() and all(torch.equal(held[name], weights[name]) for name in weights)
    keep(ARCHS[1], tmp_path, SPACE, None)
    assert files(tmp_path) == ["architecture.json"]


def test_a_search_without_checkpoints_has_no_weights() -> None:
    result = searched()
    assert weights_of(result, result.best()) is None
