"""Weights in files."""

from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file
from torch import nn

from raynas.files.weights import write_weights


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

    monkeypatch.setattr("raynas.files.weights.save_file", full)
    with pytest.raises(OSError, match="No space"):
        write_weights({"a": torch.ones(1)}, tmp_path / "weights.safetensors")
    assert list(tmp_path.iterdir()) == []
