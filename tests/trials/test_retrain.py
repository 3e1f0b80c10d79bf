"""Retraining to the end: resumable, exact, tested once, and written for others to read."""

import json
import sys
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest
import torch
from safetensors.torch import load_file
from torch.utils.data import TensorDataset

from raynas.core.architecture import Architecture
from raynas.data import loaders
from raynas.data.image_batches import ImageBatches
from raynas.data.loaders import Loaders
from raynas.errors import RaynasError, UnknownNameError
from raynas.trials import Training, retrain
from tests.trials.spaces import TinyCnn, Troubled

ARCH = {"depth": 2, "kernel": 3}
SETTINGS = Training(epochs=4)


class Killed(BaseException):
    """Stands for a kill: nothing may catch it."""


def retrain_until(directory: Path, epoch: int) -> None:
    def kill(result: dict[str, Any]) -> None:
        if result["training_iteration"] == epoch:
            raise Killed

    with pytest.raises(Killed):
        retrain(TinyCnn(), ARCH, SETTINGS, directory, on_epoch=kill)


def test_it_trains_to_the_end_and_tests(tmp_path: Path) -> None:
    seen: list[dict[str, Any]] = []
    metrics = retrain(TinyCnn(channels=16), ARCH, SETTINGS, tmp_path / "new" / "folder", on_epoch=seen.append)
    assert metrics["test_accuracy"] > 0.9 and metrics["epochs"] == 4
    assert [r["training_iteration"] for r in seen] == [1, 2, 3, 4]
    assert seen[-1]["train_loss"] < seen[0]["train_loss"] and seen[-1]["train_loss"] == metrics["train_loss"]
    assert json.loads((tmp_path / "new" / "folder" / "metrics.json").read_text()) == metrics


def test_what_it_writes_can_be_read_without_raynas(tmp_path: Path) -> None:
    retrain(TinyCnn(), ARCH, SETTINGS, tmp_path)
    arch = Architecture.from_json((tmp_path / "architecture.json").read_text())
    model = TinyCnn().build(arch)
    model.load_state_dict(load_file(tmp_path / "weights.safetensors"))
    assert arch == Architecture(ARCH)


def test_it_goes_on_exactly_after_a_kill(tmp_path: Path) -> None:
    whole = retrain(TinyCnn(), ARCH, SETTINGS, tmp_path / "whole")
    for epoch in (1, 3):
        retrain_until(tmp_path / "killed", epoch)
    seen: list[int] = []
    resumed = retrain(
        TinyCnn(), ARCH, SETTINGS, tmp_path / "killed", on_epoch=lambda r: seen.append(r["training_iteration"])
    )
    assert seen == [4]
    assert (resumed["test_accuracy"], resumed["test_loss"]) == (whole["test_accuracy"], whole["test_loss"])
    first, second = (load_file(tmp_path / name / "weights.safetensors") for name in ("whole", "killed"))
    assert all(torch.equal(first[name], second[name]) for name in first)
    again = retrain(TinyCnn(), ARCH, SETTINGS, tmp_path / "killed")
    assert again["test_accuracy"] == whole["test_accuracy"]
    assert len(list((tmp_path / "killed").glob("checkpoint_*"))) == 2


def test_a_damaged_checkpoint_is_passed_over(tmp_path: Path) -> None:
    whole = retrain(TinyCnn(), ARCH, SETTINGS, tmp_path / "whole")
    retrain_until(tmp_path / "killed", 3)
    (tmp_path / "killed" / "checkpoint_000003" / "state.pt").write_bytes(b"")
    assert retrain(TinyCnn(), ARCH, SETTINGS, tmp_path / "killed")["test_loss"] == whole["test_loss"]


def test_it_trains_at_full_fidelity_on_all_but_the_test_split(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    sizes: list[int] = []
    original = ImageBatches.train

    def train(self: ImageBatches, seed: int) -> Any:
        sizes.append(len(self.data.train))
        return original(self, seed)

    monkeypatch.setattr(ImageBatches, "train", train)
    low = Training(epochs=1, data_fraction=0.1, resolution=4, scale={"channels": 1})
    metrics = retrain(TinyCnn(channels=4), ARCH, low, tmp_path, hyperparameters={"batch_size": 128})
    weights = load_file(tmp_path / "weights.safetensors")
    assert sizes == [1151 + 287] and weights["0.weight"].shape == (4, 1, 3, 3) and metrics["epochs"] == 1


def test_loaders_of_the_users_own_give_both_splits(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    def part(n: int) -> TensorDataset:
        images = torch.randn(n, 1, 8, 8, generator=torch.Generator().manual_seed(n))
        return TensorDataset(images, (images.mean(dim=(1, 2, 3)) > 0).long())

    seen: list[str] = []
    original = Loaders.read

    def read(self: Loaders, split: str, *args: int) -> Any:
        seen.append(split)
        return original(self, split, *args)

    loaders._parts.cache_clear()
    module = ModuleType("my_data")
    module.make = lambda: (part(32), part(16), part(24))  # type: ignore[attr-defined]
    monkeypatch.setitem(sys.modules, "my_data", module)
    monkeypatch.setattr(Loaders, "read", read)
    settings = Training(data="my_data:make", epochs=1, batch_size=16)
    metrics = retrain(TinyCnn(n_classes=2), ARCH, settings, tmp_path)
    assert seen[-3:] == ["train", "valid", "test"] and seen.count("test") == 1 and 0 <= metrics["test_accuracy"] <= 1


def test_a_folder_holds_one_training(tmp_path: Path) -> None:
    retrain_until(tmp_path, 1)
    with pytest.raises(RaynasError, match="holds the training of another arch; choose another folder"):
        retrain(TinyCnn(), {"depth": 1, "kernel": 3}, SETTINGS, tmp_path)
    with pytest.raises(RaynasError, match="holds the training of another training"):
        retrain(TinyCnn(), ARCH, Training(epochs=9), tmp_path)
    (tmp_path / "training.json").write_text("{")
    with pytest.raises(RaynasError, match=r"training\.json is damaged"):
        retrain(TinyCnn(), ARCH, SETTINGS, tmp_path)


def test_failures_get_one_clear_line(tmp_path: Path) -> None:
    with pytest.raises(RaynasError, match=r"failed in epoch 1: RuntimeError: boom in two lines.*error\.txt"):
        retrain(Troubled(), {"trouble": "forward"}, SETTINGS, tmp_path / "a")
    assert "Traceback" in (tmp_path / "a" / "error.txt").read_text()
    with pytest.raises(UnknownNameError, match="unknown hyperparameter 'x'"):
        retrain(TinyCnn(), ARCH, SETTINGS, tmp_path / "b", hyperparameters={"x": 1})
    (tmp_path / "file").touch()
    with pytest.raises(RaynasError, match=r"cannot write to .*file"):
        retrain(TinyCnn(), ARCH, SETTINGS, tmp_path / "file")
