"""Event files on a full disk."""

from pathlib import Path
from typing import Any

import pytest

from raynas.views.tensorboard import event_file
from tests.views.tensorboard.logs import scalars


def test_on_a_full_disk_no_torn_record_stays(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    class Full:
        def __init__(self, file: Any) -> None:
            self.file = file

        def __enter__(self) -> "Full":
            return self

        def __exit__(self, *_: object) -> None:
            self.file.close()

        def __getattr__(self, name: str) -> Any:
            return getattr(self.file, name)

        def write(self, content: bytes) -> int:
            return int(self.file.write(content[: len(content) // 2]))

    file = event_file.EventFile(tmp_path)
    file.flush()
    file.add(event_file.scalars({"a": 1.0}), 1)
    really_open = Path.open
    with monkeypatch.context() as patch:
        patch.setattr(Path, "open", lambda path, *args, **kwargs: Full(really_open(path, *args, **kwargs)))
        with pytest.raises(OSError, match="No space left"):
            file.flush()
    file.flush()
    assert scalars(tmp_path, "a") == [(1, 1.0)]
