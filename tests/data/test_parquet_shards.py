"""Parquet files of images, rewritten as shards."""

from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pytest
from pyarrow import parquet

from raynas.data.image_sets import load_images
from raynas.data.parquet_shards import write_shards
from raynas.errors import DataError, SettingError
from tests.data.files import photos


def table(folder: Path, **columns: Any) -> Path:
    path = folder / "data.parquet"
    parquet.write_table(pa.table(columns), path, row_group_size=5)
    return path


def encoded(folder: Path) -> tuple[list[bytes], list[int]]:
    files = sorted(photos(folder).rglob("*.png"))
    return [file.read_bytes() for file in files], ["abc".index(file.parent.name) for file in files]


@pytest.mark.parametrize("as_struct", [False, True])
def test_images_are_those_of_the_table(as_struct: bool, tmp_path: Path) -> None:
    images, labels = encoded(tmp_path)
    held: list[Any] = [{"bytes": image, "path": None} for image in images] if as_struct else list(images)
    source = table(tmp_path, photo=held, label=labels, name=["x"] * len(labels))
    written = write_shards(source, tmp_path / "shards", shard_mb=0.005)
    assert len(written) > 2 and written == sorted((tmp_path / "shards").iterdir())
    data, expected = (
        load_images(f"{name}:{tmp_path / folder}", image_size=8)
        for name, folder in (("shards", "shards"), ("folder", "photos"))
    )
    assert np.array_equal(data.train.array, expected.train.array)
    assert np.array_equal(data.train.labels, expected.train.labels)


WRONG: dict[str, tuple[dict[str, Any], dict[str, str], str]] = {
    "no image": ({"label": [1]}, {}, r"0 columns of encoded images: name one with image; it holds label \(int64\)"),
    "two images": ({"a": [b"1"], "b": [b"1"], "label": [1]}, {}, "2 columns of encoded images"),
    "no label": ({"a": [b"1"], "b": [0]}, {}, "0 columns of whole-number labels: name one with label"),
    "another label": ({"a": [b"1"], "label": [0]}, {"label": "b"}, "0 columns of whole-number labels"),
    "a word": ({"a": [b"1"], "label": ["cat"]}, {}, "0 columns of whole-number labels"),
    "negative": ({"a": [b"1", b"1"], "label": [0, -1]}, {}, "row 1 of .* holds label -1; number the classes from 0"),
    "missing": ({"a": [b"1", None], "label": [0, 1]}, {}, "row 1 of .* holds no image"),
    "text": ({"a": [{"bytes": "x"}], "label": [0]}, {}, "row 0 of .* holds an image of type str; write its encoded"),
    "empty": ({"a": pa.array([], pa.binary()), "label": pa.array([], pa.int64())}, {}, "holds no rows"),
}


@pytest.mark.parametrize("name", WRONG)
def test_what_is_wrong_with_a_table_gets_one_clear_line(name: str, tmp_path: Path) -> None:
    columns, named, expected = WRONG[name]
    with pytest.raises(DataError, match=expected) as caught:
        write_shards(table(tmp_path, **columns), tmp_path / "shards", **named)  # type: ignore[arg-type]
    assert "\n" not in str(caught.value) and not list((tmp_path / "shards").iterdir())


def test_an_error_leaves_no_part_that_would_be_taken_for_all(tmp_path: Path) -> None:
    source = table(tmp_path, a=[b"1", b"2", None], label=[0, 1, 2])
    with pytest.raises(DataError, match=r"row 2 of .* holds no image"):
        write_shards(source, tmp_path / "shards", shard_mb=1e-6)
    assert not list((tmp_path / "shards").iterdir())


@pytest.mark.parametrize("size", [0, -1.0, float("nan")])
def test_archives_have_a_size(size: float, tmp_path: Path) -> None:
    source = table(tmp_path, a=[b"1"], label=[0])
    with pytest.raises(SettingError, match="shard_mb must be a number above 0, got"):
        write_shards(source, tmp_path / "shards", shard_mb=size)


def test_columns_by_name_and_files_that_are_in_the_way(tmp_path: Path) -> None:
    source = table(tmp_path, a=[b"1"], b=[b"2"], c=[3], label=[4])
    (path,) = write_shards(source, tmp_path / "shards", "test", image="b", label="c")
    assert path.name == "test-00000.tar" and b"000000000.cls" in path.read_bytes()
    with pytest.raises(DataError, match=r"test-00000\.tar is there already; choose another folder, or remove it"):
        write_shards(source, tmp_path / "shards", "test", image="b", label="c")
    (tmp_path / "broken.parquet").write_bytes(b"no table")
    with pytest.raises(DataError, match=r"broken\.parquet cannot be read: .*; it must be a whole Parquet file"):
        write_shards(tmp_path / "broken.parquet", tmp_path / "other")
