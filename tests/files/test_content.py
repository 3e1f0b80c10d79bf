"""Files up to a size, and JSON up to a schema."""

import os
from pathlib import Path
from typing import Any

import pytest
from msgspec import Struct
from msgspec.json import Decoder

from raynas.errors import ContentError
from raynas.files.content import decode_json, n_keys, read_file


class Point(Struct):
    x: float
    name: str = ""


POINT: "Decoder[Any]" = Decoder(Point)


def test_a_value_in_plain_containers_with_fields_that_the_schema_does_not_name() -> None:
    assert decode_json(b'{"x": 1, "more": {"a:b": [1, {"c": null}]}}', POINT) == {
        "x": 1,
        "more": {"a:b": [1, {"c": None}]},
    }


@pytest.mark.parametrize(
    "content",
    [
        *(b"", b"{", b"null", b"[]", b"{}", b'{"x": "1"}', b'{"x": true}', b'{"x": 1, "name": 2}'),
        *(b'{"x": NaN}', b'{"x": -Infinity}', b'{"x": 1e999}', b'{"x": ' + b"9" * 5000 + b"}"),
        *(b'{"x": 1, "x": 2}', b'{"x": 1, "more": [{"a": 1, "b": 2, "a" : 1}]}', b'{"x": 1, "name": ":", "name": "a"}'),
        *(b'{"x": 1, "name": "\xff"}', b'{"x": 1, "name": "\\ud800"}', b'{"x": 1, "more": ' + b"[" * 10**5),
    ],
)
def test_what_does_not_comply(content: bytes) -> None:
    with pytest.raises(ContentError):
        decode_json(content, POINT)


def test_the_number_of_keys() -> None:
    assert n_keys({"a": 1, "b": [{"c": {}}, [], 3]}) == 3 and n_keys("text") == 0


def test_a_file_up_to_its_size(tmp_path: Path) -> None:
    (tmp_path / "file").write_bytes(b"12345")
    assert read_file(tmp_path / "file", 5) == b"12345"
    with pytest.raises(ContentError, match="more than 4 bytes"):
        read_file(tmp_path / "file", 4)


@pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="Windows has no pipes in folders")
def test_what_is_no_file_is_not_opened(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe")  # reading it would wait for ever
    for path in (tmp_path / "pipe", tmp_path, Path("/dev/zero"), tmp_path / "a\0b", tmp_path / "none"):
        with pytest.raises(OSError):
            read_file(path)
