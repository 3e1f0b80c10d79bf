"""Weights in files and in networks."""

from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file
from torch import nn

from raynas.core.architecture import Architecture
from raynas.trials.weights import with_weights, write_weights
from tests.trials.spaces import TinyCnn

ARCH = Architecture({"depth": 2, "kernel": 5})


def test_tensors_in_a_file_are_a_network_again(tmp_path: Path) -> None:
    model = TinyCnn().build(ARCH).to(memory_format=torch.channels_last)  # type: ignore[call-overload]
    write_weights(model.state_dict(), tmp_path / "weights.safetensors")
    again = with_weights(TinyCnn(), ARCH, load_file(tmp_path / "weights.safetensors"))
    images = torch.rand(3, 1, 8, 8)
    assert torch.allclose(again(images), model.eval()(images), atol=1e-6)


def test_shared_weights_are_written_out(tmp_path: Path) -> None:
    model = nn.Sequential(nn.Linear(2, 2), nn.Linear(2, 2))
    model[1].weight = model[0].weight
    write_weights({**model.state_dict(), "_extra_state": "text"}, tmp_path / "weights.safetensors")
    held = load_file(tmp_path / "weights.safetensors")
    assert set(held) == {"0.weight", "0.bias", "1.weight", "1.bias"}


def test_a_file_is_whole_or_not_there(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(tensors: object, path: Path) -> None:
        path.write_bytes(b"half")
        raise OSError("No space left on device")

    monkeypatch.setattr("raynas.trials.weights.save_file", full)
    with pytest.raises(OSError, match="No space"):
        write_weights({"a": torch.ones(1)}, tmp_path / "weights.safetensors")
    assert list(tmp_path.iterdir()) == []
