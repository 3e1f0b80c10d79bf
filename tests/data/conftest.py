"""What tests of data share."""

import sys
from types import ModuleType

import pytest

from raynas.data import loaders


@pytest.fixture
def user_module(monkeypatch: pytest.MonkeyPatch) -> ModuleType:
    """A module of the user's, ``my_data``, for functions that return loaders."""
    module = ModuleType("my_data")
    monkeypatch.setitem(sys.modules, "my_data", module)
    loaders._parts.cache_clear()
    return module
