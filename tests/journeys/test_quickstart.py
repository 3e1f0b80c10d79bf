"""The page that a newcomer reads first, done literally from a wheel."""

import sys
from pathlib import Path
from types import ModuleType

import pytest

from tests.journeys.environment import Environment
from tests.scripts.loading import loaded


@pytest.fixture(scope="module")
def quickstart() -> ModuleType:
    return loaded("bench/quickstart")


@pytest.mark.own_cluster
@pytest.mark.timeout(900)  # a minute of CPU time, in ten processes
@pytest.mark.skipif(sys.platform == "win32", reason="Windows has no such signals")
def test_every_step_of_the_page(
    quickstart: ModuleType, env: Environment, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("PYTHONPATH", raising=False)
    (tmp_path / "mine").mkdir()
    done = quickstart.run(tmp_path / "mine", env.bin, quickstart.smaller)
    assert sum(title.startswith("raynas ") for title in done) == 4
    assert sum(title.startswith("script ") for title in done) == 2
    exported = [path.parent for path in (tmp_path / "mine").rglob("model.onnx")]
    assert len(exported) == 2 and all((folder / "model.py").is_file() for folder in exported)
