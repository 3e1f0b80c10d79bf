"""Weights in files."""

from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file
from torch import nn

from raynas.errors import RaynasError
from raynas.files.weights import read_weights, write_weights


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


def test_weights_are_read_as_scripts_save_them(tmp_path: Path) -> None:
    state = nn.Linear(2, 3).state_dict()
    write_weights(state, tmp_path / "a.safetensors")
    torch.save(state, tmp_path / "b.pth")
    torch.save(state, tmp_path / "old.pth", _use_new_zipfile_serialization=False)
    torch.save({"epoch": 3, "model": {f"module.{name}": value for name, value in state.items()}}, tmp_path / "c.pth")
    for file in tmp_path.iterdir():
        held = read_weights(file)
        assert held.keys() == state.keys() and all(torch.equal(held[name], state[name]) for name in state)


def test_files_that_hold_no_weights(tmp_path: Path) -> None:
    torch.save(nn.Linear(2, 3), tmp_path / "model.pth")
    torch.save({"epoch": 3}, tmp_path / "numbers.pth")
    torch.save([1], tmp_path / "list.pth")
    torch.save({"large": torch.ones(1).expand(2**40)}, tmp_path / "bomb.pth")
    (tmp_path / "junk.pth").write_bytes(b"no weights")
    (tmp_path / "junk.safetensors").write_bytes(b"no weights")
    for name, message in {
        "nowhere.pth": "there are no weights",
        "model.pth": r"which might run code: save model.state_dict\(\)",
        "numbers.pth": "it holds no tensors by name",
        "list.pth": "it holds a list, not the state_dict of a network",
        "bomb.pth": "4 bytes unpack to 4398046511104",
        "junk.pth": "junk.pth is damaged, or holds more than tensors",
        "junk.safetensors": "cannot be read as weights",
    }.items():
        with pytest.raises(RaynasError, match=message) as caught:
            read_weights(tmp_path / name)
        assert "\n" not in str(caught.value)
