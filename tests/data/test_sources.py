"""Data sets by name."""

from pathlib import Path
from types import ModuleType
from typing import Any

import pytest

from raynas.data.sources import load_source
from raynas.errors import DataError, RaynasError, UnknownNameError


def test_names_of_code_that_cannot_be_found(user_module: ModuleType, tmp_path: Path) -> None:
    settings: dict[str, Any] = {"data_dir": str(tmp_path), "image_size": 8, "valid_share": 0.2}
    with pytest.raises(RaynasError, match=r"cannot import 'nowhere.at_all:make': No module named 'nowhere'"):
        load_source("nowhere.at_all:make", **settings)
    with pytest.raises(RaynasError, match="module 'my_data' has no function 'none'"):
        load_source("my_data:none", **settings)
    with pytest.raises(RaynasError, match="is a str, not a function"):
        load_source("my_data:__name__", **settings)
    with pytest.raises(ValueError, match=r"named as package.module:function, got 'C:\\\\data'"):
        load_source("C:\\data", **settings)
    with pytest.raises(UnknownNameError):
        load_source("my_data", **settings)


def test_a_path_with_a_colon_is_no_code(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "run:1").mkdir()
    with pytest.raises(DataError, match="'run:1' is a folder; for images in it write folder:run:1"):
        load_source("run:1", data_dir=str(tmp_path), image_size=8, valid_share=0.2)
