"""Trained supernets: written, read, and on shared arrays."""

import json
from pathlib import Path

import numpy as np
import pytest

from raynas.core.architecture import Architecture
from raynas.errors import RaynasError, SpaceError
from raynas.oneshot import SinglePath
from raynas.search_spaces import NASBench201
from raynas.trials import SupernetTraining, TrainedSupernet
from raynas.trials.supernet.trained import ABOUT, DERIVED, WEIGHTS
from tests.trials.supernet.small import SPACE, HeldOut, written


def test_a_supernet_is_read_as_it_was_written(tmp_path: Path) -> None:
    kept = written(tmp_path, method=HeldOut())
    read = TrainedSupernet.load(tmp_path, NASBench201(channels=4, cells=1))  # its input shape follows
    assert read.space == kept.space and read.history == kept.history and len(read.history) == 1
    assert read.derived == kept.derived == Architecture(json.loads((tmp_path / DERIVED).read_text()))
    supernet = read.supernet()
    for name, tensor in supernet.state_dict().items():
        assert np.array_equal(tensor.numpy(), kept.weights[name])


def test_the_size_of_a_proxy_is_kept(tmp_path: Path) -> None:
    written(tmp_path, scale={"channels": 2})
    assert TrainedSupernet.load(tmp_path, SPACE).space.channels == 2  # type: ignore[attr-defined]


def test_what_cannot_be_read(tmp_path: Path) -> None:
    with pytest.raises(RaynasError, match="holds no trained supernet"):
        TrainedSupernet.load(tmp_path, SPACE)
    written(tmp_path)
    with pytest.raises(SpaceError, match="supernet of another space"):
        TrainedSupernet.load(tmp_path, NASBench201(channels=8, cells=1))
    whole = (tmp_path / WEIGHTS).read_bytes()
    (tmp_path / WEIGHTS).write_bytes(whole[:-4] + b"evil")
    with pytest.raises(RaynasError, match="not what was written"):
        TrainedSupernet.load(tmp_path, SPACE).supernet()
    for damaged in ("[]", "{", '{"space": "x"}'):
        (tmp_path / ABOUT).write_text(damaged)
        with pytest.raises(RaynasError, match="is damaged"):
            TrainedSupernet.load(tmp_path, SPACE)


def test_the_default_method() -> None:
    assert SupernetTraining().method == SinglePath()
