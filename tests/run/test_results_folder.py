import shutil
from contextlib import closing
from pathlib import Path
from types import SimpleNamespace

import pytest
from ray import tune

from raynas.errors import ArchiveError, SettingError
from raynas.run.results_folder import open_archive, results_path, results_place
from tests.flaky_storage import flaky


def test_the_users_name_comes_before_the_default(tmp_path: Path) -> None:
    assert results_path(tune.RunConfig(storage_path=str(tmp_path)), "default") == tmp_path / "default"
    assert results_path(tune.RunConfig(storage_path=str(tmp_path), name="mine"), "default") == tmp_path / "mine"
    assert results_path(None, "default").name == "default"


def test_a_bucket_has_a_working_copy_on_this_machine(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    place = results_place(tune.RunConfig(storage_path="s3://bucket/path?region=eu-west-1", name="mine"), "default")
    assert str(place.bucket) == "s3://bucket/path/mine" and place.path.parts[-1] == "mine"
    assert place.path.parent.parent == Path(str(tune.RunConfig().storage_path)).resolve()
    given = tune.RunConfig(storage_path="/path", storage_filesystem=flaky(tmp_path))
    inner = results_place(given, "search/random")
    assert inner.bucket and inner.bucket.path == "/path/search/random"
    assert inner.path.parts[-3:] == ("py-flaky-path", "search", "random")


def test_what_is_no_storage_is_refused() -> None:
    with pytest.raises(SettingError, match="storage_path nowhere://bucket cannot be used"):
        results_place(tune.RunConfig(storage_path="nowhere://bucket"), "default")
    with pytest.raises(SettingError, match=r"storage_filesystem must be a pyarrow.fs.FileSystem"):
        results_place(tune.RunConfig(storage_filesystem=object()), "default")


def test_a_full_disk_is_refused_before_anything_is_computed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(shutil, "disk_usage", lambda path: SimpleNamespace(free=5 * 2**20))
    with pytest.raises(ArchiveError, match="has 5 MiB left on its disk"):
        open_archive(tmp_path)


def test_an_archive_is_continued(tmp_path: Path) -> None:
    with closing(open_archive(tmp_path / "new")) as archive:
        archive.append("waited")
    with closing(open_archive(tmp_path / "new")) as archive:
        assert [record["event"] for record in archive] == ["waited"]
