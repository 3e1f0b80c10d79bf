"""Spaces whose sizes come from numpy are the same spaces."""

from pathlib import Path

import numpy as np
import yaml

from raynas.run.best import keep
from raynas.run.file_names import RETRAIN_SETTINGS
from raynas.search_spaces import CNN
from raynas.trials import Training

PLAIN = CNN(channels=8, filters=(8, 16), input_shape=(1, 8, 8))
OF_NUMPY = CNN(channels=np.int64(8), filters=tuple(2 ** np.arange(3, 5)), input_shape=(np.int64(1), 8, 8))


def test_they_have_the_same_fingerprint_and_members() -> None:
    assert OF_NUMPY == PLAIN and OF_NUMPY.fingerprint == PLAIN.fingerprint
    arch = OF_NUMPY.sample(np.random.default_rng(0))
    assert PLAIN.canonical(arch).to_json() == arch.to_json()


def test_their_settings_can_be_written(tmp_path: Path) -> None:
    training = Training(epochs=np.int64(3), batch_size=32.0, lr=np.float32(0.5))  # type: ignore[arg-type]
    keep(OF_NUMPY.sample(np.random.default_rng(0)), tmp_path, OF_NUMPY, training)
    written = yaml.safe_load((tmp_path / RETRAIN_SETTINGS).read_text())
    assert written["space"]["channels"] == 8 and written["space"]["filters"] == [8, 16]
    assert (written["trainable"]["batch_size"], written["trainable"]["lr"]) == (32, 0.5)
