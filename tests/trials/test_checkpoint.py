"""Checkpoints: whole or not at all, and nothing that executes."""

import dataclasses
import math
from pathlib import Path
from typing import Any

import pytest
import torch

from raynas.core.architecture import Architecture
from raynas.errors import RaynasError
from raynas.trials.checkpoint import Checkpoint

ARCH = {"depth": 2, "kernel": 3}


def test_a_checkpoint_is_read_as_it_was_written(tmp_path: Path) -> None:
    state: dict[str, Any] = {"epoch": 2, "weights": torch.arange(3.0)}
    written = Checkpoint(Architecture(ARCH), 2, state, 1.5, 80.0, {"params": 3.0}, {"accuracy": 0.5})
    written.write(tmp_path / "folder")
    read = Checkpoint.read(tmp_path / "folder")
    assert read.state is not None and torch.equal(read.state["weights"], state["weights"])
    assert dataclasses.replace(read, state=None) == dataclasses.replace(written, state=None)


def test_a_checkpoint_leaves_out_what_is_not_a_number(tmp_path: Path) -> None:
    Checkpoint(arch=Architecture(ARCH), epoch=1, costs={"macs": math.nan, "params": 3}).write(tmp_path)
    read = Checkpoint.read(tmp_path)
    assert read.costs == {"params": 3.0} and read.state is None
    with pytest.raises(RaynasError, match=r"meta\.json is missing"):
        Checkpoint.read(tmp_path / "none")
