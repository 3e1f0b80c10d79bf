"""The view of raynas that mypy and import-linter read."""

from pathlib import Path

import pytest

from scripts.dev import types_and_layers

ROOT = Path(__file__).resolve().parents[2]


def no_links(self: Path, target: str, target_is_directory: bool = False) -> None:
    raise OSError(1314, "A required privilege is not held by the client")  # as Windows has it


@pytest.mark.parametrize("links", [True, False])
def test_the_view_has_every_module_where_a_wheel_has_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, links: bool
) -> None:
    if not links:
        monkeypatch.setattr(Path, "symlink_to", no_links)
    (tmp_path / "raynas" / "removed").mkdir(parents=True)
    types_and_layers.lay_out(tmp_path)
    for folder, inside in {"raynas": "", "search_spaces": "search_spaces", "trials": "trials"}.items():
        for file in (ROOT / folder).rglob("*.py"):
            seen = tmp_path / "raynas" / inside / file.relative_to(ROOT / folder)
            assert seen.read_bytes() == file.read_bytes()
            assert seen.stat().st_mtime == file.stat().st_mtime
    assert not (tmp_path / "raynas" / "removed").exists()
