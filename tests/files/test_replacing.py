from pathlib import Path

import pytest

from raynas.files.replacing import Replacing, write_whole


def test_a_file_is_replaced_whole_or_not_at_all(tmp_path: Path) -> None:
    path = tmp_path / "file"
    path.write_text("before")
    with pytest.raises(OSError), Replacing(path) as draft:
        draft.write_text("half")
        raise OSError("disk full")
    assert path.read_text() == "before" and [p.name for p in tmp_path.iterdir()] == ["file"]
    with Replacing(path) as draft:
        draft.write_text("after")
    assert path.read_text() == "after"


def test_a_link_is_replaced_and_not_followed(tmp_path: Path) -> None:
    (tmp_path / "outside").write_text("precious")
    (tmp_path / "file").symlink_to(tmp_path / "outside")
    write_whole(tmp_path / "file", "after")
    assert (tmp_path / "file").read_text() == "after" and not (tmp_path / "file").is_symlink()
    assert (tmp_path / "outside").read_text() == "precious"
