"""Writing a trained supernet."""

import json
from pathlib import Path

import pytest

from raynas.errors import RaynasError
from raynas.trials import TrainedSupernet
from raynas.trials.supernet.trained import ABOUT, DERIVED, WEIGHTS
from tests.trials.supernet.small import SPACE, HeldOut, written


def test_the_last_file_makes_it_complete(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(path: Path, *args: object, **options: object) -> None:
        raise OSError("disk full")

    with monkeypatch.context() as patch, pytest.raises(OSError, match="disk full"):
        patch.setattr(Path, "write_text", full)
        written(tmp_path)
    assert (tmp_path / WEIGHTS).exists() and not (tmp_path / ABOUT).exists()
    with pytest.raises(RaynasError, match="holds no trained supernet"):
        TrainedSupernet.load(tmp_path, SPACE)


def test_what_is_written_can_be_read_without_raynas(tmp_path: Path) -> None:
    kept = written(tmp_path, method=HeldOut(), scale={"channels": 2})
    about = json.loads((tmp_path / ABOUT).read_text())
    assert about == kept.about and about["training"]["scale"] == {"channels": 2}
    assert about["n_classes"] == 10 and about["input_shape"] == [1, 8, 8] and about["method"] == repr(HeldOut())
    assert json.loads((tmp_path / DERIVED).read_text()) == about["derived"]
