"""Weights in networks."""

from pathlib import Path

import torch
from safetensors.torch import load_file

from raynas.core.architecture import Architecture
from raynas.files.weights import write_weights
from raynas.trials.weights import with_weights
from tests.trials.spaces import TinyCnn

ARCH = Architecture({"depth": 2, "kernel": 5})


def test_tensors_in_a_file_are_a_network_again(tmp_path: Path) -> None:
    model = TinyCnn().build(ARCH).to(memory_format=torch.channels_last)  # type: ignore[call-overload]
    write_weights(model.state_dict(), tmp_path / "weights.safetensors")
    again = with_weights(TinyCnn(), ARCH, load_file(tmp_path / "weights.safetensors"))
    images = torch.rand(3, 1, 8, 8)
    assert torch.allclose(again(images), model.eval()(images), atol=1e-6)
