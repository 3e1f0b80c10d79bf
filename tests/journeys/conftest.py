"""One environment with raynas from a wheel for all journeys that begin with one."""

from pathlib import Path

import pytest

from tests.journeys.environment import Environment
from tests.wheels import build, copy_of_sources


@pytest.fixture(scope="session")
def env(tmp_path_factory: pytest.TempPathFactory) -> Environment:
    folder: Path = tmp_path_factory.mktemp("journeys")
    wheel = build(copy_of_sources(folder / "source"), folder / "wheel", "--wheel")
    return Environment(folder / "env", wheel)
