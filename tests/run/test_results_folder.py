import shutil
from contextlib import closing
from pathlib import Path
from types import SimpleNamespace

import pytest
from ray import tune

from raynas.errors import ArchiveError
from raynas.run.results_folder import open_archive, results_path


def test_the_users_name_comes_before_the_default(tmp_path: Path) -> None:
    assert results_path(tune.RunConfig(storage_path=str(tmp_path)), "default") == tmp_path / "default"
    assert results_path(tune.RunConfig(storage_path=str(tmp_path), name="mine"), "default") == tmp_path / "mine"
    assert results_path(None, "default").name == "default"


def test_a_folder_in_the_cloud_is_refused() -> None:
    with pytest.raises(ArchiveError, match=r"folder that every node can see, got 's3://bucket'"):
        results_path(tune.RunConfig(storage_path="s3://bucket"), "default")


def test_a_full_disk_is_refused_before_anything_is_computed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(shutil, "disk_usage", lambda path: SimpleNamespace(free=5 * 2**20))
    with pytest.raises(ArchiveError, match="has 5 MiB left on its disk"):
        open_archive(tmp_path)


def test_an_archive_is_continued(tmp_path: Path) -> None:
    with closing(open_archive(tmp_path / "new")) as archive:
        archive.append("waited")
    with closing(open_archive(tmp_path / "new")) as archive:
        assert [record["event"] for record in archive] == ["waited"]
