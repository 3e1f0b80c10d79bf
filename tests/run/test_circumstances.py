"""Circumstances of a session."""

import sys

import pytest

from raynas.run.circumstances import circumstances, command
from raynas.trials import Training


def test_resources_and_versions() -> None:
    found = circumstances(Training(n_threads=2, device="cpu"))
    assert found["resources"] == {"cpu": 2.0}
    versions = found["versions"]
    assert isinstance(versions, dict) and {"python", "torch", "ray"} <= versions.keys()


@pytest.mark.parametrize(
    ("argv", "expected"),
    [
        (["/bin/raynas", "search", "--data", "my data"], "raynas search --data 'my data'"),
        (["search.py", "7"], "python search.py 7"),
        ([""], ""),
    ],
)
def test_the_command(argv: list[str], expected: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "argv", argv)
    monkeypatch.setattr(sys, "orig_argv", ["/usr/bin/python3", *argv])
    assert command() == expected
