"""The command line in this process uses the Ray of the tests, if any."""

import pytest

from raynas.cli import commands


@pytest.fixture(autouse=True)
def no_start_of_ray(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(commands, "RayStart", lambda: None)
