"""Devices by name, their memory and their optimizers; float16."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import torch

from raynas.errors import RaynasError, SettingError
from raynas.trials import SupernetTraining, Training
from raynas.trials.checkpoint import CHECKPOINT_KEY
from raynas.trials.cudnn import tuned_convolutions
from tests.pretend_gpu import pretend_gpu
from tests.trials.spaces import TinyCnn

ARCH = {"depth": 2, "kernel": 3}
GIVEN: dict[str, Any] = {"epochs": 2, "data_fraction": 0.05, "batch_size": 16}


@pytest.fixture
def gpu() -> Iterator[torch.device]:
    with pretend_gpu() as device:
        yield device


@pytest.mark.parametrize("device", ["mps", "xpu"])
def test_devices_by_name(device: str, monkeypatch: pytest.MonkeyPatch) -> None:
    settings = Training(**GIVEN, device=device)
    assert settings.resources == {"cpu": 1, **({"gpu": 1.0} if device == "xpu" else {})}
    with pytest.raises(RaynasError, match=f"device '{device}' is asked for, but this process sees none of torch's"):
        settings.torch_device  # noqa: B018
    assert "use device 'auto' or 'cpu'" in settings.evaluate(TinyCnn(), ARCH)["error"]
    monkeypatch.setattr("raynas.trials.settings.is_available", lambda kind: True)
    assert settings.torch_device == torch.device(device) and settings.device_type == device


def test_an_unknown_device() -> None:
    with pytest.raises(SettingError, match="device must be one of auto, cpu, cuda, mps, xpu"):
        Training(device="tpu")


@pytest.mark.parametrize(("gpus", "expected"), [(0.25, [0.25]), (1.0, [])])
def test_a_fraction_of_a_gpu_is_a_fraction_of_its_memory(
    gpus: float, expected: list[float], gpu: torch.device, monkeypatch: pytest.MonkeyPatch
) -> None:
    shares: list[float] = []
    monkeypatch.setattr(torch.cuda, "set_per_process_memory_fraction", shares.append)
    assert not Training(**{**GIVEN, "epochs": 1}, gpus=gpus, device="cuda").evaluate(TinyCnn(), ARCH)["failed"]
    assert shares == expected


@pytest.mark.parametrize("optimizer", ["sgd", "adam", "adamw"])
def test_optimizers_are_fused_on_a_gpu_and_go_on_from_a_cpu(optimizer: str, gpu: torch.device, tmp_path: Path) -> None:
    losses: dict[str, list[float]] = {"cpu": [], "cuda": []}
    for device in ("cpu", "cuda"):
        runner = Training(**GIVEN, optimizer=optimizer, device=device).runner(TinyCnn())
        runner.begin({"arch": ARCH})
        losses[device].append(runner.step()["loss"])
        group = runner.trial.trainer._optimizer.param_groups[0]
        assert bool(group["fused"]) is (device == "cuda") and bool(group["foreach"]) is (device == "cpu")
        runner.save(tmp_path / device)
    for device, other in (("cpu", "cuda"), ("cuda", "cpu")):
        runner = Training(**GIVEN, optimizer=optimizer, device=device).runner(TinyCnn())
        runner.begin({"arch": ARCH, CHECKPOINT_KEY: str(tmp_path / other)})
        assert runner.progress.epoch == 1, "the checkpoint of another device was taken"
        result = runner.step()
        assert not result["failed"], result["error"]
        losses[device].append(result["loss"])
        assert bool(runner.trial.trainer._optimizer.param_groups[0]["fused"]) is (device == "cuda")
    assert losses["cuda"] == pytest.approx(losses["cpu"], rel=1e-2)


@pytest.mark.parametrize("device", ["cpu", "cuda"])
def test_float16_scales_losses_and_goes_on_with_the_scale(device: str, gpu: torch.device, tmp_path: Path) -> None:
    half = Training(**GIVEN, dtype="float16", clip_norm=5.0, device=device)
    exact = Training(**GIVEN, clip_norm=5.0, device=device).evaluate(TinyCnn(), ARCH)
    runner = half.runner(TinyCnn())
    runner.begin({"arch": ARCH})
    assert not runner.step()["failed"]
    runner.trial.trainer._scaler.update(1024.0)
    runner.save(tmp_path)
    runner.begin({"arch": ARCH, CHECKPOINT_KEY: str(tmp_path)})
    assert runner.trial.trainer._scaler.get_scale() == 1024.0
    result = runner.step()
    assert not result["failed"] and result["loss"] == pytest.approx(exact["loss"], rel=0.15)


@pytest.mark.parametrize(("device", "scale"), [("cpu", 3e38), ("cuda", float("inf"))])  # the pretend GPU has no float16
def test_gradients_that_overflow_change_no_weight_but_the_scale(device: str, scale: float, gpu: torch.device) -> None:
    runner = Training(**GIVEN, dtype="float16", device=device).runner(TinyCnn())
    runner.begin({"arch": ARCH})
    trainer = runner.trial.trainer
    inputs, labels = next(iter(trainer.batches.train(0)))
    trainer._step(inputs, labels)
    before = [p.detach().clone() for p in trainer.model.parameters()]
    trainer._scaler.update(scale)
    trainer._step(inputs, labels)
    assert all(torch.equal(p, q) for p, q in zip(trainer.model.parameters(), before, strict=True))
    assert trainer._scaler.get_scale() == pytest.approx(scale / 2)


def test_neither_shared_weights_nor_several_workers_train_in_float16() -> None:
    with pytest.raises(SettingError, match="dtype must be one of float32, bfloat16"):
        SupernetTraining(dtype="float16")
    with pytest.raises(SettingError, match="with several workers, dtype must be"):
        Training(dtype="float16", workers=2)


def test_cudnn_tries_its_algorithms_where_shapes_return(gpu: torch.device, monkeypatch: pytest.MonkeyPatch) -> None:
    found: list[bool] = []

    def tried(device: torch.device, fixed: bool) -> bool:
        with tuned_convolutions(device, fixed):
            return torch.backends.cudnn.benchmark

    assert tried(gpu, True) and not tried(gpu, False) and not tried(torch.device("cpu"), True)
    monkeypatch.setattr(torch.backends.cudnn, "deterministic", True)
    assert not tried(gpu, True)
    monkeypatch.undo()
    forward = torch.nn.Conv2d.forward

    def noted(conv: torch.nn.Conv2d, x: torch.Tensor) -> torch.Tensor:
        found.append(torch.backends.cudnn.benchmark)
        return forward(conv, x)

    runner = Training(**{**GIVEN, "epochs": 1}, device="cuda").runner(TinyCnn())
    runner.begin({"arch": ARCH})
    monkeypatch.setattr(torch.nn.Conv2d, "forward", noted)
    runner.step()
    assert found and all(found) and not torch.backends.cudnn.benchmark
